"""Other ways to cut a document than ours, for the comparison in scripts/retrieval.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from appliance.inference import Tokenizer
from appliance.ingest.chunk import Shape, chunks
from appliance.sentences import split
from appliance.types import Chunk, Parsed, chunk_input
from scripts.corpora import Cut

FIXED = 200
"""Tokens of a chunk of the baseline."""


@dataclass(frozen=True)
class Way:
    """A way to cut, the text that is embedded for a chunk, and whether its neighbours are shown with it."""

    cut: Cut = chunks
    embedded: Callable[[Chunk, str], str] = chunk_input
    parent: bool = False


def ways(tokenizer: Tokenizer) -> dict[str, Way]:
    """Return the ways by name; the first is ours, the second the baseline."""
    return {
        "ours": Way(),
        "200 tokens": Way(cut=lambda parsed: fixed(parsed, tokenizer)),
        "overlap, one sentence": Way(cut=lambda parsed: overlapping(parsed, _last_sentence)),
        "overlap, a fifth": Way(cut=lambda parsed: overlapping(parsed, _last_fifth)),
        "350 / 600 characters": Way(cut=_small),
        "350 / 600, neighbours shown": Way(cut=_small, parent=True),
        "no title and headings embedded": Way(embedded=_bare),
    }


def fixed(parsed: Parsed, tokenizer: Tokenizer) -> tuple[str, tuple[int, ...], tuple[Chunk, ...]]:
    """Cut every `FIXED` tokens, whatever stands there."""
    text, starts, _ = chunks(parsed)
    places = tokenizer.placed([text])[0].places
    edges = [place[0] for place in places[::FIXED]] or [0]
    edges[0] = 0
    ends = [*edges[1:], len(text)]
    pieces = tuple(
        Chunk(ordinal, start, end, None, "", "", text[start:end])
        for ordinal, (start, end) in enumerate(zip(edges, ends, strict=True))
    )
    return text, starts, pieces


def overlapping(parsed: Parsed, back: Callable[[str], int]) -> tuple[str, tuple[int, ...], tuple[Chunk, ...]]:
    """Cut as we do, and begin each chunk with the end of the one before it, where they share a heading."""
    text, starts, pieces = chunks(parsed)
    return text, starts, tuple(_overlapping(text, pieces, back))


def _overlapping(text: str, pieces: Sequence[Chunk], back: Callable[[str], int]) -> Iterator[Chunk]:
    yield from pieces[:1]
    for before, chunk in pairwise(pieces):
        if chunk.lead or before.heading != chunk.heading:
            yield chunk
            continue
        start = before.start + back(before.text)
        yield replace(chunk, start=start, text=text[start : chunk.end])


def _last_sentence(text: str) -> int:
    return list(split(text))[-1][0]


def _last_fifth(text: str) -> int:
    return next((start for start, _ in split(text) if start >= 0.8 * len(text)), len(text))


def _small(parsed: Parsed) -> tuple[str, tuple[int, ...], tuple[Chunk, ...]]:
    return chunks(parsed, shape=Shape(350, 600, 120))


def _bare(chunk: Chunk, title: str) -> str:
    del title
    return "\n".join(part for part in (chunk.lead, chunk.text) if part)
