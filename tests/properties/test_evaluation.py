"""Laws of the measures, whatever is ranked or said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.evaluation import metrics
from appliance.evaluation.library import staged
from appliance.evaluation.metrics import compared, mean
from appliance.evaluation.sets import Source

GRADES = st.lists(st.integers(1, 4), min_size=1, max_size=30).map(lambda grades: sorted(grades, reverse=True))
DEPTHS = st.integers(1, 25)
TEXTS = st.text(alphabet="ab .,the'", max_size=30)
FIGURES = st.lists(
    st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=40
).map(np.array)


@st.composite
def rankings(draw: st.DrawFn) -> tuple[dict[int, int], list[int]]:
    """Return the ranks of some of the relevant, and the grades of all."""
    ideal = draw(GRADES)
    found = draw(st.permutations(ideal))[: draw(st.integers(0, len(ideal)))]
    ranks = draw(st.lists(st.integers(1, 60), min_size=len(found), max_size=len(found), unique=True))
    return dict(zip(sorted(ranks), found, strict=True)), ideal


@given(rankings(), DEPTHS)
def test_every_measure_of_a_ranking_is_a_share(ranking: tuple[dict[int, int], list[int]], k: int) -> None:
    gains, ideal = ranking
    for value in (
        metrics.ndcg(gains, ideal, k),
        metrics.recall(gains, ideal, k),
        metrics.reciprocal_rank(gains),
    ):
        assert 0 <= value <= 1 + 1e-12


@given(GRADES, DEPTHS)
def test_the_best_order_has_everything(ideal: list[int], k: int) -> None:
    gains = dict(enumerate(ideal, 1))
    assert metrics.ndcg(gains, ideal, k) == pytest.approx(1)
    assert metrics.recall(gains, ideal, len(ideal)) == 1
    assert metrics.reciprocal_rank(gains) == 1


@given(rankings(), DEPTHS)
def test_nothing_found_earlier_makes_a_ranking_worse(
    ranking: tuple[dict[int, int], list[int]], k: int
) -> None:
    gains, ideal = ranking
    earlier = {rank + 1: grade for rank, grade in gains.items()}
    assert metrics.ndcg(gains, ideal, k) >= metrics.ndcg(earlier, ideal, k)
    assert metrics.recall(gains, ideal, k) >= metrics.recall(earlier, ideal, k)


@given(TEXTS, TEXTS)
def test_f1_is_a_share_is_symmetric_and_is_one_where_the_match_is_exact(one: str, other: str) -> None:
    assert 0 <= metrics.f1(one, other) <= 1
    assert metrics.f1(one, other) == metrics.f1(other, one)
    assert metrics.f1(one, other) >= metrics.exact(one, other)
    assert metrics.f1(one, one) == 1


@settings(max_examples=20, deadline=None)
@given(FIGURES)
def test_the_other_way_round_a_difference_is_its_opposite(pairs: np.ndarray) -> None:
    here, there = compared(pairs[:, 0], pairs[:, 1], mean), compared(pairs[:, 1], pairs[:, 0], mean)
    assert here.difference == pytest.approx(-there.difference)
    assert (here.low, here.high) == pytest.approx((-there.high, -there.low), abs=1e-12)
    assert here.p == there.p
    assert here.low - 1e-12 <= here.high
    assert 0 < here.p <= 1


@settings(max_examples=20, deadline=None)
@given(FIGURES)
def test_a_run_does_not_differ_from_itself(pairs: np.ndarray) -> None:
    found = compared(pairs[:, 0], pairs[:, 0], mean)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)


@given(
    st.lists(
        st.builds(Source, IDS, st.text(max_size=5), st.text(max_size=5)), max_size=8, unique_by=lambda s: s.id
    )
)
def test_whatever_documents_are_called_they_have_files_of_their_own(sources: list[Source]) -> None:
    files = staged(sources)
    assert len({file.name for file in files}) == len({file.data for file in files}) == len(files)
    kept = [source.id for source in sources if source.title or source.text]
    assert sorted(name for file in files for name in file.ids) == sorted(kept)
    for file in files:
        assert "/" not in file.name
        assert not file.name.startswith(".")
        assert len(file.name.encode()) < 250
