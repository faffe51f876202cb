"""The reader: the page of the quote at once, turning, finding."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.types import DocumentPage
from tests.fakes import QUOTE, TEXT, FakeClient, Gate, fake_document, fake_passage
from tui import messages as said
from tui.locate import LEAF_CHARS, find, leaves, locate
from tui.screens.ask import Ask
from tui.screens.reader import Reader


async def test_opens_on_the_page_with_the_quote_marked(stage, golden) -> None:
    long = "\n".join(f"Line {n} of the page." for n in range(60))
    async with stage(FakeClient(page_texts=("Contents", f"{long}\n{TEXT}\n{long}", "Last"))) as on:
        await on.ask()
        await on.settle()
        await on.press("enter")
        await on.settle()
        reader = on.screen(Reader)
        assert reader.where.text == "page 2 of 3 · Data > Head"
        assert "»The shut-off head is 42 m at 2900" in on.shown()
        golden("reader", on.shown())


async def test_a_passage_without_a_quote_opens_where_it_begins_and_is_one_key_away(stage) -> None:
    long = "\n".join(f"Line {n} of the page." for n in range(60))
    other = "Check the seal each week.\nA worn one leaks."
    passages = (fake_passage(1), fake_passage(2, text=other))
    client = FakeClient(page_texts=("Contents", TEXT, f"{long}\n{other}\n{long}"), passages=passages)
    async with stage(client) as on:
        await on.ask()
        await on.settle()
        await on.press("down", "o")
        await on.settle()
        reader = on.screen(Reader)
        for _ in range(2):
            assert reader.where.text == "page 3 of 3 \u00b7 Data > Head"
            assert "Check the seal each week." in on.shown()
            assert "\u00bb" not in on.shown(), "what is marked is no quote"
            (mark,) = reader.text.content.spans
            assert reader.text.content.plain[mark.start : mark.end] == "Check the seal each week."
            await on.press("p", "q")


async def test_the_passage_is_there_while_the_answer_is_still_written(stage) -> None:
    client = FakeClient(gates={"delta 0": Gate()})
    async with stage(client) as on:
        await on.ask()
        await on.until(lambda: bool(on.said(said.EvidenceArrived)))
        await on.press("enter")
        assert "»The shut-off head" in on.shown()
        assert "pages" not in client.calls
        client.gates["delta 0"].opened.set()
        await on.settle()
        assert on.screen(Reader).where.text.startswith("page 4 of 4")
        await on.press("escape")
        assert on.screen(Ask).answer_pane.heading == "Answer, checked"


async def test_pages_turn_and_the_quote_is_one_key_away(stage) -> None:
    async with stage() as on:
        await on.ask()
        await on.settle()
        await on.press("o")
        await on.settle()
        reader = on.screen(Reader)
        await on.press("p", "p")
        assert reader.where.text == "page 2 of 4"
        await on.press("n")
        assert reader.where.text == "page 3 of 4"
        await on.press("q")
        assert reader.where.text == "page 4 of 4 · Data > Head"


async def test_words_are_found_on_every_page_in_turn(stage) -> None:
    async with stage(FakeClient(page_texts=("A valve.", "Nothing.", "Two: valve,\nVALVE."))) as on:
        await on.press("f2")
        await on.settle()
        await on.press("enter")
        await on.settle()
        reader = on.screen(Reader)
        await on.press("slash")
        await on.type("valve")
        seen = []
        for _ in range(4):
            await on.press("enter")
            seen.append((reader.at, on.shown().count("»")))
        assert seen == [(0, 1), (2, 1), (2, 1), (0, 1)]
        await on.type("zzz")
        await on.press("enter")
        assert reader.status.text == "Not found in this document."


def _pages(*texts: str) -> tuple[DocumentPage, ...]:
    return tuple(DocumentPage(fake_document(), n, text) for n, text in enumerate(texts, start=1))


def _span(text: str) -> tuple[int, int]:
    start = text.index(QUOTE)
    return start, start + len(QUOTE)


def test_the_quote_is_looked_for_on_the_passages_page_first() -> None:
    at, span = locate(leaves(_pages(TEXT, TEXT)), fake_passage(1), _span(TEXT))
    assert (at, span) == (1, _span(TEXT))


def test_a_quote_on_the_page_after_is_found() -> None:
    at, span = locate(leaves(_pages("a", "b", TEXT)), fake_passage(1), _span(TEXT))
    assert (at, span) == (2, _span(TEXT))


def test_of_the_same_words_twice_those_at_the_quotes_place_are_marked() -> None:
    text = f"{TEXT}\n\n{TEXT}"
    passage = replace(fake_passage(1), start=len(TEXT) + 2, page=None)
    at = tuple(passage.start + place for place in _span(TEXT))
    whole = (DocumentPage(fake_document(), None, text),)
    assert locate(leaves(whole), passage, _span(TEXT)) == (0, at)
    parts = tuple(replace(whole[0], text=part) for part in (text[: at[1] - 5], text[at[1] - 5 :]))
    assert locate(leaves(parts), passage, _span(TEXT)) == (0, (at[0], at[1] - 5))


def test_a_quote_over_a_page_break_is_marked_where_it_begins() -> None:
    cut = TEXT.index("2900")
    at, span = locate(leaves(_pages("a", TEXT[:cut])), fake_passage(1), _span(TEXT))
    assert at == 1
    assert span is None or TEXT[slice(*span)].startswith("The shut-off")


def test_a_quote_that_is_nowhere_opens_its_page() -> None:
    assert locate(leaves(_pages("a", "b", "c")), fake_passage(1), _span(TEXT)) == (1, None)


def test_of_a_passage_without_a_quote_the_beginning_is_found() -> None:
    assert locate(leaves(_pages("a", f"b\n{TEXT}")), fake_passage(1), None) == (1, (2, 82))
    whole = (DocumentPage(fake_document(), None, f"{TEXT}\n\nA line.\nMore of it."),)
    passage = replace(fake_passage(1, text="A line.\nMore of it."), start=len(TEXT) + 2, page=None)
    assert locate(leaves(whole), passage, None) == (0, (len(TEXT) + 2, len(TEXT) + 9))


def test_no_pages_at_all() -> None:
    assert locate((), fake_passage(1), None) == (0, None)


@given(st.text(max_size=200), st.integers(1, 4))
def test_leaves_hold_the_text_and_nothing_else(text: str, times: int) -> None:
    whole = (text + "x") * (times * LEAF_CHARS // (len(text) + 1))
    found = leaves((DocumentPage(fake_document(), None, whole),))
    assert "".join(leaf.text for leaf in found) == whole
    assert all(len(leaf.text) <= LEAF_CHARS for leaf in found)
    assert [leaf.part for leaf in found] == list(range(1, len(found) + 1))


def test_find_forgives_case_and_line_breaks() -> None:
    assert find("The SHUT-OFF\n head", "shut-off head") == (4, 18)
    assert find("a.b", "a+b") is None
    assert find("text", "   ") is None
