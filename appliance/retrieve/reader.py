"""Question, passages -> for each passage how relevant it is, the span that answers, and whether one does.

The seam for a trained cross-encoder (cross.py): a `Reading` is all that the rest knows of either reader.
Without one, sentences are ranked by their cosine to the question and the question's words in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp
from typing import TYPE_CHECKING, Final, Protocol

from appliance.instructions import to_assistant
from appliance.models import Calibration, Refusal
from appliance.quantity import Quantity
from appliance.ranges import Figure, held
from appliance.retrieve.refusal import SENTENCES, SENTENCES_REFUSAL
from appliance.retrieve.words import Query
from appliance.sentences import CELL, header_of, is_header, split
from appliance.types import Choice, Passage, Span, Vector

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
"""Characters below which a sentence may be a fragment, quoted only where there is nothing else."""
_TELLING = re.compile(r"[^\W\d].*\d|\d.*[^\W\d]|\w:\s+\S", re.DOTALL)
"""What is none however short it is: "60 PSI", "Fuse 12", "Owner: the mayor"."""
_ANNOUNCE = 200
"""Characters up to which a sentence that ends in a colon is quoted with the next one."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question as every stage needs it: words, vector, what to search for, and which quantity it asks for.

    `analyse` cuts text into the terms of the index, as the query's were cut. `figures` are those it names.
    """

    text: str
    vector: Vector
    query: Query
    analyse: Callable[[str], list[str]]
    quantity: Quantity | None = None
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one passage gave: how relevant it is, and how surely it `answers`, both in [0, 1].

    `span` is the sentence to quote and `others` are more of them, the most telling first, in the passage's
    text. `mark` are the words of `span` that answer, None where the reader cannot point at words. `stated`
    are the log-odds against an answer that come of figures: 0, or less where `span` lacks the quantity asked
    for, or is about a range that leaves out a figure of the question.
    `choices` are words of the passage that may answer, best first, the reader's alone. `span` is empty where
    nothing may be quoted, or nothing was read.
    """

    relevance: float
    span: Span
    answers: float
    mark: Span | None = None
    others: tuple[Span, ...] = ()
    stated: float = 0.0
    choices: tuple[Choice, ...] = ()

    @property
    def quotable(self) -> bool:
        """Tell whether there is a sentence to quote."""
        return self.span[0] < self.span[1]


NOTHING: Final = Reading(0.0, (0, 0), 0.0)
"""The reading of a passage that was not read, or that has no sentence to quote."""


class Reader(Protocol):
    """Reads passages for a question."""

    @property
    def name(self) -> str | None:
        """Return its model's name, None where it has none of its own."""

    @property
    def depth(self) -> int:
        """Return how many of the passages found it reads, the first ones; 0: as many as are shown."""

    @property
    def calibration(self) -> Calibration:
        """Return how its readings are used."""

    @property
    def levels(self) -> Sequence[Refusal]:
        """Return the thresholds of refusal."""

    def read(self, question: Question, passages: Sequence[Passage]) -> tuple[Reading, ...]:
        """Return one reading per passage, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Wording:
    """A sentence that may be quoted and what the question's words say for it.

    `overlap` is the share of their weight in it and `named` that of their identifiers, both in [0, 1];
    `defines` is true of a table's row that one of them opens: there it is said what it is. `stated` are the
    log-odds that it states the quantity asked for, 0 where none is, and `ranged` those that it is about the
    figures which the question names, 0 where the passage has no ranges of their kind.
    """

    span: Span
    overlap: float
    named: float
    defines: bool
    stated: float = 0.0
    ranged: float = 0.0

    @property
    def against(self) -> float:
        """Return what both say against it, in log-odds: a fitting unit does not make up for another range."""
        return min(self.stated, 0.0) + min(self.ranged, 0.0)


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: int
    wording: Wording
    score: float


class SentenceReader:
    """Ranks sentences; of whether one answers it knows no more than how relevant it is."""

    name = None
    depth = 0
    calibration = SENTENCES
    levels = SENTENCES_REFUSAL

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def read(self, question: Question, passages: Sequence[Passage]) -> tuple[Reading, ...]:
        """Return one reading per passage; those past the first few are not read."""
        ranked: list[list[_Candidate]] = [[] for _ in passages]
        scored = self._scored(question, passages, self._candidates(question, passages))
        for found in sorted(scored, key=lambda each: -each.score):
            ranked[found.passage].append(found)
        return tuple(_reading(found) if found else NOTHING for found in ranked)

    def _candidates(self, question: Question, passages: Sequence[Passage]) -> list[_Candidate]:
        """Return the few sentences worth embedding: those with most of the question's words."""
        found = [
            _Candidate(index, each, each.overlap + _identified(each) + _RANK * passage.score)
            for index, passage in enumerate(passages[:_PASSAGES])
            for each in wordings(question, passage)
        ]
        return sorted(found, key=lambda item: (-item.score, item.passage, item.wording.span))[:_SENTENCES]

    def _scored(
        self, question: Question, passages: Sequence[Passage], candidates: Sequence[_Candidate]
    ) -> Iterator[_Candidate]:
        if not candidates:
            return
        texts = [_in_context(passages[item.passage], *item.wording.span) for item in candidates]
        cosines = self._encoder.encode(texts) @ question.vector
        for item, cosine in zip(candidates, cosines, strict=True):
            score = (
                (1 - _WORDS) * float(cosine)
                + _WORDS * item.wording.overlap
                + _RANK * passages[item.passage].score
                + _identified(item.wording)
            )
            yield replace(item, score=score)


