"""Question -> passages, best first, and the evidence; none where nothing retrieved is near enough."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.brevity import asks_for_several
from appliance.lists import whole_list
from appliance.retrieve import fusion, refusal, spelling, vectors, words
from appliance.retrieve.names import Name, holders
from appliance.retrieve.reader import NOTHING, Question, Reader, Reading, SentenceReader
from appliance.types import PASSAGES, Evidence, Hit, Level, Passage, Span, Timings, Verdict
from appliance.vault.store import Store

if TYPE_CHECKING:  # loading the engine takes a third of a second, which a thread spends beside the key
    from appliance.embed import Encoder

DEPTH = 50
"""Hits taken from each of the two searches before they are fused."""
_CONSIDERED = 24
"""Passages among which those shown are chosen, so that one page does not take all places."""
_COVERING = 3
"""Passages of which one should hold the question's words."""
_NAMES = 4
"""Names in a question that are looked for by themselves."""
_HOLDERS = 100
"""Chunks that are read for each of them, of which the surest `_SURE` join the candidates."""
_SURE = 10
_LIST = 700
"""Characters of a list that are quoted."""
_WORDS, _LETTERS = 256, 4096
"""What of a question is searched for: a page pasted for one would cost minutes; the encoder reads less."""
_EXACT = 16
"""Identifiers and numbers of it that are looked for to see whether they are anywhere."""
_WORD = re.compile(r"\S+")
_WHOLE = 3
"""Tokens of a word that is one token, with the two that stand around it."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What retrieval gave: `evidence` is None where the verdict says that too little speaks for an answer.

    `telling` are for each passage the spans of its sentences that matter, the most telling first. `searched`
    is the question as it was searched for.
    """

    passages: tuple[Passage, ...]
    evidence: Evidence | None
    verdict: Verdict
    timings: Timings
    signals: refusal.Signals
    telling: tuple[tuple[Span, ...], ...]
    searched: str

    @property
    def near(self) -> float:
        """Return the estimate, in [0, 1], that the passages hold the answer."""
        return self.verdict.near


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the searches found for a question: passages, best first, and what speaks for them."""

    question: Question
    passages: tuple[Passage, ...]
    signals: refusal.Searched
    timings: Timings


@dataclass(frozen=True, slots=True)
class _Rankings:
    """What the two searches found: chunk to score."""

    words: Mapping[int, float]
    vectors: Mapping[int, float]


class Retriever:
    """Searches one store with one encoder, and reads with `reader`: sentence by sentence where it is None."""

    def __init__(self, store: Store, encoder: Encoder, reader: Reader | None = None) -> None:
        self._store = store
        self._encoder = encoder
        self._reader = reader or SentenceReader(encoder)

    def retrieve(self, question: str, *, most: int = PASSAGES, level: Level = "balanced") -> Retrieval:
        """Return at most `most` passages nearest to `question` and the sentence that answers best."""
        found = self.search(question, most=max(most, self._reader.depth))
        began = time.perf_counter()
        ranked = self._read(found, most)
        answers = max((reading.answers for _, reading in ranked), default=0.0)
        seen = refusal.Signals(found.signals, answers)
        passages = tuple(passage for passage, _ in ranked[:most])
        readings = [reading for _, reading in ranked[:most]]
        index = self._quoted(readings)
        # What may not be quoted may not answer: an injected passage was found, and says nothing.
        near = 0.0 if index is None else refusal.near_enough(seen, self._reader.calibration)
        verdict = refusal.verdict(near, level, self._reader.levels)
        evidence = None
        if index is not None and near >= verdict.needed:
            evidence = self._evidence(question, passages, index, readings, near)
        timings = replace(found.timings, read_ms=(time.perf_counter() - began) * 1000)
        telling = tuple((reading.span, *reading.others) if reading.relevance else () for reading in readings)
        return Retrieval(passages, evidence, verdict, timings, seen, telling, found.question.text)

    def search(self, question: str, *, most: int) -> Candidates:
        """Return at most `most` passages that the searches find, unread."""
        began = time.perf_counter()
        question = spelling.mended(_cut(question), self._store.document_frequency, self._known)
        vector = self._encoder.encode([question])[0]
        embedded = time.perf_counter()
        asked = Question(question, vector, words.query(question, self._store), self._store.analyse)
        rankings = self._search(asked)
        passages = self._passages(asked, rankings, most)
        seen = self._signals(asked, rankings, passages)
        timings = Timings(
            embed_ms=(embedded - began) * 1000, search_ms=(time.perf_counter() - embedded) * 1000
        )
        return Candidates(asked, passages, seen, timings)

    def _known(self, word: str) -> bool:
        """Tell whether the encoder learnt a word as a whole: then it is one, whatever the documents say."""
        return self._encoder.token_counts([word])[0] <= _WHOLE

    def _read(self, found: Candidates, most: int) -> list[tuple[Passage, Reading]]:
        """Return all passages with their readings, in the order in which they are shown."""
        depth = self._reader.depth or most
        readings = self._reader.read(found.question, found.passages[:depth])
        unread = [NOTHING for _ in found.passages[depth:]]
        pairs = zip(found.passages, [*readings, *unread], strict=True)
        return ordered(list(pairs), self._reader.calibration.order)

    def _quoted(self, readings: Sequence[Reading]) -> int | None:
        """Return the index of the passage to quote, None where none may be quoted.

        It is the first of those that may where the reader had a say in the order, else the most relevant.
        """
        quotable = [index for index, reading in enumerate(readings) if reading.quotable]
        if self._reader.calibration.order:
            return min(quotable, default=None)
        return max(quotable, key=lambda index: readings[index].relevance, default=None)

    def _search(self, asked: Question) -> _Rankings:
        found = self._store.match(asked.query.phrases, DEPTH) if asked.query.phrases else []
        return _Rankings(dict(found), vectors.nearest(asked.vector, self._store, DEPTH))

    def _passages(self, asked: Question, found: _Rankings, most: int) -> tuple[Passage, ...]:
        holders = [self._holders(name) for name in asked.query.names[:_NAMES]]
        sure = (sorted(held, key=lambda chunk: -held[chunk])[:_SURE] for held in holders)
        wanted = dict.fromkeys(itertools.chain(*sure), 0.0) | dict(found.words)
        near = vectors.cosines(asked.vector, self._store, wanted.keys() - found.vectors.keys())
        rated = self._store.rate(asked.query.weights, [*{**wanted, **found.vectors}])
        hits = fusion.fuse(wanted, found.vectors, near=near, rated=rated)
        ranked = fusion.named(self._store.passages(hits), holders, share=asked.query.by_name)
        return fusion.spread(ranked[: max(_CONSIDERED, most)])[:most]

    def _holders(self, name: Name) -> dict[int, float]:
        """Return the chunks in which a name stands, and how surely."""
        matched = self._store.match(name.phrases, _HOLDERS)
        return holders(name, self._store.passages([Hit(chunk, score, ()) for chunk, score in matched]))

    def _signals(self, asked: Question, found: _Rankings, passages: Sequence[Passage]) -> refusal.Searched:
        covered = (
            asked.query.covered(
                self._store.analyse("\n".join((seen.document, seen.heading, seen.lead, seen.text)))
            )
            for seen in passages[:_COVERING]
        )
        return refusal.searched(
            found.vectors,
            found.words,
            covered=max(covered, default=0.0),
            missing=self._missing(asked.query),
        )

    def _missing(self, query: words.Query) -> float:
        """Return the share of the identifiers and numbers that stand nowhere in the store."""
        exact = query.exact[:_EXACT]
        single = [phrase[0] for phrase in exact if len(phrase) == 1]
        absent = [term for term, count in self._store.document_frequency(single).items() if not count]
        apart = [each for each in exact if len(each) > 1 and not self._store.match([each], 1)]
        return (len(absent) + len(apart)) / len(exact) if exact else 0.0

    def _evidence(
        self, question: str, passages: Sequence[Passage], index: int, readings: Sequence[Reading], near: float
    ) -> Evidence:
        passage, (start, end) = passages[index], readings[index].span
        if asks_for_several(question):
            start, end = self._whole_list(passage, (start, end))
        return Evidence(
            n=index + 1,
            start=start,
            end=end,
            quote=passage.text[start:end],
            document=passage.document,
            page=self.page_of(passage, start),
            heading=passage.heading,
            near=near,
            mark=readings[index].mark,
        )

    def _whole_list(self, passage: Passage, sentence: Span) -> Span:
        """Return the list around a sentence, if it is all on the page of the sentence: there it is cited."""
        start, end = whole_list(passage.text, sentence, _LIST)
        if (start, end) == sentence:
            return sentence  # mostly; the pages are asked of the store
        pages = {self.page_of(passage, at) for at in (start, sentence[0], end - 1)}
        return (start, end) if len(pages) == 1 else sentence

    def page_of(self, passage: Passage, start: int) -> int | None:
        """Return the page on which a quote begins: a passage may end on the page after its own."""
        if passage.page is None or not start:
            return passage.page
        return self._store.page_at(passage.document_id, passage.start + start)


def _cut(question: str) -> str:
    """Return the first words of a question, as they are written."""
    question = question[:_LETTERS]
    words = list(itertools.islice(_WORD.finditer(question), _WORDS))
    return question[: words[-1].end()] if words else question


def ordered(found: Sequence[tuple[Passage, Reading]], share: float) -> list[tuple[Passage, Reading]]:
    """Return the passages best first: by the searches and, for `share` of the score, by their relevance.

    Where the reader has a share, what has nothing to quote comes last: a page of orders to the assistant
    takes no answer's place.
    """
    scored = [
        (replace(passage, score=(1 - share) * passage.score + share * reading.relevance), reading)
        for passage, reading in found
    ]
    return sorted(scored, key=lambda pair: (share > 0 and not pair[1].quotable, -pair[0].score))
