"""The styles and the numbering of a DOCX: what a paragraph is, and the label that Word would print."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Literal
from xml.etree.ElementTree import Element

Role = Literal["heading", "title", "text"]

_HEADING = re.compile(r"heading\s*([1-9])$", re.I)
_ABOUT = re.compile(r"toc\b|caption|table of|index", re.I)
_DEPTH = 20
"""Styles deep that inheritance is followed: a chain may be a circle."""


def local(element: Element) -> str:
    """Return the element's name without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def child(element: Element | None, *path: str) -> Element | None:
    """Follow the path of local names; None where it ends early."""
    for name in path:
        if element is None:
            return None
        element = next((item for item in element if local(item) == name), None)
    return element


def attribute(element: Element | None, name: str) -> str:
    """Return an attribute by its local name, "" where it is missing."""
    if element is None:
        return ""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def whole(text: str, *, most: int, otherwise: int = 0) -> int:
    """Return the number that `text` writes in ASCII digits, at most `most`; `otherwise` where it is none."""
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 20 else otherwise


class Styles:
    """What the styles say, with inheritance. `defaults` are the marks that every run begins with."""

    def __init__(self, root: Element | None) -> None:
        styles = (item for item in (root if root is not None else ()) if local(item) == "style")
        self._styles = {attribute(style, "styleId"): style for style in styles}
        defaults = child(root, "docDefaults", "rPrDefault", "rPr")
        self.defaults = () if defaults is None else (defaults,)

    def role(self, style: str, outline: Element | None) -> tuple[Role, int]:
        """Return what a paragraph of `style` is and, for a heading, its level from 1."""
        if (level := _level(outline)) is not None:
            return "heading", level
        for element in self.chain(style):
            name = attribute(child(element, "name"), "val")
            if (found := _HEADING.match(name)) is not None:
                return "heading", int(found[1])
            if name.casefold() == "title":
                return "title", 1
            if (level := _level(child(element, "pPr", "outlineLvl"))) is not None:
                return "heading", level
        if not self._styles and (found := _HEADING.match(style)) is not None:
            return "heading", int(found[1])
        return "text", 0

    def numbering(self, own: Element | None, style: str) -> tuple[str, str]:
        """Return the list of a paragraph and its depth in that, as they are written, "" for none.

        Of its `own` numPr, where it has one, else of the nearest style that says so; each by itself.
        """
        marks = [own, *(child(element, "pPr", "numPr") for element in self.chain(style))]
        found = [
            next(filter(None, (attribute(child(mark, name), "val") for mark in marks)), "")
            for name in ("numId", "ilvl")
        ]
        return ("", "") if found[0] == "0" else (found[0], found[1])

    def names(self, style: str, text: str) -> bool:
        """Tell whether a numbered paragraph is a heading in all but name: short, of a style that is bold."""
        if len(text) > 100 or text.endswith((".", ",", ";", ":")):
            return False
        marks = (child(element, "rPr", "b") for element in self.chain(style))
        bold = next((mark for mark in marks if mark is not None), None)
        return bold is not None and attribute(bold, "val") not in ("0", "false", "off")

    def points(self, style: str) -> bool:
        """Tell whether a paragraph of `style` says of others where they stand, or what a figure shows."""
        return any(_ABOUT.match(attribute(child(element, "name"), "val")) for element in self.chain(style))

    def chain(self, style: str) -> list[Element]:
        """Return a style and those it is based on, nearest first."""
        found: list[Element] = []
        while style in self._styles and len(found) < _DEPTH:
            found.append(self._styles[style])
            style = attribute(child(found[-1], "basedOn"), "val")
        return found


class Numbering:
    """Counts numbered paragraphs as Word does (ECMA-376 part 1, 17.9)."""

    def __init__(self, root: Element | None) -> None:
        parts = list(root) if root is not None else []
        kinds = {attribute(item, "abstractNumId"): item for item in parts if local(item) == "abstractNum"}
        # A list may have but the name of a style, and another list with that name have the levels.
        links = {attribute(child(item, "styleLink"), "val"): item for item in kinds.values()}
        named = {name: item for name, item in links.items() if name}
        self._kinds = {
            number: _levels(named.get(attribute(child(item, "numStyleLink"), "val"), item))
            for number, item in kinds.items()
        }
        self._lists = {
            attribute(item, "numId"): (attribute(child(item, "abstractNumId"), "val"), _overridden(item))
            for item in parts
            if local(item) == "num"
        }
        self._counts: dict[str, Counter[int]] = {}

    def label(self, number: str, depth_text: str, style: str) -> tuple[str, int]:
        """Count a paragraph of `style` in the list `number`; return its label, "" of a bullet, and its depth.

        Where no depth is written it is on the level that names its style.
        """
        kind, own = self._lists.get(number, ("", {}))
        levels = self._kinds.get(kind, {}) | own
        depth = whole(depth_text, most=100, otherwise=_depth_of(style, levels))
        level = levels.get(depth)
        if level is None:
            return "", depth
        counts = self._counts.setdefault(kind, Counter())
        counts[depth] += 1
        for deeper in [at for at in counts if at > depth]:
            del counts[deeper]
        if attribute(child(level, "numFmt"), "val") in ("bullet", "none", ""):
            return "", depth
        text = attribute(child(level, "lvlText"), "val")[:50]
        return re.sub(
            r"%([1-9])", lambda found: _printed(levels, counts, int(found[1]) - 1), text
        ).strip(), depth


def _levels(parent: Element) -> dict[int, Element]:
    return {whole(attribute(item, "ilvl"), most=100): item for item in parent if local(item) == "lvl"}


def _overridden(number: Element) -> dict[int, Element]:
    overrides = (item for item in number if local(item) == "lvlOverride")
    return {depth: level for item in overrides for depth, level in _levels(item).items()}


def _depth_of(style: str, levels: Mapping[int, Element]) -> int:
    """Return the depth of the level that names this style, 0 where none does."""
    named = (depth for depth, level in levels.items() if style == attribute(child(level, "pStyle"), "val"))
    return next(named, 0) if style else 0


def _printed(levels: Mapping[int, Element], counts: Counter[int], depth: int) -> str:
    """Return the number of a level as it is printed."""
    level = levels.get(depth)
    form = attribute(child(level, "numFmt"), "val")
    # Where no start is written it is 0, which has no letter and no Roman number.
    least = 0 if form.startswith("decimal") else 1
    start = whole(attribute(child(level, "start"), "val"), most=1_000_000, otherwise=least)
    value = start + max(1, counts[depth]) - 1
    if form in ("lowerLetter", "upperLetter"):
        letter = chr(ord("a") + (value - 1) % 26) * (1 + (value - 1) // 26 % 5)
        return letter.upper() if form == "upperLetter" else letter
    if form in ("lowerRoman", "upperRoman"):
        return _roman(value).upper() if form == "upperRoman" else _roman(value)
    return str(value)


def _roman(value: int) -> str:
    digits = ""
    for size, mark in (
        (100, "c"),
        (90, "xc"),
        (50, "l"),
        (40, "xl"),
        (10, "x"),
        (9, "ix"),
        (5, "v"),
        (4, "iv"),
        (1, "i"),
    ):
        while value >= size and len(digits) < 20:
            digits += mark
            value -= size
    return digits


def _level(outline: Element | None) -> int | None:
    value = attribute(outline, "val")
    level = whole(value, most=9, otherwise=9)
    return level + 1 if level < 9 else None
