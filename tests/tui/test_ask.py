"""Ask: the quote first, then the draft, then the checked answer; what is said before what is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.errors import IntegrityError
from appliance.types import Citation, Evidence
from tests.fakes import QUOTE, TEXT, FakeClient, Gate, fake_passage
from tui import clean
from tui import messages as said
from tui.screens.ask import Ask
from tui.screens.reader import Reader


async def test_what_is_said_in_which_order(stage) -> None:
    async with stage() as on:
        await on.ask()
        await on.settle()
        kinds = (said.QuestionAsked, said.PassagesFound, said.EvidenceArrived, said.AnswerReady)
        order = [type(each) for each in on.messages if isinstance(each, kinds)]
        assert list(dict.fromkeys(order)) == list(kinds)
        assert on.said(said.QuestionAsked)[0].question == "what is the shut-off head"
        assert on.screen(Ask).job is None


async def test_the_quote_is_on_screen_before_the_first_token(stage, golden) -> None:
    client = FakeClient(gates={"delta 0": Gate()})
    async with stage(client) as on:
        await on.ask()
        await on.until(lambda: bool(on.said(said.EvidenceArrived)))
        await on.pilot.pause()
        screen = on.screen(Ask)
        assert screen.passage.heading == "[1] pump-manual.pdf · page 2 · Data > Head"
        assert f"»{QUOTE}«" in screen.passage.text
        assert screen.answer_pane.text == ""
        golden("ask_evidence_first", on.shown())


async def test_the_draft_is_dim_and_said_to_be_unchecked(stage) -> None:
    client = FakeClient(gates={"delta 1": Gate()})
    async with stage(client) as on:
        await on.ask()
        await on.until(lambda: bool(on.said(said.DraftGrew)))
        await on.pilot.pause()
        pane = on.screen(Ask).answer_pane
        assert (pane.heading, pane.text) == ("Draft, not yet checked", "The shut-off ")
        assert {str(span.style) for span in pane._body.content.spans} == {"dim"}


async def test_the_checked_answer_takes_the_drafts_place(stage, golden) -> None:
    async with stage(FakeClient(unsupported=("It weighs 90 kg.",))) as on:
        await on.ask()
        await on.settle()
        pane = on.screen(Ask).answer_pane
        assert (pane.heading, pane.text) == ("Answer, checked", "The shut-off head is 42 m at 2900 rpm [1].")
        assert on.screen(Ask).rows.texts[0].startswith("  1*")
        assert on.screen(Ask).status.text.endswith("1 unsupported (u)")
        golden("ask_answered", on.shown())


async def test_unsupported_sentences_can_be_shown_and_hidden(stage) -> None:
    async with stage(FakeClient(unsupported=("It weighs 90 kg.",))) as on:
        await on.ask()
        await on.settle()
        await on.press("u")
        assert "- It weighs 90 kg." in on.shown()
        await on.press("u")
        assert "It weighs 90 kg." not in on.shown()


@pytest.mark.parametrize("abstains", [False, True])
async def test_what_was_searched_for_instead_of_the_question_is_said(stage, abstains) -> None:
    async with stage(FakeClient(searched_for="what is the head", abstains=abstains)) as on:
        await on.ask()
        await on.settle()
        assert on.screen(Ask).answer_pane.text.endswith("\n\nSearched for: what is the head")


async def test_the_words_that_answer_are_marked_inside_the_quote(stage) -> None:
    start = TEXT.index("42 m at 2900 rpm")
    async with stage(FakeClient(mark=(start, start + len("42 m")))) as on:
        await on.ask()
        await on.settle()
        content = on.screen(Ask).passage._body.content
        shown = [(span.style, content.plain[span.start : span.end]) for span in content.spans]
        marked = [text for style, text in shown if style == clean.ANSWER]
        assert marked == ["42 m"]
        quoted = [text for style, text in shown if style == clean.QUOTE]
        assert quoted == ["\u00bbThe shut-off head is ", " at 2900 rpm.\u00ab"]


async def test_where_the_model_chooses_other_words_than_the_reader_those_are_marked(stage) -> None:
    start = TEXT.index("42 m at 2900 rpm")
    rpm = start + len("42 m at ")
    places = {"mark": (start, start + len("42 m")), "chosen": (rpm, rpm + len("2900 rpm"))}
    async with stage(FakeClient(**places)) as on:
        await on.ask()
        await on.settle()
        content = on.screen(Ask).passage._body.content
        marked = [content.plain[s.start : s.end] for s in content.spans if s.style == clean.ANSWER]
        assert marked == ["2900 rpm"]


async def test_an_abstention_is_plain(stage, golden) -> None:
    async with stage(FakeClient(abstains=True)) as on:
        await on.ask()
        await on.settle()
        assert on.screen(Ask).answer_pane.text.startswith("Not in your documents.")
        assert len(on.screen(Ask).rows.texts) == 4
        assert on.screen(Ask).passage.text == TEXT
        golden("ask_abstained", on.shown())


async def test_two_panes_side_by_side_when_wide(stage, golden) -> None:
    async with stage(size=(120, 30)) as on:
        await on.ask()
        await on.settle()
        screen = on.screen(Ask)
        assert screen.passage.region.y == screen.answer_pane.region.y
        golden("ask_wide", on.shown())


async def test_an_empty_vault_says_what_to_do(stage, golden) -> None:
    async with stage(FakeClient(library=[])) as on:
        await on.settle()
        assert "Press F2" in on.screen(Ask).answer_pane.text
        golden("ask_empty", on.shown())


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
async def test_a_key_stops_the_generator(stage, key: str) -> None:
    client = FakeClient(gates={"delta 1": Gate()})
    async with stage(client) as on:
        await on.ask()
        await on.until(lambda: bool(on.said(said.DraftGrew)))
        await on.press(key)
        await on.settle()
        assert "cancel" in client.calls
        assert len(on.said(said.Stopped)) == 1
        pane = on.screen(Ask).answer_pane
        assert (pane.heading, pane.text) == ("Stopped: this draft was not checked", "The shut-off ")
        assert f"»{QUOTE}«" in on.screen(Ask).passage.text
        assert "answer" not in client.calls


async def test_escape_with_nothing_running_goes_to_the_question(stage) -> None:
    async with stage() as on:
        await on.ask()
        await on.settle()
        assert on.app.focused is on.screen(Ask).rows.list
        await on.press("escape")
        assert on.app.focused is on.screen(Ask).question
        await on.press("ctrl+c")
        assert on.screen(Ask).status.text == "Nothing is running. Ctrl+Q leaves."


async def test_a_new_question_stops_the_one_before(stage) -> None:
    gate = Gate()
    client = FakeClient(gates={"delta 0": gate})
    async with stage(client) as on:
        await on.ask("one")
        await on.until(gate.reached.is_set)
        del client.gates["delta 0"]
        client.cancel = gate.cancel
        await on.press("slash", "t", "w", "o", "enter")
        await on.settle()
        assert [each.question for each in on.said(said.QuestionAsked)] == ["one", "two"]
        assert on.screen(Ask).answer.question == "two"
        assert on.screen(Ask).answer_pane.heading == "Answer, checked"


async def test_up_recalls_earlier_questions(stage) -> None:
    async with stage() as on:
        for question in ("first", "second"):
            await on.ask(question)
            await on.settle()
            await on.press("escape")
        field = on.screen(Ask).question
        await on.press("up")
        assert field.value == "second"
        await on.press("up", "up")
        assert field.value == "first"
        await on.press("down")
        assert field.value == "second"
        await on.press("down")
        assert on.app.focused is on.screen(Ask).rows.list


async def test_moving_in_the_list_shows_that_passage(stage) -> None:
    async with stage() as on:
        await on.ask()
        await on.settle()
        await on.press("down", "down")
        assert on.said(said.PassageChosen)[-1].n == 3
        assert on.screen(Ask).passage.heading == "[3] pump-manual.pdf · page 4 · Data > Head"
        await on.press("enter")
        assert on.said(said.PageWanted)[-1].passage.page == 4
        on.screen(Reader)


async def test_a_citations_quote_is_marked_in_its_passage(stage) -> None:
    async with stage() as on:
        await on.ask()
        await on.settle()
        screen = on.screen(Ask)
        citation = Citation(2, "x", 3, "", "The seal is replaced every 4000 hours.", supported=True)
        answer = on.said(said.AnswerReady)[-1].answer
        screen._take_citations(type(answer)(**{**_fields(answer), "citations": (citation,)}))
        await on.press("down")
        assert "»The seal is replaced every 4000 hours.«" in screen.passage.text


def _fields(answer: object) -> dict[str, object]:
    return {name: getattr(answer, name) for name in type(answer).__slots__}


async def test_a_long_quote_has_the_screen_for_itself_and_is_not_shown_twice(stage) -> None:
    async with stage() as on:
        await on.ask()
        await on.settle()
        screen = on.screen(Ask)
        answer = on.said(said.AnswerReady)[-1].answer
        for long, quote in ((False, "Open the valve."), (True, "Open the valve. " * 30)):
            citation = Citation(2, "x", 3, "", quote, supported=True)
            shown = Evidence(2, 0, len(quote), quote, "x", 3, "", 0.9)
            told = {"answer": f"{quote.strip()} [2]", "citations": (citation,), "evidence": shown}
            screen._show_answer(type(answer)(**{**_fields(answer), **told}))
            await on.pilot.pause()
            expected = "Quoted word for word [2]." if long else "Open the valve. [2]"
            assert screen.answer_pane.text == expected
            assert (screen.answer_pane.size.height < screen.passage.size.height) is long
            told["evidence"] = replace(shown, goes_on=True)
            screen._show_answer(type(answer)(**{**_fields(answer), **told}))
            assert "goes on behind the quote" in screen.answer_pane.text
        await on.press("slash")
        await on.ask()
        await on.settle()
        assert not screen.panes.has_class("-quoted")


async def test_a_tables_header_stands_above_its_rows(stage) -> None:
    passage = fake_passage(1)
    rows = type(passage)(**{**_fields(passage), "lead": "Pump | Head", "text": "P-1 | 42 m"})
    async with stage(FakeClient(passages=(rows,))) as on:
        await on.ask()
        await on.settle()
        assert on.screen(Ask).passage.text.startswith("Pump | Head\n")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            IntegrityError("The store fails its checks."),
            "The store fails its checks. Do not add to this vault.",
        ),
        (RuntimeError("SECRET TEXT of a document"), "Something unexpected happened (RuntimeError)."),
    ],
)
async def test_a_failure_is_a_sentence_and_never_a_traceback(stage, error: Exception, shown: str) -> None:
    async with stage(FakeClient(errors={"delta 1": error})) as on:
        await on.ask()
        await on.settle()
        assert on.screen(Ask).answer_pane.text.startswith(shown)
        assert f"»{QUOTE}«" in on.screen(Ask).passage.text
        assert "SECRET" not in on.shown()
        assert "Traceback" not in on.shown()


async def test_late_messages_of_a_stopped_job_change_nothing(stage) -> None:
    async with stage() as on:
        await on.ask()
        await on.settle()
        before = on.shown()
        on.screen(Ask).post_message(said.DraftGrew(999, "from another life"))
        await on.pilot.pause()
        assert on.shown() == before


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (80, 24), (109, 24), (110, 24), (300, 80)])
async def test_any_size_works(stage, size: tuple[int, int]) -> None:
    async with stage(size=size) as on:
        await on.ask()
        await on.settle()
        await on.press("enter")
        await on.settle()
        on.screen(Reader)
        await on.press("escape", "f2")
        await on.settle()
        await on.press("escape")
        screen = on.screen(Ask)
        wide = screen.passage.region.y == screen.answer_pane.region.y
        assert size[1] < 24 or wide == (size[0] >= 110)


async def test_on_a_short_screen_the_quote_keeps_lines_of_its_own(stage) -> None:
    rows = "\n".join(f"E{n:02} | Fault {n} of the feed pump | Stop it" for n in range(12))
    table = replace(fake_passage(1), text=f"Code | Meaning | Action\n{rows}")
    client = FakeClient(passages=(table, *map(fake_passage, range(2, 7))), gates={"delta 0": Gate()})
    async with stage(client, size=(60, 15)) as on:
        await on.ask()
        await on.until(lambda: bool(on.said(said.EvidenceArrived)))
        await on.pilot.pause()
        screen = on.screen(Ask)
        assert (screen.passage.size.height >= 4, screen.rows.size.height) == (True, 4)
        screen.passage.show(1, table, (table.text.index("E09"), table.text.index("\nE10")))
        await on.pilot.pause()
        shown = on.shown().splitlines()
        assert shown[3].strip() == "Code | Meaning | Action"
        assert shown[4].strip() == "… »E09 | Fault 9 of the feed pump | Stop it«"
