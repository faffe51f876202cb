"""Parsed -> the canonical text, where its pages begin, and the chunks that cover it.

Pure: no file, no clock. Blocks become *units* that are never cut (a sentence, a short list item, a table
row); the units under one heading path and on one page are a *run*; a run is cut where that costs least.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from appliance.sentences import split
from appliance.types import Block, Chunk, Parsed

_GAP = "\n\n"
_HEADING_MOST = 160
"""Characters of one heading kept in a path: the path is stored, and embedded, with every chunk."""
_CUT_COST = {"item": 0.05, "table": 0.04, "code": 0.04}
_SENTENCE_COST = 0.08
"""Costs are in squared deviations from the target size: .08 is worth a chunk 28 % off it."""
_MOST_UNITS = 150
"""Units in one chunk: eight letters each. A file of single letters would cost minutes otherwise."""
_ENDS = frozenset(".!?:;")


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes in characters: what a chunk should have, what it may have, and below what it is a crumb.

    Chosen in scripts/LOG.md. MiniLM sees 256 tokens, about 1,100 characters of prose.
    """

    target: int = 850
    limit: int = 1200
    crumb: int = 200


DEFAULT = Shape()


@dataclass(frozen=True, slots=True)
class _Unit:
    """A span that is not cut. `cost` is the price of a cut in front of it, `lead` what is repeated there."""

    start: int
    end: int
    page: int | None
    cost: float = 0.0
    lead: str = ""


@dataclass(frozen=True, slots=True)
class _Run:
    """Units that may share a chunk. `heading` is the offset of the heading right above them on their page."""

    path: tuple[str, ...]
    heading: int
    start: int
    units: tuple[_Unit, ...]

    @property
    def page(self) -> int | None:
        return self.units[0].page

    @property
    def end(self) -> int:
        return self.units[-1].end


def chunks(parsed: Parsed, *, shape: Shape = DEFAULT) -> tuple[str, tuple[int, ...], tuple[Chunk, ...]]:
    """Return the canonical text, the offset at which each page begins, and the chunks in order.

    The text is the blocks with a blank line between them. Every character outside headings and white space
    lies in a chunk, and so does a heading that is too long for a path. No chunk crosses a heading that starts
    another path (short neighbours are joined under the path they share, and then show their headings), cuts
    a sentence or a table row that fits the limit, or runs over the end of a page except to finish a sentence.
    """
    blocks = _sound(parsed)
    starts = [0, *itertools.accumulate(len(block.text) + len(_GAP) for block in blocks)]
    text = _GAP.join(block.text for block in blocks)
    runs = _joined(_runs(text, blocks, starts, shape), shape)
    spans = ((run, first, last) for run in runs for first, last in _cut(run, shape))
    found = tuple(_chunk(ordinal, text, *span) for ordinal, span in enumerate(spans))
    return text, _page_starts(blocks, starts, parsed.pages), found


def _sound(parsed: Parsed) -> list[Block]:
    """Drop blank blocks, and make pages rise: a page number that falls would contradict the offsets."""
    kept = [replace(block, text=block.text.strip()) for block in parsed.blocks if block.text.strip()]
    if parsed.pages is None:
        return [replace(block, page=None) for block in kept]
    pages = itertools.accumulate((min(block.page or 1, parsed.pages) for block in kept), max, initial=1)
    return [
        replace(block, page=page) for block, page in zip(kept, itertools.islice(pages, 1, None), strict=True)
    ]


def _page_starts(blocks: Sequence[Block], starts: Sequence[int], pages: int | None) -> tuple[int, ...]:
    """Return for each page the offset of the first block on it or after it."""
    found = []
    block = 0
    for page in range(1, (pages or 0) + 1):
        while block < len(blocks) and (blocks[block].page or 0) < page:
            block += 1
        found.append(starts[block] if block < len(blocks) else max(starts[-1] - len(_GAP), 0))
    return tuple(found)


