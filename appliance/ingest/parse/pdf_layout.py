"""Lines with their places -> blocks: running heads out, paragraphs together, headings and tables found.

Lines come in the order of the file's content, which is the reading order of nearly every document that a
person wrote; places on the page only decide where a paragraph, a column or a table row ends.
Nothing is dropped but what repeats in the margins, and of that the first occurrence is kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, groupby, pairwise, takewhile
from statistics import median
from typing import NamedTuple

from appliance.ingest.parse import pdf_ruled, pdf_tables
from appliance.ingest.parse.blocks import BULLET, Blocks, one_line
from appliance.ingest.parse.pdf_page import Line, Outline, Page
from appliance.ingest.parse.pdf_ruled import Ruled
from appliance.ingest.parse.pdf_tables import Table
from appliance.ingest.parse.pdf_words import joined, vocabulary
from appliance.types import Block

_ITEM = re.compile(
    r"(?:[\u2022\u2023\u25aa\u25cf\u25cb\u25e6\u2013\u2014\u00b7\uf0b7\uf0a7\u25a0*o\u27a2\u2713\u2219-]\s+|\(?(?:\d{1,2}|[a-zA-Z]|[ivx]{1,4})[.)]\s+)\S"
)
_BULLET = re.compile(r"^[^\w(\"\u201c\u2018']+\s|^o\s")
_LEADER = re.compile(r"(?:\s*[.\u2026\u00b7_]){4,}\s*")
_NUMBERED = re.compile(
    r"(?:(?:chapter|section|part|appendix|annex)\s+[\dA-Z]{1,3}\b|(?:\d+|[A-Z])(?:\.\d+)+\.?\s|\d+\.?\s+[A-Z])",
    re.I,
)
_CLAUSE = re.compile(r"(\d{1,4}(?:\.\d{1,4})+)\.?\s+[A-Z(\"\u201c]")
_SHORTENED = re.compile(
    r"\b(?:figs?|nos?|approx|secs?|eqs?|cf|arts?|pp?|vs|al|ca|dr|st|e\.g|i\.e|paras?|tabs?|ch)\.$", re.I
)
_LABEL = re.compile(r"(?:chapter|part|appendix|annex|section)\s+[\dA-Z]{1,4}", re.I)
_RUN_OF_HEADINGS = 4
_DIGITS = re.compile(r"\d+")
_ROMAN = re.compile(r"[ivxlc]+", re.I)
_SENTENCE_END = tuple('.!?:;"\u201d)')
_WIDE = 25
"""A line's width, in heights of its type, from which it is prose, no word of a list: some 50 letters."""
_LEAST_PROSE = 0.3
"""The share of all letters from which those outside of tables tell the size of the body's type."""
_MARGIN = 0.12
_WIDE_MARGIN = 0.22
"""The parts of the page's height, above and below, where running heads are and may be looked for."""


def arrange(pages: list[Page], outline: list[Outline], out: Blocks) -> None:
    """Turn pages into blocks."""
    drop_running(pages)
    words = vocabulary(pages)
    parted = [
        (page, _set(parts), list(_stretches(parts))) for page, parts in pdf_ruled.pages_parts(pages, words)
    ]
    prose = (part for _, _, stretches in parted for part in stretches if isinstance(part, list))
    style = _Style(pages, outline, chain.from_iterable(prose))
    for page, setting, stretches in parted:
        for part in stretches:
            if isinstance(part, Table):
                out.table(part.rows, page=page.number, header_rows=part.header_rows)
            elif part[0].mono:
                out.add("code", "\n".join(map(_spaced, part)), page=page.number)
            else:
                _prose(part, page, setting=setting, style=style, words=words, out=out)
    out.blocks[:] = _tidied(out.blocks)
    if not out.title:
        out.title = " - ".join(dict.fromkeys(block.text for block in _cover(out.blocks)))


_STRETCH = 8
"""Lines that tell themselves how they are set; fewer, as between two tables, are set as the page is."""


class _Setting(NamedTuple):
    """How a page's prose is set: where the lines of each column end, and how far apart they are."""

    edges: dict[int, float]
    pitch: float


def _set(parts: Iterable[Line | Ruled]) -> _Setting:
    lines = [part for part in parts if isinstance(part, Line) and not part.mono]
    return _Setting(_right_edges(lines), _pitch(lines))


