"""A quote and the text of pages -> where on which page it stands. Touches no screen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.types import DocumentPage, Passage

LEAF_CHARS = 12_000
"""What a leaf holds: a document without pages may be one text of megabytes, too much to lay out at once."""
_HEAD_CHARS = 40
_BEGINNING = 80

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the reader shows at once: a page or a part of one. `part` counts from 1 out of `parts`."""

    page: int | None
    part: int
    parts: int
    text: str


def leaves(pages: Sequence[DocumentPage]) -> tuple[Leaf, ...]:
    """Cut pages into leaves of at most LEAF_CHARS, at the ends of lines where there are any."""
    found: list[Leaf] = []
    for page in pages:
        texts = _parts(page.text)
        found += [Leaf(page.page, part, len(texts), text) for part, text in enumerate(texts, start=1)]
    return tuple(found)


def _parts(text: str) -> list[str]:
    parts = []
    while len(text) > LEAF_CHARS:
        cut = text.rfind("\n", LEAF_CHARS // 2, LEAF_CHARS) + 1 or LEAF_CHARS
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text]


def locate(found: Sequence[Leaf], passage: Passage, span: Span | None) -> tuple[int, Span | None]:
    """Return the leaf on which the quote stands and its span there, or the page alone where it is not found.

    A quote may begin on the page after the passage's first one, and may run over a page's end: then its
    beginning is marked. Of a passage without a quote it is where that begins, to the end of a line at most.
    """
    quote = passage.text if span is None else passage.text[slice(*span)]
    exact = _by_offset(found, passage.start + (span[0] if span else 0), quote)
    if exact is not None:
        return exact[0], exact[1] if span is not None else _beginning(found[exact[0]].text, exact[1])
    first = next((i for i, leaf in enumerate(found) if leaf.page == passage.page), 0)
    for wanted in (quote, quote[:_HEAD_CHARS]):
        for index in (*range(first, len(found)), *range(first)):
            where = find(found[index].text, wanted)
            if where is not None:
                return index, where if span is not None else _beginning(found[index].text, where)
    return first, None


def _beginning(text: str, span: Span) -> Span:
    start, end = span[0], min(span[1], span[0] + _BEGINNING)
    line = text.find("\n", start, end)
    return start, line if line > start else end


def _by_offset(found: Sequence[Leaf], at: int, quote: str) -> tuple[int, Span] | None:
    """Return the leaf and span of the quote that begins at the character `at` of a text without pages."""
    for index, leaf in enumerate(found):
        if at < len(leaf.text):
            end = min(at + len(quote), len(leaf.text))
            there = leaf.page is None and quote and quote.startswith(leaf.text[at:end])
            return (index, (at, end)) if there else None
        at -= len(leaf.text)
    return None


def find(text: str, words: str, *, after: int = 0) -> Span | None:
    """Return the first place of `words` in `text`, whatever the case and the spaces between them."""
    parts = words.split()
    if not parts:
        return None
    pattern = r"\s+".join(re.escape(part) for part in parts)
    match = re.compile(pattern, re.IGNORECASE).search(text, after)
    return match.span() if match else None