def _runs(text: str, blocks: Sequence[Block], starts: Sequence[int], shape: Shape) -> Iterator[_Run]:
    """Yield the units by heading path and page."""
    path: list[tuple[int, str]] = []
    heading: _Unit | None = None
    units: list[_Unit] = []
    for index, (block, start) in enumerate(zip(blocks, starts, strict=False)):
        if block.kind != "heading":
            _extend(
                units, _units(block, start, shape), text=text, shape=shape, flowing=block.kind == "paragraph"
            )
            continue
        yield from _by_page(path, heading, units)
        units, heading = [], _Unit(start, start + len(block.text), block.page)
        path = [entry for entry in path if entry[0] < block.level]
        name, bare = " ".join(block.text.split()), _is_bare(block, blocks[index + 1 : index + 2])
        if not bare:
            path.append((block.level, name[:_HEADING_MOST]))
        if len(name) > _HEADING_MOST:  # no path holds all of it
            units += _units(block, start, shape)
        elif bare:
            units.append(heading)
    yield from _by_page(path, heading, units)


def _is_bare(heading: Block, following: Sequence[Block]) -> bool:
    """Tell whether nothing stands under it: left to the path alone it would be text that no search finds."""
    return not following or (following[0].kind == "heading" and following[0].level <= heading.level)


def _by_page(
    path: Sequence[tuple[int, str]], heading: _Unit | None, units: Sequence[_Unit]
) -> Iterator[_Run]:
    names = tuple(name for _, name in path)
    for page, group in itertools.groupby(units, key=lambda unit: unit.page):
        found = tuple(group)
        start = found[0].start
        above = heading if found[0] == units[0] and heading and heading.page == page else found[0]
        yield _Run(names, above.start, start, found)


def _extend(units: list[_Unit], new: list[_Unit], *, text: str, shape: Shape, flowing: bool) -> None:
    """Append `new`; a sentence that the end of a page cut in two becomes one unit of the first page."""
    if flowing and units and units[-1].page != new[0].page and _is_cut(text, units[-1].end, new[0].start):
        whole = replace(units[-1], end=new[0].end)
        if whole.end - whole.start <= shape.limit:
            units[-1] = whole
            new = new[1:]
    units.extend(new)


def _is_cut(text: str, end: int, start: int) -> bool:
    return text[end - 1] not in _ENDS and text[start].islower()


def _units(block: Block, start: int, shape: Shape) -> list[_Unit]:
    """Return the units of one block that begins at `start`; never none, for a block is never blank."""
    if block.kind == "table":
        return _rows(block, start, shape)
    whole = len(block.text) <= shape.crumb and block.kind == "item"
    spans = (
        [(0, len(block.text))] if whole else _lines(block.text) if block.kind == "code" else split(block.text)
    )
    first = _CUT_COST["item"] if block.kind == "item" else 0.0
    inner = _CUT_COST.get(block.kind, _SENTENCE_COST)
    return [
        _Unit(start + begin, start + end, block.page, inner if begin else first)
        for begin, end in _bounded(block.text, spans, shape.limit)
    ]