def _stretches(parts: Iterable[Line | Ruled]) -> Iterator[list[Line] | Table]:
    """Yield stretches of lines, of code or of prose, and the tables between them, drawn or not."""
    for mono, group in groupby(parts, key=lambda part: isinstance(part, Line) and part.mono):
        if mono:
            yield [part for part in group if isinstance(part, Line)]
            continue
        for drawn, together in groupby(group, key=lambda part: isinstance(part, Ruled)):
            if drawn:
                yield from (part for part in together if isinstance(part, Ruled))
            else:
                yield from pdf_tables.parts([part for part in together if isinstance(part, Line)])


def _spaced(line: Line) -> str:
    """Return a line of code with its columns where they were: every letter is as wide as the next."""
    wide = sum(word.right - word.left for word in line.words) / sum(len(word.text) for word in line.words)
    text = ""
    for word in line.words:
        text += " " * max(bool(text), round((word.left - line.left) / max(wide, 0.1)) - len(text)) + word.text
    return text if len(text) < 1000 else line.text


def _cover(blocks: list[Block]) -> list[Block]:
    """Return the headings that a document begins with."""
    return list(takewhile(lambda block: block.kind == "heading" and block.page == blocks[0].page, blocks[:3]))


def _tidied(blocks: list[Block]) -> list[Block]:
    """Put "Chapter 1" and its title together; make a long run of headings with nothing beneath a list."""
    merged: list[Block] = []
    for block in blocks:
        last = merged[-1] if merged else None
        if last is not None and block.kind == last.kind == "heading" and _LABEL.fullmatch(last.text):
            merged[-1] = replace(block, text=f"{last.text}: {block.text}", page=last.page)
        else:
            merged.append(block)
    tidy: list[Block] = []
    for (kind, _, _), group in groupby(merged, key=lambda block: (block.kind, block.level, block.page)):
        run = list(group)
        listed = kind == "heading" and len(run) >= _RUN_OF_HEADINGS
        tidy += [replace(block, kind="item", level=0) for block in run] if listed else run
    return tidy


def drop_running(pages: list[Page]) -> None:
    """Take out what repeats in the margins of many pages, all but its first occurrence, and page numbers."""
    if len(pages) < 3:
        return
    seen = Counter(key for page in pages for key in {_key(line) for line in _margin(page)})
    offset = _number_offset(pages)
    kept: set[tuple[str, int]] = set()
    for page in pages:
        margin = _margin(page)
        edge = _outermost([line for line in margin if _is_near(line, page)])
        gone = set()
        for line in margin:
            key = _key(line)
            if id(line) in edge and _is_page_number(line.text, page.number, offset):
                gone.add(id(line))
            elif seen[key] >= _often(line, page, len(pages)):
                line.running = True
                if key in kept:
                    gone.add(id(line))
                kept.add(key)
        # A page of nothing else is no margin: there the same words are what the page says.
        page.lines = [line for line in page.lines if id(line) not in gone] or page.lines


def _margin(page: Page) -> list[Line]:
    low, high = page.height * _WIDE_MARGIN, page.height * (1 - _WIDE_MARGIN)
    return [line for line in page.lines if line.high < low or line.low > high]


