"""What scripts/retrieval.py asks and counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scripts.remembered import Remembered
from scripts.retrieval import _ndcg, _rank, _recall, misspelt, terse
from scripts.retrieval_sets import Asked
from tests.fakes import FakeEncoder, fake_passage

QUESTION = "What is the highest allowed discharge pressure of the pump?"


def test_a_misspelt_question_has_one_slip_and_always_the_same():
    slipped = misspelt(QUESTION)
    assert slipped == misspelt(QUESTION) != QUESTION
    assert sum(a != b for a, b in zip(slipped.split(), QUESTION.split(), strict=True)) == 1


def test_a_terse_question_is_its_key_words():
    assert terse(QUESTION) == "highest allowed discharge pressure pump"
    assert terse("Who are you?") == "Who are you?"


def passage(text, start):
    return replace(fake_passage(), document="d", text=text, start=start, page=3)


def test_a_gold_span_is_found_by_half_of_it_and_its_characters_are_counted():
    asked = Asked("?", spans=(("d", 10, 20),))
    assert _rank(asked, [passage("x" * 6, 0), passage("x" * 30, 15)]) == 2
    assert _rank(asked, [passage("x" * 30, 16)]) > 5
    assert _recall(asked, [passage("x" * 15, 0), passage("x" * 9, 8)]) == (0.7, 17)


def test_a_gold_page_is_found_by_its_number():
    assert _rank(Asked("?", pages=frozenset({("d", 3)})), [passage("x", 0)]) == 1


def test_a_documents_grade_counts_at_its_place():
    asked = Asked("?", grades={"a": 2, "b": 1, "c": 0})
    assert _ndcg(asked, ["a", "b", "c"]) == 1.0
    assert _ndcg(asked, ["c", "a"]) == pytest.approx((2 / np.log2(3)) / (2 + 1 / np.log2(3)))


def test_a_text_is_encoded_once_and_its_vector_is_kept(tmp_path):
    first, second = FakeEncoder(), FakeEncoder()
    made = Remembered(first, tmp_path / "v.bin").encode(["a b", "c", "a b"])
    with (tmp_path / "v.bin").open("ab") as file:
        file.write(b"cut short")
    again = Remembered(second, tmp_path / "v.bin")
    assert np.array_equal(again.encode(["c", "a b"]), made[[1, 0]])
    assert (first.batches, second.batches) == ([2], [])
    new = again.encode(["d"])
    assert np.array_equal(Remembered(second, tmp_path / "v.bin").encode(["d"]), new)
    assert second.batches == [1]
