"""Markdown (CommonMark with tables and front matter) -> blocks."""

from __future__ import annotations

import re
from collections.abc import Callable

from markdown_it import MarkdownIt
from markdown_it.token import Token

from appliance.ingest.parse import html, html_hidden, mkdocs, plain
from appliance.ingest.parse.blocks import BULLET, Blocks

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_TITLE = re.compile(r"""^title:\s*["']?(.*?)["']?\s*$""", re.M | re.I)
_TAG = re.compile(r"<[^>]*>")
_NAME = re.compile(r"<(/?)\s*([a-zA-Z][\w-]*)")
_VOID = frozenset("br img hr input wbr area col embed link meta source track".split())
_BREAK = re.compile(r"<br\s*/?>", re.I)
_BOLD_LEVEL, _BOLD_MOST = 6, 80
_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_FENCED = MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("code")


def read(data: bytes, out: Blocks) -> None:
    """Read Markdown."""
    read_text(plain.decode(data, out).replace("\f", "\n"), out)


def read_text(text: str, out: Blocks, *, strip: Callable[[str], str] | None = None) -> None:
    """Read Markdown; `strip` makes Markdown of a dialect in which no code stands but in fences."""
    if (front := _FRONT.match(text)) is not None:
        found = _TITLE.search(front[1])
        out.title = found[1] if found else ""
        text = text[front.end() :]
    _Walk(out).run(_FENCED.parse(strip(text)) if strip else _PARSER.parse(mkdocs.to_markdown(text)))


class _Walk:
    """Walks the flat list of tokens, with the lists that are open on a stack."""

    def __init__(self, out: Blocks) -> None:
        self._out = out
        self._lists: list[int | None] = []
        self._marker = ""
        self._rows: list[list[str]] = []
        self._headers = 0

    def run(self, tokens: list[Token]) -> None:
        for at, token in enumerate(tokens):
            if token.type == "inline":
                self._inline(token, tokens[at - 1])
            elif token.type in ("fence", "code_block"):
                self._out.add("code", token.content)
            elif token.type == "html_block":
                html.read_fragment(token.content, self._out)
            else:
                self._structure(token)

    def _structure(self, token: Token) -> None:
        if token.type == "ordered_list_open":
            self._lists.append(int(token.attrGet("start") or 1))
        elif token.type == "bullet_list_open":
            self._lists.append(None)
        elif token.type in ("ordered_list_close", "bullet_list_close"):
            self._lists.pop()
        elif token.type == "list_item_open":
            self._marker = self._next_marker()
        elif token.type == "tr_open":
            self._rows.append([])
        elif token.type == "thead_close":
            self._headers = len(self._rows)
        elif token.type == "table_close":
            self._out.table(self._rows, header_rows=self._headers)
            self._rows, self._headers = [], 0

    def _next_marker(self) -> str:
        number = self._lists[-1]
        if number is None:
            return BULLET
        self._lists[-1] = number + 1
        return f"{number}. "

    def _inline(self, token: Token, opened: Token) -> None:
        text = _text(token, self._out)
        if opened.type in ("th_open", "td_open"):
            self._rows[-1].append(text)
        elif opened.type == "heading_open":
            self._out.add("heading", text.replace("\n", " "), level=int(opened.tag[1:]))
        elif self._lists:
            self._out.item(self._marker, text)
            self._marker = ""
        elif _is_bold_line(token, text):
            self._out.add("heading", text, level=_BOLD_LEVEL)
        else:
            self._out.add("paragraph", text)


def _is_bold_line(token: Token, text: str) -> bool:
    """Tell whether all of a paragraph is bold and one line: many write headings so."""
    kinds = [child.type for child in token.children or () if child.type != "text" or child.content]
    bold = kinds[:1] == ["strong_open"] and kinds[-1:] == ["strong_close"] and kinds.count("strong_open") == 1
    return bold and 2 <= len(text) <= _BOLD_MOST and text[-1] not in ".,;!?" and "\n" not in text


def _text(token: Token, out: Blocks) -> str:
    pieces = []
    hidden: list[str] = []
    for child in token.children or ():
        if child.type == "html_inline":
            hidden = _within(hidden, child.content)
            if not hidden:
                pieces.append("\n" if _BREAK.fullmatch(child.content) else _TAG.sub("", child.content))
        elif hidden:
            if child.content.strip():
                out.flag(html_hidden.HIDDEN)
        elif child.type in ("softbreak", "hardbreak"):
            pieces.append("\n" if child.type == "hardbreak" else " ")
        else:
            pieces.append(child.content)
    return "".join(pieces)


def _within(hidden: list[str], tag: str) -> list[str]:
    """Return the elements open at `tag`, from the one that hides its text on; none where nothing does."""
    found = _NAME.match(tag)
    name = found[2].lower() if found else ""
    if found and found[1]:
        return hidden[:-1] if hidden and hidden[-1] == name else hidden
    if name and name not in _VOID and not tag.endswith("/>") and (hidden or html.hides(tag)):
        return [*hidden, name]
    return hidden
