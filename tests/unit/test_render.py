"""What the command line prints, and that foreign words cannot act on the terminal."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest

from appliance import render
from appliance.cli.output import styled
from appliance.types import Added, Check, FileResult, Report, Verdict
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


def test_the_words_that_answer_are_emphasised_line_by_line_on_a_terminal_only() -> None:
    passage = a_passage("Every pump delivers up to 45 m3/h at a head of 32 m, summer and winter alike.")
    start = passage.text.index("45 m3/h")
    found = replace(evidence_of(passage), mark=(start, passage.text.index(", summer")))
    on, off = "\x1b[1;4m", "\x1b[22;24m"
    plain, styled = render.evidence(found, 30), render.evidence(found, 30, styled=True)
    assert "\x1b" not in plain
    assert styled.replace(on, "").replace(off, "") == plain
    lines = [line for line in styled.splitlines() if on in line]
    assert len(lines) > 1
    assert [line.count(on) for line in lines] == [line.count(off) for line in lines] == [1] * len(lines)
    assert " ".join(line.partition(on)[2].partition(off)[0] for line in lines) == "45 m3/h at a head of 32 m"
    assert render.evidence(replace(found, mark=None), 30, styled=True) == plain


@pytest.mark.parametrize(
    ("terminal", "variables", "expected"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_emphasis_is_for_terminals_whose_user_has_not_declined_it(
    terminal: bool, variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Screen(terminal))
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert styled() is expected


class Screen(io.StringIO):
    """A stdout that is a terminal, or none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def test_a_hostile_mark_cannot_act_either() -> None:
    found = replace(evidence_of(a_passage(HOSTILE * 3)), mark=(3, 9))
    styled = render.evidence(found, 80, styled=True)
    assert controls(styled.replace("\x1b[1;4m", "").replace("\x1b[22;24m", "")) == []


def test_the_time_is_told_by_stage() -> None:
    assert render.timings(an_answer().timings) == ("evidence after 6 ms (search 3, reading 3), all in 20 ms")


def test_the_answer_lists_each_source_once() -> None:
    given = replace(an_answer("A [1]. B [1]."), citations=an_answer().citations * 2)
    assert render.answer(given, 80) == "A [1]. B [1].\n\n[1] manual.pdf, page 3 · Pumps > Data\n"


def test_a_refusal_is_plain_and_shows_the_nearest() -> None:
    given = replace(a_refusal(), verdict=Verdict("strict", 0.254, 0.6))
    assert render.answer(given, 80).startswith(
        "Not in your documents.\n\n"
        "The nearest passages (chance of an answer 0.25; strict asks for 0.60):\n  manual.pdf, page 3"
    )
    assert render.answer(replace(given, passages=()), 80) == "Not in your documents.\n"
    told = render.answer(replace(given, nearest=(f"Each \x1bpump {'runs ' * 60}.", "")), 80)
    assert "page 3 \xb7 Pumps > Data\n  \u201cEach" in told
    assert told.rstrip().endswith("\u2026\u201d")
    assert "\x1b" not in told
    assert max(map(len, told.split("\n"))) <= 80
    assert "\u672c" * 60 in render.answer(replace(given, nearest=("\u672c" * 999,)), 80)


@pytest.mark.parametrize(
    ("near", "said"),
    [(0.254, "0.25; strict asks for 0.60"), (0.598, "0.598; strict asks for 0.600"), (0.6, "0.60; ")],
)
def test_a_refusal_shows_as_many_digits_as_tell_the_two_figures_apart(near: float, said: str) -> None:
    assert said in render.verdict(Verdict("strict", near, 0.6))


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
        == "question searched_for answer abstained citations passages unsupported timings tokens models "
        "refusal evidence".split()
    )
    assert shown["refusal"] == {"level": "balanced", "near": 0.0, "needed": 0.0}
    assert shown["evidence"] is None
    assert list(shown["citations"][0]) == "n document page heading quote supported".split()
    assert list(shown["passages"][0]) == "document page heading text score found_by".split()
    assert list(shown["models"]) == ["embedding", "reader", "generator"]


