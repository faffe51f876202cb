"""Question -> passages, best first, and the evidence; none where nothing retrieved is near enough."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance import ways
from appliance.brevity import asks_for_a_way, asks_for_several
from appliance.errors import EncoderChanged
from appliance.instructions import to_assistant
from appliance.quantity import asked_for
from appliance.ranges import figures
from appliance.retrieve import fusion, refusal, sections, spelling, vectors, words
from appliance.retrieve.names import OPENS, Name, holders
from appliance.retrieve.reader import NOTHING, Question, Reader, Reading, SentenceReader
from appliance.sentences import CELL, split
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
_HEADED, _BESIDE = 0.2, 0.1
"""What a heading that says the question counts in the score where a way is asked for, and how much less good
the beginning of that section may be to be quoted; chosen in scripts/LOG.md."""
_ABOUT = 0.5
"""How much of the question the headings say of a section that is about it and nothing else."""
_WORDS, _LETTERS = 256, 4096
"""What of a question is searched for: a page pasted for one would cost minutes; the encoder reads less."""
_EXACT = 16
"""Identifiers and numbers of it that are looked for to see whether they are anywhere."""
_WORD = re.compile(r"\S+")
_ENDINGS, _STEM = ("s", "es", "ed", "ing"), 4
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

    def nearest(self) -> tuple[str, ...]:
        """Return of each passage the sentence that comes nearest to an answer, "" where none was told."""
        both = zip(self.passages, self.telling, strict=True)
        return tuple(passage.text[slice(*spans[0])] if spans else "" for passage, spans in both)


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
        """Return at most `most` passages nearest to `question` and the sentence that answers best.

        Raises:
            EncoderChanged: another encoder embedded some of the documents.
        """
        found = self.search(question, most=max(most, self._reader.depth))
        began = time.perf_counter()
        ranked = self._read(found, most)
        named = bool(ranked) and self._named(found.question.query, ranked[0][0])
        # A section with the name for its heading says what that is, as a row does that begins with it.
        answers = 1.0 if named else max((reading.answers for _, reading in ranked), default=0.0)
        passages = [passage for passage, _ in ranked[:most]]
        readings = [reading for _, reading in ranked[:most]]
        index = self._quoted(readings, in_order=named or asks_for_a_way(found.question.text))
        stated = 0.0 if index is None else readings[index].stated
        seen = refusal.Signals(found.signals, answers, stated)
        # What may not be quoted may not answer: an injected passage was found, and says nothing.
        near = 0.0 if index is None else refusal.near_enough(seen, self._reader.calibration)
        verdict = refusal.verdict(near, level, self._reader.levels)
        evidence = None
        if index is not None and near >= verdict.needed:
            passages[index], readings[index], goes_on = self._quotable(
                found.question, passages[index], readings[index]
            )
            evidence = self._evidence(passages[index], index, readings[index], near, goes_on=goes_on)
        timings = replace(found.timings, read_ms=(time.perf_counter() - began) * 1000)
        telling = tuple((reading.span, *reading.others) if reading.relevance else () for reading in readings)
        return Retrieval(tuple(passages), evidence, verdict, timings, seen, telling, found.question.text)

    def search(self, question: str, *, most: int) -> Candidates:
        """Return at most `most` passages that the searches find, unread.

        Raises:
            EncoderChanged: another encoder embedded some of the documents.
        """
        began = time.perf_counter()
        self._check_encoder()
        question = spelling.mended(_cut(question), self._store.document_frequency, self._known)
        vector = self._encoder.encode([question])[0]
        embedded = time.perf_counter()
        query, quantity = words.query(question, self._store), asked_for(question)
        asked = Question(question, vector, query, self._store.analyse, quantity, figures(question))
        rankings = self._search(asked)
        passages = self._passages(asked, rankings, most)
        seen = self._signals(asked, rankings, passages)
        timings = Timings(
            embed_ms=(embedded - began) * 1000, search_ms=(time.perf_counter() - embedded) * 1000
        )
        return Candidates(asked, passages, seen, timings)

    def _check_encoder(self) -> None:
        """Refuse to compare the vectors of two models: what is near would be chance, and look sure."""
        counts, ours = self._store.models(), self._encoder.name
        others = sorted(counts.keys() - {ours})
        if not others:
            return
        named, every = " and ".join(others), sum(counts.values())
        # Of a vault that holds several no setting makes one.
        back = "A" if len(counts) > 1 else f'Put `embedding = "{named}"` back into config.toml, or a'
        raise EncoderChanged(
            f"{every - counts.get(ours, 0)} of {every} documents were added with the embedding model "
            f"{named}, and {ours} is set: their vectors cannot be compared.",
            hint=f"Nothing is lost. {back}dd these documents again, and remove those whose files are gone.",
        )

    def _known(self, word: str) -> bool:
        """Tell whether the encoder learnt a word as a whole: then it is one, whatever the documents say.

        So is an inflection of one: "vials" is not a slip for "vias".
        """
        stems = (word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending))
        stems = (stem for stem in stems if len(stem) >= _STEM)
        return min(self._encoder.token_counts([word, *stems])) <= _WHOLE

    def _read(self, found: Candidates, most: int) -> list[tuple[Passage, Reading]]:
        """Return all passages with their readings, in the order in which they are shown."""
        depth = self._reader.depth or most
        readings = self._reader.read(found.question, found.passages[:depth])
        unread = [NOTHING for _ in found.passages[depth:]]
        pairs = zip(found.passages, [*readings, *unread], strict=True)
        ranked = ordered(list(pairs), self._reader.calibration.order)
        if asks_for_a_way(found.question.text) or any(
            self._named(found.question.query, passage) for passage, _ in ranked
        ):
            ranked = self._by_section(found.question.query, ranked)
        return ranked

    def _by_section(
        self, asked: words.Query, ranked: Sequence[tuple[Passage, Reading]]
    ) -> list[tuple[Passage, Reading]]:
        """Return first what begins the section that is about what is asked: a way is told from its beginning.

        The sentence that answers best is often one about the way, or its last step.
        """
        if not ranked:
            return []
        pairs = [(self._headed(asked, passage), reading) for passage, reading in ranked]
        pairs.sort(key=lambda pair: (not pair[1].quotable, -pair[0].score))
        best = pairs[0][0]
        section = [
            pair
            for pair in pairs
            if (pair[0].document_id, pair[0].heading, pair[0].page)
            == (best.document_id, best.heading, best.page)  # of a quote all stands on one page
            and pair[0].score >= best.score - _BESIDE
            and pair[1].quotable
        ]
        if not best.heading or not section:
            return pairs
        first = min(section, key=lambda pair: pair[0].start)
        begun = (replace(first[0], score=best.score), first[1])
        return [begun, *(pair for pair in pairs if pair is not first)]

    def _headed(self, asked: words.Query, passage: Passage) -> Passage:
        """Return the passage with a score in which its headings have a say, the only one if they name it."""
        if self._named(asked, passage):
            return replace(passage, score=1.0)
        score = (1 - _HEADED) * passage.score + _HEADED * self._titled(asked, passage)
        return replace(passage, score=score)

    @staticmethod
    def _named(asked: words.Query, passage: Passage) -> bool:
        """Tell whether it is asked what the last heading begins with: "$22 - Homing cycle".

        One that speaks to the assistant wins nothing.
        """
        title = passage.heading.rpartition(" > ")[2]
        name = asked.defines
        return name is not None and name.held(title) == OPENS and not to_assistant(title)

    def _titled(self, asked: words.Query, passage: Passage) -> float:
        """Return how much of the question its headings say, the last of them above all, in [0, 1]."""
        if self._named(asked, passage):
            return 1.0
        above, _, title = passage.heading.rpartition(" > ")
        return (
            asked.covered(self._store.analyse(f"{above}\n{title}"))
            + asked.covered(self._store.analyse(title))
        ) / 2

    def _quoted(self, readings: Sequence[Reading], *, in_order: bool) -> int | None:
        """Return the index of the passage to quote, None where none may be quoted.

        It is the first of those that may where the reader or the headings had a say in the order, else the
        most relevant.
        """
        quotable = [index for index, reading in enumerate(readings) if reading.quotable]
        if in_order or self._reader.calibration.order:
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

    def _quotable(self, asked: Question, passage: Passage, reading: Reading) -> tuple[Passage, Reading, bool]:
        """Return what to quote, where, and whether it goes on: a sentence, or more where more is asked."""
        a_way = asks_for_a_way(asked.text) or self._named(asked.query, passage)
        in_row = CELL in passage.text[slice(*reading.span)]  # what is to be done at E04 is said in its row
        if in_row or not (a_way or asks_for_several(asked.text)):
            return passage, reading, False
        found = sections.section(self._store, passage, reading.span, before=ways.BEFORE, after=ways.MOST)
        wide, (first, last) = found.passage, found.part
        text, told = wide.text[first:last], _moved(reading, passage.start - wide.start - first)
        about = found.begins and self._titled(asked.query, passage) >= _ABOUT
        quote = ways.way(text, told.span, whole=about) if a_way else ways.several(text, told.span)
        if any(to_assistant(text[slice(*each)]) for each in split(text[slice(*quote)])):
            return passage, reading, a_way  # no wider quote is worth an order in it
        # The passage stays whole: what else was read in it has to be there.
        start, end = (wide.start + first + at for at in quote)
        shown = sections.span(
            self._store, wide, (min(start, passage.start), max(end, passage.start + len(passage.text)))
        )
        told = _moved(reading, passage.start - shown.start)
        at = (start - shown.start, end - shown.start)
        marked = told.mark if told.mark and at[0] <= told.mark[0] and told.mark[1] <= at[1] else None
        goes_on = a_way and ways.goes_on(text[slice(*quote)], text[quote[1] :], wide.text[last:], whole=about)
        return shown, replace(told, span=at, mark=marked), goes_on

    def _evidence(
        self, passage: Passage, index: int, reading: Reading, near: float, *, goes_on: bool
    ) -> Evidence:
        start, end = reading.span
        return Evidence(
            n=index + 1,
            start=start,
            end=end,
            quote=passage.text[start:end],
            document=passage.document,
            page=self.page_of(passage, start),
            heading=passage.heading,
            near=near,
            mark=reading.mark,
            choices=reading.choices,
            goes_on=goes_on,
        )

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


def _moved(reading: Reading, by: int) -> Reading:
    """Return the reading of a text to the front of which `by` characters were added."""
    spans = [(start + by, end + by) for start, end in (reading.span, *reading.others)]
    mark = reading.mark and (reading.mark[0] + by, reading.mark[1] + by)
    choices = tuple(replace(each, span=(each.span[0] + by, each.span[1] + by)) for each in reading.choices)
    return replace(reading, span=spans[0], others=tuple(spans[1:]), mark=mark, choices=choices)


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
