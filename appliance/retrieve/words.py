"""Question -> the phrases that full-text search looks for.

The store's own analyser makes the terms, so that both sides are cut and stemmed alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Protocol

from appliance.retrieve.names import WORD, Name, Phrase, names

COMMON = 0.05
"""A term in more than this share of the chunks is not searched for: 113 ms became 3 ms (anchors, Speed)."""
_FEW = 200
"""A term in no more chunks than this costs nothing to search for, whatever its share of a small store."""
_INFLECTION = re.compile(r"(?:ations?|ments?|ings?|ied|ies|ed|ers?|es|s|ly|y|e)$")
_STEM = 3
STOP = frozenset(
    "a about after all also am an and any are as at be because been before being between both but by can"
    " could did do does doing done for from get give had has have having he her here him his how i if in"
    " into is it its just let like made make many may me might more most much must my no nor not of on one"
    " only or other our out over own please same shall she should so some such tell than that the their"
    " them then there these they this those through to too under up us use used very was we were what when"
    " where whether which while who whom whose why will with would you your s t".split()
)


_WHAT_IT_IS = frozenset(
    "what what's whats what’s is are does do the a an of mean means meaning definition define explain"
    " explanation describe description purpose function".split()
)
"""The words of a question for what something is: "who made P-101?" is none."""


class Corpus(Protocol):
    """What this module asks of the store."""

    def analyse(self, text: str) -> list[str]:
        """Cut text into the index's terms."""
        ...

    def document_frequency(self, terms: Sequence[str]) -> Mapping[str, int]:
        """Count the chunks that hold each term."""
        ...

    def chunk_count(self) -> int:
        """Count the chunks."""
        ...


@dataclass(frozen=True, slots=True)
class Query:
    """What a question asks for in words.

    `phrases` is what to search; `weights` the inverse document frequency of every term that carries meaning,
    searched for or not; `exact` the phrases of more than one term, and single terms with a digit in them;
    `identifiers` those of them that name one thing: E04, P-101, $110, "error 8", what was quoted; `names`
    the same and measures, with every way of writing them that is not too common to search for. `by_name` is
    the share of the weight, of the terms that any chunk holds, that is in names: 1 for "what is E04?", little
    where one stands among many words. `defines` is the one name of which it asks what that is, and no more.
    """

    phrases: tuple[Phrase, ...]
    weights: Mapping[str, float]
    exact: tuple[Phrase, ...]
    identifiers: tuple[Phrase, ...] = ()
    names: tuple[Name, ...] = ()
    by_name: float = 0.0
    defines: Name | None = None

    def covered(self, terms: Iterable[str]) -> float:
        """Return the share of the weight whose terms are among `terms`, in [0, 1]; 0 where there is none."""
        whole = sum(self.weights.values())
        present = {_folded(term) for term in terms}
        return (
            sum(weight for term, weight in self.weights.items() if _folded(term) in present) / whole
            if whole
            else 0.0
        )


def query(question: str, corpus: Corpus) -> Query:
    """Choose what to search for: no stop words, no very common terms, and every identifier and number.

    Where only common terms are left, the rarest of them is kept, of a name the way it is written.
    """
    found = names(question, corpus.analyse, STOP)
    exact = tuple(dict.fromkeys(name.phrases[0] for name in found if name.exact))
    terms = tuple(dict.fromkeys(term for word in _content(question) for term in corpus.analyse(word)))
    terms = terms or tuple(dict.fromkeys(corpus.analyse(question)))
    wanted = tuple(name for name in found if name.worth)
    single = (phrase[0] for name in wanted for phrase in name.phrases if len(phrase) == 1)
    frequency = corpus.document_frequency(tuple(dict.fromkeys((*terms, *single))))
    total = corpus.chunk_count()
    most = max(COMMON * total, _FEW)
    kept = [term for term in terms if frequency.get(term, 0) <= most]
    if not kept and not exact and terms:
        kept = [min(terms, key=lambda term: frequency.get(term, 0))]
    weights = {
        term: log(1 + (total - count + 0.5) / (count + 0.5))
        for term in terms
        for count in [frequency.get(term, 0)]
    }
    named = tuple(dict.fromkeys(name.phrases[0] for name in found if name.exact and name.worth))
    phrases = tuple(dict.fromkeys([*((term,) for term in kept), *exact]))
    held = {term: weight for term, weight in weights.items() if frequency.get(term, 0)}
    sought = tuple(_without_common(name, frequency, most) for name in wanted)
    return Query(
        phrases, weights, exact, named, sought, _by_name(held, wanted), _defined(question, found, corpus)
    )


def _defined(question: str, found: Iterable[Name], corpus: Corpus) -> Name | None:
    """Return the name of which a question asks what it is: a code, not a word that was quoted."""
    wanted = [name for name in found if name.exact and name.worth]
    if len(wanted) != 1 or not any(letter.isdigit() or letter == "_" for letter in wanted[0].written):
        return None
    terms = set(wanted[0].phrases[0])
    words = (word.lower().rstrip(".'’:") for word in WORD.findall(question))
    rest = (word for word in words if not set(corpus.analyse(word)) <= terms)
    return wanted[0] if all(word in _WHAT_IT_IS for word in rest) else None


def _without_common(name: Name, frequency: Mapping[str, int], most: float) -> Name:
    """Return a name without those ways of finding it that find too much: "8", and "error", of "error 8"."""
    kept = tuple(each for each in name.phrases if len(each) > 1 or frequency.get(each[0], 0) <= most)
    return replace(name, phrases=kept or name.phrases[:1])


def _by_name(weights: Mapping[str, float], found: Iterable[Name]) -> float:
    whole = sum(weights.values())
    named = {term for name in found for term in name.phrases[0]}
    return sum(weights.get(term, 0.0) for term in named) / whole if whole else 0.0


def _content(question: str) -> Iterator[str]:
    return (word for word in WORD.findall(question) if word.lower().rstrip(".'’:") not in STOP)


def _folded(term: str) -> str:
    """Cut an English inflection off, roughly: only to compare terms here, the index stems for itself."""
    stem = _INFLECTION.sub("", term)
    return stem if len(stem) >= _STEM else term
