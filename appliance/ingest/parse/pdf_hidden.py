"""How a piece of PDF text is painted, and on what -> whether anybody can see it.

Left out is what is certainly invisible: ink that is transparent or of its background's colour, a
place off the page or outside its clip, a pen that paints nothing with nothing behind. Kept, with a flag, is
text without ink over a picture or outlines, for the text layer of a scan or drawing looks exactly so, and
text in the colour of a shape that may not reach beneath it. White on a picture is kept in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SCANNED = "text drawn invisibly, as in the text layer of a scan"
PERHAPS = "text that may have the colour of its background"
UNSEEN = "text drawn invisibly, left out"
BLENDED = "text in the colour of its background, left out"
AWAY = "text off the page, left out"
CLIPPED = "text clipped away, left out"
TINY = "text too small to be read, left out"

_NO_INK = (3, 7)
"""The text rendering modes that paint nothing (ISO 32000-1, table 106); the second only clips."""
FAINT = 12
"""Of 255: an opacity no eye sees."""
_ALIKE = 10
"""Of 255, in each of red, green and blue: two colours that no eye tells apart."""
_WHITE = (255, 255, 255)
_SLACK = 2.0
_RULE = 2.5
"""Points: what is thinner is a line."""

Colour = tuple[int, int, int]


class Box(NamedTuple):
    """A rectangle, in points."""

    left: float
    bottom: float
    right: float
    top: float


class Fill(NamedTuple):
    """An area that was painted; `colour` None where it is a picture, a shading or shines through.

    `whole`: all of `box` is painted, as by a rectangle; any other shape leaves some of its box bare.
    """

    box: Box
    colour: Colour | None
    whole: bool = True


class Ink(NamedTuple):
    """How a text was painted: on how many fills (`at`), mode, colour, opacity, place, through which clips.

    `colour` is None where it is a pattern.
    """

    at: int
    mode: int
    colour: Colour | None
    opacity: int
    box: Box
    clips: tuple[Box, ...] = ()


class Canvas:
    """A page with what was painted on it, in order."""

    def __init__(self, page: Box, fills: Sequence[Fill]) -> None:
        self._page = page
        # A rule is no ground to stand on, and there are thousands of them.
        self._grounds = [(at, fill) for at, fill in enumerate(fills) if _is_area(fill.box)]
        self._coloured: dict[Colour, list[tuple[int, Fill]]] = {}
        for at, fill in self._grounds:
            if fill.colour is not None:
                self._coloured.setdefault(fill.colour, []).append((at, fill))

    def fate(self, ink: Ink) -> str:
        """Return why `ink` cannot be seen, one of the flags above, "" where it can."""
        if not _meet(ink.box, self._page):
            return AWAY
        if any(not _meet(ink.box, clip) for clip in ink.clips):
            return CLIPPED
        if ink.mode in _NO_INK:
            return SCANNED if any(_meet(ink.box, fill.box) for _, fill in self._grounds) else UNSEEN
        if ink.opacity <= FAINT:
            return UNSEEN
        return self._blended(ink, ink.colour) if ink.mode == 0 and ink.colour else ""

    def _blended(self, ink: Ink, colour: Colour) -> str:
        """Tell whether what was painted last beneath the text has its colour; the paper is white."""
        if not _alike(colour, _WHITE) and not self._could_blend(ink, colour):
            return ""
        paper = Fill(self._page, _WHITE)
        under = (fill for at, fill in reversed(self._grounds) if at < ink.at and _covers(fill.box, ink.box))
        ground = next(under, paper)
        if ground.colour is None or not _alike(colour, ground.colour):
            return ""
        # What was painted there later may be a dark box and the same words again, as outlines.
        later = any(at >= ink.at and _meet(fill.box, ink.box) for at, fill in self._grounds)
        return BLENDED if ground.whole and not later else PERHAPS

    def _could_blend(self, ink: Ink, colour: Colour) -> bool:
        alike = (fills for other, fills in self._coloured.items() if _alike(colour, other))
        return any(at < ink.at and _covers(fill.box, ink.box) for fills in alike for at, fill in fills)


def is_left_out(flag: str) -> bool:
    """Tell whether text with this flag is kept out of what is stored."""
    return bool(flag) and flag not in (SCANNED, PERHAPS)


def _is_area(box: Box) -> bool:
    return box.right - box.left > _RULE and box.top - box.bottom > _RULE


def _alike(one: Colour, two: Colour) -> bool:
    return (
        abs(one[0] - two[0]) <= _ALIKE and abs(one[1] - two[1]) <= _ALIKE and abs(one[2] - two[2]) <= _ALIKE
    )


def _meet(one: Box, two: Box) -> bool:
    return (
        one.left < two.right + _SLACK
        and two.left < one.right + _SLACK
        and one.bottom < two.top + _SLACK
        and two.bottom < one.top + _SLACK
    )


def _covers(area: Box, box: Box) -> bool:
    """Tell whether the middle of `box` lies in `area`: descenders may stick out of a header's bar."""
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    return area.left <= x <= area.right and area.bottom <= y <= area.top
