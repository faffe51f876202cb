"""Documents for the encoder: every question has a passage that answers, and no answer counts as wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import encoder_data
from scripts.reader_asked import Asked

TEXT = " ".join(f"Sentence number {n} tells of valve V-{n} and its spring." for n in range(300))


def asked(answer: str, text: str = TEXT, title: str = "Valves > Springs") -> Asked:
    at = text.index(answer)
    span = (at, at + len(answer))
    return Asked("squad", "d/1", title, f"Where is {answer}?", text, span, at, 1, 1, (answer,))


def test_each_question_has_the_passage_that_holds_its_answer() -> None:
    found = list(encoder_data.documents([asked(f"valve V-{n} ") for n in range(0, 300, 7)]))
    assert len(found) > 1  # what competes is no more than TOGETHER passages
    assert sum(len(each.questions) for each in found) == 43
    for each in found:
        assert len(each.bodies) <= encoder_data.TOGETHER
        for question in each.questions:
            answer = question.text.removeprefix("Where is ").removesuffix("?")
            assert all(answer in each.bodies[at] for at in question.gold)
            others = set(range(len(each.bodies))) - {*question.gold, *question.barred}
            assert not any(answer in each.bodies[at] for at in others)


def test_a_passage_with_the_answers_words_elsewhere_is_no_wrong_one() -> None:
    text = f"{TEXT} Once more: the spring of valve V-3 is blue."
    (found,) = (
        each for each in encoder_data.documents([asked("valve V-3 ", text)]) if each.questions[0].gold == (0,)
    )
    assert found.questions[0].barred == ()
    short = "Valve V-3 here. " + "Filler words stand between the two of them. " * 60 + "And valve V-3 there."
    (found,) = encoder_data.documents([asked("V-3", short)])
    assert (found.questions[0].gold, found.questions[0].barred) == ((0,), (len(found.bodies) - 1,))


def test_headings_stand_apart_from_what_is_below_them() -> None:
    found = next(encoder_data.documents([asked("valve V-3 ")]))
    assert set(found.heads) == {"Valves > Springs"}
    assert not any("Springs" in body for body in found.bodies)


def test_of_a_text_that_is_the_answer_no_passage_is_a_wrong_one() -> None:
    whole = Asked("medquad", "m/1", "", "What is it?", TEXT, None, 0, 1, 1, ())
    found = list(encoder_data.documents([whole]))
    (only,) = [each.questions[0] for each in found]
    assert (only.gold, only.barred) == ((0,), tuple(range(1, len(found[0].bodies))))


def test_all_sources_are_read_and_no_document_is_on_both_sides(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["data", "--data", str(shared_data), "--out", str(tmp_path), "--limit", "60"]
    )
    encoder_data.main()
    told = json.loads(capsys.readouterr().out)
    assert told["train"]["authored"] > 40
    assert "product" not in told["train"]
    names = [
        {json.loads(line)["name"] for line in (tmp_path / f"{part}.jsonl").read_text("utf-8").splitlines()}
        for part in ("train", "dev")
    ]
    assert names[0]
    assert names[1]
    assert not names[0] & names[1]
