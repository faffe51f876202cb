"""Which lines of a plain text are headings: those underlined, numbered as sections, or all in capitals."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

_UNDERLINE = re.compile(r"([=\-~^*#+])\1{2,}")
_FENCE = re.compile(r"([=\-.*_+/])\1{3,}")
"""What opens and closes a block of AsciiDoc."""
_NUMBERED = re.compile(
    r"(?:(?:chapter|section|part|appendix|annex)\s+[\dA-Z]+\b|\d+(?:\.\d+){0,4}\.?\s+)[^.!?]*$", re.I
)
_ORDINAL = re.compile(r"\(?(\d{1,3})[.)]\s+\S")
"""What begins the item of a numbered list, and many a heading."""
_MARKED = re.compile(r"[-*\u2022\u00b7]\s|\[.*\]$")
"""A list's item, or what says of the block below what it is: "[NOTE]"."""
_SET_IN = re.compile(r"\t| {1,8}(?! )")
"""An example, or what an item goes on with. A title in the middle of the page stands further in."""
COLUMNS = re.compile(r"\S(?: {3,}|\t)\S")
_NEAR = 2
"""By how many characters an underline may miss the length of its text, as in AsciiDoc."""
_LEAST = 4
_PAGES = 8
"""Where capitals are headings, one stands on every so many pages; fewer would name others' pages."""


class Outline:
    """Tells headings from text, one part (what stands between two blank lines) after another."""

    def __init__(self, parts: Sequence[str], *, pages: int) -> None:
        """Take all the parts to come: what is said of one line depends on how often its like occurs."""
        self._title = parts[0] if parts else ""
        self._capitals = sum(map(_is_capitals, parts)) * _PAGES >= pages
        self._fence = ""
        self._heading = self._item = self._just = 0

    def turn(self) -> None:
        """Begin a page: no block runs over its end."""
        self._fence = ""

    def heading(self, lines: Sequence[str], after: str) -> tuple[int, int] | None:
        """Return the level of the heading that a part begins with, and its lines; None where there is none.

        `after` is the part that follows.
        """
        found = None
        if len(lines) == 1:
            found = self._alone(lines[0], after)
        elif lines[1] != self._fence and is_underlined(lines[0], lines[1]):
            found = (1 if lines[1][0] == "=" else 2), 2
        self._just = 0
        for before, line in itertools.pairwise(["", *lines[found[1] if found else 0 :]]):
            self._pass(before, line)
        return found

    def _pass(self, before: str, line: str) -> None:
        """Take note of a line that is no heading."""
        if _FENCE.fullmatch(line) and not is_tabular(before):
            self._fence = "" if line == self._fence else self._fence or line
        elif (number := _number(line)) > 0:
            self._item = self._just = number

    def _alone(self, line: str, after: str) -> tuple[int, int] | None:
        text = line.strip()
        if _SET_IN.match(line) or not 2 <= len(text) <= 80 or text[-1] in ".,;:?!":
            return None
        if is_tabular(text) or _MARKED.match(text) or sum(map(str.isalpha, text)) < 2:
            return None
        named = _is_capitals(line) and (self._capitals or line == self._title)
        number = _number(line)
        if not (named or _NUMBERED.match(text)) or self._is_item(number, after):
            return None
        self._heading = number or self._heading
        parts = re.match(r"\d+((?:\.\d+)*)", text)
        return 1 + (parts[1].count(".") if parts else 0), 1

    def _is_item(self, number: int, after: str) -> bool:
        """Tell whether a line so numbered is an item: the next follows at once, or it follows one itself."""
        if not number:
            return False
        last = number - 1
        follows = last > 0 and (last == self._just or last == self._item != self._heading)
        return follows or _number(after) == number + 1


def is_tabular(text: str) -> bool:
    """Tell whether the text has columns, or cells."""
    return bool(COLUMNS.search(text)) or "|" in text


def is_underlined(text: str, line: str) -> bool:
    """Tell whether `line` is about as long as the text above it; any other is a rule, or a fence."""
    near = abs(len(text) - len(line)) <= (_NEAR if len(line) >= _LEAST else 0)
    return bool(
        near
        and 2 <= len(text) <= 100
        and _UNDERLINE.fullmatch(line)
        and any(map(str.isalnum, text))
        and not (is_tabular(text.strip()) or _MARKED.match(text.strip()) or _SET_IN.match(text))
    )


def _is_capitals(line: str) -> bool:
    """Tell whether a part is one line of capitals; two letters alone are a code or a unit."""
    text = line.strip()
    letters = sum(map(str.isalpha, text))
    return text.isupper() and "\n" not in text and letters > 2 and letters * 2 > len(text) and len(text) <= 80


def _number(line: str) -> int:
    found = _ORDINAL.match(line.strip())
    return int(found[1]) if found else 0
