"""Where sentences end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sentences import split


def sentences(text):
    return [text[start:end] for start, end in split(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("Is it on? Yes! Go.", ["Is it on?", "Yes!", "Go."]),
        ("See Fig. 3 for it. Then stop.", ["See Fig. 3 for it.", "Then stop."]),
        ("Use e.g. Teflon. Then stop.", ["Use e.g. Teflon.", "Then stop."]),
        ("Version 2.2.0 is out. Set 3.5 bar.", ["Version 2.2.0 is out.", "Set 3.5 bar."]),
        ('"Stop!" he said. He left.', ['"Stop!" he said.', "He left."]),
        ("No stop at the end", ["No stop at the end"]),
        ("A heading\n\nand a paragraph", ["A heading", "and a paragraph"]),
        ("J. Smith wrote it. It is long.", ["J. Smith wrote it.", "It is long."]),
        ("  ", []),
        ("", []),
    ],
)
def test_ends(text, found):
    assert sentences(text) == found


@given(st.text("aA1. !?\n\"'()“”é", max_size=80))
def test_spans_are_ordered_and_leave_out_white_space_alone(text):
    spans = split(text)
    assert all(start < end and text[start:end].strip() == text[start:end] for start, end in spans)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))
    edges = [0, *itertools.chain.from_iterable(spans), len(text)]
    assert all(not text[a:b].strip() for a, b in zip(edges[::2], edges[1::2], strict=True))