def test_what_was_searched_for_is_told_where_it_is_not_what_was_asked() -> None:
    assert render.searched_for(an_answer(), 80) == ""
    mended = replace(an_answer(), searched_for=f"how is the pressure {HOSTILE}")
    assert render.searched_for(mended, 80).startswith("Searched for: how is the pressure")
    assert controls(render.searched_for(mended, 80)) == []
    assert render.answer_json(mended)["searched_for"] == mended.searched_for
    assert render.answer_json(an_answer())["searched_for"] is None


def test_the_evidence_and_its_words_are_places_in_the_passages_text() -> None:
    passage = a_passage()
    found = replace(evidence_of(passage), mark=(19, 26))
    shown = render.answer_json(replace(an_answer(), evidence=found))["evidence"]
    text = an_answer().passages[shown["n"] - 1].text
    assert text[shown["start"] : shown["end"]] == shown["quote"]
    assert text[shown["answer_start"] : shown["answer_end"]] == "45 m3/h"
    bare = render.answer_json(replace(an_answer(), evidence=evidence_of(passage)))["evidence"]
    assert (bare["answer_start"], bare["answer_end"], bare["goes_on"]) == (None, None, False)


def test_the_contract_of_add_json_holds() -> None:
    shown = render.added_json(Added((FileResult("a.pdf", "ok", 3, 12),), 2.0, 6.0))
    assert shown == {
        "files": [{"path": "a.pdf", "status": "ok", "pages": 3, "chunks": 12, "reason": ""}],
        "seconds": 2.0,
        "chunks_per_second": 6.0,
        "hidden": 0,
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


def test_the_lines_of_a_listing_stay_and_those_of_prose_are_joined() -> None:
    prose = "Set the screws, of which there are three, one at a time and from the\nleft to the right:"
    code = "sudo service stop\nmake flash DEVICE=/dev/serial/by-id/usb-1a86_USB2.0"
    rows = "E04 | Too hot, above 85 degrees Celsius | Stop the pump\nE07 | Phase missing | Check the fuses"
    quote = f"{prose}\n\n[screws]\nfirst: 5, 30\nsecond: 155, 30\n\n{code}\n\n{rows}"
    found = replace(evidence_of(a_passage()), quote=quote, mark=None)
    assert render.evidence(found, 100).splitlines()[1:] == [
        "  \u201cSet the screws, of which there are three, one at a time and from the left to the right:",
        "   [screws]",
        "   first: 5, 30",
        "   second: 155, 30",
        "   sudo service stop",
        "   make flash DEVICE=/dev/serial/by-id/usb-1a86_USB2.0",
        "   E04 | Too hot, above 85 degrees Celsius | Stop the pump",
        "   E07 | Phase missing | Check the fuses\u201d",
    ]


def test_the_items_of_a_list_stand_on_lines_of_their_own() -> None:
    quote = "To start:\n\n1. Open the\ncock.\n\n2. Pull the rope - hard."
    found = replace(evidence_of(a_passage()), quote=quote, mark=None)
    assert render.evidence(found, 60).splitlines()[1:] == [
        "  \u201cTo start:",
        "   1. Open the cock.",
        "   2. Pull the rope - hard.\u201d",
    ]


def test_an_answer_that_only_repeats_the_quote_is_not_printed_twice() -> None:
    passage = a_passage()
    given = an_answer(f"{passage.text} [1]")
    assert render.answer(given, 80, shown=evidence_of(passage)) == "Quoted word for word [1].\n"
    more = replace(evidence_of(passage), goes_on=True)
    assert "goes on behind the quote" in render.answer(given, 80, shown=more)
    assert render.answer(given, 80).startswith("Each pump delivers")
