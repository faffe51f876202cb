"""A question that its passage answers -> the same of another name or number, which it does not answer.

SQuAD's people wrote such twins by hand (Rajpurkar et al. 2018, "entity swap"); a question that a model wrote
has none. What is put in stands in the same document where that has something of the kind, else anywhere, and
not in the passage: so nothing there is about it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from scripts.reader_asked import Asked

_NAME: Final = re.compile(r"(?<![.?!:] )(?<!^)\b[A-Z][\w-]+(?: [A-Z][\w-]+)*")
"""Capitals, but not where a sentence begins."""
_NUMBER: Final = re.compile(r"(?<![\w.,])\d+(?![\w.,]*\d)")
_SHORTEST: Final = 3


class Swaps:
    """The names and numbers of many texts, to be put in the place of one another."""

    def __init__(self, texts: Sequence[Asked]) -> None:
        here = defaultdict[tuple[str, str], dict[str, None]](dict)
        for each in {each.text: each for each in texts}.values():
            for kind, name in _named(each.text):
                here[each.document, kind][name] = None
                here["", kind][name] = None
        self._held = {key: list(names) for key, names in here.items()}

    def swapped(self, each: Asked, rng: np.random.Generator) -> str | None:
        """Return the question about something else of the same kind, None where it names nothing."""
        asked = f" {each.question.casefold().rstrip(' ?')} "
        known = [
            (kind, name) for kind, name in dict.fromkeys(_named(each.text)) if f" {name.casefold()} " in asked
        ]
        if not known:
            return None
        kind, name = max(known, key=lambda pair: len(pair[1]))
        text = each.text.casefold()
        for document in (each.document, ""):
            others = self._held.get((document, kind), [])
            for number in rng.permutation(len(others))[:20]:
                other = others[number].casefold()
                if other not in text and not set(other.split()) & set(asked.split()):
                    return asked.replace(f" {name.casefold()} ", f" {other} ").strip() + "?"
        return None


def _named(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and name: a number's kind is its length, a name's the number of its words."""
    for found in _NAME.finditer(text):
        if len(found[0]) >= _SHORTEST:
            yield f"{len(found[0].split())} words", found[0]
    for found in _NUMBER.finditer(text):
        yield str(len(found[0])), found[0]
