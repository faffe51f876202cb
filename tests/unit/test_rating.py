"""BM25 by hand, and beside the words index, which gives the same order where all words are rare."""

from __future__ import annotations

import pytest

from appliance.vault.database.rating import bm25
from appliance.vault.store import create_store
from tests.stores import a_draft, a_key, added, noon


def test_the_formula():
    found = bm25({"pump": 2.0}, {1: ([], ["pump", "x"]), 2: (["pump"], ["y"])})
    assert found == pytest.approx({1: 2.0 * 2.2 / 2.2, 2: 2.0 * 2 * 2.2 / 3.2})


def test_a_word_twice_counts_less_than_two_words_and_a_long_chunk_less_than_a_short_one():
    found = bm25(
        {"a": 1.0, "b": 1.0}, {1: ([], ["a", "a"]), 2: ([], ["a", "b"]), 3: ([], ["a", "b", *"xyz"])}
    )
    assert found[2] > found[1]
    assert found[2] > found[3]


def test_nothing_is_nothing():
    assert bm25({}, {}) == {}
    assert bm25({"a": 1.0}, {1: ([], [])}) == {1: 0.0}


def test_it_ranks_as_the_words_index_does(tmp_path):
    store = create_store(tmp_path, a_key(), clock=noon)
    texts = [
        f"{'pump ' * (n % 5)}{'valve ' * ((n + n // 5) % 5)}{'filler ' * (n % 7)}end" for n in range(200)
    ]
    texts += ["plain text"] * 400
    added(store, a_draft(*texts, heading="Pump and valve"))
    weights = dict.fromkeys(("pump", "valve"), 1.0)
    assert len(set(store.document_frequency(list(weights)).values())) == 1  # to the index they weigh the same
    by_index = dict(store.match([["pump"], ["valve"]], 600))
    rated = store.rate(weights, list(by_index))  # all chunks: then both know the same mean length
    assert len(by_index) == len(texts)
    factors = [by_index[chunk] / rated[chunk] for chunk in by_index]
    assert max(factors) == pytest.approx(min(factors), rel=1e-3)
    store.close()
