"""The rules drawn on a page and its lines -> tables whose cells they part, and what stands outside of them.

Where a table is drawn, nothing has to be guessed from gaps: a cell is what no rule cuts, however many lines
it has, wherever its words stand in it and in whatever order the file has them.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise

from appliance.ingest.parse.pdf_page import Line, Page, Rule, Rules
from appliance.ingest.parse.pdf_tables import Table, headers

_NEAR = 3.0
"""Points by which rules may miss each other that are meant to meet, or be one."""
_MOST_MEETINGS = 250_000
_MOST_COLUMNS = 30
_MOST_CELLS = 6000
"""More than these is a drawing, or meant to cost time."""
_REPEATED = 200
"""Characters of a cell that stands in each of the rows that it spans; a longer one stands in the first."""
_PROSE = 150
"""Characters above which what stands from side to side is text between two tables, no title of one."""
_BETWEEN = 150
"""Characters between two parts of a table: what stands above and below on each page."""
_ALIKE = 9.0
"""Points by which a column may begin elsewhere on the next page."""
_PARTED = 0.5
"""The least share of the fields' borders that are drawn: 98 % of 1,790 in reports have .53, charts .3."""
_FILLED = 0.4
"""The least share of the cells that hold text; of those tables all but drawings have .5."""
_LARGEST = 0.5
"""The share of the page above which a cell is a frame around it."""


def _meant(rules: Rules) -> Rules | None:
    """Return the rules as they are seen, those end to end as one; None where they are too many."""
    joined = Rules(_joined(rules.flat), _joined(rules.upright))
    return joined if len(joined.flat) * len(joined.upright) <= _MOST_MEETINGS else None


def _joined(rules: Iterable[Rule]) -> list[Rule]:
    """Put rules on one line where they are meant to be, and make one of those that touch."""
    found: list[Rule] = []
    for group in _near(sorted(rules)):
        at = sum(rule.at for rule in group) / len(group)
        start, end = group[0].start, group[0].end
        for rule in sorted(group, key=lambda rule: rule.start):
            if rule.start > end + _NEAR:
                found.append(Rule(at, start, end))
                start, end = rule.start, rule.end
            start, end = min(start, rule.start), max(end, rule.end)
        found.append(Rule(at, start, end))
    return found


def _near(rules: Sequence[Rule]) -> Iterator[list[Rule]]:
    group: list[Rule] = []
    for rule in rules:
        if group and rule.at > group[0].at + _NEAR:
            yield group
            group = []
        group.append(rule)
    if group:
        yield group


