"""The rules drawn on a page and its lines -> tables whose cells they part, and what stands outside of them.

Where a table is drawn, nothing has to be guessed from gaps: a cell is what no rule cuts, however many lines
it has, wherever its words stand in it and in whatever order the file has them.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise, takewhile
from statistics import median

from appliance.ingest.parse.pdf_grid import Grid, grids
from appliance.ingest.parse.pdf_page import Line, Page, Word
from appliance.ingest.parse.pdf_tables import Table, headers
from appliance.ingest.parse.pdf_tables import cells as gapped
from appliance.ingest.parse.pdf_words import joined

_REPEATED = 200
"""Characters of a cell that stands in each of the rows that it spans; a longer one stands in the first."""
_PROSE = 150
"""Characters above which what stands from side to side is text between two tables, no title of one."""
_ALIKE = 9.0
"""Points by which a column may begin elsewhere on the next page."""
_LONGEST_HEADER = 2000
_STOPS = (".", "!", "?", ":", ";")
_UNRULED = 3
"""Lines side by side in all cells of a row from which they are rows of their own."""
_SLACK = 3.0
"""Points by which words may reach over the border of a column that is drawn in other rows."""
_PARTED = 0.5
"""The least share of the fields' borders that are drawn: 1,673 tables of reports have .58, charts .3."""
_FILLED = 0.4
"""The least share of the cells that hold text: of those tables all have .43."""
_TORN = 0.03
"""The share of the words above which rules run through them, or part a phrase: nobody sees those rules."""
_PAGEFUL = 300
"""Characters of the middle one of the cells above which two columns are those of a page."""
_LARGEST = 0.5
"""The share of the page above which a cell is a frame around it."""


@dataclass(frozen=True, slots=True)
class Ruled(Table):
    """A table that is drawn, whose columns lie between the places `xs`.

    `title`: the last row from side to side that is no sentence, empty for none.
    """

    xs: tuple[float, ...] = ()
    title: tuple[str, ...] = ()

    def goes_on(self, before: Ruled) -> bool:
        """Tell whether this, the first table of a page, is the rest of `before`, the last of the page before.

        It is where it has no header, and the same columns.
        """
        if self.header_rows or len(self.xs) != len(before.xs):
            return False
        return all(abs(one - two) <= _ALIKE for one, two in zip(self.xs, before.xs, strict=True))

    def after(self, before: Ruled) -> Ruled:
        """Return this table, the rest of `before`, with that one's header, its last title on top."""
        named = before.rows[: before.header_rows]
        titles = sum(1 for _ in takewhile(lambda row: not any(row[1:]), named))
        if titles and before.title:
            named[titles - 1] = list(before.title)
        if sum(len(cell) for row in named for cell in row) > _LONGEST_HEADER:
            return self  # it would be repeated on each page
        title = self.title or before.title
        return replace(self, rows=[*named, *self.rows], header_rows=len(named), title=title)


def pages_parts(pages: Iterable[Page], words: Collection[str]) -> Iterator[tuple[Page, list[Line | Ruled]]]:
    """Yield each page with its lines, and in place of those in a table that is drawn the table.

    A line that runs out of a table is cut there. `words` are those of the document, to mend cut ones by.
    """
    above: tuple[Page, list[Line | Ruled]] | None = None
    for page in pages:
        found = _parts(page, words)
        if above:
            _carry_on(above[1], found)
            yield above
        above = page, found
    if above:
        yield above


def _carry_on(above: list[Line | Ruled], below: list[Line | Ruled]) -> None:
    """Mend the table that goes on from one page to the next, if there is one: its header, and a cut row."""
    end, start = _nearest(reversed(above)), _nearest(below)
    if end is None or start is None:
        return
    end = len(above) - 1 - end
    whole, rest = above[end], below[start]
    if not (isinstance(whole, Ruled) and isinstance(rest, Ruled) and rest.goes_on(whole)):
        return
    tail = rest.rows[0]
    if len(rest.rows) > 1 and len(whole.rows) > whole.header_rows and _is_tail(tail, whole.rows[-1]):
        last = [f"{one} {two}".strip() for one, two in zip(whole.rows[-1], tail, strict=True)]
        whole, rest = replace(whole, rows=[*whole.rows[:-1], last]), replace(rest, rows=rest.rows[1:])
    above[end], below[start] = whole, rest.after(whole)


def _nearest(parts: Iterable[Line | Ruled]) -> int | None:
    """Return how many parts stand at the edge of a page before what does not repeat: a title, or a table."""
    return next((at for at, part in enumerate(parts) if isinstance(part, Ruled) or not part.running), None)


def _is_tail(row: list[str], above: list[str]) -> bool:
    """Tell whether a row is the tail of the one above: in few cells, and there it goes on with a sentence."""
    filled = [(one, two) for one, two in zip(above, row, strict=True) if two]
    return len(filled) * 2 < len(row) and all(
        " " in one and not one.endswith(_STOPS) and two[0].islower() for one, two in filled
    )


