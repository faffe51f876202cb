"""Lines -> stretches of prose and tables: rows are lines whose words stand in columns.

Only what is clearly a table becomes one: at least three rows, or two of three columns, whose cells begin or
end at the same places. Everything else stays lines, so that no text is lost to a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from appliance.ingest.parse.pdf_page import Line, Word

_GAP = 0.95
"""A gap between words, in heights of the type, that parts two cells."""
_SLACK = 5.0
"""Points by which the beginnings, ends or middles of a column's cells may differ."""
_CUT = "\x02"
"""Ends the text of a cell whose last word goes on in the next line."""
_LONGEST = 1000
"""Lines in one table: a hostile page of a million lines must not cost their square."""
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[^\W\d_]{2}")
_LEADER = re.compile(r"(?:\s*[.\u2026\u00b7_]){4,}")
_BULLET = re.compile(r"(?:\W|\(?(?:\d{1,2}|[a-zA-Z]|[ivx]{1,4})[.)]|(?:\d+|[A-Z])(?:\.\d+)+\.?|o)")


class _Cell(NamedTuple):
    left: float
    right: float
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; the first `header_rows` name the columns."""

    rows: list[list[str]]
    header_rows: int


def parts(lines: list[Line]) -> Iterator[list[Line] | Table]:
    """Yield stretches of lines, and the tables between them, in order."""
    prose: list[Line] = []
    at = 0
    while at < len(lines):
        end = _run(lines, at)
        table = _table(lines[at:end]) if end - at >= 2 else None
        if table is None:
            prose.append(lines[at])
            at += 1
            continue
        if prose:
            yield prose
            prose = []
        yield table
        at = end
    if prose:
        yield prose


def cells(line: Line) -> list[_Cell]:
    """Cut a line at its wide gaps."""
    found: list[list[Word]] = [[line.words[0]]]
    for before, word in zip(line.words, line.words[1:], strict=False):
        if word.left - before.right > _GAP * line.size:
            found.append([word])
        else:
            found[-1].append(word)
    # A bullet or a number stands apart from its own text: that gap makes no column.
    if len(found) > 1 and len(found[0]) == 1 and _BULLET.fullmatch(found[0][0].text):
        found[0:2] = [found[0] + found[1]]
    texts = [" ".join(word.text for word in group) for group in found]
    if line.hyphen:
        texts[-1] += _CUT
    return [_Cell(group[0].left, group[-1].right, text) for group, text in zip(found, texts, strict=True)]


def _run(lines: list[Line], start: int) -> int:
    """Return the end of the stretch from `start` that may be one table."""
    if not _is_row(lines[start]):
        return start
    columns = cells(lines[start])
    top = lines[start].low
    end = start + 1
    while end < len(lines) and end - start < _LONGEST:
        line, above = lines[end], lines[end - 1]
        found = cells(line)
        if _LEADER.search(line.text):
            break
        if len(found) == 1:
            if not _goes_on(columns, line, above=above, top=top):
                break
        elif (
            not 0 < top - line.low < 12 * line.size
            or above.low - line.low > 3.2 * line.size
            or not _fits(columns, found)
        ):
            break
        else:
            columns = _widened(columns, found)
            top = line.low
        end += 1
    return end


def _goes_on(columns: list[_Cell], line: Line, *, above: Line, top: float) -> bool:
    """Tell whether `line` goes on in a cell of the row that begins at `top`: below or beside `above`."""
    cell = cells(line)[0]
    if line.left < columns[0].right or _column(columns, cell) is None:
        return False
    drop = above.low - line.low
    beside = drop <= 0 and line.left > above.right and line.low < top - 0.3 * line.size
    return beside or 0 < drop <= 1.6 * line.size


def _is_row(line: Line) -> bool:
    return len(cells(line)) > 1 and not _LEADER.search(line.text)


def _fits(columns: list[_Cell], found: list[_Cell]) -> bool:
    return sum(_column(columns, cell) is not None for cell in found) * 2 > len(found)


def _column(columns: list[_Cell], cell: _Cell) -> int | None:
    """Return the column that `cell` stands in: by its beginning, end or middle, else by overlap alone."""
    for at, column in enumerate(columns):
        if (
            abs(column.left - cell.left) < _SLACK
            or abs(column.right - cell.right) < _SLACK
            or abs(column.left + column.right - cell.left - cell.right) < 2 * _SLACK
        ):
            return at
    over = [at for at, column in enumerate(columns) if column.left < cell.right and cell.left < column.right]
    return over[0] if len(over) == 1 else None


def _widened(columns: list[_Cell], found: list[_Cell]) -> list[_Cell]:
    """Let the columns grow to hold the row's cells; a cell between two columns becomes one of its own."""
    grown = list(columns)
    for cell in found:
        at = _column(grown, cell)
        if at is None:
            grown.append(cell)
        else:
            grown[at] = _Cell(min(grown[at].left, cell.left), max(grown[at].right, cell.right), "")
    return sorted(grown)


