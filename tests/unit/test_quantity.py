"""Which quantity a question asks for, and what a sentence says of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.quantity import FORMS, IN_UNITS, UNITLESS, VAGUE, asked_for


def stated(question, sentence):
    """Return what `sentence` is worth to a question that asks for a quantity."""
    quantity = asked_for(question)
    assert quantity is not None
    return quantity.stated(sentence)


@pytest.mark.parametrize(
    "question",
    [
        "How many vials of antivenom are given?",
        "how much fuel does the pump take",
        "How far is the well from the latrine?",
        "How old is the bridge?",
        "How long is a code valid?",
        "What is the maximum operating temperature of the controller?",
        "What's the torque of the cylinder head bolts?",
        "PBKDF2 iteration count",
        "max consecutive failed login attempts allowed",
        "maximum number of retries",
        "required match rate",
    ],
)
def test_such_questions_ask_for_a_quantity(question):
    assert asked_for(question) is not None


@pytest.mark.parametrize(
    "question",
    [
        "How do I count the vials?",
        "Who limits the rate of requests?",
        "Why is the temperature measured twice?",
        "Is there a limit?",
        "fuel filter replacement",
        "Where is the pressure gauge?",
        "What happens when the count overflows?",
        "",
    ],
)
def test_such_questions_ask_for_something_else(question):
    assert asked_for(question) is None


@pytest.mark.parametrize(
    ("question", "sentence", "worth"),
    [
        ("How many pumps are there?", "The station has four pumps.", 0.0),
        ("How many pumps are there?", "Pumps are bought in Germany.", None),
        ("How many pumps are there?", "The M185 is made in Germany, its canteen too.", None),
        ("How many pumps are there?", "No pump is left.", VAGUE),
        ("How many pumps are there?", "The pumps are:", VAGUE),
        ("How many pumps are there?", "- the P-pump\n- the other", VAGUE),
        ("How much does entry cost?", "Entry is free.", VAGUE),
        ("How much does entry cost?", "Entry costs $12.", 0.0),
        ("How high is the mast?", "The mast is 12.5 m high.", IN_UNITS),
        ("How high is the mast?", "The mast is 40' high.", IN_UNITS),
        ("How high is the mast?", "The mast was raised in 1912.", 0.0),
        ("How high is the mast?", "The mast is high.", VAGUE),
        ("How old is the bridge?", "The bridge is three hundred years old.", IN_UNITS),
        ("How hot does it get?", "It reaches 90 °C.", IN_UNITS),
        ("How long is a code valid?", "24 hours, when sent by email.", IN_UNITS),
        ("How long is a code valid?", "A code has 6 figures.", UNITLESS),
        ("What is the weight of the flare?", "The flare flies 150 meters.", UNITLESS),
        ("What is the weight of the flare?", "Flare | 150", 0.0),
        ("What is the weight of the flare?", "The flare weighs 210 grams.", IN_UNITS),
        ("PBKDF2 iteration count", "It has at least 10,000 iterations.", 0.0),
        ("PBKDF2 iteration count", "The more often it is iterated, the better.", VAGUE),
        ("PBKDF2 iteration count", "The count is a parameter.", VAGUE),
    ],
)
def test_a_sentence_states_it_or_does_not(question, sentence, worth):
    assert stated(question, sentence) == worth


@given(st.text(max_size=700), st.text(max_size=200))
def test_only_a_sure_question_rules_a_sentence_out(question, sentence):
    quantity = asked_for(question)
    if quantity is not None:
        assert quantity.sure or quantity.stated(sentence) is not None


def test_the_first_form_that_fits_is_taken():
    assert asked_for("How many degrees is the maximum temperature?") == FORMS[0][1]