def _parts(page: Page, words: Collection[str]) -> list[Line | Ruled]:
    found: list[Line | Ruled] = list(page.lines)
    for grid in grids(page.rules):
        framed = max(grid.sizes().values()) >= _LARGEST * page.width * page.height
        if not framed and grid.parted() >= _PARTED:
            found = _with(grid, found, words)
    return found


@dataclass(slots=True)
class _Filled:
    """Lines, cut at a grid: those of each cell, those outside, and how many of these stand before the grid.

    `count` are the words inside, `torn` those that a rule parts from what they belong to.
    """

    inside: dict[int, list[Line]] = field(default_factory=dict)
    outside: list[Line | Ruled] = field(default_factory=list)
    first: int = 0
    count: int = 0
    torn: int = 0


def _filled(grid: Grid, lines: Iterable[Line | Ruled]) -> _Filled:
    made = _Filled()
    for line in lines:
        if isinstance(line, Ruled) or line.low > grid.ys[0] or line.high < grid.ys[-1]:
            made.outside.append(line)
            continue
        places = [grid.at(*_middle(word)) for word in line.words]
        made.count += sum(place is not None for place in places)
        made.torn += _torn(grid, line, places)
        for cell, piece in _cut(line, places):
            if cell is None:
                made.outside.append(piece)
                continue
            if not made.inside:
                made.first = len(made.outside)
            made.inside.setdefault(cell, []).append(piece)
    return made


def _middle(word: Word) -> tuple[float, float]:
    return (word.left + word.right) / 2, (word.low + word.high) / 2


def _torn(grid: Grid, line: Line, places: list[int | None]) -> int:
    """Return how many words of a line a rule runs through, or parts from the next one, a mere space away."""
    torn = 0
    for at, (word, place) in enumerate(zip(line.words, places, strict=True)):
        height, slack = _middle(word)[1], 0.2 * (word.right - word.left)
        ends = {grid.at(word.left + slack, height), grid.at(word.right - slack, height)}
        behind = line.words[at + 1] if at + 1 < len(places) else None
        torn += len(ends) > 1 or (
            behind is not None
            and places[at + 1] != place
            and 0 <= behind.left - word.right < 0.35 * line.size
            and min(word.high, behind.high) > max(word.low, behind.low)
        )
    return torn


def _with(grid: Grid, lines: list[Line | Ruled], words: Collection[str]) -> list[Line | Ruled]:
    """Return `lines` with the tables of `grid`, or as they are if it holds none."""
    whole = _filled(grid, lines)
    banded = [row for row in range(grid.rows) if _falls_apart(grid, row, whole.inside)]
    # Of bands every other is drawn; one alone is a title or a note with a gap.
    if len(banded) * 3 >= grid.rows:
        grid.part(banded)
        whole = _filled(grid, lines)
    if whole.torn > _TORN * whole.count:
        return lines
    for part in grid.without(_prose(grid, whole.inside)):
        made = _filled(part, lines)
        if (table := _table(part, made.inside, words)) is not None:
            lines = [*made.outside[: made.first], table, *made.outside[made.first :]]
    return lines


def _falls_apart(grid: Grid, row: int, inside: Mapping[int, list[Line]]) -> bool:
    """Tell whether a row that no rule parts has its words in the columns."""
    cell = grid.cell(row, 0)
    alone = cell == row * grid.columns and grid.span(row) == grid.columns and grid.height(row, 0) == 1
    pieces = [piece for line in inside.get(cell, ()) for piece in gapped(line)] if alone else []
    columns = [bisect(grid.xs, (piece.left + piece.right) / 2) for piece in pieces]
    return len(set(columns)) > 1 and all(
        0 < column <= grid.columns
        and grid.xs[column - 1] - _SLACK < piece.left
        and piece.right < grid.xs[column] + _SLACK
        for column, piece in zip(columns, pieces, strict=True)
    )


def _prose(grid: Grid, inside: Mapping[int, list[Line]]) -> list[int]:
    """Return the rows that are text between two tables, or a note or heading below one, from side to side."""
    found: list[int] = []
    for row in reversed(range(grid.rows)):
        cell = grid.cell(row, 0)
        below = found[-1] if found else grid.rows
        if grid.span(row) == grid.columns:
            letters = sum(len(line.text) for line in inside.get(cell, ()))
            if row + 1 == below or letters > _PROSE:
                found.append(row)
        elif row + 1 == below == grid.rows and not any(
            grid.cell(row, column) in inside for column in range(grid.columns)
        ):
            found.append(row)  # empty, below everything
    return found[::-1]


def _cut(line: Line, places: list[int | None]) -> Iterator[tuple[int | None, Line]]:
    """Yield the pieces of a line, each with the cell it stands in, None outside of the grid.

    The engine may take words of several rows for one line: each word has a place of its own.
    """
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


