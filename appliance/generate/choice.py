"""The reader's margins and a model's likelihoods of the same words -> which of them answer, and how surely.

Either knows what the other does not, so their logarithms of chances add up; each claims more than it knows,
so each has a weight. The model is trained to choose by this very sum (scripts/examples.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from appliance.errors import ApplianceError

MARGIN = 0.5
LIKELIHOOD = 0.2
"""What a logit of the reader and of the model is worth; together the likeliest on questions kept apart, as
scripts/LOG.md has it. A model's card may say another of its own."""


def choose(
    margins: Sequence[float],
    likelihoods: Sequence[float],
    words: Sequence[str],
    *,
    likelihood: float = LIKELIHOOD,
) -> tuple[int, float]:
    """Return the number of the likeliest `words`, and what overlap (F1) with the answer their chances expect.

    `likelihood` is what a logit of this model is worth. The same words in two places are one answer.

    Raises:
        ApplianceError: margins or likelihoods are no numbers.
    """
    sums = MARGIN * np.asarray(margins, np.float64) + likelihood * np.asarray(likelihoods, np.float64)
    if not np.isfinite(sums).all():
        raise ApplianceError("The model gives no chances.")
    best = int(sums.argmax())
    chances = np.exp(sums - sums[best])
    overlaps = [_overlap(words[best], each) for each in words]
    return best, min(float(chances @ overlaps / chances.sum()), 1.0)


def _overlap(one: str, two: str) -> float:
    """Return the F1 of two texts, by their words."""
    words = [Counter(text.casefold().split()) for text in (one, two)]
    common = (words[0] & words[1]).total()
    return 2 * common / (words[0].total() + words[1].total())
