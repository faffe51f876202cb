"""The rules drawn on a page -> grids: where they part the page, and which fields are one cell."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import pairwise

from appliance.ingest.parse.pdf_page import Rule, Rules

_NEAR = 3.0
"""Points by which rules may miss each other that are meant to meet, or be one."""
_MOST_MEETINGS = 250_000
_MOST_COLUMNS = 30
_MOST_CELLS = 6000
"""More than these is a drawing, or meant to cost time."""


def _joined(rules: Iterable[Rule]) -> list[Rule]:
    """Put rules on one line where they are meant to be, and make one of those that touch."""
    found: list[Rule] = []
    for group in _near(sorted(rules)):
        at = sum(rule.at for rule in group) / len(group)
        along = sorted(group, key=lambda rule: rule.start)
        start, end = along[0].start, along[0].end
        for rule in along:
            if rule.start > end + _NEAR:
                found.append(Rule(at, start, end))
                start, end = rule.start, rule.end
            end = max(end, rule.end)
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


class Grid:
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
        return _root(self._cell, row * self.columns + column)

    def span(self, row: int) -> int:
        """Return how many fields of a row are in its first cell."""
        first = self.cell(row, 0)
        return sum(self.cell(row, column) == first for column in range(self.columns))

    def height(self, row: int, column: int) -> int:
        """Return how many rows a cell spans, from this one on."""
        cell = self.cell(row, column)
        deep = 1
        while row + deep < self.rows and self.cell(row + deep, column) == cell:
            deep += 1
        return deep

    def part(self, rows: Iterable[int]) -> None:
        """Make each field of rows that are one cell from side to side a cell of its own."""
        for row in rows:
            fields = range(row * self.columns, (row + 1) * self.columns)
            self._cell[fields.start : fields.stop] = fields

    def without(self, rows: Sequence[int]) -> Iterator[Grid]:
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


def _root(parent: list[int], at: int) -> int:
    """Return the root of `at` in a forest of sets, and shorten the way there."""
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


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


def grids(rules: Rules) -> Iterator[Grid]:
    """Yield the grids, the smallest first: rules that meet, directly or over others, are one.

    There is none where rules are too many for a table.
    """
    all_flat, all_upright = _joined(rules.flat), _joined(rules.upright)
    if len(all_flat) * len(all_upright) > _MOST_MEETINGS:
        return
    parent = list(range(len(all_flat) + len(all_upright)))
    for one, flat in enumerate(all_flat):
        for two, upright in enumerate(all_upright, len(all_flat)):
            if (
                flat.start - _NEAR <= upright.at <= flat.end + _NEAR
                and upright.start - _NEAR <= flat.at <= upright.end + _NEAR
            ):
                parent[_root(parent, two)] = _root(parent, one)
    groups: dict[int, tuple[list[Rule], list[Rule]]] = {}
    for at, rule in enumerate([*all_flat, *all_upright]):
        groups.setdefault(_root(parent, at), ([], []))[at >= len(all_flat)].append(rule)
    grids = [Grid(*both) for both in groups.values() if len(both[0]) >= 2 and both[1]]
    kept = [
        grid
        for grid in grids
        if grid.rows >= 2 and 2 <= grid.columns <= _MOST_COLUMNS and grid.rows * grid.columns <= _MOST_CELLS
    ]
    yield from sorted(kept, key=lambda grid: (grid.xs[-1] - grid.xs[0]) * (grid.ys[0] - grid.ys[-1]))
