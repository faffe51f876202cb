"""Question's figures -> which of a passage's sentences have a range that holds them, in log-odds.

"Drain plug torque for 250cc" is answered by the row "Medium (200-400cc) | 15-20 ft-lbs", although no word of
it says 250. A range counts against a sentence only in its head, the first cell or what stands before a colon,
and where several heads are ranges: elsewhere a range is what is said, not what it is said of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, nextafter
from typing import Final

from appliance.sentences import CELL

HELD: Final = 1.5
"""What it is worth that a figure of the question lies in a range, or stands there as it is: as much as a unit
that fits (quantity.IN_UNITS);"""
EXCLUDED: Final = -1.5
"""and that the range which a row is about leaves it out: as much as another unit."""
_READ: Final = 600
"""Characters of a question, or of a sentence, that are looked at."""
_SCALE: Final = 2
"""Heads with ranges of one unit that make a scale."""

_NUMBER = r"[$€£]?[-−]?\d{1,12}(?:,\d{3}(?!\d)){0,4}(?:[.,]\d{1,6})?(?!\d|[.,:/]\d|[-–]\d{1,12}[-–]\d)"
_APART = r"(?<![\w.,:/$€£–−-])"
"""What stands in front of a number: no part of a code, a date or a time (RS-15-12, 2026-02-19, 10:30)."""
_NO_UNIT = (
    r"to|through|and|or|of|in|on|at|by|for|from|with|is|are|was|were|the|a|an|if|when|than|as|per|x"
    r"|st|nd|rd|th"
)
_UNIT = (
    rf"[\s-]?[°º]?\s?(?:degrees?\s(?=[CF]\b))?(?!(?:{_NO_UNIT})\b)[A-Za-zµΩ]{{1,12}}[²³23]?(?!\w)"
    r"|\s?[%\"″′°º]"
)
_MORE, _LESS = (
    "more|greater|higher|larger|older|longer|heavier",
    "less|fewer|lower|smaller|younger|shorter|lighter",
)
_OVER = (
    rf"over|above|beyond|at\sleast|(?<!no\s)(?<!not\s)(?:{_MORE})\sthan|not?\s(?:{_LESS})\sthan|minimum|min\."
)
_UNDER = (
    rf"under|below|up\sto|at\smost|within|(?<!no\s)(?<!not\s)(?:{_LESS})\sthan|not?\s(?:{_MORE})\sthan"
    r"|maximum|max\.?"
)
_SPAN = re.compile(
    rf"(?:(?P<over>\b(?:{_OVER})\s|[>≥]=?\s?)|(?P<under>\b(?:{_UNDER})\s|[<≤]=?\s?)|(?P<between>\bbetween\s))?"
    rf"{_APART}(?P<low>{_NUMBER})(?P<its>{_UNIT})?"
    rf"(?:\s?(?(between)and|(?:[-–—~…]|to|through))\s?(?P<high>{_NUMBER})(?P<unit>{_UNIT})?)?"
    rf"(?P<up>\s?\+|\s(?:or|and)\s(?:over|above|up|{_MORE})\b)?"
    rf"(?P<down>\s(?:or|and)\s(?:under|below|{_LESS})\b)?",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"[-–]?\w")
"""What makes a code, or an ordinal, of a number: 5W-30, 11th."""
_WORD = re.compile(r"[^\W\d_]+|[%\"″′$€£]")
_BEFORE = re.compile(rf"\b(?!(?:{_NO_UNIT})\b)([^\W\d_]{{1,20}})\s(?:(?:of|is|at|no\.?|=)\s)?$")
_ALIKE: Final = {
    alias: names.split()[0]
    for names in (
        "mi mile", "oz ounce", "h hour hr", "min minute",
        "s sec second", "d day", "week wk", "month mo", "year yr",
        "cc cm3 cm³ ml", "l litre liter", "v volt vac vdc", "w watt", "a amp ampere",
        'in inch inche " ″', "ft foot feet ′", "m metre meter", "km kilometre kilometer", "kg kilo kilogram",
        "g gram", "lb pound", "f fahrenheit degf", "c celsius degc", "% percent", "$ dollar usd",
        "€ euro eur", "£ gbp",
    )
    for alias in names.split()
}  # fmt: skip
_MEASURES: Final = frozenset(_ALIKE.values())
_CLOCK: Final = frozenset({"am", "pm"})
"""Hours of a clock, which go round."""
_STRICT = re.compile(r"(?!.*(?:least|most|within|up to|\bnot?\s|minim|maxim|min\.|max|=|≤|≥))", re.I)
"""Tells that a bound lies outside of what it bounds: "under 250cc"."""


@dataclass(frozen=True, slots=True)
class Span:
    """The figures from `low` to `high`, both in it, of a `unit` that is "" where none is written."""

    low: float
    high: float
    unit: str

    @property
    def is_range(self) -> bool:
        """Tell whether it holds more than one figure."""
        return self.low < self.high


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a question: its `unit`, or what else stands behind it, and the word `before` it."""

    value: float
    unit: str
    before: str

    def of_kind(self, span: Span, columns: frozenset[str]) -> bool:
        """Tell whether a span may be held against it: of its unit, or in a column that the question names."""
        if span.unit and (span.unit == self.unit or self.unit in _MEASURES):
            return span.unit == self.unit
        return self.unit in columns or (not self.unit and self.before in columns)


