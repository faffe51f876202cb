"""Evidence + a brief model's choice -> whether a few words may answer, and whether those that it took do.

Such a model does not write: it takes one of the words that the reader points to (Evidence.choices), by the
reader's margins and its own likelihoods together. They stand alone only where the two are sure of them; else
the quote, which shows more, is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from appliance.brevity import asks_for_more, counts_another, is_half, says_nothing
from appliance.generate.check import Checked, instead
from appliance.generate.prompt import named
from appliance.quantity import asked_for
from appliance.sentences import CELL
from appliance.types import Choice, Evidence, Passage

FAR = 4.0
"""How much less likely than its best the reader may find words that stand alone, as a logit: the cell, which
chooses and says how sure it is, is not trusted."""
_BEHIND = 12
"""Characters behind words that may tell what their figure is of."""
SURE = 0.8
"""The least Generator.sure of words that stand alone; chosen in scripts/LOG.md."""


def may_answer(question: str, passages: Sequence[Passage], evidence: Evidence) -> bool:
    """Tell whether a word or two may answer: the question asks for one thing, and the reader points at one.

    Else the quote answers, whatever a brief model would take: it need not be asked.
    """
    return not asks_for_more(question) and any(_standing(question, passages, evidence))


def in_words(
    draft: str,
    checked: Checked,
    question: str,
    passages: Sequence[Passage],
    evidence: Evidence,
    *,
    sure: float,
) -> tuple[Checked, Evidence]:
    """Return `checked`, what the check made of `draft`, with the evidence in which its words are the mark.

    That is where the model is so `sure` of them and they are one of the choices, letter by letter, and stand
    alone; else the quote answers.
    """
    text, marker = passages[evidence.n - 1].text, f" [{evidence.n}]"
    for each in _standing(question, passages, evidence) if sure >= SURE else ():
        if draft == named(text, each) + marker == checked.text:
            return checked, replace(evidence, mark=each.span)
    return instead(checked, passages, evidence), evidence


def _standing(question: str, passages: Sequence[Passage], evidence: Evidence) -> Iterator[Choice]:
    """Yield the choices that say alone what the quote says where they stand.

    They have to be in the quote, less than FAR from the reader's best, and in prose: a cell says nothing
    without its row. Where the reader marks nothing (DOUBT in retrieve/cross.py) it does not know whether
    there is an answer at all.
    """
    if evidence.mark is None or CELL in evidence.quote:
        return
    text, quantity = passages[evidence.n - 1].text, asked_for(question)
    for each in evidence.choices:
        start, end = each.span
        if each.margin < evidence.choices[0].margin - FAR:
            continue
        if not (evidence.start <= start and end <= evidence.end):
            continue
        if is_half(text, each.span) or not _whole(text[start:end]):
            continue
        at = (start - evidence.start, end - evidence.start)
        if says_nothing(question, evidence.quote, at) or counts_another(question, evidence.quote, at):
            continue
        # "little" is no answer to "how much", nor the "5%" of "5% alcohol" to a price.
        if quantity and min(quantity.stated(text[start:at]) for at in (end, end + _BEHIND)) < 0:
            continue
        yield each


def _whole(words: str) -> bool:
    """Tell whether no bracket is opened or closed in words that hold but one of the two."""
    return words.count("(") == words.count(")")
