"""What a sentence states: that with another direction, label, unit or bound it is another sentence."""

import pytest

from appliance.generate.check import check
from appliance.generate.facts import read
from appliance.types import Evidence, Passage

CLOSING = "Keep this leaflet."


def supported(claim, text):
    """Tell whether a passage that says `text` supports `claim`."""
    whole = f"{text} {CLOSING}"
    passage = Passage(1, 1, "manual.txt", None, "Pumps", "", whole, 0, 0.9, ("words",))
    asked = Evidence(1, len(text) + 1, len(whole), CLOSING, "manual.txt", None, "Pumps", 0.9)
    return check(claim, [passage], asked).unsupported == ()


REVERSED = [
    ("Turn the pump on before you open the drain.", "Turn the pump off after you open the drain."),
    ("Keep the level above the mark.", "Keep the level below the mark."),
    ("Open valve B slowly.", "Open valve A slowly."),
    ("Use a Type II cartridge.", "Use a Type I cartridge."),
    ("Add two litres of oil.", "Add one litre of oil."),
    ("The laser draws 5 mW at rest.", "The laser draws 5 MW at rest."),
    ("The seal holds 3 mPa of pressure.", "The seal holds 3 MPa of pressure."),
    ("The probe draws 5 mA at rest.", "The probe draws 5 MA at rest."),
    ("The line carries 5 Mb each second.", "The line carries 5 MB each second."),
    ("Leave a gap of 5 cm behind the pump.", "Leave a gap of 5 in behind the pump."),
    ("The tank holds more than 300 litres.", "The tank holds 300 litres."),
    # The same fault in other words.
    ("Turn the pump ON.", "Turn the pump OFF."),
    ("Lift the lever up.", "Lift the lever down."),
    ("Push the lever in.", "Push the lever out."),
    ("Pour the oil into the tank.", "Pour the oil out of the tank."),
    ("It needs at least 5 bar.", "It needs at most 5 bar."),
    ("It takes 5 bar or more.", "It takes 5 bar or less."),
    ("It takes over 5 bar.", "It takes under 5 bar."),
    ("It takes < 5 bar.", "It takes > 5 bar."),
    ("It takes ≥ 5 bar.", "It takes 5 bar."),
    ("Clean it first, then fill the tank.", "Clean it last, then fill the tank."),
    ("Open it while the pump runs.", "Open it before the pump runs."),
    ("Open the drain unless the pump runs.", "Open the drain if the pump runs."),
    ("Set the switch to position A.", "Set the switch to position B."),
    ("Close two bolts on the cover.", "Close one bolt on the cover."),
    ("Fit a two-litre can.", "Fit a one-litre can."),
    ("It opens at 7 a.m. on workdays.", "It opens at 7 p.m. on workdays."),
    ("It was signed by Harry S. Truman.", "It was signed by Harry T. Truman."),
    ("It is sold in the U.S. by Bosch.", "It is sold in the U.K. by Bosch."),
    ("The screw takes 5 Nm.", "The screw takes 5 nm."),
    ("It conducts 5 mS.", "It conducts 5 ms."),
]


@pytest.mark.parametrize(("one", "other"), REVERSED)
def test_a_sentence_with_the_opposite_direction_label_unit_or_bound_is_not_what_the_passage_says(one, other):
    assert supported(one, one)
    assert supported(other, other)
    assert not supported(other, one)
    assert not supported(one, other)


def test_a_label_that_stands_in_the_next_sentence_answers_for_nothing_in_this_one():
    text = "Type I valves open at 5 bar. They are green. Type II valves open at 7 bar."
    assert supported("Type II valves open at 7 bar.", text)
    assert not supported("Type II valves open at 5 bar.", text)


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("The pump draws 5 mA.", "The pump draws 5mA."),
        ("The can holds 1 litre.", "The can holds one litre."),
        ("Leave 5 inches free.", "Leave 5 in free."),
        ("Leave 5 inches free.", "Leave 5in free."),
        ("The board has 512 KB.", "The board has 512 kB."),
        ("The motor takes 3 megawatts.", "The motor takes 3 MW."),
        ("Add 5 mL of dye.", "Add 5 ml of dye."),
        ("A pump needs oil.", "The pump needs oil."),
        ("It rose to 5 in Ohio.", "In Ohio it rose to 5."),
        ("It was built 1902 in wartime.", "It was built in wartime, 1902."),
        ("Truman was president.", "Harry S. Truman was president."),
        ("A pump in the U.S. runs.", "In the US, a pump runs."),
        ("It takes more than $300.", "It takes more than $300."),
        ("The pump was sold in Ohio.", "In Ohio the pump was sold."),
        ("I think the pump runs.", "The pump runs, I think."),
    ],
)
def test_the_same_in_other_letters_is_the_same(claim, text):
    assert supported(claim, text)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("more than 300 men", {">300": set()}),
        ("more than $300", {">300": {"$"}}),
        ("5 bar or above", {"≥5": {"bar"}}),
        ("5 bar or above 30 °C", {"5": {"bar"}, ">30": {"°c"}}),
        ("18 and over", {"≥18": set()}),
        ("up to twelve bolts", {"≤12": set()}),
        ("There is more. Than 300 men", {"300": set()}),
        ("press -> 5", {"5": set()}),
        ("less than -5 °C", {"<-5": {"°c"}}),
        ("one of them, one day, no one bolt", {"1": {"day"}}),
    ],
)
def test_a_bound_is_part_of_its_number(text, numbers):
    assert read(text).numbers == numbers


def test_a_bare_number_with_a_word_of_order_still_says_nothing_that_could_be_checked():
    text = "The plant was built after 1902. It was sold."
    assert not supported("After 1902.", text)
