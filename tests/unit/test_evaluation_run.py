"""A run holds figures and no words, loses at most one question to a kill, and is never mixed with another."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ApplianceError, UsageError
from appliance.evaluation import places, report
from appliance.evaluation.library import Library
from appliance.evaluation.report import Run
from appliance.evaluation.row import Row, measured
from appliance.evaluation.run import Header, RunFile, Step, ask, read
from appliance.evaluation.sets import Question, QuestionSet
from appliance.types import Answer, Citation, Retrieved
from tests.fakes import MANUAL, FakeClient, FakeClock
from tests.samples import a_passage, a_refusal, an_answer, evidence_of

ROOT = Path(__file__).parents[2]
HEADER = Header(
    appliance_eval=2,
    version="0.1.0",
    set="pumps.jsonl",
    kind="jsonl",
    split="",
    questions="11" * 32,
    documents="22" * 32,
    models={"encoder": "33" * 32},
    weights={"encoder": "34" * 32},
    settings="44" * 32,
    passages=6,
    generate=True,
    refusal="balanced",
    limit=None,
    seed=1,
)
LIBRARY = Library({"manual.pdf": ("m",)}, paged=frozenset({"m"}))
DELIVERS = "Each pump delivers 45 m3/h at a head of 32 m."


def page(_: int, number: int | None) -> tuple[str, str]:
    return (f"Data. {DELIVERS}", "Next.") if number == 3 else ("Other.", "")


def row_of(question: Question, answer: Answer, *, graded: bool = True) -> Row:
    return measured(question, answer, library=LIBRARY, text=page, graded=graded)


def a_row(number: int = 1, **changed: Any) -> Row:
    question = Question(str(number), "?", ("45 m3/h",), True, {"m": 1}, frozenset({3}))
    return replace(row_of(question, an_answer()), **changed)


# Rows


def test_an_answer_is_measured() -> None:
    mark = (19, 26)
    answer = replace(
        an_answer("Each pump delivers 45 m3/h [1]."), evidence=replace(evidence_of(a_passage()), mark=mark)
    )
    row = row_of(Question("q", "?", ("45 m3/h",), True, {"m": 2}, frozenset({3})), answer)
    assert (row.gains, row.ideal, row.page, row.passage) == (((1, 2),), (2,), 1, 1)
    assert (row.abstained, row.answerable, row.in_quote) == (False, True, True)
    assert (row.exact, row.f1) == (0, pytest.approx(2 * 2 / (2 + 5)))
    assert (row.marked_exact, row.marked_f1) == (1, 1)
    assert (row.citations, row.valid, row.supported, row.off_page) == (1, 1, 1, 0)
    assert (row.evidence_ms, row.total_ms) == (6.0, 20.0)


def test_without_marked_words_the_quote_is_compared() -> None:
    answer = replace(an_answer(), evidence=evidence_of(a_passage()))
    assert row_of(Question("q", "?", (DELIVERS,), True), answer).marked_exact == 1


def test_ranks_count_documents_by_their_first_passage() -> None:
    passages = tuple(
        replace(a_passage(text), document=name, page=number)
        for name, number, text in (
            ("x.pdf", 3, "?"),
            ("x.pdf", 3, DELIVERS),
            ("manual.pdf", 9, "?"),
            ("manual.pdf", 3, DELIVERS),
        )
    )
    row = row_of(
        Question("q", "?", ("45 m3/h",), True, {"m": 1, "far": 3}, frozenset({3})),
        replace(a_refusal(), passages=passages),
    )
    assert (row.gains, row.ideal) == (((2, 1),), (3, 1))
    assert (row.page, row.passage) == (
        4,
        4,
    )  # the same page, and the same words, of another document do not count
    assert row.abstained


@pytest.mark.parametrize(
    ("ids", "grades", "gains", "ideal"),
    [
        ({"a": ("1", "2"), "b": ("3",)}, {"1": 1, "2": 2, "3": 1}, ((1, 2), (2, 1)), (2, 1)),
        ({"a": ("1", "2"), "b": ("3",)}, {"3": 1}, ((2, 1),), (1,)),  # two names ahead are one document
        ({"a": ("1",), "b": ("1",)}, {"1": 1}, ((1, 1),), (1,)),  # one name of two documents
        ({"c": ("1", "2")}, {"1": 1, "2": 1}, (), (1,)),
    ],
)
def test_a_document_under_two_names_is_found_once_and_takes_one_rank(
    ids: dict[str, tuple[str, ...]], grades: dict[str, int], gains: Any, ideal: Any
) -> None:
    answer = replace(a_refusal(), passages=tuple(replace(a_passage(), document=name) for name in "ab"))
    row = measured(Question("q", "?", grades=grades), answer, library=Library(ids), text=page, graded=True)
    assert (row.gains, row.ideal) == (gains, ideal)


def test_what_does_not_apply_is_none_and_what_is_not_found_is_zero() -> None:
    nothing = row_of(Question("q", "?"), an_answer())
    assert {nothing.gains, nothing.ideal, nothing.page, nothing.passage, nothing.exact, nothing.in_quote} == {
        None
    }
    lost = row_of(Question("q", "?", ("bronze",), True, {"far": 1}, frozenset({3})), an_answer())
    assert (lost.gains, lost.page, lost.passage, lost.in_quote) == ((), None, 0, False)


def test_to_abstain_is_right_where_there_is_no_answer_and_only_told_where_answers_are_compared() -> None:
    nobody_knows = Question("q", "?", (), False)
    assert (row_of(nobody_knows, a_refusal()).exact, row_of(nobody_knows, an_answer()).exact) == (1, 0)
    assert row_of(nobody_knows, a_refusal(), graded=False).exact is None


@pytest.mark.parametrize(
    "citation",
    [
        Citation(1, "manual.pdf", 3, "", "Each pump delivers 46 m3/h", supported=True),  # in no passage
        Citation(1, "manual.pdf", 3, "", "Data.", supported=True),  # on the page, and not in the passage
        Citation(1, "manual.pdf", 4, "", DELIVERS, supported=True),  # on another page
        Citation(2, "manual.pdf", 3, "", DELIVERS, supported=True),  # of no passage
    ],
)
def test_a_citation_that_does_not_stand_is_seen_whatever_the_appliance_says(citation: Citation) -> None:
    row = row_of(Question("q", "?"), replace(an_answer(), citations=(citation,)))
    assert (row.citations, row.valid, row.supported) == (1, 0, 1)


def test_a_number_on_no_cited_page_is_seen() -> None:
    assert row_of(Question("q", "?"), an_answer("It delivers 46 m3/h at 32 m [1].")).off_page == 1
    assert row_of(Question("q", "?"), replace(an_answer(), citations=())).off_page == 2  # 45, and the 3 of m3


def test_a_row_holds_no_words() -> None:
    kinds = {field.name for field in fields(Row) if "str" in str(field.type)}
    assert kinds == {"id"}
    text = json.dumps(a_row().as_json())
    assert re.findall(r'"[^"]*pump[^"]*"|delivers|manual', text) == []


def test_a_row_comes_back_from_json() -> None:
    row = a_row()
    assert Row.of_json(json.loads(json.dumps(row.as_json()))) == row


# Runs


def opened(path: Path, header: Header = HEADER) -> Any:
    return RunFile.opened(path, header)


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with opened(path) as run:
        assert run.rows == ()
        run.write(a_row(1))
    with opened(path) as run:
        assert run.rows == (a_row(1),)
        run.write(a_row(2))
    assert read(path) == (HEADER, (a_row(1), a_row(2)))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_kill_cut_off_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with opened(path) as run:
        run.write(a_row(1))
        run.write(a_row(2))
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with opened(path) as run:
            expected = whole[:cut].count(b"\n") - 1
            assert len(run.rows) == max(expected, 0)
            for row in (a_row(1), a_row(2))[max(expected, 0) :]:
                run.write(row)
        assert path.read_bytes() == whole


def test_a_killed_run_has_every_question_that_was_answered(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.unit.test_evaluation_run import *\n"
        "with opened(Path(sys.argv[1])) as run:\n"
        "    for number in range(1000):\n"
        "        run.write(a_row(number)); print(number, flush=True)\n"
    )
    path = tmp_path / "run.jsonl"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout is not None
        for _ in range(20):
            last = child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    assert len(read(path)[1]) > int(last) >= 19


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("questions", "99" * 32),
        ("documents", "99" * 32),
        ("models", {}),
        ("settings", "x"),
        ("limit", 5),
        ("refusal", "open"),
    ],
)
def test_a_run_of_other_data_models_or_settings_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "run.jsonl"
    with opened(path) as run:
        run.write(a_row())
    before = path.read_bytes()
    with (
        pytest.raises(UsageError, match=f"its {name} differ"),
        opened(path, replace(HEADER, **{name: value})),
    ):
        pytest.fail("It went on.")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"a letter to a friend\n", 1),
        (b"no line feed", 1),
        (b'{"appliance_eval": 2}\n', 1),
        (b"[]\n", 1),
        (json.dumps(HEADER.as_json() | {"models": 5}).encode() + b"\n", 1),
        (json.dumps(HEADER.as_json() | {"documents": None}).encode() + b"\n", 1),
        (json.dumps(replace(HEADER, appliance_eval=1).as_json()).encode() + b"\n", 1),
        (json.dumps(HEADER.as_json()).encode() + b'\n{"id": "1"}\n', 2),
        (json.dumps(HEADER.as_json()).encode() + b'\n"x"\n', 2),
        (
            json.dumps([HEADER.as_json(), a_row().as_json() | {"f1": "high"}])[1:-1]
            .replace("}, {", "}\n{")
            .encode()
            + b"\n",
            2,
        ),
    ],
)
def test_what_is_no_run_is_refused_and_left_alone(tmp_path: Path, text: bytes, line: int) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=f"line {line}: this is no run"), opened(path):
        pytest.fail("It went on.")
    assert path.read_bytes() == text


LOW = [None, -1, 0.5, float("nan"), "1", [], True, 10**400]
SHARES = [-0.1, 1.5, float("nan"), float("inf"), "1", [], True, 10**400]
WRONG = {
    "id": [None, 7],
    "gains": [[[0, 1]], [[1, 0]], [[1]], [[1, 1, 1]], [1], "11", [[1, None]], [[1.5, 1]], [[1, 1], [2, 1]]],
    "ideal": [[0], [None], 5, [True]],
    "page": LOW[1:],
    "passage": LOW[1:],
    "answerable": [0, 1, "yes"],
    "abstained": [None, 0, "no"],
    "exact": SHARES,
    "f1": SHARES,
    "marked_exact": SHARES,
    "marked_f1": SHARES,
    "in_quote": [1.0, "yes"],
    "citations": LOW,
    "valid": [*LOW, 2],  # of one citation
    "supported": [*LOW, 2],
    "off_page": LOW,
    "failed": LOW,
    "evidence_ms": [None, -1.0, float("nan"), float("inf"), "1", True],
    "total_ms": [None, -1.0, float("nan"), float("inf"), "1", True],
}
WRONG_OF_A_RUN = {
    "appliance_eval": [None, "2", 2.0, True],
    "version": [None, 1],
    "set": [None, 1],
    "kind": [None, "trec", []],
    "split": [None, 1],
    "questions": [None, 1],
    "documents": [None, 1],
    "models": [None, [], {"encoder": 1}],
    "weights": [None, [], {"encoder": 1}],
    "settings": [None, 1],
    "passages": [None, 0, -1, True, 1.5, "6"],
    "generate": [None, 1, "yes"],
    "refusal": [None, "never", []],
    "limit": [0, -1, True, 1.5, "all"],
    "seed": [None, -1, True, 1.5],
}


def test_a_row_whose_fields_are_not_what_they_say_is_no_row() -> None:
    sound = json.loads(json.dumps(a_row().as_json()))
    assert WRONG.keys() == sound.keys()
    for name, values in WRONG.items():
        for value in values:
            with pytest.raises((TypeError, ValueError)):
                pytest.fail(f"{name}: {value} came through: {Row.of_json(sound | {name: value})}")
    for broken in ({**sound, "more": 1}, {name: sound[name] for name in sound if name != "f1"}):
        with pytest.raises(TypeError):
            Row.of_json(broken)


def test_a_header_whose_fields_are_not_what_they_say_is_none() -> None:
    sound = HEADER.as_json()
    assert WRONG_OF_A_RUN.keys() == sound.keys()
    for name, values in WRONG_OF_A_RUN.items():
        for value in values:
            with pytest.raises((TypeError, ValueError)):
                pytest.fail(f"{name}: {value} came through: {Header.of_json(sound | {name: value})}")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path, "cannot be written"),
        (tmp_path / "pipe", "is no file"),
        (tmp_path / "a" / "b", "cannot be written"),
    ):
        with pytest.raises(UsageError, match=said), opened(path):
            pytest.fail("It went on.")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is no file"):
        read(tmp_path / "pipe")


def test_what_is_larger_than_any_run_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    with opened(path) as run:
        run.write(a_row(1))
    before = path.read_bytes()
    monkeypatch.setattr(places, "MOST_BYTES", 100)
    for use in (lambda: opened(path).__enter__(), lambda: read(path)):
        with pytest.raises(UsageError, match="too large"):
            use()
    assert path.read_bytes() == before


def test_one_process_writes_a_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with opened(path) as run:
        with pytest.raises(UsageError, match="Another process"), opened(path):
            pytest.fail("It went on.")
        run.write(a_row())
    assert read(path)[1] == (a_row(),)


# Asking


def asked(*questions: Question) -> QuestionSet:
    return QuestionSet("pumps.jsonl", "jsonl", "11" * 32, questions, graded=True)


def test_every_question_is_asked_as_the_run_says_and_kept_before_the_next() -> None:
    client, kept, clock = FakeClient(), list[Row](), FakeClock()
    steps = ask(
        client,
        asked(*(Question(str(n), "What is the head?", ("42 m",), True, {MANUAL: 1}) for n in range(3))),
        library=Library({MANUAL: (MANUAL,)}),
        header=replace(HEADER, passages=2, generate=False),
        keep=kept.append,
        clock=clock,
    )
    assert next(steps) == Step(0, 3, None)
    clock.now += 10
    assert next(steps) == Step(1, 3, 20.0)
    assert len(kept) == 1
    assert [step.done for step in steps] == [2, 3]
    assert [row.id for row in kept] == ["0", "1", "2"]
    assert {row.gains for row in kept} == {((1, 1),)}
    assert not [call for call in client.calls if call.startswith("delta")]  # quotes only
    assert client.calls.count("pages") == 1  # the same document is not shown again and again


def test_no_answer_is_an_error_not_a_row() -> None:
    class Silent(FakeClient):
        def ask(self, question: str, **_: Any) -> Iterator[Any]:
            yield Retrieved(self.passages)

    kept: list[Row] = []
    with pytest.raises(ApplianceError, match="no answer"):
        list(
            ask(
                Silent(),
                asked(Question("1", "?")),
                library=LIBRARY,
                header=HEADER,
                keep=kept.append,
                clock=FakeClock(),
            )
        )
    assert kept == []


# What is printed


def test_the_table_and_the_json_say_the_same() -> None:
    run = Run(HEADER, (a_row(1), a_row(2, gains=((2, 1),), abstained=True, page=0), a_row(3, gains=())))
    told = report.as_json(run)
    assert told["figures"]["mrr"] == {"value": 0.5, "n": 3}
    assert told["figures"]["recall_at_1"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert told["figures"]["false_refusal"] == {"value": round(1 / 3, 6), "n": 3}
    assert told["figures"]["citations_valid"] == {"value": 1.0, "n": 2}  # of the answers alone
    assert "refusal_recall" not in told["figures"]  # nothing was unanswerable
    assert "ndcg_at_10" not in told["figures"]  # six passages are no ten documents
    table = report.table(run)
    assert re.search(r"^document MRR +0\.500 +3$", table, re.M)
    assert (
        "questions 111111111111, documents 222222222222, settings 444444444444, encoder 333333333333" in table
    )
    assert max(map(len, table.splitlines())) <= 120
    assert json.dumps(told)


def test_where_enough_was_asked_for_ndcg_is_told() -> None:
    deep = Run(replace(HEADER, passages=50), (a_row(1, gains=((3, 2),), ideal=(2, 1)),))
    assert report.as_json(deep)["figures"]["ndcg_at_10"]["value"] == pytest.approx(
        1 / (2 + 0.6309298), abs=1e-6
    )
    assert "recall_at_20" in report.as_json(deep)["figures"]


def test_two_runs_are_compared_over_the_questions_that_both_have() -> None:
    here = Run(HEADER, tuple(a_row(n, f1=0.5 + n / 100) for n in range(30)))
    there = Run(replace(HEADER, generate=False), tuple(a_row(n, f1=0.3 + n / 100) for n in range(10, 40)))
    told = report.as_json(here, there)["against"]
    f1 = told["differences"]["f1"]
    assert (f1["n"], f1["difference"], f1["low"], f1["high"]) == (20, 0.2, 0.2, 0.2)
    assert f1["p"] < 0.001
    assert told["differences"]["exact"]["p"] == 1
    assert (told["resamples"], told["seed"]) == (10_000, 20_261_124)
    table = report.table(here, there)
    assert "paired bootstrap, 10,000 resamples, seed 20261124" in table
    assert "+0.200 .. +0.200" in table
    assert "quotes only" in table


def test_a_hostile_name_of_a_set_reaches_no_terminal() -> None:
    assert "\x1b" not in report.table(Run(replace(HEADER, set="a\x1b[2J.jsonl"), (a_row(),)))
