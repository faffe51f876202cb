"""What MkDocs, its Material theme and GitHub add to Markdown -> Markdown: notes, tabs, captions, attributes.

A note or a tab is a line with a marker and below it a body set in by four spaces, which Markdown alone would
take for code. Its title becomes a heading; where text follows that is none of it, and would come under that
heading too, it stays a line of its own. Lines are gone through once; the stack of what is open is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MARKER = re.compile(
    r"""(?:!!!|\?\?\?\+?)[ \t]+(?P<kind>[A-Za-z][\w-]*)(?:[ \t]+[\w-]+)*"""
    r"""(?:[ \t]+["“](?P<title>.*)["”])?[ \t]*"""
    r"""|===[!+]?[ \t]+"(?P<tab>.+)"[ \t]*"""
)
_ANY = re.compile(r"""^[ \t]*(?:!!!|\?\?\?|===[!+]?[ \t]+"|///|>[ \t>]*\[!)|\*\[|\{""", re.M)
_FENCE = re.compile(r"(`{3,}|~{3,})[^`]*")
_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]")
_HEADING = re.compile(r"(#{1,6})[ \t]")
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*")
_BLOCK = re.compile(r"/{3,}[ \t]*(?P<name>[\w-]*)[ \t]*(?:\|[ \t]*(?P<title>.*))?")
_ABBREVIATION = re.compile(r"\*\[([^\]]{1,99})\]:[ \t]+(.+)(?<!\*)")
_ALERT = re.compile(r"((?:>[ \t]?)+)\[!(\w+)\][+-]?[ \t]*(.*)")
_PAIR = r"""[\w-]+=(?:"[^"\n]*"|'[^'\n]*'|[^\s{}"']+)"""
_SAID = rf"(?:[.#][\w-]+|{_PAIR})"
_LIST = rf"\{{:?[ \t]*{_SAID}(?:[ \t]+{_SAID})*[ \t]*\}}"
_OF_LINK = re.compile(rf"(\]\([^()\s`]*\)){_LIST}(?!`)")
_OF_LINE = re.compile(rf"(?:^|(?<=[ \t])){_LIST}[ \t]*$")
"""Attributes: of a link or a picture, and of a heading or what stands above. Elsewhere braces are text."""
_STEP = 4
_DEEPEST = 8
"""Bodies within each other; a marker further in stays as it is."""


@dataclass(slots=True)
class _Box:
    """A note or a tab: where its title is to stand, and what decides whether that is a heading."""

    at: int
    indent: int
    title: str
    depth: int
    parent: _Box | None
    above: int | None
    """The level of the heading above it in its parent, None where there is none."""
    heads: bool | None = None
    """Whether its title is a heading, None where what follows it has to say so."""
    follows: _Box | None = None
    level: int = 0


def to_markdown(text: str) -> str:
    """Return `text` in the Markdown that all know; one without anything of the kind as it is."""
    return "\n".join(_Pass(text.split("\n")).run()) if _ANY.search(text) else text


