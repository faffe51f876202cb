"""What retrieval saw -> how near it is to the question, in [0, 1], and where "near enough" begins.

A logistic regression over six signals. `python -m scripts.fit_refusal` made the figures, on training data
only, and reports what they do on the development sets; scripts/LOG.md keeps the reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from math import exp
from statistics import median
from typing import Final

_BIAS: Final = -6.609
_WEIGHTS: Final = (3.506, 4.024, 3.845, 3.143, -0.464, 0.172)
THRESHOLD: Final = 0.307
"""Below it the answer is "not in your documents"."""
_FIRST: Final = 10


@dataclass(frozen=True, slots=True)
class Signals:
    """What speaks for and against an answer being there; all in [0, 1] or close to it.

    `cosine` of the nearest chunk, and its `lead` over the middle of those found; `sentence`: relevance of the
    best sentence; `covered`: share of the question's words, by weight, in the best passage; `missing`: share
    of its identifiers and numbers that no chunk holds; `agreed`: the searches' first ten have one in common.
    """

    cosine: float
    lead: float
    sentence: float
    covered: float
    missing: float
    agreed: float


def signals(
    near: Mapping[int, float], words: Mapping[int, float], *, sentence: float, covered: float, missing: float
) -> Signals:
    """Return the signals; `near` and `words` are the two rankings, chunk to score."""
    best = max(near.values(), default=0.0)
    middle = median(near.values()) if near else 0.0
    agreed = bool(_first(near) & _first(words))
    return Signals(best, best - middle, sentence, covered, missing, float(agreed))


def _first(ranking: Mapping[int, float]) -> set[int]:
    return set(sorted(ranking, key=lambda chunk: -ranking[chunk])[:_FIRST])


def near_enough(seen: Signals) -> float:
    """Return the estimate, in [0, 1], that the passages hold the answer."""
    total = _BIAS + sum(weight * value for weight, value in zip(_WEIGHTS, astuple(seen), strict=True))
    return 1 / (1 + exp(-total))
