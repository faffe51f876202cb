"""What is on a page of a PDF: words in lines, and rules, with their places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

THIN = 2.5
"""Points: what is thinner, and longer, is a rule."""


class Rule(NamedTuple):
    """A straight line on the page: at `at`, from `start` to `end`, in points."""

    at: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What is drawn on a page: at heights, and at distances from the left."""

    flat: list[Rule]
    upright: list[Rule]

    @classmethod
    def of(cls, boxes: Iterable[tuple[float, float, float, float]]) -> Rules:
        """Return those among boxes (left, bottom, right, top) that are thin, and level or upright."""
        rules = cls([], [])
        for left, bottom, right, top in boxes:
            if top - bottom < THIN < right - left:
                rules.flat.append(Rule((bottom + top) / 2, left, right))
            elif right - left < THIN < top - bottom:
                rules.upright.append(Rule((left + right) / 2, bottom, top))
        return rules


class Word(NamedTuple):
    """A word and where it begins and ends, in points from the left and from the bottom."""

    left: float
    right: float
    text: str
    low: float
    high: float


@dataclass(slots=True)
class Line:
    """A line of words; `low` and `high` in points from the bottom, `size` the height of its type.

    `mono`: its letters are all equally wide. `hyphen`: its last word is cut in two. `running`: the first
    occurrence of what repeats in the margins.
    """

    words: list[Word]
    low: float
    high: float
    size: float
    bold: bool = False
    mono: bool = False
    hyphen: bool = False
    running: bool = False
    left: float = field(init=False)
    right: float = field(init=False)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.left = min(word.left for word in self.words)
        self.right = max(word.right for word in self.words)
        self.text = " ".join(word.text for word in self.words)


@dataclass(slots=True)
class Page:
    """A page's lines in content order, and the rules drawn on it.

    `picture`: it has no text but something drawn.
    """

    number: int
    width: float
    height: float
    lines: list[Line]
    picture: bool = False
    rules: Rules = field(default_factory=lambda: Rules([], []))


class Outline(NamedTuple):
    """A bookmark: the 1-based page that it leads to, its depth from 1, its title."""

    page: int
    level: int
    title: str
