"""Questions near one that a passage answers, which it does not answer."""

from __future__ import annotations

import re

import numpy as np
import pytest

from scripts import reader_data
from scripts.reader_asked import Asked
from scripts.twins import ATTRIBUTES, Twins

TEXT = (
    "The feed pump of the Northern Mill runs at 1,450 rpm. In 1998 the engineer Ada Quill replaced its "
    "bearings, which need grease every 90 days."
)
OTHER = "The press of the Southern Works was moved in 2004. Later the fitter Bo Sand gave it a frame of oak."


def asked(question="Who replaced the bearings in 1998?", answer="Ada Quill", text=TEXT):
    start = text.index(answer)
    span = (start, start + len(answer))
    return Asked("natural", "d/1", "Mill", question, text, span, start, 1, 1, (answer,))


TWINS = Twins([asked(), asked("Where was the press?", "the Southern Works", OTHER)])


def made(ask, question, seeds=40):
    return {ask(asked(question), np.random.default_rng(seed)) for seed in range(seeds)}


def test_another_name_or_number_of_the_same_kind_takes_its_place():
    assert made(TWINS.renamed, "what did the Northern Mill buy?") == {
        "what did the southern works buy?",
        "what did the bo sand buy?",
    }
    assert made(TWINS.renamed, "who replaced the bearings in 1998?") == {"who replaced the bearings in 2004?"}
    assert made(TWINS.renamed, "who replaced the bearings?") == {None}


def test_another_attribute_is_of_the_thing_asked_about_and_nowhere_in_the_text():
    found = made(TWINS.of_another_attribute, "what drives the feed pump?", seeds=200)
    assert {"how much does the feed pump weigh?", "phone number of the feed pump?"} <= found
    answered = "how fast|speed of|how long does|what year|when was|how often"
    assert not {each for each in found if each and re.search(answered, each)}
    assert made(TWINS.of_another_attribute, "who was it?") == {None}  # of what?


@pytest.mark.parametrize(("stated", "forms"), ATTRIBUTES)
def test_every_attribute_can_be_asked_for_and_knows_its_own_words(stated, forms):
    for form in forms:
        question = form.format("the pump")
        assert "the pump" in question
        assert question != form


def test_a_twin_has_the_passage_of_its_question_and_no_answer():
    every = [asked(), asked("Where was the press moved?", "the Southern Works", OTHER)]
    found = [each for seed in range(20) for each in reader_data.examples(every, np.random.default_rng(seed))]
    twins = [each for each in found if each.relevant == -1]
    assert twins
    for each in twins:
        assert (each.span, each.answerable) == (None, 0)
        assert each.text in {TEXT, OTHER}
        assert each.question not in {one.question for one in every}
