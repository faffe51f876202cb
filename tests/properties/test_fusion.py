"""Laws of fusion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.retrieve.fusion import fuse, named, scaled
from tests.fakes import fake_passage

SCORES = st.dictionaries(st.integers(0, 30), st.floats(-50, 50, width=32), max_size=12)
COSINES = st.dictionaries(st.integers(0, 30), st.floats(-1, 1, width=32), max_size=12)
WEIGHT = st.floats(0, 1)


def shuffled(scores, seed):
    keys = list(scores)
    np.random.default_rng(seed).shuffle(keys)
    return {key: scores[key] for key in keys}


@given(SCORES, COSINES, WEIGHT)
def test_scores_lie_in_the_unit_interval_and_fall(words, vectors, weight):
    scores = [hit.score for hit in fuse(words, vectors, near={}, weight=weight)]
    assert all(0 <= score <= 1 + 1e-9 for score in scores)
    assert scores == sorted(scores, reverse=True)


@given(SCORES, COSINES)
def test_every_chunk_of_either_ranking_comes_once_and_says_who_found_it(words, vectors):
    hits = fuse(words, vectors, near={})
    assert sorted(hit.chunk for hit in hits) == sorted({*words, *vectors})
    for hit in hits:
        assert ("words" in hit.found_by) == (hit.chunk in words)
        assert ("vectors" in hit.found_by) == (hit.chunk in vectors)


@given(SCORES, COSINES, st.integers(0, 1000))
def test_the_order_of_arrival_does_not_matter(words, vectors, seed):
    assert fuse(words, vectors, near={}) == fuse(shuffled(words, seed), shuffled(vectors, seed), near={})


@given(SCORES, COSINES, WEIGHT, st.floats(0, 20), st.data())
def test_a_higher_score_never_costs_rank(words, vectors, weight, gain, data):
    if not words:
        return
    chunk = data.draw(st.sampled_from(sorted(words)))
    before = [hit.chunk for hit in fuse(words, vectors, near={}, weight=weight)].index(chunk)
    raised = {**words, chunk: words[chunk] + gain}
    hits = fuse(raised, vectors, near={}, weight=weight)
    own = next(hit.score for hit in hits if hit.chunk == chunk)
    strictly_better = sum(hit.score > own + 1e-9 for hit in hits)
    assert strictly_better <= before


@given(SCORES)
def test_scaling_keeps_the_order(scores):
    after = scaled(scores)
    assert all(after[a] <= after[b] for a in scores for b in scores if scores[a] < scores[b])


def test_a_known_cosine_saves_a_chunk_that_only_the_words_found():
    words, vectors = {1: 9.0, 2: 9.0}, {3: 0.9, 4: 0.2}
    hits = {hit.chunk: hit for hit in fuse(words, vectors, near={1: 0.8, 2: 0.0})}
    assert hits[1].score > hits[2].score
    assert hits[1].found_by == ("words",)


def test_what_the_words_say_of_all_saves_a_chunk_that_only_the_vectors_found():
    hits = {
        hit.chunk: hit for hit in fuse({1: 9.0}, {2: 0.5, 3: 0.5}, near={}, rated={1: 4.0, 2: 3.0, 3: 0.0})
    }
    assert hits[2].score > hits[3].score
    assert hits[2].found_by == ("vectors",)


@given(
    st.lists(st.floats(0, 1), max_size=8),
    st.lists(st.dictionaries(st.integers(0, 9), st.floats(0, 1)), max_size=3),
)
def test_names_keep_scores_in_the_unit_interval_and_every_passage(scores, holders):
    before = [replace(fake_passage(), chunk=n, score=score) for n, score in enumerate(scores)]
    after = named(before, holders)
    assert sorted(passage.chunk for passage in after) == [passage.chunk for passage in before]
    assert all(0 <= passage.score <= 1 + 1e-9 for passage in after)


def test_nothing_found_is_nothing():
    assert fuse({}, {}, near={}) == ()