def _table(grid: Grid, inside: dict[int, list[Line]], words: Collection[str]) -> Ruled | None:
    if len(inside) < _FILLED * len(grid.sizes()):
        return None
    texts = {cell: _text(lines, words) for cell, lines in inside.items()}
    cells = [[grid.cell(row, column) for column in range(grid.columns)] for row in range(grid.rows)]
    # A row in which nothing begins is part of the one above it.
    kept = [
        row
        for row, own in enumerate(cells)
        if any(cell // grid.columns == row and texts.get(cell) for cell in own)
    ]
    levels = {row: _beside(grid, row, inside) for row in kept}
    unruled = sum(map(bool, levels.values())) * 2 >= len(kept)
    numbers, shown = [], []
    for row in kept:
        filled = {cell: inside[cell] for cell in cells[row] if cell in inside}
        for own in _lower(filled, levels[row], words) if unruled and levels[row] else [texts]:
            numbers.append(row)
            shown.append(
                [
                    _shown(own.get(cell, ""), cell, row, column, cells[row])
                    for column, cell in enumerate(cells[row])
                ]
            )
    groups = _columns([cells[row] for row in numbers], shown)
    rows = [[next(filter(None, (row[at] for at in group)), "") for group in groups] for row in shown]
    if len(groups) < 2 or sum(sum(map(bool, row)) > 1 for row in rows) * 2 < max(4, len(rows)):
        return None
    if len(groups) == 2 and median(map(len, filter(None, texts.values()))) > _PAGEFUL:
        return None
    xs = (*(grid.xs[group[0]] for group in groups), grid.xs[groups[-1][-1] + 1])
    wide = [
        tuple(row) for number, row in zip(numbers, rows, strict=True) if grid.span(number) == grid.columns
    ]
    title = next((row for row in reversed(wide) if not row[0].endswith(".")), ())
    return Ruled(rows, _depth(grid, numbers, rows, inside), xs, title)


def _beside(grid: Grid, row: int, inside: Mapping[int, list[Line]]) -> list[float]:
    """Return where the lines of a row stand, from above, if each is a row that no rule parts from the next.

    They stand side by side in all cells, and none goes on in the next, as text does that runs over several.
    """
    own = {grid.cell(row, column) for column in range(grid.columns)}
    if any(cell // grid.columns != row or grid.height(row, cell % grid.columns) > 1 for cell in own):
        return []
    filled = [inside[cell] for cell in own if cell in inside]
    levels = max((_levels(lines) for lines in filled), key=len, default=[])
    if len(levels) < _UNRULED or len(filled) < 2:
        return []
    for lines in filled:
        found = sum(any(abs(one - two) <= 2 for two in levels) for one in _levels(lines))
        if found < 0.8 * len(levels) or any(line.text[0].islower() for line in lines):
            return []
    return levels


def _levels(lines: Iterable[Line]) -> list[float]:
    """Return where lines stand, from above; those of one row may differ a little."""
    found: list[float] = []
    for low in sorted((line.low for line in lines), reverse=True):
        if not found or found[-1] - low > 2:
            found.append(low)
    return found


def _lower(
    inside: Mapping[int, list[Line]], levels: list[float], words: Collection[str]
) -> Iterator[dict[int, str]]:
    """Yield the texts of a row's cells at each level: of a line that is the nearest."""
    borders = [-(above + below) / 2 for above, below in pairwise(levels)]  # falling, so negated
    at: list[dict[int, list[Line]]] = [{} for _ in levels]
    for cell, lines in inside.items():
        for line in lines:
            at[bisect(borders, -line.low)].setdefault(cell, []).append(line)
    yield from ({cell: _text(lines, words) for cell, lines in each.items()} for each in at)


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


def _depth(grid: Grid, kept: list[int], rows: list[list[str]], inside: dict[int, list[Line]]) -> int:
    """Return how many rows name the columns: a title over all of them, and heads with what is below them."""
    titles = 0
    while titles < len(rows) - 2 and grid.span(kept[titles]) == grid.columns:
        titles += 1
    first, last = (_is_bold(grid, kept[at], inside) for at in (titles, -1))
    if not headers(rows[titles:], first_bold=first, last_bold=last):
        return titles
    top = kept[titles]
    floor = top + max(grid.height(top, column) for column in range(grid.columns))
    return min(sum(row < floor for row in kept), titles + 2, len(rows) - 1)


def _shown(text: str, cell: int, row: int, column: int, cells: list[int]) -> str:
    """Return the text that a cell shows in one of its fields: all in the first of each row that it spans."""
    begins = cells.index(cell) == column
    above = cell // len(cells) < row
    return text if begins and (not above or len(text) <= _REPEATED) else ""


def _is_bold(grid: Grid, row: int, inside: dict[int, list[Line]]) -> bool:
    lines = [
        line for cell in {grid.cell(row, at) for at in range(grid.columns)} for line in inside.get(cell, ())
    ]
    return bool(lines) and all(line.bold for line in lines)


def _text(lines: list[Line], words: Collection[str]) -> str:
    """Return the text of a cell, from above to below."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: -line.low):
        if rows and rows[-1][0].low - line.low < 0.5 * line.size:
            rows[-1].append(line)
        else:
            rows.append([line])
    return joined([line for row in rows for line in sorted(row, key=lambda line: line.left)], words)