class _Grid:
    """A table: `xs` from left to right, `ys` from top to bottom, and which of its fields are one cell."""

    def __init__(self, flat: list[Rule], upright: list[Rule]) -> None:
        sides = [min(rule.start for rule in flat), max(rule.end for rule in flat)]
        ends = [min(rule.start for rule in upright), max(rule.end for rule in upright)]
        self.xs = _places([*(rule.at for rule in upright), *sides])
        self.ys = _places([*(rule.at for rule in flat), *ends])[::-1]
        self.rows, self.columns = len(self.ys) - 1, len(self.xs) - 1
        self._cell = list(range(self.rows * self.columns))
        if len(self._cell) <= _MOST_CELLS and self.columns <= _MOST_COLUMNS:
            self._open(flat, upright)

    def _open(self, flat: list[Rule], upright: list[Rule]) -> None:
        """Make one cell of fields that no rule parts."""
        walls = {(at, row) for at, row in _crossed(upright, self.xs, self.ys)}
        floors = {(at, column) for at, column in _crossed(flat, self.ys, self.xs)}
        for row in range(self.rows):
            for column in range(self.columns):
                if column + 1 < self.columns and (column + 1, row) not in walls:
                    self._unite(row, column, row, column + 1)
                if row + 1 < self.rows and (row + 1, column) not in floors:
                    self._unite(row, column, row + 1, column)

    def _unite(self, row: int, column: int, other_row: int, other_column: int) -> None:
        one, other = sorted((self.cell(row, column), self.cell(other_row, other_column)))
        self._cell[other] = one

    def cell(self, row: int, column: int) -> int:
        """Return the cell of a field: the number of its first one."""
        at = row * self.columns + column
        while self._cell[at] != at:
            self._cell[at] = self._cell[self._cell[at]]
            at = self._cell[at]
        return at

    def without(self, rows: Sequence[int]) -> Iterator[_Grid]:
        """Yield what is above, between and below rows that one cell fills from side to side."""
        start = 0
        for end in (*rows, self.rows):
            if end - start >= 2:
                part = copy(self)
                part.ys, part.rows = self.ys[start : end + 1], end - start
                first = start * self.columns
                begun: dict[int, int] = {}  # a cell that begins above begins where the part does
                part._cell = [
                    begun.setdefault(self.cell(*divmod(at, self.columns)), at - first)
                    for at in range(first, end * self.columns)
                ]
                yield part
            start = end + 1

    def at(self, x: float, y: float) -> int | None:
        """Return the cell at a place, None outside."""
        column = bisect(self.xs, x) - 1
        row = self.rows - bisect(self.ys[::-1], y)
        inside = 0 <= column < self.columns and 0 <= row < self.rows
        return self.cell(row, column) if inside else None

    def parted(self) -> float:
        """Return the share of neighbouring fields that a rule parts: small where lines of a drawing cross."""
        pairs = [
            (self.cell(row, column), self.cell(row + down, column + 1 - down))
            for down in (0, 1)
            for row in range(self.rows - down)
            for column in range(self.columns - 1 + down)
        ]
        return sum(one != two for one, two in pairs) / len(pairs)

    def sizes(self) -> dict[int, float]:
        """Return the area of each cell."""
        found: dict[int, float] = {}
        for row, (top, low) in enumerate(pairwise(self.ys)):
            for column, (left, right) in enumerate(pairwise(self.xs)):
                cell = self.cell(row, column)
                found[cell] = found.get(cell, 0.0) + (right - left) * (top - low)
        return found


def _places(values: Iterable[float]) -> list[float]:
    found: list[float] = []
    for value in sorted(values):
        if not found or value > found[-1] + _NEAR:
            found.append(value)
    return found


def _crossed(rules: list[Rule], places: list[float], others: list[float]) -> Iterator[tuple[int, int]]:
    """Yield (which of `places` a rule is at, which field between two of `others` it runs along)."""
    middles = [(one + two) / 2 for one, two in pairwise(others)]
    for rule in rules:
        at = min(range(len(places)), key=lambda number: abs(places[number] - rule.at))
        yield from ((at, field) for field, middle in enumerate(middles) if rule.start < middle < rule.end)


