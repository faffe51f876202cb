"""Question, passages -> for each passage how relevant it is, the span that answers, and whether one does.

The seam for a trained cross-encoder: whatever stands here, a `Reading` is all that the rest knows of it.
Until then sentences are ranked by their cosine to the question and the question's words in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.embed import Encoder
from appliance.retrieve.words import Query
from appliance.sentences import split
from appliance.types import Passage, Vector

_PASSAGES = 4
"""Passages whose sentences are read."""
_SENTENCES = 8
"""Sentences embedded for one question: what fits the 40 ms that a quote may take."""
_WORDS = 0.35
"""The share of word overlap in a sentence's score; chosen in scripts/LOG.md."""
_RANK = 0.15
"""What a passage's own score adds to its sentences' scores."""
_SHORT = 25
"""Characters below which a sentence is a fragment, quoted only where there is nothing else."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question as every stage needs it: its words, its vector, what to search for."""

    text: str
    vector: Vector
    query: Query


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one passage gave: `relevance` and `answerable` in [0, 1], `span` in the passage's text."""

    relevance: float
    span: tuple[int, int]
    answerable: float


class Reader(Protocol):
    """Reads passages for a question."""

    def read(self, question: Question, passages: Sequence[Passage]) -> tuple[Reading, ...]:
        """Return one reading per passage, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: int
    start: int
    end: int
    overlap: float
    score: float


class SentenceReader:
    """Ranks sentences; knows nothing of answerability and says what relevance says."""

    def __init__(self, encoder: Encoder, analyse: Callable[[str], list[str]]) -> None:
        self._encoder = encoder
        self._analyse = analyse

    def read(self, question: Question, passages: Sequence[Passage]) -> tuple[Reading, ...]:
        """Return one reading per passage; passages past the first few are read whole, as irrelevant."""
        best = {index: Reading(0.0, (0, len(passage.text)), 0.0) for index, passage in enumerate(passages)}
        for found in self._scored(question, passages, self._candidates(question, passages)):
            relevance = min(max(found.score, 0.0), 1.0)
            if relevance > best[found.passage].relevance:
                best[found.passage] = Reading(relevance, (found.start, found.end), relevance)
        return tuple(best.values())

    def _candidates(self, question: Question, passages: Sequence[Passage]) -> list[_Candidate]:
        """Return the few sentences worth embedding: those with most of the question's words."""
        found = [
            _Candidate(index, start, end, overlap, overlap + _RANK * passage.score)
            for index, passage in enumerate(passages[:_PASSAGES])
            for start, end in _sentences(passage.text)
            for overlap in [question.query.covered(self._analyse(passage.text[start:end]))]
        ]
        return sorted(found, key=lambda item: (-item.score, item.passage, item.start))[:_SENTENCES]

    def _scored(
        self, question: Question, passages: Sequence[Passage], candidates: Sequence[_Candidate]
    ) -> Iterator[_Candidate]:
        if not candidates:
            return
        texts = [passages[item.passage].text[item.start : item.end] for item in candidates]
        cosines = self._encoder.encode(texts) @ question.vector
        for item, cosine in zip(candidates, cosines, strict=True):
            score = (
                (1 - _WORDS) * float(cosine) + _WORDS * item.overlap + _RANK * passages[item.passage].score
            )
            yield _Candidate(item.passage, item.start, item.end, item.overlap, score)


def _sentences(text: str) -> Iterable[tuple[int, int]]:
    spans = split(text)
    return [span for span in spans if span[1] - span[0] >= _SHORT] or spans
