"""Plain text -> blocks: blank lines part paragraphs, a form feed ends a page."""

from __future__ import annotations

import re

import charset_normalizer

from appliance.ingest.parse.blocks import Blocks

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
          (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip
_SAMPLE = 200_000
_BLANK = re.compile(r"\n[ \t\u00a0]*(?:\n[ \t\u00a0]*)+")
_ITEM = re.compile(r"\s*(?:[-*\u2022\u00b7o]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+\S")
_NUMBERED = re.compile(
    r"(?:(?:chapter|section|part|appendix|annex)\s+[\dA-Z]+\b|\d+(?:\.\d+){0,4}\.?\s+)[^.!?]*$", re.I
)
_UNDERLINE = re.compile(r"^(.{2,100})\n([=\-~^*#])\2{2,}$")
_TABULAR = re.compile(r"\S(?: {3,}|\t)\S")


def read(data: bytes, out: Blocks) -> None:
    """Read plain text."""
    pages = decode(data, out).split("\f")
    while len(pages) > 1 and not pages[-1].strip():
        pages.pop()
    if len(pages) > out.bounds.pages:
        out.lose(f"pages after the first {out.bounds.pages:,}")
        del pages[out.bounds.pages :]
    out.pages = len(pages) if len(pages) > 1 else None
    for number, page in enumerate(pages, 1):
        for part in _BLANK.split("\n" + page):
            _add(out, part.strip("\n"), number if out.pages else None)


def decode(data: bytes, out: Blocks) -> str:
    """Return `data` as text with plain newlines; what no charset explains is replaced and noted as lost."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _newlines(_lossy(data, name, out))
    try:
        return _newlines(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        # A file cut in the middle of a character, or with one bad byte, is UTF-8 all the same.
        if error.start > len(data) - 4 or data.decode("utf-8", "replace").count("\ufffd") * 1000 < len(data):
            return _newlines(_lossy(data, "utf-8", out))
    best = charset_normalizer.from_bytes(data[:_SAMPLE]).best()
    return _newlines(_lossy(data, best.encoding if best else "cp1252", out))


def _lossy(data: bytes, name: str, out: Blocks) -> str:
    text = data.decode(name, "replace")
    if (bad := text.count("\ufffd") - data.count(b"\xef\xbf\xbd")) > 0:
        out.lose(f"{bad} bytes that are no {name.removesuffix('-sig')} text")
    return text


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _add(out: Blocks, part: str, page: int | None) -> None:
    lines = [line.rstrip() for line in part.split("\n") if line.strip()]
    if not lines:
        return
    if (underlined := _UNDERLINE.match("\n".join(lines[:2]))) is not None:
        out.add("heading", underlined[1], page=page, level=1 if underlined[2] == "=" else 2)
        lines = lines[2:]
    elif len(lines) == 1 and _is_heading(lines[0]):
        out.add("heading", lines[0], page=page, level=_level(lines[0]))
        return
    _add_lines(out, lines, page)


def _add_lines(out: Blocks, lines: list[str], page: int | None) -> None:
    if not lines:
        return
    if _ITEM.match(lines[0]):
        item: list[str] = []
        for line in lines:
            if item and _ITEM.match(line):
                out.add("item", "\n".join(item), page=page)
                item = []
            item.append(line.strip())
        out.add("item", "\n".join(item), page=page)
    elif _is_preformatted(lines):
        out.add("code", "\n".join(lines), page=page)
    else:
        out.add("paragraph", "\n".join(line.strip() for line in lines), page=page)


def _is_preformatted(lines: list[str]) -> bool:
    """Columns, or a block that is indented throughout: the line breaks and spaces mean something."""
    tabular = sum(bool(_TABULAR.search(line.strip())) for line in lines)
    indented = all(line.startswith(("    ", "\t")) for line in lines)
    return tabular * 2 > len(lines) or indented


def _is_heading(line: str) -> bool:
    text = line.strip()
    if line[:1].isspace() or not 2 <= len(text) <= 80 or text[-1] in ".,;:?!" or _TABULAR.search(text):
        return False
    letters = sum(char.isalpha() for char in text)
    if letters < 2:
        return False
    return bool(_NUMBERED.match(text)) or (text.isupper() and letters * 2 > len(text))


def _level(line: str) -> int:
    number = re.match(r"\s*\d+((?:\.\d+)*)", line)
    return 1 + number[1].count(".") if number else 1
