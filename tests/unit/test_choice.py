"""Which of the reader's words answer, by its margins and the model's likelihoods, and how surely."""

from __future__ import annotations

import math

import pytest

from appliance.errors import ApplianceError
from appliance.generate.choice import LIKELIHOOD, MARGIN, choose

TWICE = math.log(2)


def test_either_of_the_two_may_decide() -> None:
    assert choose([1, 0], [0, 0], ["9 bar", "40 days"])[0] == 0
    assert choose([0, 0], [0, 1], ["9 bar", "40 days"])[0] == 1
    assert choose([1, 0], [0, 0.9 * MARGIN / LIKELIHOOD], ["9 bar", "40 days"])[0] == 0
    assert choose([1, 0], [0, 1.1 * MARGIN / LIKELIHOOD], ["9 bar", "40 days"])[0] == 1


@pytest.mark.parametrize(
    ("margins", "likelihoods"), [([TWICE / MARGIN, 0], [0, 0]), ([0, 0], [TWICE / LIKELIHOOD, 0])]
)
def test_how_sure_a_choice_is(margins: list[float], likelihoods: list[float]) -> None:
    """The chances are 2/3 and 1/3."""
    assert choose([5], [0], ["9 bar"]) == (0, 1)
    assert choose(margins, likelihoods, ["9 bar", "40 days"])[1] == pytest.approx(2 / 3)
    assert choose(margins, likelihoods, ["9 bar", "9 Bar"])[1] == pytest.approx(1)
    assert choose(margins, likelihoods, ["9 bar", "at 9 bar"])[1] == pytest.approx(2 / 3 + 0.8 / 3)


def test_a_model_that_knows_little_counts_less() -> None:
    assert choose([1, 0], [0, 4], ["9 bar", "40 days"])[0] == 1
    assert choose([1, 0], [0, 4], ["9 bar", "40 days"], likelihood=0.05)[0] == 0


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_no_number_chooses_nothing(wrong: float) -> None:
    with pytest.raises(ApplianceError):
        choose([0, wrong], [0, 0], ["9 bar", "40 days"])
    with pytest.raises(ApplianceError):
        choose([0, 0], [wrong, 0], ["9 bar", "40 days"])
