"""A passage -> what stands about it in its section: a way to do something is told in more than one chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from appliance.types import Hit, Passage


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


def widened(shelf: Shelf, passage: Passage, *, before: int, after: int) -> tuple[Passage, bool]:
    """Return the passage with what stands before and after it in its section, and whether its beginning does.

    `before` and `after` are in characters, of which chunks add so much at least, if there is so much.
    """
    start, end = passage.start, passage.start + len(passage.text)
    for each in _others(shelf, passage, onwards=False):
        if passage.start - start >= before:
            break
        start = each.start
    else:
        before = 0
    for each in _others(shelf, passage, onwards=True):
        if end - passage.start - len(passage.text) >= after:
            break
        end = each.start + len(each.text)
    if end - start == len(passage.text):
        return passage, not before
    text = shelf.text(passage.document_id)[start:end]
    return replace(passage, text=text, start=start), not before


def _others(shelf: Shelf, passage: Passage, *, onwards: bool) -> Iterator[Passage]:
    """Yield the chunks of the section on one side of the passage, the nearest first."""
    chunk = passage
    while True:
        beside = shelf.passages([Hit(each, 0.0, ()) for each in shelf.neighbours(chunk.chunk)])
        found = [each for each in beside if (each.start > chunk.start) == onwards]
        if not found or found[0].heading != passage.heading:
            return
        chunk = found[0]
        yield chunk
