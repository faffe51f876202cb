"""The cases by which a generator is measured: gold under any number, distractors that do not answer."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from appliance.types import Choice, Evidence
from scripts import answers
from scripts.squad import passage
from tests.fakes import FakeGenerator

SUBJECTS = [f"plant{number}" for number in range(30)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    parts = [
        {
            "context": f"The {name} by river{number // 5} was built in {1900 + number} of stone.",
            "qas": [
                {"question": f"When was the {name} by river{number // 5} built?",
                 "answers": [{"text": str(1900 + number)}]},
                {"question": f"Who sold the {name}?", "answers": []},
            ],
        }
        for number, name in enumerate(SUBJECTS)
    ]  # fmt: skip
    path = tmp_path / answers.FILE
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt") as file:
        json.dump({"data": [{"title": "Plants", "paragraphs": parts}]}, file)
    return tmp_path


def test_only_the_gold_passage_answers_and_it_stands_anywhere(data: Path) -> None:
    found = list(answers.cases(data, 30, absent=False))
    assert len(found) == 30
    for case in found:
        holding = [n for n, each in enumerate(case.passages, 1) if case.answers[0] in each.text]
        assert holding == [case.gold]
        assert len(case.passages) == 1 + answers.DISTRACTORS
    assert {case.gold for case in found} == {1, 2, 3}


def test_a_larger_sample_begins_with_the_smaller(data: Path) -> None:
    assert list(answers.cases(data, 25, absent=False))[:10] == list(answers.cases(data, 10, absent=False))


def test_without_the_gold_passage_nothing_answers(data: Path) -> None:
    for case in answers.cases(data, 30, absent=True):
        assert case.gold == 0
        assert len(case.passages) == 1 + answers.DISTRACTORS
        assert not any(case.answers[0] in each.text for each in case.passages)


def test_a_run_of_another_model_is_not_gone_on_with(tmp_path: Path) -> None:
    with (tmp_path / "run").open("a+") as out:
        assert answers._done(out, {"model": "a"}) == []
        out.write('{"f1": 1}\n')
        out.flush()
        assert answers._done(out, {"model": "a"}) == [{"f1": 1}]
        with pytest.raises(SystemExit, match="another model"):
            answers._done(out, {"model": "b"})


def test_the_figures_tell_how_good_it_is_where_the_model_is_sure() -> None:
    rows = [
        {"f1": f1, "sure": sure, "refused": False, "seconds": 1.0}
        for f1, sure in ((1.0, 0.95), (0.5, 0.75), (0.2, 0.1))
    ]
    found = answers.figures(rows)
    assert (found["sure_0.7"], found["f1_where_sure_0.7"]) == (0.6667, 0.75)
    assert (found["sure_0.9"], found["f1_where_sure_0.9"]) == (0.3333, 1.0)


def quoted() -> tuple[str, Evidence]:
    text = "It was built in 1900 of stone."
    at = text.index("1900")
    choice = Choice((at, at + 4), 3.0)
    return text, Evidence(1, 0, len(text), text, "", None, "", 1.0, mark=(at, at + 4), choices=(choice,))


@pytest.mark.parametrize(("sure", "final"), [(0.9, 1.0), (0.5, 0.25)])
def test_measured_are_the_words_taken_and_what_is_shown_of_them(sure: float, final: float) -> None:
    text, evidence = quoted()
    case = answers.Case("When was it built?", ("1900",), (passage(text),), 1)
    writer = FakeGenerator("1900 [1]", brief=True, sure=sure)
    row = answers.answered(case, writer, lambda *_: (evidence, [[(0, len(text))]]))
    assert (row["f1"], row["cites_right"], row["sure"], row["marked_f1"]) == (1.0, True, sure, 1.0)
    assert (row["in_words"], round(row["final_f1"], 4)) == (sure > 0.75, final)


@pytest.mark.parametrize("gold", [0, 1])
def test_only_where_the_answer_is_given_a_model_is_to_choose(gold: int) -> None:
    text, evidence = quoted()
    case = answers.Case("When was it built?", ("1900",), (passage(text),), gold)
    writer = FakeGenerator("1900 [1]", brief=True)
    answers.answered(case, writer, lambda *_: (evidence, ((),)))
    assert [bool(prompt.choices) for prompt in writer.prompts] == [bool(gold)]
