"""What the command line prints, and that foreign words cannot act on the terminal."""

from __future__ import annotations

from dataclasses import replace

from appliance import render
from appliance.types import Added, Check, FileResult, Report
from tests.samples import a_passage, a_refusal, an_answer, evidence_of

HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2J\u202eevil\u200b"


def controls(text: str) -> list[str]:
    return [
        char
        for char in text
        if (ord(char) < 32 and char != "\n") or 127 <= ord(char) < 160 or char in "\u202e\u200b"
    ]


def test_the_evidence_stands_under_its_place() -> None:
    text = render.evidence(evidence_of(a_passage()), 60)
    assert text.startswith("manual.pdf, page 3 · Pumps > Data\n  “Each pump delivers")
    assert text.endswith("”\n")
    assert max(map(len, text.splitlines())) <= 60


def test_the_answer_lists_each_source_once() -> None:
    given = replace(an_answer("A [1]. B [1]."), citations=an_answer().citations * 2)
    assert render.answer(given, 80) == "A [1]. B [1].\n\n[1] manual.pdf, page 3 · Pumps > Data\n"


def test_a_refusal_is_plain_and_shows_the_nearest() -> None:
    assert render.answer(a_refusal(), 80).startswith(
        "Not in your documents.\n\nThe nearest passages:\n  manual.pdf, page 3"
    )


def test_hostile_words_are_harmless_wherever_they_stand() -> None:
    passage = replace(a_passage(HOSTILE * 3), document=HOSTILE, heading=HOSTILE)
    citation = replace(an_answer().citations[0], document=HOSTILE, heading=HOSTILE)
    done = FileResult(HOSTILE, "failed", reason=HOSTILE)
    printed = [
        render.evidence(evidence_of(passage), 80),
        render.answer(replace(an_answer(HOSTILE), citations=(citation,)), 80),
        render.answer(replace(a_refusal(), passages=(passage,)), 80),
        render.file_line(done),
        render.report(Report((Check(HOSTILE, ok=False, detail=HOSTILE),))),
    ]
    assert [controls(text) for text in printed] == [[]] * len(printed)


def test_a_file_line_is_honest() -> None:
    assert render.file_line(FileResult("a.pdf", "ok", 3, 12)) == "ok        a.pdf  (3 pages, 12 chunks)"
    assert render.file_line(FileResult("b", "failed", reason="unknown")) == "failed    b  (unknown)"


def test_the_contract_of_ask_json_holds() -> None:
    shown = render.answer_json(an_answer())
    assert (
        list(shown)
        == "question answer abstained citations passages unsupported timings tokens models".split()
    )
    assert list(shown["citations"][0]) == "n document page heading quote supported".split()
    assert list(shown["passages"][0]) == "document page heading text score found_by".split()
    assert list(shown["models"]) == ["embedding", "reader", "generator"]


def test_the_contract_of_add_json_holds() -> None:
    shown = render.added_json(Added((FileResult("a.pdf", "ok", 3, 12),), 2.0, 6.0))
    assert shown == {
        "files": [{"path": "a.pdf", "status": "ok", "pages": 3, "chunks": 12, "reason": ""}],
        "seconds": 2.0,
        "chunks_per_second": 6.0,
    }


ROWS = "Code | Meaning | What to do\nE03 | Leak | Change over\nE04 | Hot bearing | Stop the pump"


def row_answer(text: str, quote: str, lead: str = "") -> str:
    passage = replace(a_passage(text), lead=lead)
    given = an_answer(f"{quote} [1]")
    citation = replace(given.citations[0], n=1, quote=quote)
    return render.answer(replace(given, citations=(citation,), passages=(passage,)), 80).partition("\n\n")[0]


def test_a_row_that_answers_is_read_with_the_names_of_its_columns() -> None:
    said = "Code: E04\nMeaning: Hot bearing\nWhat to do: Stop the pump [1]"
    assert row_answer(ROWS, "E04 | Hot bearing | Stop the pump") == said
    later = "E04 | Hot bearing | Stop the pump\nE05 | Wet | Wait"
    assert row_answer(later, "E04 | Hot bearing | Stop the pump", "Code | Meaning | What to do") == said


def test_a_row_without_a_header_stays_what_it_is() -> None:
    assert row_answer("E04 | Hot\nE05 | Wet", "E05 | Wet") == "E05 | Wet [1]"
    assert row_answer(ROWS + "\nE05 | Wet", "E05 | Wet") == "E05 | Wet [1]"


def test_an_answer_that_only_repeats_the_quote_is_not_printed_twice() -> None:
    passage = a_passage()
    given = an_answer(f"{passage.text} [1]")
    assert render.answer(given, 80, shown=evidence_of(passage)).startswith(
        "The quote is the answer [1].\n\n[1] "
    )
    assert render.answer(given, 80).startswith("Each pump delivers")
