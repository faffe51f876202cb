"""Questions that a model writes: what it learns from, what is kept of them, and their twins."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import models
from appliance.config import Config
from appliance.errors import ModelMissing
from appliance.types import Span
from scripts import asker, asker_data, reader_data, readings
from scripts.reader_asked import Asked
from scripts.reader_sources import GENERATED, generated
from scripts.swaps import Swaps

TEXT = (
    "The feed pump of the Northern Mill runs at 1,450 rpm. In 1998 the engineer Ada Quill replaced its "
    "bearings, which need grease every 90 days. The boiler is older than the pump by 12 years."
)
OTHER = (
    "The press of the Southern Works was moved in 2004. Later the fitter Bo Sand gave it a new frame of oak."
)


def asked(question="Who replaced the bearings in 1998?", answer="Ada Quill", text=TEXT, source=GENERATED):
    start = text.index(answer)
    span = (start, start + len(answer))
    return Asked(source, "d/1", "Mill", question, text, span, start, 1, 1, (answer,))


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("Ada Quill | who replaced its bearings?\n", "Ada Quill"),
        ("every 90 days | how often do they need grease?", "every 90 days"),
        ("90 | how often is it greased?", "90"),
    ],
)
def test_an_answer_that_stands_there_once_is_placed(line, answer):
    found = asker.placed(line, TEXT)
    assert TEXT[found["start"] :].startswith(answer)
    assert found["answer"] == answer


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Ada Quill",
        "Ada Quill | ",
        " | who replaced its bearings?",
        "Ada Quill | who replaced its bearings",  # cut off
        "Ada Quill | who?",
        "Bo Sand | who replaced its bearings?",  # not there
        "pump | what is older than what?",  # there twice
        "450 | how fast does the feed pump run?",  # within 1,450
        "Ada Quill | Ada Quill | who replaced its bearings?",
    ],
)
def test_anything_else_is_left_out(line):
    assert asker.placed(line, TEXT) is None


@given(st.text(), st.text())
def test_no_line_and_no_text_break_it(line, text):
    found = asker.placed(line, text)
    assert found is None or text[found["start"] :].startswith(found["answer"])


@pytest.mark.parametrize(
    "answer", ["Ada Quill", "1,450 rpm", "its bearings, which need grease every 90 days"]
)
def test_an_answer_can_be_written_letter_by_letter_and_ended_behind_a_word(answer):
    line = f"{answer}{asker_data.BAR.rstrip()}"
    assert all(asker.copied(line[:end], TEXT) for end in range(1, len(answer) + 1))
    assert asker.copied(line, TEXT)


@pytest.mark.parametrize(
    "line", ["", " Ada", "da Quill", "Ada Quilt", "Ada Qui |", "450 rpm", TEXT[:100], "Ada Quill | who"]
)
def test_nothing_else_is_an_answer(line):
    assert not asker.copied(line, TEXT)


@pytest.mark.parametrize(
    ("question", "cased"),
    [
        ("what runs at the northern mill?", "what runs at the Northern Mill?"),
        ("the pump's bearings?", "the pump's bearings?"),
        ("in which year?", "in which year?"),  # "In" and "in": it is not known which
    ],
)
def test_a_question_has_its_names_as_the_passage_has_them(question, cased):
    assert asker_data.cased(question, f"{TEXT} It stands in a hall.") == cased


def test_what_is_learnt_is_what_is_understood():
    lessons = list(asker_data.lessons([asked(), asked("How fast does it run?", "1,450 rpm")], _rng()))
    ((passage, lines),) = lessons
    assert passage == f"{TEXT}\n\n"
    placed = [asker.placed(line, TEXT) for line in lines.splitlines()]
    assert {each["question"] for each in placed} == {
        "Who replaced the bearings In 1998?",  # as it stands there
        "How fast does it run?",
    }


def test_a_question_about_another_name_is_about_none_of_the_passage():
    swaps = Swaps([asked(), asked("Where was the press?", "the Southern Works", OTHER)])
    made = {
        swaps.swapped(asked("what did the Northern Mill buy?"), np.random.default_rng(n)) for n in range(9)
    }
    assert made <= {"what did the southern works buy?", "what did the bo sand buy?"}
    assert made
    assert swaps.swapped(asked("who replaced the bearings in 1998?"), _rng()) == (
        "who replaced the bearings in 2004?"
    )
    assert swaps.swapped(asked("who replaced the bearings?"), _rng()) is None


def test_generated_questions_come_with_twins_that_nothing_answers(tmp_path):
    path = tmp_path / "asked.jsonl"
    rows = []
    for text, answer, question in (
        (TEXT, "Ada Quill", "who replaced its bearings in 1998?"),
        (OTHER, "Bo Sand", "who gave it a frame after 2004?"),
    ):
        pair = {"question": question, "answer": answer, "start": text.index(answer)}
        rows.append({"source": "squad", "document": "d/1", "title": "", "text": text, "asked": [pair]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = list(generated(path))
    found = [each for seed in range(12) for each in reader_data.examples(read, np.random.default_rng(seed))]
    kinds = {(each.question, each.span is not None, each.answerable) for each in found if each.relevant != 0}
    assert ("who replaced its bearings in 1998?", True, 1) in kinds
    assert ("who replaced its bearings in 2004?", False, 0) in kinds
    assert not [each for each in found if "2004" in each.question and each.text in TEXT and each.answerable]


def test_it_asks_about_no_document_that_is_kept_apart(monkeypatch, tmp_path):
    every = [
        Asked("squad", f"d/{n}", "", "what is it?", f"{n}: {TEXT} {OTHER}", None, 0, 1, 1, ())
        for n in range(200)
    ]
    monkeypatch.setattr(asker, "SOURCES", dict.fromkeys(asker.DRAWN, lambda _path: iter(every)))
    found = {each.document for each in asker.texts(tmp_path)}
    assert found == {each.document for each in every if not reader_data.held_out(each.document)}
    assert len(found) < len(every)


@pytest.mark.parametrize(("written", "whole"), [("", 0), ("{}\n", 1), ("{}\n{}\n{", 2), ("{", 0)])
def test_a_run_goes_on_behind_its_last_whole_line(tmp_path, written, whole):
    path = tmp_path / "asked.jsonl"
    path.write_text(written)
    assert asker._whole_lines(path) == whole
    assert path.read_text() == "{}\n" * whole


class Agreeing:
    """A reader that points at the same words of every text."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def judge(self, _question, _passages):
        return [SimpleNamespace(answerable=1.0, best=SimpleNamespace(span=self._span, margin=1.0))]


