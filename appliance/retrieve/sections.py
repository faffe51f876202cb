"""A passage -> what stands about it in its section: a way to do something is told in more than one chunk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from appliance.types import Hit, Passage, Span
from appliance.ways import STEP

_STEPS = re.compile(r"\W*(?:\w+\s)?(?:procedure|steps|instructions|method)\W*", re.IGNORECASE)


class Shelf(Protocol):
    """What this module asks of the store."""

    def neighbours(self, chunk_id: int) -> tuple[int, ...]:
        """Return the ids of the chunks just before and after."""
        ...

    def passages(self, hits: Sequence[Hit]) -> tuple[Passage, ...]:
        """Return what the hits point at."""
        ...

    def text(self, document_id: int) -> str:
        """Return a document's text."""
        ...

    def page_at(self, document_id: int, offset: int) -> int | None:
        """Return the page on which a character of a document's text stands."""
        ...

    def page_span(self, document_id: int, offset: int) -> tuple[int, int | None] | None:
        """Return where that page begins, and where the next one does."""
        ...


@dataclass(frozen=True, slots=True)
class Section:
    """A `passage` with what stands about it in its section; `part` is the span of it on one page.

    `begins` tells whether that page's part of the section is there from its beginning.
    """

    passage: Passage
    part: Span
    begins: bool


def section(shelf: Shelf, passage: Passage, sentence: Span, *, before: int, after: int) -> Section:
    """Return the section of a passage about one of its sentences, on whose page the quote will be.

    `before` and `after` are in characters, of which chunks add so much at least, if there is so much.
    """
    start, end = passage.start, passage.start + len(passage.text)
    at = (start + sentence[0], start + sentence[1])
    top, bottom = shelf.page_span(passage.document_id, at[0]) or (0, None)
    begins = True
    for each in _others(shelf, passage, onwards=False):
        if start <= top or at[0] - start >= before:
            begins = start <= top
            break
        start = each.start
    for each in _others(shelf, passage, onwards=True):
        if (bottom is not None and end >= bottom) or end - at[1] >= after:
            break
        end = each.start + len(each.text)
    last = end if bottom is None else max(min(end, bottom), at[1])  # a sentence may run over to the next page
    return Section(span(shelf, passage, (start, end)), (max(top - start, 0), last - start), begins)


def span(shelf: Shelf, passage: Passage, wanted: Span) -> Passage:
    """Return the passage from one character of its document's text to another."""
    start, end = wanted
    if (start, end) == (passage.start, passage.start + len(passage.text)):
        return passage
    page = passage.page and shelf.page_at(passage.document_id, start)
    if passage.start <= start and end <= passage.start + len(passage.text):
        text = passage.text[start - passage.start : end - passage.start]
    else:
        text = shelf.text(passage.document_id)[start:end]
    lead = passage.lead if start == passage.start else ""  # a table's header, over what is no row of it
    return replace(passage, text=text, start=start, page=page, lead=lead)


def chunks(shelf: Shelf, passage: Passage) -> tuple[int, ...]:
    """Return the ids of all chunks from which a passage takes text, its own first."""
    start, end = passage.start, passage.start + len(passage.text)
    found = [passage.chunk]
    for onwards in (False, True):
        for each in _beside(shelf, passage.chunk, onwards=onwards):
            if not (each.start < end and start < each.start + len(each.text)):
                break
            found.append(each.chunk)
    return tuple(found)


def _others(shelf: Shelf, passage: Passage, *, onwards: bool) -> Iterator[Passage]:
    """Yield the chunks of the section on one side of the passage, the nearest first."""
    for each in _beside(shelf, passage.chunk, onwards=onwards):
        if not _belongs(passage.heading, each.heading, onwards=onwards):
            return
        yield each


def _beside(shelf: Shelf, chunk: int, *, onwards: bool) -> Iterator[Passage]:
    """Yield the chunks of the document on one side of a chunk, the nearest first."""
    (here,) = shelf.passages([Hit(chunk, 0.0, ())])
    while True:
        beside = shelf.passages([Hit(each, 0.0, ()) for each in shelf.neighbours(here.chunk)])
        found = [each for each in beside if (each.start > here.start) == onwards]
        if not found:
            return
        here = found[0]
        yield here


def _belongs(heading: str, other: str, *, onwards: bool) -> bool:
    """Tell whether a chunk under the `other` heading belongs to the section, as the steps within it do.

    They have one heading, "Procedure", or each has its own, "3. Drain the oil".
    """
    above, _, title = other.rpartition(" > ")
    # Right below a document's title numbers are those of its chapters.
    steps = _STEPS.fullmatch(title) or (" > " in heading and STEP.match(title))
    return other == heading or (onwards and above == heading and bool(steps))
