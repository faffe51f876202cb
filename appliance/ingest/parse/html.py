"""HTML -> blocks. What a browser would not show is left out, and hidden text is flagged.

This file alone names the engine. Nesting is walked with a stack, so that depth costs no recursion.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from appliance.ingest.parse import html_hidden, plain
from appliance.ingest.parse.blocks import BULLET, Blocks, one_line
from appliance.sentences import ITEM
from appliance.types import BlockKind

_SILENT = frozenset(
    ("script", "style", "template", "noscript", "head", "iframe", "object", "svg", "-comment", "!doctype")
)
_HEADINGS = {f"h{depth}": depth for depth in range(1, 7)}
_BREAKING = frozenset(
    "address article aside blockquote body center dd details div dl dt fieldset figcaption figure footer "
    "form header hr html li main nav ol option p section summary ul legend".split()
)
_MAY_HIDE = re.compile(r"<style|\bstyle\s*=|\bhidden\b|\b(?:bg)?color\s*=", re.I)
_PERMALINKS = frozenset("#\xb6\xa7\N{LINK SYMBOL}")
_WRAPPED = 3
"""Elements that may stand around such a mark: more would cost the square of how deep they are."""
_NUMBER = re.compile(r"[0-9]{1,6}")
_COUNTED = re.compile(rf"{ITEM.pattern}|\d+(?:\.\w+){{2,}}\.?\s|\d+\.\d+\.\s+[A-Z]")
"""An item that has its mark in its text, as clauses have their numbers: the list gives it no other."""
_MOST_RULES = 2_000
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
        _Walk(out, _hidden(tree, out)).run(tree.body)


def read_fragment(text: str, out: Blocks) -> None:
    """Read a piece of HTML inside another format."""
    tree = LexborHTMLParser(text)
    if tree.body is not None:
        _Walk(out, _hidden(tree, out)).run(tree.body)


def hides(tag: str) -> bool:
    """Tell whether an opening tag, as Markdown has them in the middle of a line, hides what follows."""
    body = LexborHTMLParser(tag).body if _MAY_HIDE.search(tag) else None
    node = body.child if body is not None else None
    return node is not None and _is_hidden(node, "", _Paint(html_hidden.BLACK, html_hidden.WHITE))


def _declared(data: bytes, charset: str) -> str | None:
    try:
        return data.decode(charset)
    except (LookupError, UnicodeDecodeError):
        return None


class _Paint(NamedTuple):
    """The colours that an element inherits."""

    ink: html_hidden.Colour | None
    ground: html_hidden.Colour | None


def _hidden(tree: LexborHTMLParser, out: Blocks) -> frozenset[int]:
    """Return the elements that a browser would not show, by their addresses, and flag those with text."""
    if tree.body is None or not _MAY_HIDE.search(tree.html or ""):
        return frozenset()
    sheet = _sheet(tree)
    scripted = tree.css_first("script") is not None
    found = set()
    stack = [(tree.body, _Paint(html_hidden.BLACK, html_hidden.WHITE))]
    while stack:
        node, paint = stack.pop()
        if node.tag in _SILENT or node.tag == "-text":
            continue
        style = sheet.get(node.mem_id, "")
        if _is_hidden(node, style, paint):
            # What only a sheet hides, and a script may show, is kept: half of a manual can stand in its tabs.
            certain = not (scripted and style) or _is_hidden(node, "", paint)
            if certain:
                found.add(node.mem_id)
            if one_line(node.text(deep=True)):
                out.flag(html_hidden.HIDDEN if certain else html_hidden.PERHAPS)
            continue
        paint = _painted(node, style, paint)
        stack.extend((child, paint) for child in _children(node))
    return frozenset(found)


def _sheet(tree: LexborHTMLParser) -> dict[int, str]:
    """Return what style sheets in the document say of each element, by its address."""
    said: dict[int, str] = {}
    text = "\n".join(node.text(deep=True) for node in tree.css("style"))
    for selector, body in html_hidden.rules(text)[:_MOST_RULES]:
        if ":" in selector or not (html_hidden.is_gone(body) or "color" in body or "background" in body):
            continue  # what happens under a pointer is no matter
        with contextlib.suppress(
            Exception
        ):  # the engine has one kind of error for selectors it does not know
            for node in tree.css(selector):
                said[node.mem_id] = f"{said.get(node.mem_id, '')};{body}"
    return said


def _is_hidden(node: LexborNode, sheet: str, paint: _Paint) -> bool:
    attributes = node.attributes
    style = f"{sheet};{attributes.get('style') or ''}"
    if "hidden" in attributes or html_hidden.is_gone(style) or html_hidden.is_transparent(style):
        return True
    own = _painted(node, sheet, paint)
    if own.ink is None or own.ground is None or not html_hidden.alike(own.ink, own.ground):
        return False
    # One with no text of its own may hold some in other colours: its children are looked at themselves.
    return any(child.tag == "-text" and (child.text_content or "").strip() for child in _children(node))


def _painted(node: LexborNode, sheet: str, paint: _Paint) -> _Paint:
    attributes = node.attributes
    style = f"{sheet};{attributes.get('style') or ''}"
    (inked, ink), (grounded, ground) = (
        html_hidden.ink(style, attributes),
        html_hidden.ground(style, attributes),
    )
    return _Paint(ink if inked else paint.ink, ground if grounded else paint.ground)


class _Walk:
    """Collects running text until a tag ends the block that it belongs to."""

    def __init__(self, out: Blocks, hidden: frozenset[int]) -> None:
        self._out = out
        self._hidden = hidden
        self._text: list[str] = []
        self._kind: BlockKind = "paragraph"
        self._level = 0
        self._term = 0
        self._lists: list[int | None] = []
        """The number that an item of each open list is to have, None where it has none."""
        self._mark = ""

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
                self._enter(item, tag)
                stack.append(tag)
                stack.extend(reversed(list(_children(item))))
        self._flush()

    def _whole(self, node: LexborNode, tag: str) -> bool:
        """Deal at once with what is left out, tables and preformatted text."""
        if tag in _SILENT or node.mem_id in self._hidden or (self._level and _is_permalink(node, tag)):
            return True
        if tag == "pre":
            self._flush()
            self._out.add("code", _shown(node, self._hidden, apart=False))
            return True
        if tag == "table" and node.css_first("table table") is None:
            self._flush()
            self._table(node)
            return True
        if tag in ("br", "img"):
            self._text.append("\n" if tag == "br" else f" {node.attributes.get('alt') or ''} ")
            return True
        return False

    def _enter(self, node: LexborNode, tag: str) -> None:
        if tag in ("dd", "dt", "p", "div") and self._names():
            return
        if tag in _HEADINGS:
            self._flush()
            self._kind, self._level = "heading", _HEADINGS[tag]
        elif tag in ("li", "dd", "dt"):
            self._flush()
            self._kind, self._mark = "item", self._next_mark(node) if tag == "li" else ""
        elif tag in _BREAKING or tag in ("table", "tr"):
            kind = self._kind if tag in ("p", "div") and not "".join(self._text).strip() else "paragraph"
            self._flush()
            self._kind = kind
            if tag in ("ol", "ul"):
                self._lists.append(_first_number(node) if tag == "ol" else None)
        elif tag in ("td", "th"):
            self._text.append(" ")

    def _next_mark(self, item: LexborNode) -> str:
        """Return what the item begins with: its number, where the list counts in figures."""
        number = self._lists[-1] if self._lists else None
        if number is None:
            return BULLET
        own = item.attributes.get("value") or ""
        number = int(own) if _NUMBER.fullmatch(own) else number
        self._lists[-1] = number + 1
        return f"{number}. "

    def _leave(self, tag: str) -> None:
        if tag == "dt" and "".join(self._text).strip():
            self._text.append(": ")  # what is said of it follows, and belongs to it
            self._term = len(self._text)
        elif tag in _HEADINGS or tag in _BREAKING or tag in ("table", "tr"):
            self._flush()
            if tag in ("ol", "ul"):
                self._lists.pop()

    def _flush(self) -> None:
        lines = (
            (one_line(line) for line in "".join(self._text).replace("\r", "").split("\n"))
            if self._text
            else ()
        )
        text = " ".join(line for line in lines if line)
        if self._kind == "item":
            self._out.item("" if _COUNTED.match(text) else self._mark, text)
        else:
            self._out.add(self._kind, text, level=self._level)
        self._mark = "" if text else self._mark
        self._text, self._kind, self._level, self._term = [], "paragraph", 0, 0

    def _names(self) -> bool:
        """Tell whether all that was read since the last flush is a term, of which nothing was said yet."""
        return self._term > 0 and not "".join(self._text[self._term :]).strip()

    def _table(self, table: LexborNode) -> None:
        rows: list[list[str]] = []
        headers = 0
        merged: dict[int, tuple[int, str]] = {}
        for row in table.css("tr"):
            if row.mem_id in self._hidden:
                continue
            found = [cell for cell in _children(row) if cell.tag in ("td", "th")]
            rows.append(_row(found, merged, self._hidden))
            if headers == len(rows) - 1 and found and all(cell.tag == "th" for cell in found):
                headers += 1
        caption = table.css_first("caption")
        if caption is not None:
            self._out.add("paragraph", one_line(_shown(caption, self._hidden)))
        if len(rows) == 1 or all(len(row) < 2 for row in rows):
            for text in (cell for row in rows for cell in row):
                self._out.add("paragraph", text)
        else:
            self._out.table(rows, header_rows=headers if headers < len(rows) else 0)


def _first_number(ordered: LexborNode) -> int | None:
    """Return the number that an ordered list begins with; None where it counts in letters, or backwards."""
    said = ordered.attributes
    if (said.get("type") or "1") != "1" or "reversed" in said or "list-style" in (said.get("style") or ""):
        return None
    start = said.get("start") or ""
    return int(start) if _NUMBER.fullmatch(start) else 1


def _is_permalink(node: LexborNode, tag: str) -> bool:
    """Tell whether an element of a heading is the mark that leads to the heading itself."""
    if tag != "a" or not (node.attributes.get("href") or "").startswith("#"):
        return False
    for _ in range(_WRAPPED):
        if node.child is None or node.child.tag == "-text" or node.child.next is not None:
            break
        node = node.child
    return node.text(deep=False).strip() in _PERMALINKS


def _row(cells: list[LexborNode], merged: dict[int, tuple[int, str]], hidden: frozenset[int]) -> list[str]:
    """Return a row's cells; `merged` maps a column to how many rows more a cell above speaks for, and it."""
    row: list[str] = []
    for cell in cells:
        _go_on(row, merged)
        text = one_line(_shown(cell, hidden))
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


def _shown(node: LexborNode, hidden: frozenset[int], *, apart: bool = True) -> str:
    """Return the text below `node` without what is not shown; `apart` sets a space between its parts."""
    pieces: list[str] = []
    stack = [node]
    while stack:
        item = stack.pop()
        tag = item.tag or ""
        if tag == "-text":
            pieces.append(item.text_content or "")
        elif tag == "br":
            pieces.append(" " if apart else "\n")
        elif tag in ("p", "li", "div") and apart:
            pieces.append(" ")
        if tag not in _SILENT and item.mem_id not in hidden:
            stack.extend(reversed(list(_children(item))))
    return "".join(pieces)


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.child
    while child is not None:
        yield child
        child = child.next