def _table(lines: list[Line]) -> Table | None:
    found = [cells(line) for line in lines]
    columns = found[0]
    for row in found[1:]:
        if len(row) > 1:
            columns = _widened(columns, row)
    rows: list[list[str]] = []
    for row in found:
        if len(row) == 1 and rows:
            _continue(rows[-1], columns, row[0])
            continue
        rows.append(_placed(columns, row))
    if not _is_clear(rows):
        return None
    rows = [[cell.replace(_CUT, "-") for cell in row] for row in rows]
    return Table(rows, headers(rows, first_bold=lines[0].bold, last_bold=lines[-1].bold))


def _placed(columns: list[_Cell], row: list[_Cell]) -> list[str]:
    texts = [""] * len(columns)
    last = 0
    for cell in row:
        at = _column(columns, cell)
        last = max(last, at if at is not None else last)
        texts[last] = f"{texts[last]} {cell.text}".strip()
    return texts


def _continue(above: list[str], columns: list[_Cell], cell: _Cell) -> None:
    at = _column(columns, cell) or 0
    # Whether the hyphen belonged to the word nobody can tell in so narrow a column: most often it did not.
    above[at] = (
        above[at].removesuffix(_CUT) + cell.text
        if above[at].endswith(_CUT)
        else f"{above[at]} {cell.text}".strip()
    )


def _is_clear(rows: list[list[str]]) -> bool:
    if len(rows) < 2 or (len(rows) == 2 and len(rows[0]) < 3):
        return False
    if len(rows[0]) > 30:
        return False
    filled = sum(bool(cell) for row in rows for cell in row)
    lengths = sorted(len(cell) for row in rows for cell in row if cell)
    # Two columns of prose side by side are no table.
    prose = len(rows[0]) == 2 and lengths[len(lengths) // 4] > 40
    return not prose and filled * 2 >= len(rows) * len(rows[0])


def headers(rows: list[list[str]], *, first_bold: bool, last_bold: bool) -> int:
    """Return 1 if the first row names the columns, else 0."""
    if first_bold and not last_bold:
        return 1
    if sum(map(bool, rows[0])) < min(2, (len(rows[0]) + 1) // 2):
        return 0  # one cell names no columns: it may be the tail of a row that the page's end cuts
    if "".join(rows[0]).isupper() and not "".join(rows[-1]).isupper():
        return 1
    numbers = [any(_DIGIT.search(cell) for cell in row) for row in rows]
    if not numbers[0]:
        return 1 if sum(numbers[1:]) * 2 >= len(rows) - 1 else 0
    named = [column for column in zip(*rows, strict=True) if column[0]]
    return 1 if sum(map(_is_named, named)) * 2 > len(named) else 0


def _is_named(column: Sequence[str]) -> bool:
    """Tell whether letters stand over numbers: a model's name may well hold a digit."""
    below = [cell for cell in column[1:] if cell]
    numbers = sum(bool(_DIGIT.search(cell)) and not _LETTER.search(cell) for cell in below)
    return bool(_LETTER.search(column[0])) and numbers * 2 > len(below)
