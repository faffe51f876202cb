"""What of a question is searched for."""

from __future__ import annotations

import re

import pytest

from appliance.retrieve.words import query


class Corpus:
    """A thousand-fold corpus given by its frequencies."""

    def __init__(self, total=10_000, **frequency):
        self.total = total
        self.frequency = frequency
        self.asked = []

    def analyse(self, text):
        return re.findall(r"[a-z0-9]+", text.lower())

    def document_frequency(self, terms):
        self.asked.append(tuple(terms))
        return {term: self.frequency.get(term, 1) for term in terms}

    def chunk_count(self):
        return self.total


def phrases(question, corpus=None):
    return set(query(question, corpus or Corpus()).phrases)


def test_stop_words_are_not_searched():
    assert phrases("What is the head of the pump?") == {("head",), ("pump",)}


def test_very_common_terms_are_dropped():
    corpus = Corpus(pump=600, head=400)
    assert phrases("What is the head of the pump?", corpus) == {("head",)}


def test_in_a_small_store_nothing_is_too_common():
    assert phrases("the head of the pump", Corpus(total=100, pump=90)) == {("head",), ("pump",)}


def test_of_common_terms_alone_the_rarest_stays():
    assert phrases("pump head", Corpus(pump=5000, head=4000)) == {("head",)}


def test_stop_words_alone_are_better_than_nothing():
    assert phrases("who are you") != set()


@pytest.mark.parametrize(
    ("question", "phrase"),
    [
        ("Where is pump P-101?", ("p", "101")),
        ("What changed in EPANET 2.2.0?", ("2", "2", "0")),
        ("Is the copay $110 a visit?", ("110",)),
        ("What does error 8 mean?", ("error", "8")),
        ('Where does it say "balance billing"?', ("balance", "billing")),
        ("Where does it say “balance billing”?", ("balance", "billing")),
    ],
)
def test_identifiers_numbers_and_quotations_are_exact_and_never_dropped(question, phrase):
    everywhere = dict.fromkeys(phrase, 9999)
    found = query(question, Corpus(**everywhere))
    assert phrase in found.exact
    assert phrase in found.phrases


@pytest.mark.parametrize(
    ("question", "common", "sought"),
    [
        ("error 8", {}, (("error", "8"), ("8",), ("error",))),
        ("error 8", {"8": 9000, "error": 8000}, (("error", "8"),)),
        ("error 8", {"8": 9000}, (("error", "8"), ("error",))),
        ("$110", {"110": 9000}, (("110",),)),  # there is no other way
        ("P-101", {"p101": 9000}, (("p", "101"),)),
        ("p101", {"p101": 9000}, (("p", "101"),)),
    ],
)
def test_a_name_is_not_looked_for_by_words_that_are_everywhere(question, common, sought):
    assert query(question, Corpus(**common)).names[-1].phrases == sought


def test_a_number_after_a_stop_word_stands_alone():
    found = query("What happened in 2022?", Corpus())
    assert found.exact == (("2022",),)


def test_rare_terms_weigh_more():
    found = query("pump cavitation", Corpus(pump=3000, cavitation=3))
    assert found.weights["cavitation"] > 2 * found.weights["pump"]


def test_coverage_is_by_weight_and_forgives_inflections():
    found = query("pumps cavitation", Corpus(pumps=3000, cavitation=3))
    assert found.covered(["pump", "cavitation"]) == pytest.approx(1.0)
    assert 0.8 < found.covered(["cavitation"]) < 1.0
    assert found.covered([]) == 0.0


def test_frequencies_are_asked_for_once():
    corpus = Corpus()
    query("pump head 42 at P-101", corpus)
    assert len(corpus.asked) == 1


@pytest.mark.parametrize("question", ["", "   ", "?!", '""', "\x00", "的"])
def test_odd_questions_do_not_fail(question):
    assert isinstance(query(question, Corpus()).covered(["a"]), float)


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("what does E04 mean", {("e04",)}),
        ("P-101 discharge pressure", {("p", "101")}),
        ("what does $110 do", {("110",)}),
        ("error 8", {("error", "8")}),
        ("capacity at 12 m", set()),
        ("how many pumps are there", set()),
    ],
)
def test_what_names_one_thing_is_told_from_a_bare_number(question, named):
    assert set(query(question, Corpus()).identifiers) == named