@dataclass(frozen=True, slots=True)
class _Told:
    """The spans in a sentence's head and behind it, and the words over the first column."""

    head: tuple[Span, ...]
    rest: tuple[Span, ...]
    columns: frozenset[str]

    def in_head(self, figure: Figure) -> list[Span]:
        """Return the head's spans that may be held against a figure."""
        return [span for span in self.head if figure.of_kind(span, self.columns)]

    def anywhere(self, figure: Figure) -> list[Span]:
        """Return the whole sentence's."""
        return self.in_head(figure) + [span for span in self.rest if figure.of_kind(span, frozenset())]


def figures(question: str) -> tuple[Figure, ...]:
    """Return the figures that a question names; of a range, or of all over one, it may mean any."""
    told = question[:_READ]
    found = []
    for match in _SPAN.finditer(told):
        span, before = _span(match), _BEFORE.search(told[: match.start()])
        if not span.is_range and span.unit not in _CLOCK and not _GOES_ON.match(told, match.end()):
            found.append(Figure(span.low, span.unit, _name(before[1]) if before else ""))
    return tuple(found)


def held(asked: Sequence[Figure], sentences: Sequence[tuple[str, str]]) -> list[float]:
    """Return for each sentence of a passage the log-odds that it is about the figures of a question.

    A sentence comes with the header of its table, "" where it has none.
    """
    worth = [0.0] * len(sentences)
    told = [_told(*each) for each in sentences] if asked else []
    for figure in asked:
        for at, value in enumerate(_of_figure(figure, told)):
            worth[at] += value
    return [max(EXCLUDED, min(HELD, value)) for value in worth]


def _of_figure(figure: Figure, told: Sequence[_Told]) -> list[float]:
    """Return what each sentence says of a figure: nothing where no range of the passage is of its kind."""
    if not any(span.is_range for each in told for span in each.anywhere(figure)):
        return []
    heads = [any(span.is_range for span in each.in_head(figure)) for each in told]
    holds = any(span.low <= figure.value <= span.high for each in told for span in each.in_head(figure))
    scale = sum(heads) >= _SCALE and holds  # of one that has no row for it nothing is known
    return [
        HELD
        if any(span.low <= figure.value <= span.high for span in each.anywhere(figure))
        else EXCLUDED * (scale and head)
        for each, head in zip(told, heads, strict=True)
    ]


def _told(sentence: str, header: str) -> _Told:
    above, _, last = sentence.rpartition("\n")
    if above and CELL in last:  # what announces a table is quoted with its first row
        return _told(last, above.rpartition("\n")[2])
    line = sentence[:_READ]
    head, found, rest = line.partition(CELL if CELL in line else ":")
    if not found:
        head, rest = "", line
    columns = frozenset(map(_name, _WORD.findall(header.partition(CELL)[0][:_READ])))
    return _Told(tuple(_spans(head, columns)), tuple(_spans(rest, frozenset())), columns)


def _spans(text: str, columns: frozenset[str]) -> Iterator[Span]:
    """Yield the spans of a text; one without a unit only where it is all of a cell that has a header."""
    for match in _SPAN.finditer(text):
        span = _span(match)
        if span.unit in _CLOCK:
            continue
        if span.unit or (columns and match.group().strip() == text.strip()):
            yield span


def _span(match: re.Match[str]) -> Span:
    low, high = sorted((_value(match["low"]), _value(match["high"] or match["low"])))
    money = next((sign for sign in match["low"] if sign in "$€£"), "")
    unit = money or _name(match["unit"] or match["its"] or "")
    if (match["over"] or match["up"]) and not match["high"]:  # "over 8 to 10 m" ends at 10
        low, high = nextafter(low, inf) if match["over"] and _STRICT.match(match["over"]) else low, inf
    elif match["under"] or match["down"]:
        low, high = -inf, nextafter(high, -inf) if match["under"] and _STRICT.match(match["under"]) else high
    return Span(low, high, unit)


def _name(word: str) -> str:
    """Return a unit or a word as it is compared: "hrs", "Hours" and "hour" are one."""
    plain = re.sub(r"(?i)^degrees?\s", "", word.strip(" \t\n-°º")).lower() or word.strip()
    plain = plain.removesuffix("s") if len(plain) > 2 else plain  # "s" and "ms" are no plurals
    return _ALIKE.get(plain, plain)


def _value(written: str) -> float:
    """Return the figure: a comma parts thousands where three digits follow it, else a decimal's."""
    digits = written.replace("−", "-").strip("$€£")
    return float(re.sub(r",(?=\d{3}(?!\d))", "", digits).replace(",", "."))