class _Pass:
    """One pass over the lines; headings are filled in at its end, when it is known what follows them."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._below = _below(lines)
        self._out: list[str] = []
        self._boxes: list[_Box] = []
        self._open: list[_Box] = []
        self._level: int | None = None
        self._fence, self._fenced_at = "", 0
        self._in_list = self._after_label = False
        self._blocks: list[int] = []
        self._closed: _Box | None = None

    def run(self) -> list[str]:
        """Return the lines of the Markdown."""
        for number, line in enumerate(self._lines):
            if line.strip():
                self._line(line, self._below[number])
            elif not self._after_label:
                self._out.append(line)
        for box in _by_depth(self._boxes):
            if box.heads is None:
                box.heads = box.follows is None or bool(box.follows.heads)
        for box in self._boxes:
            self._head(box)
        return self._out

    def _head(self, box: _Box) -> None:
        inside = box.parent.level if box.parent is not None else 1
        above = inside if box.above is None else box.above
        box.level = min(above + 1, 6) if box.heads else above
        if box.title:
            line = box.title if box.title[-1] in ".:!?" else f"{box.title}:"
            self._out[box.at] += f"{'#' * box.level} {box.title}" if box.heads else line

    def _line(self, line: str, below: int) -> None:
        indent = _indent(line)
        said = line.lstrip()
        self._close(indent)
        inner = indent - _STEP * len(self._open)
        code = inner >= _STEP and not self._in_list
        opened = None
        if self._fence:
            closes = said.startswith(self._fence) and not said.strip(f"{self._fence[0]} \t")
            self._fence = "" if closes else self._fence
        elif (fence := _FENCE.fullmatch(said)) is not None and not code:
            self._fence, self._fenced_at = fence[1], len(self._open)
        elif not code:
            if below >= indent + _STEP and len(self._open) < _DEEPEST and (found := _MARKER.fullmatch(said)):
                opened = self._enter(found, indent, inner)
            else:
                said = self._words(said, inner)
        self._follow(opened, said)
        if opened is None:
            self._after_label = False
            self._out.append(" " * max(inner, 0) + said if self._open or said != line.lstrip() else line)

    def _words(self, said: str, inner: int) -> str:
        """Take note of a line outside of code, and return what is left of it."""
        if (heading := _HEADING.match(said)) is not None:
            self._level = len(heading[1])
        elif _UNDERLINE.fullmatch(said) and self._out and self._out[-1].strip() and not self._in_list:
            self._level = 1 if said[0] == "=" else 2
        if _ITEM.match(said):
            self._in_list = True
        elif inner <= 0:
            self._in_list = False
        if (block := _BLOCK.fullmatch(said)) is not None:
            return self._fence_of_block(block, said)
        if (short := _ABBREVIATION.fullmatch(said)) is not None:
            return f"{short[1]}: {short[2]}\n"
        if (alert := _ALERT.fullmatch(said)) is not None:
            label = f"{alert[1]}{alert[2].capitalize()}: {alert[3]}".rstrip()
            return label + f"\n{alert[1]}" * bool(alert[3])
        if "{" not in said:
            return said
        bare = _OF_LINK.sub(r"\1", said)
        if _HEADING.match(said) or _OF_LINE.match(said):
            bare = _OF_LINE.sub("", bare)
        return said if bare == said else bare.rstrip()

    def _fence_of_block(self, block: re.Match[str], said: str) -> str:
        """Return the line that begins or ends a block, "/// name" to "///"; both go if there are both."""
        if block["name"]:
            self._blocks.append(len(self._out))
            return said
        if not self._blocks:
            return said
        at = self._blocks.pop()
        begun = _BLOCK.fullmatch(self._out[at].strip())
        self._out[at] = f"{begun['title']}\n" if begun is not None and begun["title"] else ""
        return ""

    def _enter(self, found: re.Match[str], indent: int, inner: int) -> _Box:
        titled = found["tab"] or found["title"] or ""
        label = "" if titled or found["title"] is not None else f"{found['kind'].capitalize()}:"
        parent = self._open[-1] if self._open else None
        self._out += ["", " " * inner + label]
        box = _Box(len(self._out) - 1, indent, titled, len(self._open), parent, self._level)
        if found["tab"]:
            box.heads = True
        elif not titled or (self._in_list and inner > 0):
            box.heads = False
        if not label:
            self._out.append("")
        self._after_label = bool(label)
        self._boxes.append(box)
        self._open.append(box)
        self._level, self._in_list = None, self._in_list and inner > 0
        return box

    def _close(self, indent: int) -> None:
        """Close the bodies that a line is no longer set in for."""
        before = self._closed = None
        while self._open and indent < self._open[-1].indent + _STEP:
            box = self._open.pop()
            if before is not None:
                before.follows = box
            before = self._closed = box
            self._level = box.above
            if self._fence and self._fenced_at > len(self._open):
                self._out.append(self._fence)
                self._fence = ""
        if before is not None:
            self._out.append("")

    def _follow(self, opened: _Box | None, said: str) -> None:
        """Note what the line says of the title of the note that ended with it."""
        closed = self._closed
        if closed is None or closed.heads is not None:
            return
        if opened is not None and opened.title:
            closed.follows = opened
        elif opened is not None or not _HEADING.match(said):
            closed.heads = False


def _by_depth(boxes: Sequence[_Box]) -> Iterator[_Box]:
    """Yield what others ask before them: those about a box, and those behind it."""
    yield from sorted(boxes, key=lambda box: (box.depth, -box.at))


def _below(lines: Sequence[str]) -> list[int]:
    """Return how far the next line with text below each line is set in, -1 where there is none."""
    found = [-1] * len(lines)
    for at in range(len(lines) - 2, -1, -1):
        found[at] = _indent(lines[at + 1]) if lines[at + 1].strip() else found[at + 1]
    return found


def _indent(line: str) -> int:
    blank = line[: len(line) - len(line.lstrip())]
    return len(blank.expandtabs(_STEP))