def _grids(rules: Rules) -> Iterator[_Grid]:
    """Yield the grids, the smallest first: rules that meet, directly or over others, are one."""
    parent = list(range(len(rules.flat) + len(rules.upright)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for one, flat in enumerate(rules.flat):
        for two, upright in enumerate(rules.upright, len(rules.flat)):
            if (
                flat.start - _NEAR <= upright.at <= flat.end + _NEAR
                and upright.start - _NEAR <= flat.at <= upright.end + _NEAR
            ):
                parent[root(two)] = root(one)
    groups: dict[int, tuple[list[Rule], list[Rule]]] = {}
    for at, rule in enumerate([*rules.flat, *rules.upright]):
        groups.setdefault(root(at), ([], []))[at >= len(rules.flat)].append(rule)
    grids = [_Grid(*both) for both in groups.values() if len(both[0]) >= 2 and both[1]]
    kept = [
        grid
        for grid in grids
        if grid.rows >= 2 and 2 <= grid.columns <= _MOST_COLUMNS and grid.rows * grid.columns <= _MOST_CELLS
    ]
    yield from sorted(kept, key=lambda grid: (grid.xs[-1] - grid.xs[0]) * (grid.ys[0] - grid.ys[-1]))


@dataclass(frozen=True, slots=True)
class Ruled(Table):
    """A table that is drawn, whose columns lie between the places `xs`."""

    xs: tuple[float, ...] = ()

    def after(self, before: Ruled) -> Ruled:
        """Return this table, the first of a page, with the header of `before`, the last of the page before.

        That is where it has none, and the same columns: it is the rest of that one.
        """
        if self.header_rows or len(self.xs) != len(before.xs):
            return self
        if any(abs(one - two) > _ALIKE for one, two in zip(self.xs, before.xs, strict=True)):
            return self
        named = before.rows[: before.header_rows]
        return replace(self, rows=[*named, *self.rows], header_rows=len(named))


def pages_parts(pages: Iterable[Page]) -> Iterator[tuple[Page, list[Line | Ruled]]]:
    """Yield each page with its lines, and in place of those in a table that is drawn the table.

    A line that runs out of a table is cut there.
    """
    before: Ruled | None = None
    for page in pages:
        found = _parts(page)
        tables = [at for at, part in enumerate(found) if isinstance(part, Ruled)]
        if before and tables and _letters(found[: tables[0]]) <= _BETWEEN:
            first = found[tables[0]]
            found[tables[0]] = first.after(before) if isinstance(first, Ruled) else first
        yield page, found
        last = found[tables[-1]] if tables and _letters(found[tables[-1] + 1 :]) <= _BETWEEN else None
        before = last if isinstance(last, Ruled) else None


def _letters(parts: Iterable[Line | Ruled]) -> int:
    return sum(0 if isinstance(part, Ruled) else len(part.text) for part in parts)


def _parts(page: Page) -> list[Line | Ruled]:
    meant = _meant(page.rules)
    found: list[Line | Ruled] = list(page.lines)
    for grid in _grids(meant) if meant else ():
        framed = max(grid.sizes().values()) >= _LARGEST * page.width * page.height
        if not framed and grid.parted() >= _PARTED:
            found = _with(grid, found)
    return found


def _with(grid: _Grid, lines: list[Line | Ruled]) -> list[Line | Ruled]:
    """Return `lines` with the table of `grid`, or as they are if it holds none."""
    outside: list[Line | Ruled] = []
    inside: dict[int, list[Line]] = {}
    first: int | None = None
    for line in lines:
        for cell, piece in _cut(grid, line) if not isinstance(line, Ruled) else [(None, line)]:
            if cell is None:
                outside.append(piece)
            elif not isinstance(piece, Ruled):
                first = len(outside) if first is None else first
                inside.setdefault(cell, []).append(piece)
    prose = [row for row in range(grid.rows) if _is_prose(grid, row, inside)]
    if prose:
        for part in grid.without(prose):
            lines = _with(part, lines)
        return lines
    table = _table(grid, inside)
    if table is None or first is None:
        return lines
    return [*outside[:first], table, *outside[first:]]


def _is_prose(grid: _Grid, row: int, inside: Mapping[int, list[Line]]) -> bool:
    """Tell whether a row is text between two tables, or a note or heading below one, from side to side."""
    if _span(grid, row) < grid.columns:
        return False
    last = row == grid.rows - 1 or not any(cell > grid.cell(row, 0) for cell in inside)
    return last or len(_text(inside.get(grid.cell(row, 0), []))) > _PROSE


def _cut(grid: _Grid, line: Line) -> Iterator[tuple[int | None, Line]]:
    """Yield the pieces of a line, each with the cell it stands in, None outside of the grid.

    The engine may take words of several rows for one line: each word has a place of its own.
    """
    places = [grid.at((word.left + word.right) / 2, (word.low + word.high) / 2) for word in line.words]
    if len(set(places)) == 1:
        yield places[0], line
        return
    start = 0
    for end in range(1, len(places) + 1):
        if end == len(places) or places[end] != places[start]:
            words = line.words[start:end]
            low, high = min(word.low for word in words), max(word.high for word in words)
            hyphen = line.hyphen and end == len(places)
            yield places[start], replace(line, words=words, low=low, high=high, hyphen=hyphen)
            start = end


def _table(grid: _Grid, inside: dict[int, list[Line]]) -> Ruled | None:
    if len(inside) < _FILLED * len(grid.sizes()):
        return None
    texts = {cell: _text(lines) for cell, lines in inside.items()}
    cells = [[grid.cell(row, column) for column in range(grid.columns)] for row in range(grid.rows)]
    # A row in which nothing begins is part of the one above it.
    kept = [
        row
        for row, own in enumerate(cells)
        if any(cell // grid.columns == row and texts.get(cell) for cell in own)
    ]
    shown = [
        [_shown(texts.get(cell, ""), cell, row, column, cells[row]) for column, cell in enumerate(cells[row])]
        for row in kept
    ]
    groups = _columns([cells[row] for row in kept], shown)
    rows = [[next(filter(None, (row[at] for at in group)), "") for group in groups] for row in shown]
    if len(groups) < 2 or sum(sum(map(bool, row)) > 1 for row in rows) * 2 < max(4, len(rows)):
        return None
    xs = (*(grid.xs[group[0]] for group in groups), grid.xs[groups[-1][-1] + 1])
    return Ruled(rows, _depth(grid, kept, rows, inside), xs)


def _columns(cells: list[list[int]], shown: list[list[str]]) -> list[list[int]]:
    """Return which columns of a grid are one: those that are hardly ever parted, and never hold two texts.

    A head whose rules miss those of the rows below would else make columns of its own.
    """
    groups: list[list[int]] = []
    for column in range(len(cells[0]) if cells else 0):
        if not any(row[column] for row in shown):
            if groups:
                groups[-1].append(column)
            continue
        whole = groups and sum(row[column] == row[groups[-1][0]] for row in cells) * 2 > len(cells)
        if whole and not any(row[column] and any(row[at] for at in groups[-1]) for row in shown):
            groups[-1].append(column)
        else:
            groups.append([column])
    return groups


def _depth(grid: _Grid, kept: list[int], rows: list[list[str]], inside: dict[int, list[Line]]) -> int:
    """Return how many rows name the columns: a title over all of them, and heads with what is below them."""
    titles = 0
    while titles < len(rows) - 2 and _span(grid, kept[titles]) == grid.columns:
        titles += 1
    first, last = (_is_bold(grid, kept[at], inside) for at in (titles, -1))
    if not headers(rows[titles:], first_bold=first, last_bold=last):
        return titles
    top = kept[titles]
    floor = top + max(_height(grid, top, column) for column in range(grid.columns))
    return min(sum(row < floor for row in kept), titles + 2, len(rows) - 1)


def _shown(text: str, cell: int, row: int, column: int, cells: list[int]) -> str:
    """Return the text that a cell shows in one of its fields: all in the first of each row that it spans."""
    begins = column == 0 or cells[column - 1] != cell
    above = cell // len(cells) < row
    return text if begins and (not above or len(text) <= _REPEATED) else ""


def _span(grid: _Grid, row: int) -> int:
    """Return how many columns the first cell of a row spans."""
    return sum(grid.cell(row, column) == grid.cell(row, 0) for column in range(grid.columns))


def _height(grid: _Grid, row: int, column: int) -> int:
    """Return how many rows a cell spans, from this one on."""
    cell = grid.cell(row, column)
    return next(
        (deep for deep in range(1, grid.rows - row) if grid.cell(row + deep, column) != cell), grid.rows - row
    )


def _is_bold(grid: _Grid, row: int, inside: dict[int, list[Line]]) -> bool:
    lines = [
        line for cell in {grid.cell(row, at) for at in range(grid.columns)} for line in inside.get(cell, ())
    ]
    return bool(lines) and all(line.bold for line in lines)


def _text(lines: list[Line]) -> str:
    """Return the text of a cell, from above to below."""
    text = ""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: -line.low):
        if rows and rows[-1][0].low - line.low < 0.5 * line.size:
            rows[-1].append(line)
        else:
            rows.append([line])
    cut = True
    for line in (line for row in rows for line in sorted(row, key=lambda line: line.left)):
        text += line.text if cut else f" {line.text}"
        cut = line.hyphen
    return text
