"""Text from documents, models and file names -> Content, cleaned and never read as markup."""

from __future__ import annotations

import re

from textual.content import Content

from appliance.clean import clean, clean_line
from appliance.sentences import ITEM
from appliance.types import Span

QUOTE = "reverse"
"""Reverse video: seen in 16 colours, in none, on light and on dark. The marks serve a screen reader."""
ANSWER = "reverse bold underline"
"""The words of the quote that answer."""
BEGUN = "underline"
"""Where what was opened begins."""
_OPEN, _CLOSE = "\u00bb", "\u00ab"

_BLANKS = re.compile(r"\s*\n\s*")
_ITEMS = re.compile(rf"(^[ \t]*{ITEM.pattern}[^\n]*\n)[ \t]*\n(?=[ \t]*{ITEM.pattern})", re.M)
"""An item and the blank line behind it, where another follows: blocks are stored with one between them."""
_ROWS = re.compile(r"\n[^\n]* \| ")


def plain(text: str, style: str = "") -> Content:
    """Return cleaned text of many lines in one style."""
    return Content.styled(_shown(text, 0, len(text)), style)


def line(text: str, style: str = "") -> Content:
    """Return cleaned text of one line in one style."""
    return Content.styled(clean_line(text), style)


def quoted(text: str, span: Span | None, *, lead: int | None = None, answer: Span | None = None) -> Content:
    """Return `text` with `text[start:end]` marked; `lead` limits the characters shown before the mark.

    `answer` are words inside the span. The parts are cleaned apart, so offsets into the text as stored stay
    true.
    """
    if span is None:
        return plain(text)
    start, end = span
    first, last = answer or (end, end)
    return Content.assemble(
        _before(text, start, lead),
        (_OPEN + _shown(text, start, first).lstrip(), QUOTE),
        (_shown(text, first, last), ANSWER),
        (_shown(text, last, end).rstrip() + _CLOSE, QUOTE),
        _shown(text, end, len(text)),
    )


def begun(text: str, span: Span | None) -> Content:
    """Return `text` with `text[start:end]` shown as where something begins, which is no quote."""
    start, end = span or (0, 0)
    return Content.assemble(
        _shown(text, 0, start), (_shown(text, start, end), BEGUN), _shown(text, end, len(text))
    )


def _shown(text: str, start: int, end: int) -> str:
    """Return `text[start:end]` cleaned, the items of a list close to each other wherever it is parted."""
    kept, at = list[str](), start
    for item in _ITEMS.finditer(text):
        low, high = max(item.end(1), at), min(item.end(), end)
        if low < high:
            kept.append(text[at:low])
            at = high
    return clean("".join([*kept, text[at:end]]))


def _before(text: str, start: int, lead: int | None) -> str:
    if lead is None or start <= lead:
        return _shown(text, 0, start)
    if not lead:
        return "\u2026 "
    cut = text[start - lead : start]
    at = cut.find("\n" if _ROWS.search(cut) else " ")
    kept = _BLANKS.sub("\n", cut[at + 1 :])
    gap = "\n" if kept.endswith("\n") else " "
    return f"\u2026 {clean(kept).strip()}{gap}"
