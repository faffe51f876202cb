"""Text -> the spans of its sentences, the unit of chunks, of quotes and of the check."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BREAK = re.compile(r"\n[ \t]*\n\s*|(?<=[.!?])[\"”’)\]]*\s+(?=[\"“‘(\[]?[A-Z0-9])|\n[ \t]*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|etc|approx|max|min|temp|qty|no|nos|fig|figs|sec|par|para|vol|pp?|dr|mr|mrs|ms|st"
    r"|inc|ltd|co|corp|jr|sr)|(?:^|\s)[A-Z]|(?:^|\s)\d{1,3}|\.{2,})\.$",
    re.IGNORECASE,
)
_NAMED_BY = re.compile(r"\b[Tt]he (?:[A-Z]\.){2,}$")
"""Initials that may stand before a name, "the I.T. Crowd"; without "the" an order may follow, "3000 R.P.M.
Tighten the bolt"."""
_CITED_BY = re.compile(r"(?<![\w.])(?!(?:[AP]\.M|[A-Z]\.[CS])\.$)(?:[A-Z]\.){2,}$")
"""And before a figure: "15 U.S.C. 6501", "P.L. 107"; not the hour, nor the kind of current."""
_OPENS = re.compile(
    r"(?:The|This|That|These|Those|There|Its?|He|She|They|We|You|Your|Our|If|When|In|On|For|At|As|But|And|After|Before"
    r"|All|No|Not|Do|Use|To|Turn)\b"
)
"""What opens a sentence and no name: behind initials it tells that theirs has ended."""
ITEM = re.compile(r"(?:[-*•·–]|\[[ xX]\]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ \t]")
"""What begins a list's item: a bullet, a box to tick, a number, a letter."""
NUMBERS = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty"
)
"""Numbers as they are spelt, for a pattern."""
_SPELT = re.compile(rf"\b(?:{NUMBERS}|hundred|thousand)\s*$", re.IGNORECASE)
"""What a contract spells before a figure, "sixty (60) days": that figure opens no item of a list."""
_FIGURE_OF_IT = re.compile(r"\(\d+\)\s+[a-z]")
CELL = " | "
"""What parts the cells of a table's row (types.Block)."""
_FIGURE = re.compile(r"\W*\d|(?=\S*\d)\S+$")
_LETTERS, _NUMBER = re.compile(r"[A-Za-z]+"), re.compile(r"\d+(?:\.\d+)*")
_NEARBY = 400
"""Characters on either side of a line's end that say how wide its lines are set."""
_SLACK = 8
"""Characters left on a line, past the next word, that say that its end was meant."""


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
    if not breaks and _in_row(text, gap.start()):
        return True
    if breaks > 1 or (breaks and _new_line(text, gap)):
        return False
    if breaks and text[gap.start() - 1 : gap.start()] not in (".", "!", "?"):
        return True
    last, figure = text[max(start, end - 16) : end], text[gap.end() : gap.end() + 1].isdigit()
    if figure:
        return bool(_CITED_BY.search(last) or _ABBREVIATION.search(last[-12:]))
    named = _NAMED_BY.search(last) and not _OPENS.match(text, gap.end())
    return bool(named or _ABBREVIATION.search(last[-12:]))


def _in_row(text: str, at: int) -> bool:
    """Tell whether `at` lies in a table's row: a row is one sentence, whatever its cells say."""
    before = text[max(0, at - _NEARBY) : at].rpartition("\n")[2]
    return CELL in before or CELL in text[at : at + _NEARBY].partition("\n")[0]


def _new_line(text: str, gap: re.Match[str]) -> bool:
    """Tell whether a list's item begins behind `gap`, or a table's row lies on either side."""
    line = gap.start() + gap.group().index("\n")
    before = text[text.rfind("\n", 0, line) + 1 : line]
    end = text.find("\n", gap.end())
    after = text[gap.end() : end if end >= 0 else len(text)]
    if CELL in before or CELL in after or (ITEM.match(after) and not _spelt(before, after)):
        return True
    around = text[max(0, line - _NEARBY) : line], text[line : line + _NEARBY]
    beside = around[0].rpartition("\n\n")[2] + around[1].partition("\n\n")[0]
    return not flows_on(before.strip(), after.strip(), width=max(map(len, beside.split("\n"))))


def _spelt(before: str, after: str) -> bool:
    """Tell whether the line begins with a figure in brackets, behind a number that is spelt."""
    return _FIGURE_OF_IT.match(after) is not None and _SPELT.search(before) is not None


def flows_on(before: str, after: str, *, width: int) -> bool:
    """Tell whether a line's end was only for want of room; `width` is that of the longest line about it.

    Where the next word would have fitted with room to spare and begins no lower-case word, the end was meant.
    """
    word = after.partition(" ")[0]
    return not word or word[0].islower() or len(before) + 1 + len(word) + _SLACK > width


def header_of(text: str, start: int, *, lead: str = "") -> tuple[int, int] | None:
    """Return the span of the header of the table whose row begins at `start`; None where none stands there.

    A text with a `lead` begins in the middle of a table, whose header that is: it has no other in it.

    Text alone does not say what a header is: the first of a run of rows is taken for one if no cell of it is
    a figure or a code, or if all but the first are codes of one kind, as a comparison of models has them. A
    row is not its own header.
    """
    first = text.rfind("\n", 0, start) + 1
    while first and CELL in (above := text[text.rfind("\n", 0, first - 1) + 1 : first - 1]):
        first -= len(above) + 1
    end = text.find("\n", first)
    header = text[first:end] if end >= 0 else text[first:]
    if first >= start or CELL not in header or (lead and not first):
        return None
    below = text[end + 1 :].partition("\n")[0]
    if not _names_columns(_filled(header), _filled(below)):
        return None
    return first, first + len(header)


def _filled(row: str) -> list[str]:
    """Return a row's first cell, which may name nothing, and those behind it in which something stands."""
    name, *others = f"{row} ".split(CELL)  # a row that ends with an empty cell has lost its space
    return [name, *(cell.strip() for cell in others if cell.strip())]


def _names_columns(cells: list[str], below: list[str]) -> bool:
    """Tell whether `cells` name columns: "Code | Meaning" and "Item | H-2 | H-3" do, "Thread | M12" not."""
    if not any(map(_FIGURE.match, cells)):
        return True
    name, *codes = cells
    shapes = set(map(_shape, codes))
    alike = len(codes) > 1 and len(shapes) == 1 and all(code[:1].isalpha() for code in codes)
    if not alike or _FIGURE.match(name) or not all(map(_FIGURE.match, codes)):
        return False
    return not shapes.intersection(map(_shape, below[1:]))  # "Valve | V1 | V2" over "Seal | S1 | S2" is a row


def _shape(cell: str) -> str:
    """Return the kind of a code: "RS-15-3.3" and "RS-15-12" are of one, "A-9-9"."""
    return _LETTERS.sub("A", _NUMBER.sub("9", cell))


def is_header(text: str, span: tuple[int, int], *, lead: str = "") -> bool:
    """Tell whether the row at `span` is the header of the row on the next line."""
    end = text.find("\n", span[1])
    return end >= 0 and CELL in text[slice(*span)] and header_of(text, end + 1, lead=lead) == span


def _trimmed(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for start, end in spans:
        span = text[start:end]
        if span.strip():
            yield start + len(span) - len(span.lstrip()), end - (len(span) - len(span.rstrip()))
