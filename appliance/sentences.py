"""Text -> the spans of its sentences, the unit of chunks, of quotes and of the check."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BREAK = re.compile(r"\n[ \t]*\n\s*|(?<=[.!?])[\"”’)\]]*\s+(?=[\"“‘(\[]?[A-Z0-9])|\n[ \t]*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|etc|approx|no|nos|fig|figs|sec|vol|pp?|dr|mr|mrs|ms|st|inc|ltd|co|corp|jr|sr|u\.s)"
    r"|(?:^|\s)[A-Z]|(?:^|\s)\d{1,3})\.$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"(?:[-*•–]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ \t]")
_CELL = " | "


def split(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) of each sentence in order; all between two of them is white space.

    A list's item and a table's row ("cell | cell") begin anew wherever their line begins.
    """
    spans = []
    start = 0
    for gap in _BREAK.finditer(text):
        quoted = len(gap.group()) - len(gap.group().lstrip('"”’)]'))
        end = gap.start() + quoted
        if _goes_on(text, start, end, gap):
            continue
        spans.append((start, end))
        start = gap.end()
    spans.append((start, len(text)))
    return list(_trimmed(text, spans))


def _goes_on(text: str, start: int, end: int, gap: re.Match[str]) -> bool:
    """Tell whether the sentence that began at `start` runs over `gap`."""
    breaks = gap.group().count("\n")
    if breaks > 1 or (breaks and _new_line(text, gap)):
        return False
    only_a_line_end = breaks and text[gap.start() - 1 : gap.start()] not in (".", "!", "?")
    return bool(only_a_line_end or _ABBREVIATION.search(text[max(start, end - 12) : end]))


def _new_line(text: str, gap: re.Match[str]) -> bool:
    """Tell whether a list's item begins behind `gap`, or a table's row lies on either side."""
    line = gap.start() + gap.group().index("\n")
    before = text[text.rfind("\n", 0, line) + 1 : line]
    end = text.find("\n", gap.end())
    after = text[gap.end() : end if end >= 0 else len(text)]
    return _CELL in before or _CELL in after or bool(_ITEM.match(after))


def _trimmed(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for start, end in spans:
        span = text[start:end]
        if span.strip():
            yield start + len(span) - len(span.lstrip()), end - (len(span) - len(span.rstrip()))
