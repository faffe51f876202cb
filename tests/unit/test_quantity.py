"""Which quantity a question asks for, and what a sentence says of it."""

from __future__ import annotations

import pytest

from appliance.quantity import IN_UNITS, UNITLESS, UNSTATED, asked_for


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
        "For how many days is the log kept?",
        "how heavy is the anchor",
        "What is the maximum pressure of the boiler at a temperature of 90 degrees?",
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
        "Where can I see how much fuel is left?",
        "Who decides how many pumps run?",
        "pressure relief valve material",
        "rate limiter purpose",
        "What causes pressure loss?",
        "What is the limit switch for?",
        f"{'The pump was replaced and it was noted in the log. ' * 3} count",
        f"{'x' * 600} How many are there?",
        "",
    ],
)
def test_such_questions_ask_for_something_else(question):
    assert asked_for(question) is None


@pytest.mark.parametrize(
    ("question", "sentence", "worth"),
    [
        ("How many pumps are there?", "The station has four pumps.", 0.0),
        ("How many pumps are there?", "Pumps are bought in Germany.", UNSTATED),
        ("How many pumps are there?", "The M185 is made in Germany, its canteen too.", UNSTATED),
        ("How many pumps are there?", "2. Look after the pumps.", UNSTATED),
        ("How many pumps are there?", "(3) Pumps: 2.", 0.0),
        ("How much oil does it hold?", "It holds \u00bd litre.", 0.0),
        ("How much does entry cost?", "Entry costs $12.", IN_UNITS),
        ("How much does entry cost?", "Entry is EUR25.", IN_UNITS),
        ("How much does entry cost?", "An adult pays 12 euros.", IN_UNITS),
        ("How much does an oil filter cost?", "It takes 4.5 quarts.", UNITLESS),
        ("What is the price of the filter?", "Filter | 12", 0.0),
        ("How high is the mast?", "The mast is 12.5 m high.", IN_UNITS),
        ("How high is the mast?", "The mast is 40' high.", IN_UNITS),
        ("How high is the mast?", "The mast was raised in 1912.", 0.0),
        ("How high is the mast?", "The mast is high.", UNSTATED),
        ("How heavy is the anchor?", "The anchor weighs 2 tons.", IN_UNITS),
        ("How old is the bridge?", "The bridge is three hundred years old.", IN_UNITS),
        ("How old is the bridge?", "One of the bridge's arches was renewed.", 0.0),
        ("How hot does it get?", "It reaches 90 \u00b0C.", IN_UNITS),
        ("How long is a code valid?", "24 hours, when sent by email.", IN_UNITS),
        ("How long must a secret be?", "It has 8 characters.", IN_UNITS),
        ("How fast is it?", "It runs at 3 knots.", 0.0),
        ("How fast is it?", "It is fast.", UNSTATED),
        ("What is the temperature of the oil?", "It is at 90 degrees.", IN_UNITS),
        ("What is the temperature of the oil?", "There are 3 of them.", UNITLESS),
        ("What is the oil change interval?", "It is changed every 10,000 km.", IN_UNITS),
        ("What is the width of the road?", "It was built in 1912.", UNITLESS),
        ("What is the timeout of a session?", "It ends after 30 minutes.", IN_UNITS),
        ("What is the maximum pressure at a temperature of 90 degrees?", "It is 90 degrees warm.", 0.0),
        ("PBKDF2 iteration count", "It has at least 10,000 iterations.", 0.0),
        ("PBKDF2 iteration count", "It is hashed with SHA256.", UNSTATED),
        ("PBKDF2 iteration count", "For PBKDF2, it is a parameter.", UNSTATED),
    ],
)
def test_a_sentence_states_it_or_does_not(question, sentence, worth):
    quantity = asked_for(question)
    assert quantity is not None
    assert quantity.stated(sentence) == worth
