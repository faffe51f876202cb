"""What a DOCX says of a run's looks, by itself and by its styles -> whether Word would show it.

Left out is what is marked hidden, two points tall or less, or of the colour of its shading or the paper.
Where the background is not known (a table's style, a text box, a picture behind it) a pale text is kept.
Sources: ECMA-376 part 1, 17.3.2 (run properties), 17.7.2 (their order), 17.3.5 (shading).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from appliance.ingest.parse.docx_styles import Styles, attribute, child, whole

HIDDEN = "hidden text, left out"
BLENDED = "text in the colour of its background, left out"
TINY = "text too small to be read, left out"

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
_HEX = re.compile(r"[0-9A-Fa-f]{6}")
_ALIKE = 12
_TINY = 4
"""Half points."""
_OFF = ("0", "false", "off", "none")


class Setting(NamedTuple):
    """What a paragraph gives to its runs: the marks of its styles, nearest first, and what is behind them."""

    marks: tuple[Element, ...]
    ground: Colour | None


def setting(paragraph: Element, styles: Styles, ground: Colour | None) -> Setting:
    """Return what `paragraph` gives to its runs; `ground` is what is behind it, None where nobody knows."""
    chain = styles.chain(attribute(child(paragraph, "pPr", "pStyle"), "val"))
    shades = [child(paragraph, "pPr", "shd"), *(child(style, "pPr", "shd") for style in chain)]
    return Setting(tuple(_marks(chain)), shaded(shades, ground))


def fate(run: Element, given: Setting, styles: Styles) -> str:
    """Return why Word would not show `run`, one of the flags above, "" where it would."""
    marks = _looks(run, given, styles)
    vanish = _first(marks, "vanish")
    if vanish is not None and attribute(vanish, "val") not in _OFF:
        return HIDDEN
    if 0 < whole(attribute(_first(marks, "sz"), "val"), most=10_000, otherwise=22) <= _TINY:
        return TINY
    colour = attribute(_first(marks, "color"), "val")
    if not _HEX.fullmatch(colour):
        return ""
    lit = attribute(_first(marks, "highlight"), "val")
    ground = shaded([child(mark, "shd") for mark in marks], given.ground)
    if lit and lit != "none":
        ground = WHITE if lit == "white" else None
    return BLENDED if ground is not None and _alike(_rgb(colour), ground) else ""


def is_bold(run: Element, given: Setting, styles: Styles) -> bool:
    """Tell whether `run` is set in bold, by itself or by its styles."""
    bold = _first(_looks(run, given, styles), "b")
    return bold is not None and attribute(bold, "val") not in _OFF


def _looks(run: Element, given: Setting, styles: Styles) -> list[Element]:
    """Return the marks of a run, those that count for more first."""
    own = child(run, "rPr")
    chain = styles.chain(attribute(child(own, "rStyle"), "val"))
    return [*([own] if own is not None else []), *_marks(chain), *given.marks, *styles.defaults]


def shaded(shades: Iterable[Element | None], ground: Colour | None) -> Colour | None:
    """Return the colour of the first shading there is, `ground` where there is none, None for a pattern."""
    for shade in shades:
        if shade is None or attribute(shade, "val") == "nil":
            continue
        fill = attribute(shade, "fill")
        if attribute(shade, "val") in ("clear", "") and fill.lower() in ("auto", ""):
            continue
        if attribute(shade, "val") in ("clear", "") and _HEX.fullmatch(fill):
            return _rgb(fill)
        return None
    return ground


def _marks(styles: Sequence[Element]) -> Iterable[Element]:
    return (marks for style in styles if (marks := child(style, "rPr")) is not None)


def _first(marks: Iterable[Element], name: str) -> Element | None:
    return next((found for mark in marks if (found := child(mark, name)) is not None), None)


def _rgb(colour: str) -> Colour:
    return int(colour[:2], 16), int(colour[2:4], 16), int(colour[4:], 16)


def _alike(one: Colour, two: Colour) -> bool:
    return all(abs(a - b) <= _ALIKE for a, b in zip(one, two, strict=True))
