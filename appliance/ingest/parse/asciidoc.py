"""AsciiDoc -> blocks: sections, lists, examples and tables. Marks within a line stay as they are written."""

from __future__ import annotations

import re

from appliance.ingest.parse import plain
from appliance.ingest.parse.blocks import BULLET, Blocks
from appliance.ingest.parse.outline import is_underlined

_TITLE = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*)")
_UNDERLINES = "=-~^+"
_VERBATIM = re.compile(r"(-{4,}|\.{4,}|`{3,}|/{4,}|\+{4,})[\w,]*")
_UNSEEN = "/+"
"""What fences a comment, and what is passed on to another format unread."""
_AROUND = re.compile(r"={4,}|\*{4,}|_{4,}|--|'{3}|<{3}")
"""Fences about blocks, and rules."""
_TABLE = re.compile(r"\|={3,}")
_SILENT = re.compile(
    r"//(?!/).*|:!?[\w-]+!?:(?:[ \t].*)?|(?:ifdef|ifndef|ifeval|endif|toc)::[^\[]*\[.*\]|\[\[.*\]\]"
)
_INCLUDE = re.compile(r"include::[^\[]*\[.*\]")
_IMAGE = re.compile(r"image::[^\[]*\[([^\]]*)\]")
_SAID = re.compile(r"\[(.*)\]")
"""What a line above a block says of it."""
_CAUTION = re.compile(r"NOTE|TIP|IMPORTANT|WARNING|CAUTION")
_CAPTION = re.compile(r"\.([^\s.].*)")
_ITEM = re.compile(r"[ \t]*(?:([-*]{1,5})|(\.{1,5})|(\d{1,3}\.|[a-z]\.))[ \t]+(\S.*)")
_TERM = re.compile(r"[ \t]*(\S.*?)(?::{2,4}|;;)(?:[ \t]+(.*))?")
_CELL = re.compile(r"(?:(?:(?<=\s)|^)(?:\d[.\d]*[+*])?[.<^>]*[a-z]?)?(?<!\\)\|")
_COLUMNS = re.compile(r'cols="?([^"\]]*)')


def read(data: bytes, out: Blocks) -> None:
    """Read AsciiDoc."""
    walk = _Walk(out)
    for line in plain.decode(data, out).replace("\f", "\n").split("\n"):
        walk.take(line.rstrip())
    walk.end()


class _Walk:
    """Takes one line after another; `_held` are those of the paragraph, or of the item, that is open."""

    def __init__(self, out: Blocks) -> None:
        self._out = out
        self._held: list[str] = []
        self._is_item = False
        self._attached = False
        self._counts: list[int] = []
        self._said = ""
        self._lead = ""
        self._fence = ""
        self._within: list[str] = []

    def take(self, line: str) -> None:
        """Take a line without its end."""
        if self._fence:
            if line == self._fence:
                self._close()
            else:
                self._within.append(line)
        elif not line:
            self._flush()
        elif len(self._held) == 1 and line[0] in _UNDERLINES and is_underlined(self._held[0], line):
            title, self._held = self._held[0], []
            self._head(title, 1 + _UNDERLINES.index(line[0]))
        elif not (_SILENT.fullmatch(line) or self._fences(line) or (not self._held and self._is_about(line))):
            self._words(line)

    def end(self) -> None:
        """Take what is open at the end of the file."""
        self._close() if self._fence else self._flush()

    def _fences(self, line: str) -> bool:
        """Tell whether a line ends the paragraph before it: a title, a fence, or a mark that one goes on."""
        title = _TITLE.fullmatch(line)
        verbatim = _VERBATIM.fullmatch(line)
        if not (title or verbatim or _TABLE.fullmatch(line) or _AROUND.fullmatch(line) or line == "+"):
            return False
        self._flush()
        if title is not None:
            self._head(title[2].removesuffix(f" {title[1]}"), len(title[1]))
        elif verbatim is not None or _TABLE.fullmatch(line):
            self._fence, self._within = verbatim[1] if verbatim else line, []
        self._attached = line == "+"
        return True

    def _is_about(self, line: str) -> bool:
        """Tell whether a line outside of paragraphs is about the text, and none of it."""
        if _INCLUDE.fullmatch(line):
            self._out.lose("the text of a file that it includes")
        elif (image := _IMAGE.fullmatch(line)) is not None:
            self._out.add("paragraph", image[1].partition(",")[0])
        elif (said := _SAID.fullmatch(line)) is not None:
            self._said = said[1]
            caution = _CAUTION.match(said[1])
            self._lead = f"{caution[0].capitalize()}: " if caution else self._lead
        elif (caption := _CAPTION.fullmatch(line)) is not None:
            self._out.add("paragraph", caption[1])
        else:
            return False
        return True

    def _words(self, line: str) -> None:
        item = _ITEM.fullmatch(line)
        term = None if item or (self._held and not self._is_item) else _TERM.fullmatch(line)
        if item is None and term is None:
            self._held.append(line)
            return
        self._flush()
        self._is_item = True
        if item is not None:
            self._held = [f"{self._marker(item)}{item[4]}"]
        elif term is not None:
            self._held = [f"{term[1]}:", *([term[2]] if term[2] else [])]

    def _marker(self, item: re.Match[str]) -> str:
        if not item[2]:
            return f"{item[3]} " if item[3] else BULLET
        depth = len(item[2])
        self._counts = [*self._counts, *[0] * depth][:depth]
        self._counts[-1] += 1
        return f"{self._counts[-1]}. "

    def _head(self, title: str, level: int) -> None:
        self._counts, self._lead, self._said = [], "", ""
        self._out.add("heading", title, level=level)

    def _flush(self) -> None:
        if not self._held:
            return
        if self._held[0][0].isspace() and not self._is_item:
            self._out.add("code", "\n".join(self._held))
        else:
            text = "\n".join(line.strip() for line in self._held)
            flowing = re.sub(r"(?<! \+)\n", " ", text).replace(" +\n", "\n")
            if not (self._is_item or self._attached):
                self._counts = []  # the list is at its end, and the next begins with 1
            self._out.add("item" if self._is_item else "paragraph", self._lead + flowing)
            self._lead = ""
        self._held, self._is_item, self._attached, self._said = [], False, False, ""

    def _close(self) -> None:
        fence, self._fence = self._fence, ""
        if _TABLE.fullmatch(fence):
            rows, headers = _rows(self._within, self._said)
            self._out.table(rows, header_rows=headers)
        elif fence[0] not in _UNSEEN:
            self._out.add("code", "\n".join(self._within))
        self._said, self._within = "", []


def _rows(lines: list[str], said: str) -> tuple[list[list[str]], int]:
    """Return a table's rows and how many of them are its header; `said` may name the columns."""
    parts: list[list[str]] = []
    first = 0
    for line in lines:
        before, *more = _CELL.split(line)
        if parts:
            parts[-1].append(before)
        parts += ([cell] for cell in more)
        first = first or len(more)
    cells = [" ".join(part) for part in parts]
    named = _COLUMNS.search(said)
    count = _columns(named[1]) if named else first
    rows = [cells[at : at + count] for at in range(0, len(cells), max(count, 1))]
    headed = "header" in said or (len(lines) > 1 and bool(lines[0]) and not lines[1])
    return rows, int(headed and len(rows) > 1)


def _columns(said: str) -> int:
    parts = [re.match(r"\s*(\d{1,2})\*", part) for part in said.split(",")]
    return sum(int(part[1]) if part else 1 for part in parts)
