"""A question of a training set, and the text it was asked of: what all of them are read into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = -1
PATH: Final = " > "
"""What parts a document's title from the headings below it; published sets have a title alone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the text it was asked of.

    `span` is the answer's place in `text`, None where it is not known or there is none; `near` a place in
    `text` that the question is about. `relevant` and `answerable` are 1, 0 or UNKNOWN; `answers` are strings
    that no negative passage may hold.
    """

    source: str
    document: str
    title: str
    question: str
    text: str
    span: tuple[int, int] | None
    near: int
    relevant: int
    answerable: int
    answers: tuple[str, ...]
