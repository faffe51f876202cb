"""Documents made up for the reader: their answers stand there, and what has none says so."""

from __future__ import annotations

import json

import pytest

from scripts.reader_asked import UNKNOWN
from scripts.reader_authored import FOLDER, written
from scripts.reader_data import held_out

FOUND = list(written())
README = FOLDER.parents[1] / "README.md"
KINDS = frozenset("yesno number who when where what which how why if table none".split())


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


def test_the_documents_are_as_many_as_the_readme_says_their_answers_short_and_a_quarter_has_none():
    documents = {each.document for each in FOUND}
    assert f"authored/ ({len(documents)} documents" in README.read_text("utf-8")
    assert sum(map(held_out, documents)) == 41
    answered = [each for each in FOUND if each.span]
    assert all(len(each.answers[0].split()) <= 40 for each in answered)
    assert 0.2 < 1 - len(answered) / len(FOUND) < 0.3


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


def test_a_question_has_an_answer_if_its_kind_says_so():
    for path in FOLDER.glob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            for question in json.loads(line)["questions"]:
                assert question["kind"] in KINDS
                assert (question["kind"] == "none") == (question["answer"] is None), question
                assert question["answer"] != ""
