"""Slips of the keys, and what must never be taken for one."""

from __future__ import annotations

import pytest

from appliance.retrieve.spelling import mended, one_slip

HELD = {"pressure": 9, "presume": 2, "valve": 5, "thoreau": 3, "discharge": 4}
LANGUAGE = {"composer", "presses"}


def frequency(words):
    return {word: HELD.get(word, 0) for word in words}


def asked(question):
    return mended(question, frequency, LANGUAGE.__contains__)


@pytest.mark.parametrize("slip", ["presure", "prressure", "pressrue", "pressurd", "pressur"])
def test_one_letter_left_out_added_swapped_or_exchanged_is_mended(slip):
    assert asked(f"What is the {slip} at the valve?") == "What is the pressure at the valve?"


def test_of_two_words_one_slip_away_the_commoner_is_meant():
    assert asked("presure") == "pressure"
    assert one_slip("presure") >= {"pressure", "presume"}


@pytest.mark.parametrize(
    ("question", "mended_to"),
    [
        ("Thoraeu", "Thoreau"),
        ("“Thoraeu” is dead. Presure is high?", "“Thoraeu” is dead. Pressure is high?"),
        ("(Presure at the valve)", "(Pressure at the valve)"),
    ],
)
def test_a_capital_stays_where_a_sentence_begins(question, mended_to):
    assert asked(question) == mended_to


@pytest.mark.parametrize(
    "question", ["who is Thoraeu?", "the Presure group", "Thoraeu or mr. Smith, that is Thoraeu"]
)
def test_a_name_inside_a_sentence_is_no_slip(question):
    assert asked(question) == question


@pytest.mark.parametrize(
    "question",
    [
        "Is the pressure high?",  # in the documents
        "composer",  # no slip: a word that they do not hold
        "presses",  # the same, though one slip from another
        "the valx",  # too short for a guess
        "PRESURE",  # an abbreviation, for all we know
        "presure-7",
        "presure/min",
        "presure7",
        "presure.txt",
        '"presure"',
        "“presure”",
        "pressureee",  # two slips
        "",
    ],
)
def test_what_is_no_slip_stays_as_it_is(question):
    assert asked(question) == question


def test_few_words_are_looked_up():
    lists = []

    def counted(words):
        lists.append(len(words))
        return dict.fromkeys(words, 0)

    tried = []
    mended(
        " ".join(f"abcdef{chr(97 + n)}" for n in range(20)), counted, lambda word: tried.append(word) or False
    )
    assert len(lists) == 1 + 3
    assert len(tried) == 3


@pytest.mark.parametrize("word", ["doesnt", "Doesnt", "couldnt", "whats", "theyre"])
def test_a_contraction_without_its_apostrophe_is_no_slip(word, monkeypatch):
    monkeypatch.setitem(HELD, "doesns", 3)
    for near in ("doesns", "couldn", "whate", "theyr"):
        monkeypatch.setitem(HELD, near, 3)
    assert asked(f"{word} the valve close") == f"{word} the valve close"
