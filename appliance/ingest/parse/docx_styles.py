"""The styles and the numbering of a DOCX: what a paragraph is, and the label that Word would print."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal
from xml.etree.ElementTree import Element

Role = Literal["heading", "title", "text"]

_HEADING = re.compile(r"heading\s*([1-9])$", re.I)
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

    def numbering(self, style: str) -> Element | None:
        """Return the numbering that a style brings, None for none."""
        for element in self.chain(style):
            if (number := child(element, "pPr", "numPr")) is not None:
                return number
        return None

    def chain(self, style: str) -> list[Element]:
        """Return a style and those it is based on, nearest first."""
        found: list[Element] = []
        while style in self._styles and len(found) < _DEPTH:
            found.append(self._styles[style])
            style = attribute(child(found[-1], "basedOn"), "val")
        return found


class Numbering:
    """Counts numbered paragraphs as Word does."""

    def __init__(self, root: Element | None) -> None:
        parts = list(root) if root is not None else []
        self._kinds = {
            attribute(item, "abstractNumId"): item for item in parts if local(item) == "abstractNum"
        }
        self._lists = {
            attribute(item, "numId"): attribute(child(item, "abstractNumId"), "val")
            for item in parts
            if local(item) == "num"
        }
        self._counts: dict[str, Counter[int]] = {}

    def label(self, number: Element) -> str:
        """Count the paragraph with this numPr, and return its label: "2.1", or "" for a bullet."""
        kind = self._lists.get(attribute(child(number, "numId"), "val"), "")
        depth_text = attribute(child(number, "ilvl"), "val")
        depth = whole(depth_text, most=100)
        level = self._level(kind, depth)
        if level is None:
            return ""
        counts = self._counts.setdefault(kind, Counter())
        counts[depth] += 1
        for deeper in [at for at in counts if at > depth]:
            del counts[deeper]
        if attribute(child(level, "numFmt"), "val") in ("bullet", "none", ""):
            return ""
        text = attribute(child(level, "lvlText"), "val")[:50]
        return re.sub(r"%([1-9])", lambda found: self._printed(kind, int(found[1]) - 1), text)

    def _level(self, kind: str, depth: int) -> Element | None:
        levels = (item for item in self._kinds.get(kind, ()) if local(item) == "lvl")
        return next((item for item in levels if attribute(item, "ilvl") == str(depth)), None)

    def _printed(self, kind: str, depth: int) -> str:
        level = self._level(kind, depth)
        start = attribute(child(level, "start"), "val")
        first = whole(start, most=1_000_000, otherwise=1)
        value = first + max(1, self._counts[kind][depth]) - 1
        form = attribute(child(level, "numFmt"), "val")
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
