"""Which questions a few words may answer, and which words of a brief model stand alone."""

from dataclasses import replace

import pytest

from appliance.generate.brief import FAR, SURE, in_words, may_answer
from appliance.generate.check import check
from appliance.generate.prompt import REFUSED
from appliance.types import Choice, Evidence
from tests.fakes import fake_passage

TEXT = "The pump P-101 runs at 3,000 rpm and needs oil every 40 days. It costs $110 or 5% of the total."
LITTLE = "The pump (P-101) needs little oil."
DROPS = "On water. Take 2 drops of 5.25 percent bleach."
ROWS = "Code | Alarm | Remedy\nE04 | Hot gas | Clean the tubes"


def asked(text, quote, *words):
    """Return the passage, and the evidence that is `quote`, with `words` to choose from, the first marked."""
    start = text.index(quote)
    places = [(at, at + len(each)) for each in words for at in [text.index(each)]]
    choices = tuple(Choice(place, 5.0 - rank) for rank, place in enumerate(places))
    evidence = Evidence(
        1, start, start + len(quote), quote, "manual.pdf", 3, "", 0.9, mark=places[0], choices=choices
    )
    return [fake_passage(text=text)], evidence


def shown(draft, passages, evidence, question="how much?", *, sure=0.9):
    return in_words(draft, check(draft, passages, evidence), question, passages, evidence, sure=sure)


@pytest.mark.parametrize(
    ("question", "text", "quote", "words", "may"),
    [
        ("How fast is it?", TEXT, "The pump P-101 runs at 3,000 rpm", "3,000 rpm", True),
        ("What does it cost?", TEXT, "It costs $110", "$110", False),  # "or 5% of the total"
        ("Why does it run?", TEXT, "The pump P-101 runs at 3,000 rpm", "3,000 rpm", False),
        ("How fast is it?", TEXT, "The pump P-101", "3,000 rpm", False),  # not in the quote
        ("How much oil does it need?", LITTLE, LITTLE, "little", False),
        ("How many days does it run?", TEXT, TEXT[:62], "40 days", True),
        ("What needs little oil?", LITTLE, LITTLE, "P-101)", False),
        ("What needs little oil?", LITTLE, LITTLE, "The pump (P-101)", True),
        ("Drops of bleach?", DROPS, "Take 2 drops of 5.25 percent bleach.", "5.25 percent", False),
        ("price of a beer", "Drinks have 5% alcohol.", "Drinks have 5% alcohol.", "5%", False),
        ("price of a beer", "Members pay 5% off.", "Members pay 5% off.", "5% off", True),
        ("What is the pressure?", "The pump holds 2.5 bar.", "The pump holds 2.5 bar.", "2.5 bar", True),
        ("What needs the pump?", LITTLE, LITTLE, "The pump (P-101)", True),
        ("What needs the pump?", LITTLE, LITTLE, "The pump", False),
        ("What is E04?", ROWS, "E04 | Hot gas | Clean the tubes", "Hot gas", False),
    ],
)
def test_words_may_answer_a_question_for_one_thing_that_stands_in_prose(question, text, quote, words, may):
    passages, evidence = asked(text, quote, words)
    assert may_answer(question, passages, evidence) is may


def test_they_may_not_where_the_reader_is_unsure_of_there_being_an_answer():
    passages, evidence = asked(TEXT, TEXT[:40], "3,000 rpm")
    assert not may_answer("How fast is it?", passages, replace(evidence, mark=None))
    assert not may_answer("How fast is it?", passages, replace(evidence, choices=()))


def test_what_the_model_takes_is_the_answer_and_marked_whatever_the_reader_likes_best():
    text = "It opens in May, after 40 days of drying."
    passages, evidence = asked(text, text, "May", "40 days")
    checked, marked = shown("40 days [1]", passages, evidence, "When does it open?")
    assert checked.text == "40 days [1]"
    assert checked.citations[0].quote == text
    assert text[slice(*marked.mark)] == "40 days"


def test_words_of_which_the_model_is_not_sure_give_way_to_the_quote():
    text = "It opens after 40 days."
    passages, evidence = asked(text, text, "40 days")
    assert shown("40 days [1]", passages, evidence, sure=SURE)[0].text == "40 days [1]"
    assert shown("40 days [1]", passages, evidence, sure=SURE - 0.01)[0].text == f"{text} [1]"


def test_words_that_the_reader_thinks_little_of_do_not_stand_whoever_takes_them():
    text = "It opens in May, after 40 days of drying."
    passages, evidence = asked(text, text, "May", "40 days")
    may, days = evidence.choices
    far = replace(evidence, choices=(may, replace(days, margin=may.margin - FAR - 0.1)))
    assert shown("40 days [1]", passages, far, "When does it open?", sure=1.0)[0].text == f"{text} [1]"


@pytest.mark.parametrize(
    ("text", "words", "draft"),
    [
        ("It opens after 40 days.", "40 days", "40.0 days [1]"),
        ("It opens after 40 days.", "40 days", "40 days"),
        ("It opens after 40 days.", "40 days", "40 days [2]"),
        ("It draws 5 mW.", "5 mW", "5 MW [1]"),
        ("The gap is 5' wide.", "5'", '5" [1]'),
        ("It lost (27) in all.", "(27)", "27 [1]"),
        ("The valve opens at 27 bar.", "27 bar", "7 bar [1]"),
        ("It is safe at -27 degrees.", "-27 degrees", "27 degrees [1]"),
        ("The lid weighs 5.2 kg.", "5.2 kg", "2 kg [1]"),
        ("It opens after 40 days.", "40 days", REFUSED),
        ("It opens after 40 days.", "40 days", ""),
    ],
)
def test_words_are_a_choice_letter_by_letter_or_give_way_to_the_quote(text, words, draft):
    passages, evidence = asked(text, text, words)
    checked, marked = shown(draft, passages, evidence)
    assert (checked.text, marked) == (f"{text} [1]", evidence)


def test_words_that_do_not_stand_alone_give_way_and_are_listed():
    passages, evidence = asked(TEXT, "It costs $110", "$110")
    checked, _ = shown("$110 [1]", passages, evidence)
    assert checked.text == "It costs $110 [1]"
    assert checked.unsupported == ("$110 [1]",)
