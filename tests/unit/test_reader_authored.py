"""Documents made up for the reader: their answers stand there, and what has none says so."""

from __future__ import annotations

import json

import pytest

from scripts.reader_asked import UNKNOWN
from scripts.reader_authored import written

FOUND = list(written())


def document(**question):
    sections = [
        {"heading": "2 Drink", "text": "Guests who look under 25 are asked for a card."},
        {"heading": "3 Room", "text": "The licensed capacity is 413 persons."},
    ]
    asked = {"q": "how many fit in", "section": 1, "answer": "413 persons", "kind": "number"} | question
    return json.dumps({"title": "Bar", "sections": sections, "questions": [asked]})


def test_an_answer_is_asked_of_its_section_under_its_headings(tmp_path):
    (tmp_path / "one.jsonl").write_text(document())
    (found,) = written(tmp_path)
    assert (found.document, found.title) == ("authored/Bar", "Bar > 3 Room")
    assert found.text[slice(*found.span)] == "413 persons" == found.answers[0]
    assert (found.relevant, found.answerable) == (1, 1)


def test_what_is_not_answered_is_near_a_section_and_says_nothing_of_relevance(tmp_path):
    (tmp_path / "one.jsonl").write_text(document(answer=None, kind="none", q="who may use the lift"))
    (found,) = written(tmp_path)
    assert (found.span, found.relevant, found.answerable, found.answers) == (None, UNKNOWN, 0, ())
    assert 0 <= found.near < len(found.text)


def test_an_answer_that_is_not_there_word_for_word_is_an_error(tmp_path):
    (tmp_path / "one.jsonl").write_text(document(answer="413 people"))
    with pytest.raises(ValueError, match="Bar: '413 people' does not stand in '3 Room'"):
        list(written(tmp_path))


def test_the_documents_are_many_their_answers_short_and_a_fifth_of_the_questions_has_none():
    assert len({each.document for each in FOUND}) >= 300
    answered = [each for each in FOUND if each.span]
    assert all(len(each.answers[0].split()) <= 40 for each in answered)
    assert 0.15 < 1 - len(answered) / len(FOUND) < 0.35


def test_no_question_is_asked_twice_of_a_document():
    asked = [(each.document, each.question.casefold()) for each in FOUND]
    assert len(asked) == len(set(asked))


def test_an_answer_is_marked_as_whole_words():
    for each in FOUND:
        if each.span:
            begin, end = each.span
            beside = each.text[begin - 1 : begin], each.text[end : end + 1]
            first, last = each.answers[0][0], each.answers[0][-1]
            assert not (first.isalnum() and beside[0].isalnum()), each
            assert not (last.isalnum() and beside[1].isalnum()), each
