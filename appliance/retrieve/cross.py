"""Question, passages -> readings, by a trained cross-encoder that sees both at once.

The graph (scripts/convert.py) gives logits of the answer's first and last token, with the first token of all
for "no answer here", and of relevance and answerability. scripts/train_reader.py trained it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance import models
from appliance.errors import ModelMismatch
from appliance.inference import (
    Floats,
    Placed,
    Session,
    Tokenizer,
    batches,
    load_session,
    load_tokenizer,
    padded,
)
from appliance.retrieve.reader import Question, Reading
from appliance.sentences import split
from appliance.types import Passage

WEIGHT = 0.3
"""The share of relevance in the order of the passages; chosen by scripts/fit_reader.py."""
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
    places: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the graph says of one row: logits, `margin` of the best span over none, `span` in the text."""

    relevance: float
    answerable: float
    margin: float
    span: tuple[int, int]


class CrossReader:
    """Reads passages with one session."""

    def __init__(self, session: Session, tokenizer: Tokenizer, card: models.Card) -> None:
        self.name = card.name
        self.weight = WEIGHT
        self._session = session
        self._tokenizer = tokenizer
        self._max_tokens = card.max_tokens

    def read(self, question: Question, passages: Sequence[Passage]) -> tuple[Reading, ...]:
        """Return one reading per passage, in their order; `span` is the sentence around the answer."""
        return readings(self.judge(question.text, passages), passages)

    def judge(self, question: str, passages: Sequence[Passage]) -> list[Judged]:
        """Return what the graph says of each passage."""
        asked = self._tokenizer.placed([question])[0].ids[:_QUESTION_TOKENS]
        heads = self._tokenizer.placed([_head(passage) for passage in passages])
        texts = self._tokenizer.placed([passage.text for passage in passages])
        rows = [row(asked, head, text, self._max_tokens) for head, text in zip(heads, texts, strict=True)]
        found: dict[int, Judged] = {}
        for batch in batches([len(each.ids) for each in rows]):
            chosen = [rows[index] for index in batch]
            spans, scores = self._run(chosen)
            for index, each, logits, (relevance, answerable) in zip(
                batch, chosen, spans, scores, strict=True
            ):
                span, margin = best_span(logits, each)
                found[index] = Judged(float(relevance), float(answerable), margin, span)
        return [found[index] for index in range(len(rows))]

    def _run(self, rows: Sequence[Row]) -> list[Floats]:
        ids, mask = padded([each.ids for each in rows])
        types = np.zeros_like(ids)
        for number, each in enumerate(rows):
            types[number, each.second : len(each.ids)] = 1
        return self._session.run({"input_ids": ids, "attention_mask": mask, "token_type_ids": types})


def load(found: models.Installed, *, threads: int) -> CrossReader:
    """Load a reader, verified, to compute with `threads` threads.

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
    return CrossReader(session, load_tokenizer(found), found.card)


def _head(passage: Passage) -> str:
    """Return what stands in front of a passage's text, as in training: its headings, a table's header."""
    return "\n".join(part for part in (passage.heading, passage.lead) if part)


def row(question: Sequence[int], head: Placed, text: Placed, most: int) -> Row:
    """Join [CLS] question [SEP] head text [SEP]; the text is cut at `most` tokens, the head before it."""
    second = len(question) + 2
    before = list(head.ids)[: most // 4]
    body = list(text.ids)[: most - second - len(before) - 1]
    ids = [_CLS, *question, _SEP, *before, *body, _SEP]
    return Row(ids, second, second + len(before), text.places[: len(body)])


def best_span(logits: Floats, each: Row) -> tuple[tuple[int, int], float]:
    """Return the best span in characters of the text and its margin over "no answer"; `logits` (s, 2)."""
    count = len(each.places)
    none = float(logits[0, 0] + logits[0, 1])
    if not count:
        return (0, 0), -none
    starts, ends = (logits[each.first : each.first + count, side] for side in (0, 1))
    sums = starts[:, None] + ends[None, :]
    allowed = np.triu(np.ones_like(sums, dtype=bool)) & ~np.triu(
        np.ones_like(sums, dtype=bool), _ANSWER_TOKENS
    )
    at = int(np.where(allowed, sums, -np.inf).argmax())
    first, last = divmod(at, count)
    return (each.places[first][0], each.places[last][1]), float(sums[first, last]) - none


def readings(judged: Sequence[Judged], passages: Sequence[Passage]) -> tuple[Reading, ...]:
    """Return the readings that follow from what the graph said."""
    return tuple(
        Reading(_chance(each.relevance), _widened(each.span, passage.text), _chance(each.answerable))
        for each, passage in zip(judged, passages, strict=True)
    )


def _widened(span: tuple[int, int], text: str) -> tuple[int, int]:
    """Return the sentences that the span touches."""
    touched = [each for each in split(text) if each[0] < span[1] and each[1] > span[0]]
    return (touched[0][0], touched[-1][1]) if touched else (0, len(text))


def _chance(logit: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(logit, -30, 30))))