def _often(line: Line, page: Page, pages: int) -> int:
    """Return on how many pages a line must repeat to be a running head; deeper in the page, on most."""
    return max(3, pages // 8 if _is_near(line, page) else pages * 6 // 10)


def _is_near(line: Line, page: Page) -> bool:
    return line.high < page.height * _MARGIN or line.low > page.height * (1 - _MARGIN)


def _outermost(lines: list[Line]) -> set[int]:
    if not lines:
        return set()
    bottom, top = min(line.low for line in lines), max(line.high for line in lines)
    return {id(line) for line in lines if line.low < bottom + 4 or line.high > top - 4}


def _key(line: Line) -> tuple[str, int]:
    return _DIGITS.sub("#", line.text), round(line.low / 12)


def _number_offset(pages: list[Page]) -> int | None:
    """Return n where page i is numbered i + n, if at least a third of the pages agree."""
    found: Counter[int] = Counter()
    for page in pages:
        numbers = {int(n) for line in _margin(page) for n in _ends(line.text) if len(n) < 6}
        found.update(number - page.number for number in numbers)
    best = found.most_common(1)
    return best[0][0] if best and best[0][1] * 3 >= len(pages) else None


def _ends(text: str) -> list[str]:
    return [match[0] for match in (re.match(r"\d+", text), re.search(r"\d+$", text)) if match]


def _is_page_number(text: str, page: int, offset: int | None) -> bool:
    if len(text) > 100:
        return False
    if _ROMAN.fullmatch(text):
        return True
    return offset is not None and str(page + offset) in _ends(text)


class _Style:
    """What the type of a line says: which size is the body's, what looks like a heading and how deep."""

    def __init__(self, pages: list[Page], outline: list[Outline], prose: Iterable[Line]) -> None:
        weights = _weights(line for page in pages for line in page.lines)
        self.body = _body(weights, _weights(prose))
        bold = sum(len(line.text) for page in pages for line in page.lines if line.bold)
        self.bold_means = bold * 4 < sum(weights.values())
        self.titles = {
            (entry.page, _bare(entry.title)): min(entry.level, 6) for entry in outline if entry.title
        }
        larger = sorted(
            {size for size, weight in weights.items() if size >= 1.12 * self.body and weight < 20_000}
        )
        # Sizes within a tenth of each other are one level.
        steps: list[float] = []
        for size in reversed(larger):
            if not steps or size < 0.92 * steps[-1]:
                steps.append(size)
        self._steps = steps[:4]
        self._seen = self._learn(pages)

    def _learn(self, pages: list[Page]) -> dict[tuple[float, bool], int]:
        """Learn from the outline how deep each style of type is."""
        votes: dict[tuple[float, bool], Counter[int]] = {}
        for page in pages:
            for line in page.lines:
                if (depth := self.titles.get((page.number, _bare(line.text)))) is not None:
                    votes.setdefault((_rounded(line), line.bold), Counter())[depth] += 1
        return {style: counts.most_common(1)[0][0] for style, counts in votes.items()}

    def level(self, lines: list[Line], page: int) -> int:
        """Return how deep a heading these lines are, 0 for none."""
        if lines[0].running:
            return 0
        text = " ".join(line.text for line in lines)
        if (depth := self.titles.get((page, _bare(text)))) is not None:
            return depth
        if len(lines) > 3 or len(text) > 150 or sum(map(str.isalpha, text)) < 3 or _LEADER.search(text):
            return 0
        if _is_sentence(text):
            return 0
        size, bold = _rounded(lines[0]), all(line.bold for line in lines)
        short = len(lines) == 1 and len(text) < 80 and not text.endswith((".", ",", ";", ":"))
        if size >= (1.06 if short else 1.12) * self.body:
            return self._seen.get((size, bold)) or self._by_size(size)
        if not (bold and self.bold_means) or size < 0.95 * self.body or text.endswith((".", ",", ";")):
            return 0
        return self._seen.get((size, bold)) or self._below()

    def _by_size(self, size: float) -> int:
        depth = 1 + next((at for at, step in enumerate(self._steps) if size >= 0.92 * step), len(self._steps))
        return depth if not self._seen else min(6, max(depth, 1))

    def _below(self) -> int:
        deepest = max(self._seen.values(), default=0)
        return min(6, max(deepest, len(self._steps)) + 1)


def _is_sentence(text: str) -> bool:
    """Tell whether a text without a number in front is a sentence, its middle or its end."""
    if _ITEM.match(text) or text[0].isdigit():
        return False
    return text[0] == "(" or text.split(maxsplit=1)[0].islower() or text.endswith(".")


def _weights(lines: Iterable[Line]) -> Counter[float]:
    """Return how many letters there are of each size."""
    weights: Counter[float] = Counter()
    for line in lines:
        weights[_rounded(line)] += len(line.text)
    return weights


def _body(weights: Counter[float], prose: Counter[float]) -> float:
    """Return the size of the body's type: most letters outside of tables have it.

    Where there is hardly anything but tables, what stands outside of them may well be their headings.
    """
    if not weights:
        return 10.0
    ((size, weight),) = prose.most_common(1) or [(0.0, 0)]
    return size if weight >= _LEAST_PROSE * weights.total() else weights.most_common(1)[0][0]


def _rounded(line: Line) -> float:
    return round(line.size * 2) / 2


def _bare(text: str) -> str:
    """Return `text` without spaces, case and leading number, to compare a heading with its bookmark."""
    text = re.sub(
        r"^\s*(?:chapter|section|appendix)?\s*(?:[\dA-Z]{1,3}(?:\.\d+)*[.:)]?\s+|(?:\d+\.)+\d*\s*)",
        "",
        text,
        flags=re.I,
    )
    return re.sub(r"\W+", "", text).casefold()


def _prose(
    lines: list[Line], page: Page, *, setting: _Setting, style: _Style, words: set[str], out: Blocks
) -> None:
    if not lines:
        return
    if len(lines) >= _STRETCH:
        setting = _set(lines)
    group: list[Line] = []
    for line in lines:
        if group and _parts_from(
            group,
            line,
            right=setting.edges[_column(line)],
            pitch=setting.pitch,
            style=style,
            page=page.number,
        ):
            _emit(group, page, style=style, words=words, out=out)
            group = []
        group.append(line)
    _emit(group, page, style=style, words=words, out=out)


def _right_edges(lines: list[Line]) -> dict[int, float]:
    """Return where the lines of each column usually end."""
    ends: dict[int, list[float]] = {}
    for line in lines:
        ends.setdefault(_column(line), []).append(line.right)
    return {column: sorted(rights)[int(0.9 * (len(rights) - 1))] for column, rights in ends.items()}


def _column(line: Line) -> int:
    return round(line.left / 60)


def _pitch(lines: list[Line]) -> float:
    """Return the usual distance of two lines, as a multiple of the type's height."""
    ratios = [
        (above.low - below.low) / below.size
        for above, below in pairwise(lines)
        if 0 < above.low - below.low < 2.5 * below.size
    ]
    return min(1.6, max(0.9, median(sorted(ratios)[: 1 + len(ratios) * 3 // 4]))) if ratios else 1.15


def _parts_from(
    group: list[Line], line: Line, *, right: float, pitch: float, style: _Style, page: int
) -> bool:
    """Tell whether `line` begins a new block after `group`."""
    last = group[-1]
    if line.running or last.running:
        return True
    if _LEADER.search(line.text) or _LEADER.search(last.text) or _begins_anew(group, line):
        return True
    drop = last.low - line.low
    if abs(drop) < 0.3 * line.size and line.left >= last.right - 1:
        return False  # the same line, cut by the engine
    if not 0.88 < line.size / last.size < 1.14 or line.bold != last.bold:
        return not (
            last.bold and not line.bold and last.text.endswith(",") and drop < pitch * 1.2 * line.size
        )
    if drop < 0 or drop > 4 * line.size:
        # A new column or a leap: the sentence may go on there.
        return last.text.endswith(_SENTENCE_END) or not line.text[:1].islower()
    width = max(1.0, right - last.left)
    ended = last.text.endswith(_SENTENCE_END)
    full = last.right >= right - 0.18 * width
    # Lines set wide are further apart than the pitch tells.
    if drop > (pitch + 0.3) * line.size and (
        ended or not full or width < _WIDE * line.size or not line.text[0].islower()
    ):
        return True
    if style.titles.get((page, _bare(last.text))) and len(group) == 1:
        return True
    if _ITEM.match(group[0].text):
        return line.left < group[0].left - 2
    if ended and (not full or (len(group) > 1 and line.left > last.left + 8)):
        return True
    # A line that stops short of the half and one that begins with a capital: two lines of their own.
    return last.right < right - 0.5 * width and line.text[:1].isupper()


def _begins_anew(group: list[Line], line: Line) -> bool:
    """Tell whether `line` is an item, or a clause behind another one or behind a whole sentence."""
    if _ITEM.match(line.text):
        return True
    clause, first, last = _CLAUSE.match(line.text), _CLAUSE.match(group[0].text), group[-1].text
    if clause is None or _SHORTENED.search(last):
        return False
    return last.endswith((".", "!", "?")) or (first is not None and _parts_of(first) < _parts_of(clause))


def _parts_of(clause: re.Match[str]) -> list[int]:
    return [int(part) for part in clause[1].split(".")]


def _emit(group: list[Line], page: Page, *, style: _Style, words: set[str], out: Blocks) -> None:
    text = one_line(_LEADER.sub(" … ", joined(group, words)))
    if (level := style.level(group, page.number)) and not _is_long_item(text):
        out.add("heading", text, page=page.number, level=level)
    elif _ITEM.match(text):
        out.add("item", _BULLET.sub(BULLET, text), page=page.number)
    else:
        out.add("paragraph", text, page=page.number)


def _is_long_item(text: str) -> bool:
    return bool(_ITEM.match(text)) and not _NUMBERED.match(text) and len(text) > 60