def wordings(question: Question, passage: Passage) -> list[Wording]:
    """Return the sentences of a passage that may be quoted, with what the question's words say for them."""
    spans = sentences(passage.text, lead=passage.lead)
    told = [(passage.text[start:end], _header(passage, start, end)) for start, end in spans]
    found = []
    for (start, end), (text, _), ranged in zip(spans, told, held(question.figures, told), strict=True):
        terms = question.analyse(_in_context(passage, start, end))
        overlap, named = question.query.covered(terms), _share_named(question.query, terms)
        stated = question.quantity.stated(text) if question.quantity else 0.0
        defines = _defines(question, passage, start, end)
        found.append(Wording((start, end), overlap, named, defines, stated, ranged))
    return found


def _identified(sentence: Wording) -> float:
    return _NAMED * sentence.named + _DEFINED * sentence.defines


def _defines(question: Question, passage: Passage, start: int, end: int) -> bool:
    """Tell whether an identifier opens this row: "E04 | ...", or "8 | ..." of an error."""
    cell, parted, _ = passage.text[start:end].partition(CELL)
    if not parted or not question.query.identifiers:
        return False
    terms = tuple(question.analyse(cell))
    column = set(question.analyse(_in_context(passage, start, end).partition(CELL)[0]))
    return any(
        terms == phrase or (terms == phrase[-1:] and set(phrase[:-1]) <= column)
        for phrase in question.query.identifiers
    )


def _reading(found: Sequence[_Candidate]) -> Reading:
    """Return the reading of a passage of which some sentences were judged, best first."""
    relevance = _bounded(found[0].score)
    span, *others = (each.wording.span for each in found)
    stated = max(each.wording.against for each in found)  # they are not ranked by it
    return Reading(relevance, span, relevance, others=tuple(others), stated=stated)


def _bounded(score: float) -> float:
    """Return `score` in [0, 1), unchanged up to the knee: cut at 1, the best would be as good as the next."""
    over = score - _KNEE
    return max(score, 0.0) if over <= 0 else _KNEE + (1 - _KNEE) * (1 - exp(-over / (1 - _KNEE)))


def _in_context(passage: Passage, start: int, end: int) -> str:
    """Return a sentence, or a table's row under its header: "12 | 12.8" says nothing without it."""
    lead, text = _header(passage, start, end), passage.text[start:end]
    return f"{lead}\n{text}" if lead else text


def _header(passage: Passage, start: int, end: int) -> str:
    """Return the header of the table that a row stands in, "" of a sentence."""
    header = header_of(passage.text, start, lead=passage.lead)
    if header:
        return passage.text[slice(*header)]
    return passage.lead if CELL in passage.text[start:end] else ""


def _share_named(query: Query, terms: Sequence[str]) -> float:
    """Return the share of the question's identifiers that stand among the terms of a sentence."""
    held = [phrase for phrase in query.identifiers if _holds(terms, phrase)]
    return len(held) / len(query.identifiers) if query.identifiers else 0.0


def _holds(terms: Sequence[str], phrase: Sequence[str]) -> bool:
    size = len(phrase)
    return any(tuple(terms[at : at + size]) == tuple(phrase) for at in range(len(terms) - size + 1))


def sentences(text: str, *, lead: str = "") -> list[Span]:
    """Return what may be quoted: no header, no fragment, and a colon or a question with what follows it.

    Nor what speaks to the assistant: an injected instruction must not pass for an answer. The question of a
    list of questions and answers has all the words of the one that is asked, and answers nothing. `lead` is
    the header of the table in the middle of which the text begins (sentences.header_of).
    """
    every = split(text)
    orders = [span for span in every if to_assistant(text[slice(*span)])]
    spans = [span for span in every if span not in orders and not is_header(text, span, lead=lead)]
    ends = {
        one: two[1]
        for one, two in pairwise(spans)
        if text[one[1] - 1] in ":?"
        and one[1] - one[0] < _ANNOUNCE
        and not any(one[1] <= order[0] < two[0] for order in orders)  # or it would be quoted with both
    }
    told = [(start, ends.get((start, end), end)) for start, end in spans]
    return [span for span in told if _says_something(text[slice(*span)])] or told


def _says_something(sentence: str) -> bool:
    """Tell whether it is no fragment: it is long, a table's row, or a short line with a figure or a label."""
    return len(sentence) >= _SHORT or CELL in sentence or _TELLING.search(sentence) is not None


def screened(text: str) -> str:
    """Return `text` with blanks where it speaks to the assistant: such words win no passage its place."""
    for start, end in split(text):
        if to_assistant(text[start:end]):
            text = text[:start] + " " * (end - start) + text[end:]
    return text
