"""What the trained reader makes of a graph's logits; the graph is a fake, the arithmetic is not."""

from __future__ import annotations

import numpy as np
import pytest

from appliance import models
from appliance.inference import Placed
from appliance.retrieve.cross import CrossReader, best_span, row
from appliance.retrieve.reader import Question
from tests.fakes import fake_passage

TEXT = "The pump stands in the cellar. Its head is 42 m at full speed. The seal is replaced yearly."
CARD = models.Card("reader", "reader", "s", "r", "l", "q", (), max_tokens=96)


class Words:
    """A tokenizer whose tokens are words."""

    def placed(self, texts):
        found = []
        for text in texts:
            places, at = [], 0
            for word in text.split():
                at = text.index(word, at)
                places.append((at, at + len(word)))
                at += len(word)
            found.append(Placed([1000 + len(word) for word in text.split()], places))
        return found


class Pointing:
    """A graph that points at the nth token of every passage, and finds the first text the most relevant."""

    def __init__(self, at, *, none=0.0):
        self.at, self.none, self.seen = at, none, []

    def run(self, inputs):
        types, mask = inputs["token_type_ids"], inputs["attention_mask"]
        self.seen.append(inputs)
        spans = np.zeros((*types.shape, 2), np.float32)
        for number in range(len(types)):
            first = int(types[number].argmax())
            spans[number, first + self.at] = 5
            spans[number, 0] = self.none
            assert types[number].sum() + first == mask[number].sum()
        return [spans, np.tile(np.array([[2.0, -1.0]], np.float32), (len(types), 1))]


def read(graph, *passages):
    question = Question("What is the head?", np.zeros(4, np.float32), None)
    return CrossReader(graph, Words(), CARD).read(question, passages)


def test_the_quote_is_the_sentence_around_the_answer():
    head = len("Data > Head".split())
    at = TEXT.split().index("42") + head
    (found,) = read(Pointing(at), fake_passage(text=TEXT))
    assert TEXT[slice(*found.span)] == "Its head is 42 m at full speed."
    assert found.relevance == pytest.approx(1 / (1 + np.exp(-2)))
    assert found.answerable < found.relevance


def test_readings_come_in_the_order_of_the_passages_whatever_their_length():
    texts = [TEXT * 3, "Short one here.", TEXT]
    passages = [fake_passage(text=text, heading="") for text in texts]
    found = read(Pointing(1), *passages)
    assert [texts[n][slice(*each.span)].split()[1] for n, each in enumerate(found)] == ["pump", "one", "pump"]


def test_a_passage_past_the_window_is_cut_and_never_overruns():
    graph = Pointing(0)
    read(graph, fake_passage(text="word " * 500, heading="a " * 200))
    assert graph.seen[0]["input_ids"].shape[1] == CARD.max_tokens
    assert graph.seen[0]["input_ids"][0, -1] == 102


def test_the_headings_are_seen_and_never_quoted():
    (found,) = read(Pointing(0), fake_passage(text=TEXT))  # the graph points at the heading
    assert found.span[0] >= 0
    assert TEXT[slice(*found.span)]


def test_the_span_runs_forward_and_its_margin_is_over_no_answer():
    each = row([7], Placed([], []), Placed([5, 6, 7], [(0, 2), (3, 5), (6, 8)]), 32)
    logits = np.zeros((len(each.ids), 2), np.float32)
    logits[each.first + 2, 0], logits[each.first, 1] = 9, 8  # an end before its start is no span
    logits[each.first + 1] = (3, 4)
    logits[0] = (2, 1)
    span, margin = best_span(logits, each)
    assert span == (6, 8)
    assert margin == pytest.approx(9 - 3)


def test_an_empty_passage_has_no_span():
    each = row([7], Placed([], []), Placed([], []), 32)
    assert best_span(np.ones((len(each.ids), 2), np.float32), each)[0] == (0, 0)
