"""The fit of the refusal bends its scores as the appliance will."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.models import Calibration
from appliance.retrieve import refusal
from scripts import fit_reader

SEARCHED = refusal.Searched(cosine=0.6, lead=0.3, covered=0.7, missing=0.0, agreed=1.0)


@given(
    st.floats(0.0, 1.0),
    st.sampled_from([0.0, -1.0, -1.5, -2.0, -3.0]),
    st.sampled_from([0.0, 0.003, 0.02]),
)
def test_a_score_is_what_the_appliance_makes_of_the_same_signals(answers, stated, floor):
    how = replace(refusal.SENTENCES, floor=floor)
    signals = refusal.Signals(SEARCHED, answers, stated)
    total = how.bias + sum(getattr(how, name) * value for name, value in signals.values().items())
    scores = fit_reader.weighed(fit_reader.chance([total]), np.array([stated]))
    (made,) = fit_reader.floored(scores, np.array([answers]), floor)
    assert made == pytest.approx(refusal.near_enough(signals, how))


def row(*sentences):
    return {"sentences": [list(sentences)], "relevance": [2.0], "score": [0.5]}


def test_what_is_quoted_without_the_quantity_is_less_relevant():
    without, beside = (1.0, 0.0, True, True, -3.0), (0.5, 0.0, True, True, 1.5)
    heats = {"relevance": 2.0, "margin": 1.0, "answerable": 1.0}
    assert fit_reader._relevance(row(without), 6, heats) == pytest.approx([-2.0])
    assert fit_reader._relevance(row(without, beside), 6, heats) == pytest.approx(
        [1.0]
    )  # the other is quoted
    assert fit_reader._relevance(row(), 6, heats) == pytest.approx([1.0])


def test_a_refusal_is_not_held_against_it_where_the_searches_lost_the_answer():
    own = {"kind": "own", "gold": [False] * 6 + [True]}
    assert not fit_reader.answerable(own, 6)
    assert fit_reader.answerable(own, 7)
    assert fit_reader.answerable({"kind": "twin", "gold": [False] * 6}, 6)


def test_levels_are_of_the_answered_questions_of_published_sets():
    scores = np.concatenate([np.linspace(0, 1, 101), np.zeros(50), np.ones(50)])
    kinds = np.array(["own"] * 151 + ["twin"] * 50)
    made_up = np.array([False] * 101 + [True] * 50 + [False] * 50)
    found = fit_reader.thresholds(scores, kinds, made_up)
    assert found == pytest.approx({"strict": 0.10, "balanced": 0.05, "open": 0.02})


def test_what_the_card_says_is_all_that_a_calibration_holds_and_the_lead_counts_nothing(capsys):
    heats = dict.fromkeys(("relevance", "answerable", "margin"), 2.0)
    fit_reader._print_card(np.arange(6.0), 0.6, heats)
    told = tomllib.loads(capsys.readouterr().out)["calibration"]
    made = Calibration(**told)
    assert (made.lead, made.cosine, made.answers, made.order) == (0.0, 1.0, 5.0, 0.6)
