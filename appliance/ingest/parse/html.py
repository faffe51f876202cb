"""HTML -> blocks. What a browser would not show is left out, and hidden text is flagged.

This file alone names the engine. Nesting is walked with a stack, so that depth costs no recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from appliance.ingest.parse import plain
from appliance.ingest.parse.blocks import Blocks, one_line
from appliance.types import BlockKind

_SILENT = frozenset(
    ("script", "style", "template", "noscript", "head", "iframe", "object", "svg", "-comment", "!doctype")
)
_HEADINGS = {f"h{depth}": depth for depth in range(1, 7)}
_BREAKING = frozenset(
    "address article aside blockquote body center dd details div dl dt fieldset figcaption figure footer "
    "form header hr html li main nav ol option p section summary ul legend".split()
)
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])", re.I
)
_MOST_MERGED = 60
_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?([\w-]+)""", re.I)


def read(data: bytes, out: Blocks) -> None:
    """Read an HTML document."""
    declared = _CHARSET.search(data[:4096])
    text = _declared(data, declared[1].decode("ascii")) if declared else None
    tree = LexborHTMLParser(text if text is not None else plain.decode(data, out))
    if tree.head is not None and (title := tree.head.css_first("title")) is not None:
        out.title = one_line(title.text())
    if tree.body is not None:
        _Walk(out).run(tree.body)


def read_fragment(text: str, out: Blocks) -> None:
    """Read a piece of HTML inside another format."""
    body = LexborHTMLParser(text).body
    if body is not None:
        _Walk(out).run(body)


def _declared(data: bytes, charset: str) -> str | None:
    try:
        return data.decode(charset)
    except (LookupError, UnicodeDecodeError):
        return None


class _Walk:
    """Collects running text until a tag ends the block that it belongs to."""

    def __init__(self, out: Blocks) -> None:
        self._out = out
        self._text: list[str] = []
        self._kind: BlockKind = "paragraph"
        self._level = 0
        self._term = 0

    def run(self, top: LexborNode) -> None:
        # Each entry is a node to enter, or the tag of one that ends.
        stack: list[LexborNode | str] = [top]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                self._leave(item)
                continue
            tag = item.tag or ""
            if tag == "-text":
                self._text.append(item.text_content or "")
            elif not self._whole(item, tag):
                self._enter(tag)
                stack.append(tag)
                stack.extend(reversed(list(_children(item))))
        self._flush()

    def _whole(self, node: LexborNode, tag: str) -> bool:
        """Deal at once with what is left out, tables and preformatted text."""
        if tag in _SILENT:
            return True
        if _is_hidden(node):
            if one_line(node.text(deep=True)):
                self._out.flag("hidden text, left out")
            return True
        if tag == "pre":
            self._flush()
            self._out.add("code", node.text(deep=True))
            return True
        if tag == "table" and node.css_first("table table") is None:
            self._flush()
            self._table(node)
            return True
        if tag in ("br", "img"):
            self._text.append("\n" if tag == "br" else f" {node.attributes.get('alt') or ''} ")
            return True
        return False

    def _enter(self, tag: str) -> None:
        if tag in ("dd", "dt", "p", "div") and self._names():
            return
        if tag in _HEADINGS:
            self._flush()
            self._kind, self._level = "heading", _HEADINGS[tag]
        elif tag in ("li", "dd", "dt"):
            self._flush()
            self._kind = "item"
        elif tag in _BREAKING or tag in ("table", "tr"):
            kind = self._kind if tag in ("p", "div") and not "".join(self._text).strip() else "paragraph"
            self._flush()
            self._kind = kind
        elif tag in ("td", "th"):
            self._text.append(" ")

    def _leave(self, tag: str) -> None:
        if tag == "dt" and "".join(self._text).strip():
            self._text.append(": ")  # what is said of it follows, and belongs to it
            self._term = len(self._text)
        elif tag in _HEADINGS or tag in _BREAKING or tag in ("table", "tr"):
            self._flush()

    def _flush(self) -> None:
        lines = (
            (one_line(line) for line in "".join(self._text).replace("\r", "").split("\n"))
            if self._text
            else ()
        )
        self._out.add(self._kind, " ".join(line for line in lines if line), level=self._level)
        self._text, self._kind, self._level, self._term = [], "paragraph", 0, 0

    def _names(self) -> bool:
        """Tell whether all that was read since the last flush is a term, of which nothing was said yet."""
        return self._term > 0 and not "".join(self._text[self._term :]).strip()

    def _table(self, table: LexborNode) -> None:
        rows: list[list[str]] = []
        headers = 0
        merged: dict[int, tuple[int, str]] = {}
        for row in table.css("tr"):
            found = [cell for cell in _children(row) if cell.tag in ("td", "th")]
            rows.append(_row(found, merged))
            if headers == len(rows) - 1 and found and all(cell.tag == "th" for cell in found):
                headers += 1
        caption = table.css_first("caption")
        if caption is not None:
            self._out.add("paragraph", one_line(caption.text(deep=True)))
        if len(rows) == 1 or all(len(row) < 2 for row in rows):
            for text in (cell for row in rows for cell in row):
                self._out.add("paragraph", text)
        else:
            self._out.table(rows, header_rows=headers if headers < len(rows) else 0)


def _row(cells: list[LexborNode], merged: dict[int, tuple[int, str]]) -> list[str]:
    """Return a row's cells; `merged` maps a column to how many rows more a cell above speaks for, and it."""
    row: list[str] = []
    for cell in cells:
        _go_on(row, merged)
        text = one_line(_shown(cell))
        for _ in range(_span(cell, "colspan")):
            merged[len(row)] = (_span(cell, "rowspan") - 1, text)
            row.append(text if cell.tag == "th" or not row or _span(cell, "colspan") == 1 else "")
    _go_on(row, merged)
    return row


def _go_on(row: list[str], merged: dict[int, tuple[int, str]]) -> None:
    while (at := merged.get(len(row), (0, "")))[0] > 0:
        merged[len(row)] = (at[0] - 1, at[1])
        row.append(at[1])


def _span(cell: LexborNode, name: str) -> int:
    value = cell.attributes.get(name) or ""
    return min(max(int(value), 1), _MOST_MERGED) if value.isascii() and value.isdigit() else 1


def _shown(node: LexborNode) -> str:
    """Return the text of a cell without what is not shown."""
    pieces: list[str] = []
    stack = [node]
    while stack:
        item = stack.pop()
        tag = item.tag or ""
        if tag == "-text":
            pieces.append(item.text_content or "")
        elif tag in ("br", "p", "li", "div"):
            pieces.append(" ")
        if tag not in _SILENT and not _is_hidden(item):
            stack.extend(reversed(list(_children(item))))
    return "".join(pieces)


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.child
    while child is not None:
        yield child
        child = child.next


def _is_hidden(node: LexborNode) -> bool:
    found = node.attributes
    return bool(found) and ("hidden" in found or bool(_HIDDEN.search(found.get("style") or "")))
