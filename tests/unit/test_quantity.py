"""Which quantity a question asks for, and what a sentence says of it."""

from __future__ import annotations

import pytest

from appliance.quantity import IN_UNITS, NOWHERE, OTHERWISE, UNITLESS, UNSTATED, asked_for


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
        "how do I set up e-mail",
        "Who has the phone?",
        "Does the manual say how long it lasts?",
        "At what time does it close?",
        "What happens in the first few days?",
        "what to do in a few hours of rain",
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
        ("What is the maximum pressure at a temperature of 90 degrees?", "It is 90 degrees warm.", UNITLESS),
        ("How many days is a code valid?", "It is valid for 24 hours.", IN_UNITS),
        ("How many days is a code valid?", "It has 6 digits.", OTHERWISE),
        ("How many days is a code valid?", "It is valid for long.", NOWHERE),
        ("How many days?", "Code | 6", 0.0),
        ("maximum assertion lifetime in minutes", "Its lifetime is limited.", NOWHERE),
        ("what tire pressure in psi", "Front 32 PSI, rear 30.", IN_UNITS),
        ("How many percent of voters abstained?", "One in four voters did.", IN_UNITS),
        ("What percentage is used?", "About a third is.", IN_UNITS),
        ("What percentage is used?", "It uses 12 litres.", OTHERWISE),
        ("how many drops of bleach", "Add 2 drops a quart.", IN_UNITS),
        ("how many watts", "It needs a converter to 5V.", OTHERWISE),
        ("How much time does it take?", "Two hours.", IN_UNITS),
        ("pen flare how many seconds does it burn", "It fires the flare about 150 meters high.", OTHERWISE),
        ("electric eel how many volts", "It shocks with 500 volts.", IN_UNITS),
        ("phone number of the desk", "Desk, MD 20899-2000, Mail Stop 2000", OTHERWISE),
        ("phone number of the desk", "Call 1-866-411-4372.", IN_UNITS),
        ("what number do I call in an emergency", "Dial 911.", IN_UNITS),
        ("fax number", "It is (301) 555-0100.", IN_UNITS),
        ("telephone for orders", "Ring us at 0911 47110.", IN_UNITS),
        ("e-mail address for reports", "Write to EISD@epa.gov.", IN_UNITS),
        ("email for reports", "Reports are written monthly.", NOWHERE),
        ("How often is it greased?", "It is greased every 500 hours.", IN_UNITS),
        ("How often is it greased?", "It is greased on 4 sides.", UNITLESS),
        ("what frequency does it transmit on", "It transmits at 121.5 MHz.", IN_UNITS),
        ("what frequency does it transmit on", "The AN/PRC-90 is a radio.", UNITLESS),
        ("what voltage does the pump need", "It runs on 24 V.", IN_UNITS),
        ("what is the voltage of the pump", "Its mass is 5 kg.", UNITLESS),
        ("PBKDF2 iteration count", "It has at least 10,000 iterations.", 0.0),
        ("PBKDF2 iteration count", "It is hashed with SHA256.", UNSTATED),
        ("PBKDF2 iteration count", "For PBKDF2, it is a parameter.", UNSTATED),
    ],
)
def test_a_sentence_states_it_or_does_not(question, sentence, worth):
    quantity = asked_for(question)
    assert quantity is not None
    assert quantity.stated(sentence) == worth
