"""What retrieval and reading saw -> how near it is to the question, in [0, 1], and whether that is enough.

A logistic regression over six signals, a floor under one of them, and what was counted of quantities
(appliance/quantity.py), which needs no weight: it is in log-odds. A trained reader's figures stand on its
card; those for sentences alone stand here, made by `python -m scripts.fit_refusal`. Both are of
training data only; scripts/LOG.md keeps what they do on the development sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp
from statistics import median
from typing import Final

from appliance.models import Calibration, Refusal
from appliance.types import Level, Verdict

_RATES: Final = (
    "refuses {} of the questions about another subject, {} about the same subject, {} of the answered ones"
)
SENTENCES: Final = Calibration(
    order=0.0,
    relevance_temperature=1.0,
    answerable_temperature=1.0,
    margin_temperature=1.0,
    bias=-6.609,
    cosine=3.506,
    lead=4.024,
    covered=3.143,
    missing=-0.464,
    agreed=0.172,
    answers=3.845,
    floor=0.0,
)
"""For sentences ranked without a trained reader."""
SENTENCES_REFUSAL: Final[tuple[Refusal, ...]] = (
    Refusal("strict", 0.556, _RATES.format("98.5%", "87.0%", "10.0%")),
    Refusal("balanced", 0.348, _RATES.format("96.3%", "77.2%", "5.0%")),
    Refusal("open", 0.194, _RATES.format("90.2%", "59.0%", "2.1%")),
)
_FIRST: Final = 10


@dataclass(frozen=True, slots=True)
class Searched:
    """What the searches say for and against an answer being there; all in [0, 1] or close to it.

    `cosine` of the nearest chunk, and its `lead` over the middle of those found; `covered`: share of the
    question's words, by weight, in the best passage; `missing`: share of its identifiers and numbers that no
    chunk holds; `agreed`: the searches' first ten have one in common.
    """

    cosine: float
    lead: float
    covered: float
    missing: float
    agreed: float


@dataclass(frozen=True, slots=True)
class Signals:
    """Searches and reading together: `answers` is the best of any passage (reader.Reading).

    `stated` is what the quantity asked for says against what would be quoted, in log-odds.
    """

    searched: Searched
    answers: float
    stated: float = 0.0

    def values(self) -> dict[str, float]:
        """Return all signals by the names that they have in a calibration."""
        return asdict(self.searched) | {"answers": self.answers}


def searched(
    near: Mapping[int, float], words: Mapping[int, float], *, covered: float, missing: float
) -> Searched:
    """Return the searches' signals; `near` and `words` are the two rankings, chunk to score."""
    best = max(near.values(), default=0.0)
    middle = median(near.values()) if near else 0.0
    agreed = bool(_first(near) & _first(words))
    return Searched(best, best - middle, covered, missing, float(agreed))


def _first(ranking: Mapping[int, float]) -> set[int]:
    return set(sorted(ranking, key=lambda chunk: -ranking[chunk])[:_FIRST])


def near_enough(seen: Signals, weights: Calibration) -> float:
    """Return the estimate, in [0, 1], that the passages hold the answer."""
    total = weights.bias + sum(getattr(weights, name) * value for name, value in seen.values().items())
    total += seen.stated
    read = min(seen.answers / weights.floor, 1.0) if weights.floor else 1.0
    return read / (1 + exp(-total))


def verdict(near: float, level: Level, levels: Sequence[Refusal]) -> Verdict:
    """Return what `near` means at `level`."""
    return Verdict(level, near, next(each.threshold for each in levels if each.level == level))
