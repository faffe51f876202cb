"""What `appliance eval` makes of a set, a library and a run that was begun before."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cli.evaluating import _rows
from appliance.errors import UsageError
from appliance.evaluation import report
from appliance.evaluation.library import Library
from appliance.evaluation.report import Run
from appliance.evaluation.run import RunFile, read
from appliance.evaluation.sets import Question, QuestionSet
from tests.fakes import MANUAL, FakeClient
from tests.unit.test_evaluation_run import HEADER, a_row


def about(*documents: str) -> QuestionSet:
    questions = tuple(
        Question(str(n), "What is the head?", grades={name: 1}) for n, name in enumerate(documents)
    )
    return QuestionSet("pumps.jsonl", "jsonl", "11" * 32, questions)


def test_a_run_goes_on_though_what_is_left_is_about_documents_that_are_not_there(tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    with RunFile.opened(out, HEADER) as run:
        run.write(a_row(0))
    library = Library({MANUAL: (MANUAL,)}, missing=("lost.pdf",))
    rows = _rows(out, HEADER, about(MANUAL, "lost.pdf"), nullcontext((FakeClient(), library)))
    assert [row.id for row in rows] == ["0", "1"]
    assert len(read(out)[1]) == 2


def test_a_run_on_fewer_documents_never_passes_for_one_on_all(tmp_path: Path) -> None:
    out, asked = tmp_path / "run.jsonl", about(MANUAL, MANUAL)
    partial = Library({MANUAL: (MANUAL,)}, failed=2)
    first = replace(asked, questions=asked.questions[:1])
    rows = _rows(out, HEADER, first, nullcontext((FakeClient(), partial)))
    assert Run(HEADER, rows).failed == 2
    before = out.read_bytes()
    with pytest.raises(UsageError, match="2 documents could not be added then, now 0"):
        _rows(out, HEADER, asked, nullcontext((FakeClient(), replace(partial, failed=0))))
    assert out.read_bytes() == before
    assert len(_rows(out, HEADER, asked, nullcontext((FakeClient(), partial)))) == 2


def test_a_finished_run_still_knows_what_could_not_be_added(tmp_path: Path) -> None:
    out, asked = tmp_path / "run.jsonl", about(MANUAL)
    _rows(out, HEADER, asked, nullcontext((FakeClient(), Library({MANUAL: (MANUAL,)}, failed=1))))
    again = Run(HEADER, _rows(out, HEADER, asked, nullcontext((FakeClient(), Library({})))))
    assert again.failed == 1
    assert report.as_json(again, again)["failed"] == report.as_json(again, again)["against"]["failed"] == 1
    assert "1 of its documents could not be added" in report.table(again)


def test_a_set_about_nothing_that_is_there_is_a_mistake() -> None:
    library = Library({}, missing=("lost.pdf",))
    with pytest.raises(UsageError, match="No document that the questions name"):
        _rows(None, HEADER, about("lost.pdf"), nullcontext((FakeClient(), library)))