def _rows(table: Block, start: int, shape: Shape) -> list[_Unit]:
    """Return the rows as units: the header with the first row, the others led by the header."""
    lines = _lines(table.text)
    head = min(table.header_rows, len(lines) - 1)
    cost = _CUT_COST["table"]
    return [
        _Unit(start + begin, start + end, table.page, cost if begin else 0.0, lead if begin else "")
        for span, lead in _led(table.text, lines, head, shape.limit // 2)
        for begin, end in _bounded(table.text, [span], shape.limit)
    ]


def _led(
    text: str, lines: Sequence[tuple[int, int]], head: int, longest: int
) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield the spans of rows that stay together, each with the header that is repeated in front of it.

    Where a title stands on top of the header, a later title takes its place, and stays with the row below it.
    """
    rows = [text[slice(*line)] for line in lines]
    over = sum(1 for _ in itertools.takewhile(_is_title, rows[:head]))
    titles = _titles(rows, head) if over else set()
    lead = "\n".join(rows[:head])[:longest]
    above, names = ("\n".join(part)[:longest] for part in (rows[: max(over - 1, 0)], rows[over:head]))
    start: int | None = 0
    front = lead
    for at, (begin, end) in enumerate(lines[head:], head):
        start, front = (begin, lead) if start is None else (start, front)
        if at in titles:
            front, lead = (
                "\n".join(filter(None, part))[:longest] for part in ((above, names), (above, rows[at], names))
            )
            continue
        yield (start, end), front
        start = None


def _titles(rows: Sequence[str], head: int) -> set[int]:
    """Return which rows below the header are titles; none in a form, whose fields wait to be filled."""
    if sum(map(_is_title, rows)) * 3 > len(rows):
        return set()
    return {at for at in range(head, len(rows) - 1) if _is_title(rows[at]) and not _is_title(rows[at + 1])}


def _is_title(row: str) -> bool:
    """Tell whether only the first cell of a row is filled, and not with a sentence."""
    name, bar, others = row.partition(" |")
    return bool(bar) and not others.strip(" |") and not name.startswith("|") and not name.endswith(".")


def _lines(text: str) -> list[tuple[int, int]]:
    ends = itertools.accumulate(len(line) for line in text.splitlines(keepends=True))
    lines = itertools.pairwise([0, *ends])
    return [(begin, begin + len(text[begin:end].rstrip())) for begin, end in lines if text[begin:end].strip()]


def _bounded(text: str, spans: Iterable[tuple[int, int]], limit: int) -> Iterator[tuple[int, int]]:
    """Yield the spans, those over `limit` in pieces that end between words where there are words."""
    for start, end in spans:
        while end - start > limit:
            space = max(text.rfind(" ", start + 1, start + limit), text.rfind("\n", start + 1, start + limit))
            edge = space if space > start else start + limit
            yield start, edge
            start = edge + 1 if space > start else edge
        if text[start:end].strip():
            yield start, end


def _joined(runs: Iterable[_Run], shape: Shape) -> list[_Run]:
    """Join crumbs to their neighbours: same page, same parent, no heading lost, no larger than the target."""
    joined: list[_Run] = []
    for run in runs:
        if joined and _may_join(joined[-1], run, shape):
            joined[-1] = _join(joined[-1], run)
        else:
            joined.append(run)
    return joined


def _may_join(one: _Run, two: _Run, shape: Shape) -> bool:
    shared = len(_shared(one, two))
    crumb = min(one.end - one.start, two.end - two.start) < shape.crumb
    near = shared >= max(len(one.path), len(two.path)) - 1
    named = shared == len(one.path) or one.heading < one.start
    return crumb and near and named and one.page == two.page and two.end - one.heading <= shape.target


def _shared(one: _Run, two: _Run) -> tuple[str, ...]:
    pairs = zip(one.path, two.path, strict=False)
    return tuple(name for name, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _join(one: _Run, two: _Run) -> _Run:
    """Return the run of both; where the shared path no longer names the first's heading, it starts there."""
    path = _shared(one, two)
    start = one.start if path == one.path else min(one.heading, one.start)
    return _Run(path, one.heading, start, one.units + two.units)


def _cut(run: _Run, shape: Shape) -> list[tuple[int, int]]:
    """Return (first, last) unit of each chunk: the cheapest cuts, by dynamic programming.

    A chunk costs the square of its relative distance from the target, a cut what its unit says.
    """
    best, back = [0.0], [0]
    for end in range(1, len(run.units) + 1):
        cost, begin = min(_costs(run, end, best, shape))
        best.append(cost)
        back.append(begin)
    cuts = [len(run.units)]
    while cuts[-1]:
        cuts.append(back[cuts[-1]])
    return [(first, last - 1) for first, last in itertools.pairwise(reversed(cuts))]


def _costs(run: _Run, end: int, best: Sequence[float], shape: Shape) -> Iterator[tuple[float, int]]:
    for begin in range(end - 1, max(end - _MOST_UNITS, 0) - 1, -1):
        unit = run.units[begin]
        start = unit.start if begin else run.start
        size = run.units[end - 1].end - start + len(unit.lead)
        if size > shape.limit and begin < end - 1:
            return
        yield best[begin] + (unit.cost if begin else 0.0) + (size / shape.target - 1) ** 2, begin


def _chunk(ordinal: int, text: str, run: _Run, first: int, last: int) -> Chunk:
    unit = run.units[first]
    start, end = unit.start if first else run.start, run.units[last].end
    return Chunk(ordinal, start, end, unit.page, " > ".join(run.path), unit.lead, text[start:end])
