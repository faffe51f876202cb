"""Fusion by hand, where the sum can be done in the head."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.retrieve.fusion import fuse, named, spread
from tests.fakes import fake_passage


def test_the_sum_is_weighted_and_scaled():
    hits = fuse({1: 10.0, 2: 5.0, 3: 0.0}, {1: 0.2, 3: 0.6}, near={}, weight=0.6)
    assert {hit.chunk: hit.score for hit in hits} == pytest.approx({1: 0.4, 2: 0.2, 3: 0.6})
    assert [hit.chunk for hit in hits] == [3, 1, 2]


def test_one_ranking_alone_keeps_its_order():
    assert [hit.chunk for hit in fuse({5: 3.0, 6: 9.0}, {}, near={})] == [6, 5]


def test_equal_scores_are_ordered_by_chunk():
    assert [hit.chunk for hit in fuse({9: 1.0, 4: 1.0}, {}, near={})] == [4, 9]


def ranked(*places):
    """Return passages of (page, score), best first."""
    return tuple(
        replace(fake_passage(), chunk=n, page=page, score=score) for n, (page, score) in enumerate(places)
    )


def test_a_second_passage_of_a_page_gives_way_to_one_almost_as_good():
    found = spread(ranked((1, 1.0), (1, 0.9), (2, 0.85)), left=0.9)
    assert [(passage.page, passage.chunk) for passage in found] == [(1, 0), (2, 2), (1, 1)]
    assert found[2].score == pytest.approx(0.81)


def test_it_does_not_give_way_to_a_poor_one():
    found = spread(ranked((1, 1.0), (1, 0.9), (2, 0.5)), left=0.9)
    assert [passage.chunk for passage in found] == [0, 1, 2]


def test_without_pages_nothing_is_crowded():
    found = spread(ranked((None, 1.0), (None, 0.9), (None, 0.85)))
    assert [passage.score for passage in found] == [1.0, 0.9, 0.85]


def scored(*scores):
    """Return passages of these scores, best first; the first is chunk 0."""
    return tuple(replace(fake_passage(), chunk=n, score=score) for n, score in enumerate(scores))


def test_the_passage_that_holds_the_name_comes_first_and_scores_stay_in_bounds():
    found = named(scored(0.7, 0.4, 0.2), [{2: 1.0}, {}])
    assert [passage.chunk for passage in found] == [2, 0, 1]
    assert all(0 <= passage.score <= 1 for passage in found)


def test_the_surer_of_two_holders_comes_first():
    assert [passage.chunk for passage in named(scored(0.5, 0.5), [{0: 0.8, 1: 1.0}])] == [1, 0]


def test_a_name_that_stands_nowhere_changes_nothing():
    passages = scored(1.0, 0.3)
    assert named(passages, [{}]) == passages
    assert named(passages, []) == passages
