"""What the generator is trained on: the product's own prompts, and answers that stand in them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from appliance.generate.prompt import REFUSED
from appliance.sentences import split
from appliance.types import CHOICES, Choice, Evidence, Passage, Prompt
from scripts import corpus
from scripts.corpus import Room, example
from scripts.reader_asked import Asked
from scripts.reader_data import held_out

FILL = "The valve of the plant is checked every morning by the crew. " * 4


class Counter:
    """Counts words where a model would count tokens."""

    def count(self, text: str) -> int:
        return len(text.split())


def asked(number: int) -> Asked:
    text = f"{FILL}Pump P-{number} of hall{number // 5} has a head of {number} m. {FILL}"
    start = text.index(f"{number} m.")
    span = (start, start + len(f"{number} m"))
    question = f"what head has pump P-{number} of hall{number // 5}?"
    return Asked("squad", f"doc{number}", "Plant", question, text, span, start, 1, 1, (f"{number} m",))


ALL = [asked(number) for number in range(11, 55)]


def quote(question: str, passages: list[Passage]) -> tuple[Evidence, list[list[tuple[int, int]]]]:
    """Quote the second sentence of the last passage, and mark its first word."""
    text = passages[-1].text
    start, end = split(text)[-2]
    first = (start, text.index(" ", start))
    offered = (Choice(first, 2.0), Choice((start, end), -1.0))
    evidence = Evidence(len(passages), start, end, text[start:end], "", None, "", 1.0, choices=offered)
    return evidence, [split(passage.text) for passage in passages]


@pytest.fixture(scope="module")
def made() -> list[corpus.Example]:
    rng, room = np.random.default_rng(1), Room(ALL)
    return [one for each in ALL * 5 for one in example(each, room, room, rng, quote, Counter())]


def test_every_answer_stands_in_the_passage_of_its_number(made: list[corpus.Example]) -> None:
    answered = [each for each in made if each.gold]
    assert len(answered) > 200
    for each in answered:
        answer, number = re.fullmatch(r"(.+) \[(\d)\]", each.answer).groups()
        blocks = dict(re.findall(r"^\[(\d)\] (.*?)(?=^\[\d\] |^Question: )", each.prompt, re.S | re.M))
        assert answer in blocks[number]
        assert not any(answer in text for other, text in blocks.items() if other != number)


@pytest.mark.parametrize(("block", "kept"), [("The head is 11 m.", True), ("The crew.", False)])
def test_an_answer_that_only_the_question_repeats_is_no_example(
    block: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = f"[1] Plant\n{block}\n\nQuestion: is it 11 m?\nAnswer:"
    monkeypatch.setattr(corpus, "_prompt", lambda *_: Prompt("", shown, (1,)))
    rng, room = np.random.default_rng(1), Room(ALL)
    made = [one for _ in range(9) for one in example(ALL[0], room, room, rng, quote, Counter()) if one.gold]
    assert bool(made) is kept


def test_what_is_offered_is_the_readers_and_the_answer_is_among_it(made: list[corpus.Example]) -> None:
    for each in made:
        assert [(one.margin, one.worth == 1) for one in each.offers] == (
            [(2.0, False), (-1.0, False), (-1.0, True)] if each.gold else []
        )
        assert all(one.words in each.prompt for one in each.offers)


def test_the_answer_takes_the_last_place_where_all_are_taken() -> None:
    choices = tuple((f"pump {number}", float(-number)) for number in range(CHOICES))
    offers = corpus._offers(Prompt("", "", (1,), choices), "9 bar", ("9 bar",))
    assert [one.words for one in offers[:-1]] == [words for words, _ in choices[:-1]]
    assert offers[-1] == corpus.Offer("9 bar", choices[-1][1], 1.0)
    assert corpus._offers(Prompt("", "", (1,), choices), "pump 3", ())[3].worth == 1


class Speller(Counter):
    """Has a token a letter; the first of a marker is a bracket."""

    def chosen(self, words: str, n: int) -> list[int]:
        return [ord(letter) for letter in f"{words}["]


def test_offers_are_found_again_by_their_example(made: list[corpus.Example]) -> None:
    arrays = corpus.offered(made, Speller())
    for number, each in enumerate(made):
        own = range(*arrays["offers"][number : number + 2])
        words = [
            "".join(map(chr, arrays["offer_tokens"][slice(*arrays["offer_starts"][offer : offer + 2])]))
            for offer in own
        ]
        assert words == [f"{one.words}[" for one in each.offers]
        assert [arrays["margins"][at] for at in own] == [one.margin for one in each.offers]
        assert [arrays["worths"][at] for at in own] == pytest.approx([one.worth for one in each.offers])


def test_the_reader_does_not_hear_the_whole_question() -> None:
    heard = []

    def listen(question: str, passages: list[Passage]) -> tuple[Evidence, list[list[tuple[int, int]]]]:
        heard.append(question)
        return quote(question, passages)

    rng, room = np.random.default_rng(1), Room(ALL)
    made = [one for each in ALL for one in example(each, room, room, rng, listen, Counter())]
    share = sum(len(each.split()) for each in heard) / sum(len(each.question.split()) for each in made)
    assert 0.5 < share < 0.85


def test_the_gold_passage_stands_under_any_number(made: list[corpus.Example]) -> None:
    assert {each.gold for each in made} == {0, 1, 2, 3}


def test_what_holds_no_answer_is_refused(made: list[corpus.Example]) -> None:
    refused = [each for each in made if not each.gold]
    assert 0.01 < len(refused) / len(made) < 0.15
    assert {each.answer for each in refused} == {REFUSED}
    assert any(each.prompt.startswith("Question:") for each in refused)


def test_what_a_site_told_is_learned_whatever_its_document_is_called() -> None:
    name = next(name for name in (f"doc{number}" for number in range(1000)) if held_out(name))
    published = corpus.Example("squad", name, "q", "p", "a [1]", 1)
    assert corpus.kept_apart(published)
    assert not corpus.kept_apart(replace(published, source="feedback"))


def test_whose_words_a_site_told_is_said_where_they_are_in_it() -> None:
    assert "not to be passed on" in corpus.licences(ALL[:1])["feedback"]
    assert corpus.licences([]).keys() == corpus.SHARES.keys()


def test_a_longer_answer_than_is_wanted_is_left_out() -> None:
    assert corpus._usable(ALL[0])
    text = "word " * 200
    long = Asked("squad", "d", "", "q", text, (0, 900), 0, 1, 1, (text[:900],))
    assert not corpus._usable(long)
