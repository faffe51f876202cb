"""Plain text -> blocks: blank lines part paragraphs, a form feed ends a page."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import charset_normalizer

from appliance.ingest.parse.blocks import Blocks
from appliance.ingest.parse.outline import COLUMNS, Outline
from appliance.sentences import flows_on

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
          (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip
_SAMPLE = 200_000
_BLANK = re.compile(r"\n(?:[ \t\u00a0]*\n)+")
_ITEM = re.compile(r"\s*(?:[-*\u2022\u00b7o]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+\S")
_PAGE_LINE = re.compile(r"^[ \t]*[-=*]{2,} *page +(\d{1,5})(?: +of +\d+)? *[-=*]{2,}[ \t]*$", re.I | re.M)
_PIPE = re.compile(r"\s*\|\s*")
_RULE = re.compile(r"[\s\-=+|:]*[\-=]{3}[\s\-=+|:]*")
_COLUMNS = re.compile(r" {2,}|\t+")
_LEADER = re.compile(r"(\S.*?) ?\.(?: ?\.){3,} *(\S.*)")
_TYPED_HYPHEN = re.compile(r"[^\W\d_]-$")


def read(data: bytes, out: Blocks) -> None:
    """Read plain text."""
    pages = _pages(decode(data, out))
    while len(pages) > 1 and not pages[-1].strip():
        pages.pop()
    if len(pages) > out.bounds.pages:
        out.lose(f"pages after the first {out.bounds.pages:,}")
        del pages[out.bounds.pages :]
    out.pages = len(pages) if len(pages) > 1 else None
    parts = [(number, part) for number, page in enumerate(pages, 1) for part in _parts(page)]
    outline = Outline([part for _, part in parts], pages=len(pages))
    for (number, part), (after, following) in itertools.pairwise([*parts, (0, "")]):
        _add(out, part, number if out.pages else None, outline.heading(_lines(part), following))
        if number != after:
            outline.turn()


def _parts(page: str) -> Iterator[str]:
    return (part.strip("\n") for part in _BLANK.split(f"\n{page}\n") if part.strip())


def _pages(text: str) -> list[str]:
    """Cut at form feeds, or else at lines that say "--- PAGE 7 ---" where they count up from the top."""
    if "\f" not in text:
        before, *rest = _PAGE_LINE.split(text)
        if (
            len(rest) > 2
            and not before.strip()
            and [int(n) for n in rest[::2]] == [*range(1, len(rest) // 2 + 1)]
        ):
            return rest[1::2]
    return text.split("\f")


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


def _lines(part: str) -> list[str]:
    return [line.rstrip() for line in part.split("\n") if line.strip()]


def _add(out: Blocks, part: str, page: int | None, heading: tuple[int, int] | None) -> None:
    # Prose is set in as often as examples are: the first line's indentation makes no block preformatted.
    lines = _lines(part.lstrip(" \t\u00a0"))
    if heading is not None:
        level, count = heading
        out.add("heading", lines[0], page=page, level=level)
        lines = lines[count:]
    _add_lines(out, lines, page)


def _add_lines(out: Blocks, lines: list[str], page: int | None) -> None:
    for tabular, group in itertools.groupby(_with_rows(lines), key=lambda pair: pair[0]):
        part = [line for _, line in group]
        if not tabular:
            _add_words(out, part, page)
        elif (rows := _rows(part)) is not None:
            out.table(rows[0], page=page, header_rows=rows[1])
        else:
            out.add("code", "\n".join(part), page=page)


def _with_rows(lines: list[str]) -> list[tuple[bool, str]]:
    """Mark the lines that are rows of a table: at least two together, and the rules between them."""
    marks = [_is_row(line) for line in lines]
    alone = [not any(marks[max(at - 1, 0) : at] + marks[at + 1 : at + 2]) for at in range(len(lines))]
    return [(mark and not single, line) for mark, single, line in zip(marks, alone, lines, strict=True)]


def _is_row(line: str) -> bool:
    text = line.strip()
    piped = text.strip("|").count("|") > 0 and " | " in f" {text.strip('|')} "
    return piped or bool(_RULE.fullmatch(text) or COLUMNS.search(text) or _LEADER.fullmatch(text))


def _rows(lines: list[str]) -> tuple[list[list[str]], int] | None:
    """Return the cells and the count of header rows, or None where the columns cannot be told apart."""
    kept = [line.strip() for line in lines if not _RULE.fullmatch(line.strip())]
    ruled = len(lines) > 1 and bool(_RULE.fullmatch(lines[1].strip()))
    if kept and all("|" in line for line in kept):
        return [_PIPE.split(line.strip("| ")) for line in kept], 1 if len(kept) > 1 else 0
    leaders = [_LEADER.fullmatch(line) for line in kept]
    if kept and all(leaders):
        return [list(found.groups()) for found in leaders if found], 0
    rows = [_COLUMNS.split(line) for line in kept]
    if len(rows) < 2 or {len(row) for row in rows} != {len(rows[0])} or len(rows[0]) < 2:
        return None
    headed = ruled or (len(rows[0]) > 2 and not any(map(str.isdigit, kept[0])) and len(rows) > 2)
    return rows, int(headed)


def _add_words(out: Blocks, lines: list[str], page: int | None) -> None:
    if not lines:
        return
    if _ITEM.match(lines[0]):
        item: list[str] = []
        for line in lines:
            if item and _ITEM.match(line):
                out.add("item", _flowing(item), page=page)
                item = []
            item.append(line.strip())
        out.add("item", _flowing(item), page=page)
    elif _is_preformatted(lines):
        out.add("code", "\n".join(lines), page=page)
    else:
        out.add("paragraph", _flowing([line.strip() for line in lines]), page=page)


def _flowing(lines: list[str]) -> str:
    """Join the lines broken for want of room; a typesetter's hyphen goes, one that was typed stays."""
    text = lines[0]
    width = max(map(len, lines))
    for before, after in itertools.pairwise(lines):
        if not flows_on(before, after, width=width):
            text += "\n" + after
        elif before.endswith("\u2010"):
            text = text[:-1] + after
        else:
            text += after if _TYPED_HYPHEN.search(before) else f" {after}"
    return text


def _is_preformatted(lines: list[str]) -> bool:
    """Columns, or a block that is indented throughout: the line breaks and spaces mean something."""
    tabular = sum(bool(COLUMNS.search(line.strip())) for line in lines)
    indented = all(line.startswith(("    ", "\t")) for line in lines)
    return tabular * 2 > len(lines) or indented