def test_lines_are_drawn_side_by_side_and_the_same_again(tmp_path):
    config = Config(home=tmp_path)
    try:
        path = models.find(config.generator, config.model_folders).folder / "model.gguf"
    except ModelMissing:
        pytest.skip("the default generator is not built (make models)")
    text = asker.Text("squad", "d/1", "", TEXT)
    with readings.opened(path, context=1024, sequences=8, threads=1) as model:
        one = asker.Asker(model, Agreeing((0, 3)))
        lines = one._lines(text, 8, _rng())
        assert one._lines(text, 8, _rng()) == lines
        too_long = asker.Text("squad", "d/1", "", TEXT * 40)
        assert one._lines(too_long, 8, _rng()) == []
    answers = [line.partition(asker_data.BAR)[0].strip() for line in lines]
    assert len(set(answers)) > 1
    assert all(answer in TEXT for answer in answers)


def test_only_what_the_reader_finds_as_well_is_kept(monkeypatch):
    monkeypatch.setattr(
        asker.Asker,
        "_lines",
        lambda *_: (
            ["Ada Quill | who replaced its bearings?\n", "12 years | how much older is the boiler?\n"] * 2
        ),
    )
    at = TEXT.index("Ada Quill")

    library = SimpleNamespace(llama_batch_init=lambda *_: None)
    model = readings.Opened(library, model=None, context=None)
    one = asker.Asker(model, Agreeing((at, at + len("Ada Quill"))))
    (kept,) = one.ask(1, asker.Text("squad", "d/1", "", TEXT))
    assert kept["question"] == "who replaced its bearings?"
    assert kept["same"] == 1.0


def _rng():
    return np.random.default_rng(7)
