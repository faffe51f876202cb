"""Question -> what it names exactly (P-101, $110, "error 8", 12.5 %), and how surely a passage holds it.

The words index knows letters and digits alone: to it "$110" is any 110, and P101 is not P-101. So it is asked
for every way of writing a name, and the passages are then read for the very characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from appliance.sentences import CELL
from appliance.types import Passage

Phrase = tuple[str, ...]
"""Terms that must stand side by side; most phrases have one."""

_QUOTED = re.compile(r"[\"“]([^\"“”]{2,80})[\"”]")
WORD = re.compile(r"(?:(?<=\d),(?=\d)|[^\s\"“”()\[\],;?!])+")
_CODE = re.compile(r"[^\W_]_[^\W_]")
"""What makes a name of a word without a figure: SAVE_CONFIG, max_velocity."""
_BARE = re.compile(r"\d{1,4}\.?")
_UNIT = re.compile(
    r"(?:%|°\w?|[µumkMGn]?(?:m|g|s|A|V|W|Hz|J|N|Pa|l|L|bar|Ohm|Ω)|Nm|kWh|min|h|ft|lbs?|oz|psi|rpm|gpm|hp|dB"
    r"|K|C|F|[kMGT]?B|[mcdk]?m[²³23]|EUR|USD|GBP|CHF|€|£|\$)(?:/\w+)?"
)
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_CALENDAR = re.compile(
    r"(?i)jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?"
    r"|nov(ember)?|dec(ember)?|days?|weeks?|months?|quarters?|years?|fiscal|ages?|since|until|least|around"
    r"|over|under|top|first|last|next|past|nearly|exactly|approximately|(1[5-9]|20)\d\d"
)
_PARTS = re.compile(r"[^\W\d_]+|\d+")
_SAME = str.maketrans(
    {"‐": "-", "‑": "-", "‒": "-", "–": "-", "−": "-", "″": '"', "”": '"', "“": '"', "′": "'", "’": "'"}
    | {"\xa0": " ", "\u2009": " ", "\u202f": " ", "⁄": "/"}
)

OPENS = 1.0
"""A name that opens a line or a table's cell is explained there,"""
STANDS = 0.5
"""one that stands anywhere is mentioned,"""
LOOSE = 0.3
"""and one that was only found by its letters and digits may be another."""
_MEASURE = 0.3
"""What a measure is worth beside a name: 12 m stands in many places that say nothing of the question."""


@dataclass(frozen=True, slots=True)
class Name:
    """Something named exactly: as `written`, and the phrases by which an index of words finds it.

    `kind` is the word before a bare number, so that "8" in a table of errors is error 8. `worth` is what
    holding it is worth, 0 for a bare number; `exact` tells whether it must stand somewhere as it is written.
    """

    written: str
    phrases: tuple[Phrase, ...]
    kind: str = ""
    exact: bool = True
    worth: float = 1.0

    def held(self, text: str) -> float:
        """Return how surely `text`, of a passage that a phrase of it found, holds this name, in [0, 1]."""
        folded = text.translate(_SAME)
        body = r"\s*".join(map(re.escape, self.written.translate(_SAME).split()))
        literal = rf"(?<![\w$€£])(?<!\d[.,]){body}(?!\w|[.,]\d|-\w)"
        if re.search(rf"(?im)(?:^|{re.escape(CELL)})[^\w\n]{{0,4}}{literal}", folded):
            return OPENS
        if re.search(f"(?i){literal}", folded):
            return STANDS
        return self._in_row(folded) if self.kind else LOOSE

    def _in_row(self, text: str) -> float:
        """Return OPENS where a cell or a line's beginning is the bare number and its kind is named too."""
        number = re.escape(self.written.split()[-1])
        row = re.search(rf"(?m)(?:^|{re.escape(CELL)})[^\w\n]{{0,4}}{number}(?=\s*(?:\||$|[:.)–-]\s))", text)
        return OPENS if row and self.kind.lower().rstrip("s") in text.lower() else 0.0


def holders(name: Name, passages: Sequence[Passage]) -> dict[int, float]:
    """Return how surely each of the passages that its phrases found holds the name, in [0, 1], by chunk.

    Where none has the very characters, the letters and digits alone are as good: P101 is then P-101.
    """
    texts = (("\n".join((*each.heading.split(" > "), each.lead, each.text)), each.chunk) for each in passages)
    held = {chunk: sure for text, chunk in texts if (sure := name.held(text))}
    best = max(held.values(), default=1.0)
    return {chunk: name.worth * sure / best for chunk, sure in held.items()}


def names(question: str, analyse: Callable[[str], Sequence[str]], stop: frozenset[str]) -> tuple[Name, ...]:
    """Return what the question names exactly, in its order: quotations, identifiers, measures, numbers."""
    found = dict.fromkeys(_names(question, analyse, stop))
    return tuple(name for name in found if name.phrases)


def _names(question: str, analyse: Callable[[str], Sequence[str]], stop: frozenset[str]) -> Iterator[Name]:
    for quoted in _QUOTED.findall(question):
        yield _name(quoted.strip(), analyse)
    words = WORD.findall(question)
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if not _CODE.search(word) and not any(letter.isdigit() for letter in word):
            continue
        written = word.rstrip(".:'’")
        unit = _UNIT.fullmatch(after.rstrip(".:"))
        if not _BARE.fullmatch(word):
            yield _name(f"{written} {unit[0]}" if unit and written[-1].isdigit() else written, analyse)
            continue
        yield Name(written, _phrases([written], analyse), worth=0.0)
        if unit:
            measure = f"{written} {unit[0]}"
            yield Name(measure, _phrases([measure], analyse), exact=False, worth=_MEASURE)
        if _labels(before, written) and before.lower() not in stop:
            pair, kind = f"{before} {written}", "" if before.isdigit() else before
            yield Name(pair, _phrases([pair, written, before] if kind else [pair], analyse), kind=kind)


def _labels(before: str, number: str) -> bool:
    """Tell whether the word before a bare number makes a name of both: "error 8", not "December 31"."""
    return before.isalnum() and not _YEAR.fullmatch(number) and not _CALENDAR.fullmatch(before)


def _name(written: str, analyse: Callable[[str], Sequence[str]]) -> Name:
    parts = _PARTS.findall(written) if " " not in written else []
    return Name(written, _phrases([written, " ".join(parts), "".join(parts)], analyse))


def _phrases(ways: Sequence[str], analyse: Callable[[str], Sequence[str]]) -> tuple[Phrase, ...]:
    return tuple(dict.fromkeys(phrase for way in ways for phrase in [tuple(analyse(way))] if phrase))
