"""Question, passages -> readings, by a trained cross-encoder that sees both at once.

The graph (scripts/convert.py) gives logits of the answer's first and last token, with the first token of all
for "no answer here", and of relevance and answerability. scripts/train_reader.py trained it.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from appliance import models
from appliance.errors import ModelMismatch
from appliance.inference import (
    Floats,
    Placed,
    Session,
    Tokenizer,
    load_session,
    load_tokenizer,
)
from appliance.retrieve.reader import NOTHING, Question, Reading, Wording, screened, sentences, wordings
from appliance.types import CHOICES, PASSAGES, Choice, Passage, Span

DOUBT = -0.5
"""The margin, in units of its temperature, under which the question's words choose the sentence, and no
words in it are marked."""
WORDS, DOUBTED = 1.5, 3.0
"""What the words count beside the margin, and what in doubt; chosen in scripts/LOG.md."""
_NAMED, _DEFINED = 0.5, 4.0
"""What the question's identifiers in a sentence count always, and a table's row that one of them opens."""
_SURE = 0.95
_CLS, _SEP = 101, 102
_QUESTION_TOKENS = 64
_ANSWER_TOKENS = 48
"""The longest answer; a quote is the sentence around it anyway."""
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_OUTPUTS = {"spans": 2, "scores": 2}


@dataclass(frozen=True, slots=True)
class Row:
    """One (question, passage) as the graph takes it: `second` is where the passage's tokens begin.

    `places` are those of the tokens from `second` on, in the passage's text; tokens in front of the text
    (its headings) have none and lie before `first`.
    """

    ids: Sequence[int]
    second: int
    first: int
    places: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Marked:
    """Words of a text that may answer: `margin` is the logit of their being it over there being none.

    `sentence` is the one that they stand in, the words themselves where no sentence was asked for.
    """

    margin: float
    span: Span
    sentence: Span


@dataclass(frozen=True, slots=True)
class Judged:
    """What the graph says of one row: logits, the best span, and the best of each sentence, best first.

    `quotable` is empty where nothing of the passage may be quoted. `choices` are the likeliest words of what
    may, best first, overlapping ones too.
    """

    relevance: float
    answerable: float
    best: Marked
    quotable: tuple[Marked, ...]
    choices: tuple[Choice, ...] = ()


class CrossReader:
    """Reads passages with one session, the first `depth` of those found."""

    def __init__(
        self, session: Session, tokenizer: Tokenizer, card: models.Card, *, depth: int = PASSAGES
    ) -> None:
        if card.calibration is None:
            raise ModelMismatch(f"The card of {card.name} has no calibration.")
        self.name: str | None = card.name
        self.depth = depth
        self.calibration = card.calibration
        self.levels = card.refusal
        self._session = session
        self._tokenizer = tokenizer
        self._max_tokens = card.max_tokens

    def read(self, question: Question, passages: Sequence[Passage]) -> tuple[Reading, ...]:
        """Return one reading per passage, in their order; `span` is the sentence around the answer."""
        judged = self.judge(question.text, passages)
        worded = [wordings(question, passage) for passage in passages]
        return tuple(reading(one, words, self.calibration) for one, words in zip(judged, worded, strict=True))

    def judge(self, question: str, passages: Sequence[Passage]) -> list[Judged]:
        """Return what the graph says of each passage."""
        asked = self._tokenizer.placed([question])[0].ids[:_QUESTION_TOKENS]
        heads = self._tokenizer.placed([screened(_head(passage)) for passage in passages])
        texts = self._tokenizer.placed([screened(passage.text) for passage in passages])
        rows = [row(asked, head, text, self._max_tokens) for head, text in zip(heads, texts, strict=True)]
        found = self._session.rows([_inputs(each) for each in rows])
        return [
            _judged(spans, scores, each, passage)
            for (spans, scores), each, passage in zip(found, rows, passages, strict=True)
        ]


def load(found: models.Installed, *, threads: int, depth: int = PASSAGES) -> CrossReader:
    """Load a reader, verified, to compute with `threads` threads and read the first `depth` passages.

    Raises:
        ModelMissing: a file of it is not there.
        ModelMismatch: a file is not the one its card names, or the graph is no reader's.
    """
    session = load_session(found, threads=threads)
    if session.inputs != _INPUTS or {name: axes[-1] for name, axes in session.outputs.items()} != _OUTPUTS:
        raise ModelMismatch(
            f"The graph of {found.card.name} is not that of a reader.",
            hint="Convert the model with `python -m scripts.convert --kind reader`.",
        )
    return CrossReader(session, load_tokenizer(found), found.card, depth=depth)


def _inputs(each: Row) -> dict[str, Sequence[int]]:
    types = [int(place >= each.second) for place in range(len(each.ids))]
    return {"input_ids": each.ids, "attention_mask": [1] * len(each.ids), "token_type_ids": types}


def _judged(spans: Floats, scores: Floats, each: Row, passage: Passage) -> Judged:
    relevance, answerable = (float(score) for score in scores)
    told = likely_spans(spans, each, sentences(passage.text, lead=passage.lead))
    return Judged(relevance, answerable, best_span(spans, each), ranked_spans(told), choices(told))


def _head(passage: Passage) -> str:
    """Return what stands in front of a passage's text, as in training: its headings, a table's header."""
    return "\n".join(part for part in (passage.heading, passage.lead) if part)


def row(question: Sequence[int], head: Placed, text: Placed, most: int) -> Row:
    """Join [CLS] question [SEP] head text [SEP]; the text is cut at `most` tokens, the head before it."""
    second = len(question) + 2
    before = list(head.ids)[: most // 4]
    body = list(text.ids)[: max(most - second - len(before) - 1, 0)]  # below 0 it would cut the end alone
    ids = [_CLS, *question, _SEP, *before, *body, _SEP]
    return Row(ids, second, second + len(before), text.places[: len(body)])


def best_span(logits: Floats, each: Row) -> Marked:
    """Return the best span of the whole text; `logits` (s, 2)."""
    found = _likeliest(logits, each, (0, len(each.places)), 1)
    return found[0] if found else Marked(-_none(logits), (0, 0), (0, 0))


def likely_spans(logits: Floats, each: Row, quotable: Sequence[Span]) -> list[list[Marked]]:
    """Return the likeliest spans of each of the sentences that were read, at most `CHOICES`, best first."""
    begins = [place[0] for place in each.places]
    found = []
    for start, end in quotable:
        tokens = (bisect_left(begins, start), bisect_left(begins, end))
        if tokens[0] < tokens[1]:
            likeliest = _likeliest(logits, each, tokens, CHOICES)
            found.append([replace(marked, sentence=(start, end)) for marked in likeliest])
    return found


def ranked_spans(told: Sequence[Sequence[Marked]]) -> tuple[Marked, ...]:
    """Return the best span of each sentence, the most telling sentence first."""
    return tuple(sorted((spans[0] for spans in told), key=lambda marked: -marked.margin))


def choices(told: Sequence[Sequence[Marked]]) -> tuple[Choice, ...]:
    """Return the likeliest spans of all sentences, best first."""
    best = sorted(itertools.chain(*told), key=lambda marked: -marked.margin)[:CHOICES]
    return tuple(Choice(marked.span, marked.margin) for marked in best)


def _none(logits: Floats) -> float:
    """Return the logit of there being no answer."""
    return float(logits[0, 0] + logits[0, 1])


def _likeliest(logits: Floats, each: Row, tokens: Span, most: int) -> list[Marked]:
    """Return at most so many spans of the `tokens` of the text, best first."""
    none, count = _none(logits), tokens[1] - tokens[0]
    if not count:
        return []
    first = each.first + tokens[0]
    starts, ends = (logits[first : first + count, side] for side in (0, 1))
    sums = starts[:, None] + ends[None, :]
    ones = np.ones_like(sums, dtype=bool)
    allowed = np.triu(ones) & ~np.triu(ones, _ANSWER_TOKENS)
    found = []
    worth = np.where(allowed, sums, -np.inf).ravel()
    best = [worth.argmax()] if most == 1 else np.argsort(-worth, kind="stable")[:most]
    for at in best:
        begin, last = divmod(int(at), count)
        if allowed[begin, last]:
            span = (each.places[tokens[0] + begin][0], each.places[tokens[0] + last][1])
            found.append(Marked(float(sums[begin, last]) - none, span, span))
    return found


def reading(judged: Judged, worded: Sequence[Wording], how: models.Calibration) -> Reading:
    """Return the reading of a passage from what the graph and the words say."""
    if not judged.quotable:
        return NOTHING
    words = DOUBTED if judged.quotable[0].margin / how.margin_temperature < DOUBT else WORDS
    said = {
        each.span: words * each.overlap + _identified(each) + each.stated + each.ranged for each in worded
    }
    best, *others = sorted(
        judged.quotable,
        key=lambda marked: -(marked.margin / how.margin_temperature + said.get(marked.sentence, 0.0)),
    )
    sure = best.margin / how.margin_temperature >= DOUBT
    # What has an identifier of the question for its key is its answer, whatever the graph makes of it.
    least = _SURE if any(each.defines for each in worded) else 0.0
    unstated = next((each.against for each in worded if each.span == best.sentence), 0.0)
    relevant = judged.relevance / how.relevance_temperature
    answerable = _chance(judged.answerable / how.answerable_temperature)
    margin = _chance(judged.quotable[0].margin / how.margin_temperature)
    return Reading(
        relevance=max(_chance(relevant + unstated), least),
        span=best.sentence,
        # All three must speak for one and the same passage: better than each at its best (scripts/LOG.md).
        answers=max(_chance(relevant) * answerable * margin, least),
        # Where the words took another sentence than the reader would, what it points to there is a guess.
        mark=best.span if sure and best == judged.quotable[0] else None,
        others=tuple(marked.sentence for marked in others),
        stated=0.0 if least else unstated,
        choices=judged.choices,
    )


def _identified(sentence: Wording) -> float:
    """Return what the question's identifiers add to a sentence's margin, in units of its temperature."""
    return _NAMED * sentence.named + _DEFINED * sentence.defines


def _chance(logit: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(logit, -30, 30))))
