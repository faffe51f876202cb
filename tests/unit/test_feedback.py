"""A thumb teaches only what stands in a passage that was shown, and lies only in the file that was named."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from appliance import render
from appliance.errors import UsageError
from appliance.types import Answer
from scripts import feedback
from scripts.reader_asked import Asked
from tests.samples import a_passage, a_refusal, an_answer


def given(answer: Answer | None = None) -> dict[str, Any]:
    return render.answer_json(answer or an_answer())


def taught(verdict: str, answer: Answer | None = None, *, right: str = "") -> Asked | str:
    return feedback.lesson(feedback.thumb(verdict, given(answer), right=right))


def test_a_praised_answer_is_learned_without_its_marker_and_with_its_place() -> None:
    found = taught("up", an_answer("Each pump delivers 45 m3/h [1]."))
    assert isinstance(found, Asked)
    assert found.span is not None
    assert found.text[slice(*found.span)] == "Each pump delivers 45 m3/h"
    assert (found.source, found.document, found.question) == ("feedback", "manual.pdf", an_answer().question)


def test_a_line_may_break_anywhere_in_the_passage() -> None:
    broken = a_passage("Each pump delivers\n45  m3/h at a head of 32 m.")
    found = taught("down", replace(an_answer(), passages=(broken,)), right="delivers 45 m3/h")
    assert isinstance(found, Asked)
    assert found.span is not None
    assert found.text[slice(*found.span)] == "delivers\n45  m3/h"


@pytest.mark.parametrize("right", ["5", "2", "15.2", "pump"])
def test_what_is_but_part_of_a_word_or_number_is_not_what_was_meant(right: str) -> None:
    text = "The pumps stop after 15.25 h, then every 25 h; after 5 h 2 start, a pump 15.2 m off."
    found = taught("down", replace(an_answer(), passages=(a_passage(text),)), right=right)
    assert isinstance(found, Asked)
    assert found.span is not None
    assert text[found.span[0] - 1 : found.span[1] + 1] == f" {right} "
    only = replace(an_answer(), passages=(a_passage("The pumps stop after 15.25 h."),))
    assert isinstance(taught("down", only, right=right), str)


def test_a_passage_that_was_cited_comes_first() -> None:
    other = replace(a_passage("It says 45 m3/h too."), document="other.pdf")
    answer = replace(an_answer(), passages=(other, a_passage()))
    cited = replace(answer, citations=(replace(answer.citations[0], n=2),))
    found = taught("down", cited, right="45 m3/h")
    assert isinstance(found, Asked)
    assert found.document == "manual.pdf"


@pytest.mark.parametrize(
    ("verdict", "answer", "right"),
    [
        ("down", an_answer(), ""),  # what was wrong is not what is right
        ("up", a_refusal(), ""),
        ("up", an_answer("It is blue [1]."), ""),
        ("down", an_answer(), "46 m3/h"),
    ],
)
def test_what_no_document_says_is_not_learned(verdict: str, answer: Answer, right: str) -> None:
    assert isinstance(taught(verdict, answer, right=right), str)


def test_the_last_thumb_on_a_question_counts(tmp_path: Path) -> None:
    path = tmp_path / "thumbs.jsonl"
    feedback.append(path, feedback.thumb("down", given(), right="45 m3/h"))
    assert feedback.summary(path) == {"questions": 1, "usable": 1, "left_out": {}}
    feedback.append(path, feedback.thumb("down", given(), note="no, that is not it"))
    assert list(feedback.asked(path)) == []
    with pytest.raises(UsageError, match="can be trained on"):
        feedback.summary(path)
    (last,) = feedback.read(path)
    assert last.note == "no, that is not it"


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "thumbs.jsonl"
    feedback.append(path, feedback.thumb("up", given()))
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "sideways"},
        {"question": 1},
        {"right": None},
        {"passages": [{"text": "?"}]},
        {"passages": None},
        {"strange": 1},
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "thumbs.jsonl"
    good = asdict(feedback.thumb("up", given()))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in (good, good | change)))
    with pytest.raises(UsageError, match="line 2: this is no feedback"):
        feedback.read(path)


@pytest.mark.parametrize("content", [b"no JSON\n", b"[]\n", b"\xff\n", b"{}\n"])
def test_another_file_is_no_feedback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thumbs.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="line 1"):
        feedback.read(path)


def runs(monkeypatch: pytest.MonkeyPatch, stdin: str, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["feedback", *map(str, words)])
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    return feedback.main()


def test_a_thumb_is_given_on_what_ask_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "thumbs.jsonl"
    assert runs(monkeypatch, json.dumps(given()), "down", path, "--right", "45 m3/h") == 0
    assert json.loads(capsys.readouterr().out) == {"added": "down", "trains": True}
    assert runs(monkeypatch, "", "check", path) == 0
    assert json.loads(capsys.readouterr().out) == {"questions": 1, "usable": 1, "left_out": {}}


@pytest.mark.parametrize("stdin", ["", "no JSON", "[]", '{"error": {"exit_code": 5}}', '{"citations": 3}'])
def test_what_is_no_answer_gets_no_thumb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdin: str) -> None:
    path = tmp_path / "thumbs.jsonl"
    assert runs(monkeypatch, stdin, "up", path) == 2
    assert not path.exists()
