"""Question, passages -> for each passage how relevant it is, the span that answers, and whether one does.

The seam for a trained cross-encoder: whatever stands here, a `Reading` is all that the rest knows of it.
Until then sentences are ranked by their cosine to the question and the question's words in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp
from typing import TYPE_CHECKING, Protocol

from appliance.instructions import to_assistant
from appliance.retrieve.words import Query
from appliance.sentences import CELL, header_of, is_header, split
from appliance.types import Passage, Vector

if TYPE_CHECKING:  # loading the engine takes a third of a second, which a thread spends beside the key
    from appliance.embed import Encoder

_PASSAGES = 4
"""Passages whose sentences are read."""
_SENTENCES = 8
"""Sentences embedded for one question: what fits the 40 ms that a quote may take."""
_WORDS = 0.35
"""The share of word overlap in a sentence's score; chosen in scripts/LOG.md."""
_RANK = 0.15
"""What a passage's own score adds to its sentences' scores."""
_NAMED = 0.05
"""What every identifier of the question in a sentence adds to its score."""
_DEFINED = 0.25
"""What a table's row gains that an identifier of the question opens: there it is said what it is."""
_KNEE = 0.8
"""Where a score begins to be bent, so that none reaches 1."""
_SHORT = 25
"""Characters below which a sentence is a fragment, quoted only where there is nothing else."""
_ANNOUNCE = 200
"""Characters up to which a sentence that ends in a colon is quoted with the next one."""


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


class TrainedReader(Reader, Protocol):
    """A reader that has a say in the order of the passages."""

    @property
    def name(self) -> str:
        """Return its model's name."""

    @property
    def weight(self) -> float:
        """Return the share of relevance, in [0, 1], in the order of the passages."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: int
    start: int
    end: int
    overlap: float
    named: float
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
            relevance = _bounded(found.score)
            if relevance > best[found.passage].relevance:
                best[found.passage] = Reading(relevance, (found.start, found.end), relevance)
        return tuple(best.values())

    def _candidates(self, question: Question, passages: Sequence[Passage]) -> list[_Candidate]:
        """Return the few sentences worth embedding: those with most of the question's words."""
        found = [
            _Candidate(index, start, end, overlap, named, overlap + named + _RANK * passage.score)
            for index, passage in enumerate(passages[:_PASSAGES])
            for start, end in _sentences(passage.text)
            for terms in [self._analyse(_in_context(passage, start, end))]
            for overlap in [question.query.covered(terms)]
            for named in [
                _NAMED * _share_named(question.query, terms)
                + _DEFINED * self._defines(question.query, passage, start, end)
            ]
        ]
        return sorted(found, key=lambda item: (-item.score, item.passage, item.start))[:_SENTENCES]

    def _defines(self, query: Query, passage: Passage, start: int, end: int) -> bool:
        """Tell whether this is the row that an identifier opens: "E04 | ...", or "8 | ..." of an error."""
        cell, parted, _ = passage.text[start:end].partition(CELL)
        if not parted or not query.identifiers:
            return False
        terms = tuple(self._analyse(cell))
        column = set(self._analyse(_in_context(passage, start, end).partition(CELL)[0]))
        return any(
            terms == phrase or (terms == phrase[-1:] and set(phrase[:-1]) <= column)
            for phrase in query.identifiers
        )

    def _scored(
        self, question: Question, passages: Sequence[Passage], candidates: Sequence[_Candidate]
    ) -> Iterator[_Candidate]:
        if not candidates:
            return
        texts = [_in_context(passages[item.passage], item.start, item.end) for item in candidates]
        cosines = self._encoder.encode(texts) @ question.vector
        for item, cosine in zip(candidates, cosines, strict=True):
            score = (
                (1 - _WORDS) * float(cosine)
                + _WORDS * item.overlap
                + _RANK * passages[item.passage].score
                + item.named
            )
            yield replace(item, score=score)


def _bounded(score: float) -> float:
    """Return `score` in [0, 1), unchanged up to the knee: cut at 1, the best would be as good as the next."""
    over = score - _KNEE
    return max(score, 0.0) if over <= 0 else _KNEE + (1 - _KNEE) * (1 - exp(-over / (1 - _KNEE)))


def _in_context(passage: Passage, start: int, end: int) -> str:
    """Return a sentence, or a table's row under its header: "12 | 12.8" says nothing without it."""
    header = header_of(passage.text, start)
    text = passage.text[start:end]
    lead = passage.text[slice(*header)] if header else passage.lead if CELL in text else ""
    return f"{lead}\n{text}" if lead else text


def _share_named(query: Query, terms: Sequence[str]) -> float:
    """Return the share of the question's identifiers that stand among the terms of a sentence."""
    held = [phrase for phrase in query.identifiers if _holds(terms, phrase)]
    return len(held) / len(query.identifiers) if query.identifiers else 0.0


def _holds(terms: Sequence[str], phrase: Sequence[str]) -> bool:
    size = len(phrase)
    return any(tuple(terms[at : at + size]) == tuple(phrase) for at in range(len(terms) - size + 1))


def _sentences(text: str) -> Iterable[tuple[int, int]]:
    """Return what may be quoted: no header, no fragment, and what ends in a colon with what it announces.

    Nor what speaks to the assistant: an injected instruction must not pass for an answer.
    """
    spans = [
        span for span in split(text) if not is_header(text, span) and not to_assistant(text[slice(*span)])
    ]
    whole = [span for span in spans if span[1] - span[0] >= _SHORT or CELL in text[slice(*span)]] or spans
    ends = {
        one: two[1] for one, two in pairwise(whole) if text[one[1] - 1] == ":" and one[1] - one[0] < _ANNOUNCE
    }
    return [(start, ends.get((start, end), end)) for start, end in whole]
