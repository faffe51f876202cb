"""Question -> passages, best first, and the evidence; none where nothing retrieved is near enough."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.retrieve import fusion, refusal, vectors, words
from appliance.retrieve.reader import Question, Reading, SentenceReader, TrainedReader
from appliance.types import Evidence, Passage, Timings
from appliance.vault.store import Store

if TYPE_CHECKING:  # loading the engine takes a third of a second, which a thread spends beside the key
    from appliance.embed import Encoder

PASSAGES = 6
"""Passages shown, and given to the generator."""
DEPTH = 50
"""Hits taken from each of the two searches before they are fused."""
_CONSIDERED = 24
"""Passages among which those shown are chosen, so that one page does not take all places."""
_COVERING = 3
"""Passages of which one should hold the question's words."""
_NAMES = 4
"""Identifiers of a question that are looked for by themselves."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What retrieval gave: `evidence` is None where `near`, in [0, 1], is under the threshold."""

    passages: tuple[Passage, ...]
    evidence: Evidence | None
    near: float
    timings: Timings
    signals: refusal.Signals


@dataclass(frozen=True, slots=True)
class _Rankings:
    """What the two searches found: chunk to score."""

    words: Mapping[int, float]
    vectors: Mapping[int, float]


class Retriever:
    """Searches one store with one encoder."""

    def __init__(self, store: Store, encoder: Encoder, reader: TrainedReader | None = None) -> None:
        self._store = store
        self._encoder = encoder
        self._sentences = SentenceReader(encoder, store.analyse)
        self._reader = reader

    def retrieve(self, question: str) -> Retrieval:
        """Return the passages nearest to `question` and the sentence that answers best."""
        began = time.perf_counter()
        vector = self._encoder.encode([question])[0]
        embedded = time.perf_counter()
        asked = Question(question, vector, words.query(question, self._store))
        rankings = self._search(asked)
        passages = self._passages(asked, rankings)
        searched = time.perf_counter()
        # What is refused the sentences decide: the trained reader refused no better (scripts/LOG.md).
        readings = self._sentences.read(asked, passages)
        seen = self._signals(asked, rankings, passages, readings)
        near = refusal.near_enough(seen)
        evidence = None
        if passages and near >= refusal.THRESHOLD:
            passages, evidence = self._read(asked, passages, readings, near)
        timings = Timings(
            embed_ms=(embedded - began) * 1000,
            search_ms=(searched - embedded) * 1000,
            read_ms=(time.perf_counter() - searched) * 1000,
        )
        return Retrieval(passages, evidence, near, timings, seen)

    def _read(
        self, asked: Question, passages: tuple[Passage, ...], readings: Sequence[Reading], near: float
    ) -> tuple[tuple[Passage, ...], Evidence]:
        """Return the passages as they are shown, and the quote: of the first where a reader ranked them."""
        if self._reader is None:
            index = max(range(len(passages)), key=lambda number: readings[number].relevance)
            return passages, self._evidence(passages, index, readings[index].span, near)
        ranked = _ordered(passages, self._reader.read(asked, passages), self._reader.weight)
        shown = tuple(passage for passage, _ in ranked)
        return shown, self._evidence(shown, 0, ranked[0][1].span, near)

    def _search(self, asked: Question) -> _Rankings:
        found = self._store.match(asked.query.phrases, DEPTH) if asked.query.phrases else []
        return _Rankings(dict(found), vectors.nearest(asked.vector, self._store, DEPTH))

    def _passages(self, asked: Question, found: _Rankings) -> tuple[Passage, ...]:
        unknown = found.words.keys() - found.vectors.keys()
        near = vectors.cosines(asked.vector, self._store, unknown)
        hits = fusion.supported(fusion.fuse(found.words, found.vectors, near=near))
        holders = [dict(self._store.match([phrase], DEPTH)) for phrase in asked.query.identifiers[:_NAMES]]
        hits = fusion.named(hits, holders)
        return fusion.spread(self._store.passages(hits[:_CONSIDERED]))[:PASSAGES]

    def _signals(
        self, asked: Question, found: _Rankings, passages: Sequence[Passage], readings: Sequence[Reading]
    ) -> refusal.Signals:
        covered = (
            asked.query.covered(
                self._store.analyse("\n".join((seen.document, seen.heading, seen.lead, seen.text)))
            )
            for seen in passages[:_COVERING]
        )
        return refusal.signals(
            found.vectors,
            found.words,
            sentence=max((reading.relevance for reading in readings), default=0.0),
            covered=max(covered, default=0.0),
            missing=self._missing(asked.query),
        )

    def _missing(self, query: words.Query) -> float:
        """Return the share of the identifiers and numbers that stand nowhere in the store."""
        absent = [phrase for phrase in query.exact if not self._store.match([phrase], 1)]
        return len(absent) / len(query.exact) if query.exact else 0.0

    def _evidence(
        self, passages: Sequence[Passage], index: int, span: tuple[int, int], near: float
    ) -> Evidence:
        passage, (start, end) = passages[index], span
        return Evidence(
            n=index + 1,
            start=start,
            end=end,
            quote=passage.text[start:end],
            document=passage.document,
            page=self.page_of(passage, start),
            heading=passage.heading,
            near=near,
        )

    def page_of(self, passage: Passage, start: int) -> int | None:
        """Return the page on which a quote begins: a passage may end on the page after its own."""
        if passage.page is None or not start:
            return passage.page
        return self._store.page_at(passage.document_id, passage.start + start)


def _ordered(
    passages: Sequence[Passage], readings: Sequence[Reading], weight: float
) -> list[tuple[Passage, Reading]]:
    """Return the passages best first: by the searches and, for the share `weight`, by their relevance."""
    scored = [
        (replace(passage, score=(1 - weight) * passage.score + weight * reading.relevance), reading)
        for passage, reading in zip(passages, readings, strict=True)
    ]
    return sorted(scored, key=lambda pair: -pair[0].score)
