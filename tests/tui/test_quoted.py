"""What is shown before a quote."""

from __future__ import annotations

from tui.clean import plain, quoted


def shown(text: str, quote: str) -> str:
    start = text.index(quote)
    return quoted(text, (start, start + len(quote)), lead=40).plain


def test_rows_before_a_quoted_row_stay_lines_and_none_is_cut() -> None:
    rows = "Code | Meaning | What to do\nE01 | Low water | Stop\nE02 | Wet | Wait\n\nE03 | Hot | Go"
    assert shown(rows, "E03 | Hot | Go") == "\u2026 E02 | Wet | Wait\n\u00bbE03 | Hot | Go\u00ab"


def test_words_before_a_quoted_sentence_are_cut_between_words() -> None:
    text = "There are many words in this sentence, of which some are shown. It ends."
    assert shown(text, "It ends.") == "\u2026 sentence, of which some are shown. \u00bbIt ends.\u00ab"


def test_items_of_a_list_are_shown_close_and_paragraphs_apart() -> None:
    items = "- a pump\n{}- a hose of\ntwo inches\n\n1. Fill it.\n{}2. Start it."
    text, close = (f"Bring:\n\n{items.format(gap, gap)}\n\nThen rest." for gap in ("\n", ""))
    assert plain(text).plain == close
    start = text.index("- a pump")
    for answer in (None, (start + 2, start + 8)):
        told = quoted(text, (start, text.index("\n\n1.")), answer=answer).plain
        assert told == close.replace("- a pump", "»- a pump").replace("inches", "inches«")
