"""What every reader fills: blocks in reading order, within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.errors import NoText
from appliance.types import Block, BlockKind, Parsed

BULLET = "- "
"""What an unnumbered item begins with in every document: that it is one is told by the text alone."""
_SPACES = re.compile(r"\s+")
_RUNS = re.compile(r"[ \t]*\t[ \t]*|  +")
_LONGEST = 1_000_000
"""Characters in one block; a longer one is cut at a line end."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one document may hold. `ratio` is bytes inflated for each byte stored, in a zip."""

    file_bytes: int = 512_000_000
    pages: int = 10_000
    characters: int = 50_000_000
    blocks: int = 500_000
    inflated: int = 500_000_000
    ratio: int = 200


class Full(Exception):
    """The document has reached a bound; what was read so far counts."""


class Blocks:
    """Collect blocks, and what was lost or looks meant to deceive."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.title = ""
        self.pages: int | None = None
        self.blocks: list[Block] = []
        self.lost: list[str] = []
        self.flags: list[str] = []
        self._room = bounds.characters

    def add(
        self, kind: BlockKind, text: str, *, page: int | None = None, level: int = 0, header_rows: int = 0
    ) -> None:
        """Append a block; one without text is dropped.

        Raises:
            Full: the document holds more characters or blocks than it may.
        """
        text = text.strip("\n") if kind in ("code", "table") else _RUNS.sub(" ", text).strip()
        if not text.strip():
            return
        # Each costs the process that holds the key two hundred times its letter.
        if len(self.blocks) >= self.bounds.blocks:
            self.lose(f"text beyond the first {self.bounds.blocks:,} paragraphs")
            raise Full
        for part in _parts(text[: self._room]):
            self.blocks.append(Block(kind, part, page=page, level=level, header_rows=header_rows))
        self._room -= len(text)
        if self._room <= 0:
            self.lose(f"text beyond the first {self.bounds.characters:,} characters")
            raise Full

    def item(self, mark: str, text: str, *, page: int | None = None) -> None:
        """Append a list's item behind its mark, a number or BULLET; one without text is dropped.

        Raises:
            Full: the document holds more characters or blocks than it may.
        """
        if text.strip():
            self.add("item", mark + text, page=page)

    def table(self, rows: Iterable[Sequence[str]], *, page: int | None = None, header_rows: int = 0) -> None:
        """Append a table; a long one is cut into several, each with the header."""
        lines = [line for line in map(row_line, rows) if line]
        header, body = lines[:header_rows], lines[header_rows:]
        room = _LONGEST - sum(len(line) + 1 for line in header)
        part: list[str] = []
        for line in body:
            if part and room < len(line) + 1:
                self.add("table", "\n".join(header + part), page=page, header_rows=len(header))
                room, part = _LONGEST - sum(len(each) + 1 for each in header), []
            part.append(line)
            room -= len(line) + 1
        self.add("table", "\n".join(header + part), page=page, header_rows=len(header))

    def lose(self, what: str) -> None:
        """Note in words what could not be read."""
        if what not in self.lost:
            self.lost.append(what)

    def flag(self, what: str) -> None:
        """Note in words what looks meant to deceive."""
        if what not in self.flags:
            self.flags.append(what)

    def done(self, name: str) -> Parsed:
        """Return what was collected; the title falls back to the first heading, then to `name`.

        Raises:
            NoText: there is no block.
        """
        if not self.blocks:
            raise NoText(f"No text was found{': ' + '; '.join(self.lost) if self.lost else ''}.")
        headings = (block.text for block in self.blocks[:20] if block.kind == "heading")
        title = one_line(self.title) or one_line(next(headings, "")) or name
        return Parsed(
            title=title[:300],
            blocks=tuple(self.blocks),
            pages=self.pages,
            lost=tuple(self.lost),
            flags=tuple(self.flags),
        )


def one_line(text: str) -> str:
    """Return `text` with every run of white space made one space."""
    return _SPACES.sub(" ", text).strip()


def row_line(cells: Sequence[str]) -> str:
    """Return a table row as one line, cells parted by " | "; "" where all are empty."""
    cleaned = [one_line(cell).replace(" | ", " / ") for cell in cells]
    return " | ".join(cleaned).strip() if any(cleaned) else ""


def _parts(text: str) -> list[str]:
    parts = []
    while len(text) > _LONGEST:
        cut = max(text.rfind("\n", 0, _LONGEST), text.rfind(" ", 0, _LONGEST)) + 1 or _LONGEST
        parts.append(text[:cut].rstrip())
        text = text[cut:]
    return [*parts, text]
