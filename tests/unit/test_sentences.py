"""Where sentences end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sentences import header_of, is_header, split


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
        ("Measure it (max. 11.2 A) twice. Stop.", ["Measure it (max. 11.2 A) twice.", "Stop."]),
        ("Test pressure ...... 16.5 bar. Stop.", ["Test pressure ...... 16.5 bar.", "Stop."]),
        (
            "Check the coolant level\nEngine must be COLD before you open the pressure cap of it",
            ["Check the coolant level", "Engine must be COLD before you open the pressure cap of it"],
        ),
        ("It ends within sixty\n(60) days. Then stop.", ["It ends within sixty\n(60) days.", "Then stop."]),
        ("Choose one\n(1) Open the valve", ["Choose one", "(1) Open the valve"]),
        ("Of these you need two\n(a) the nut", ["Of these you need two", "(a) the nut"]),
        ("There are two\n2. Open the valve", ["There are two", "2. Open the valve"]),
        ("Fit in this order\n(1) the nut", ["Fit in this order", "(1) the nut"]),
        (
            "A line that was broken by\nGeorge for want of room",
            ["A line that was broken by\nGeorge for want of room"],
        ),
        (
            "Short\nbut it goes on in the next line all the same",
            ["Short\nbut it goes on in the next line all the same"],
        ),
        ("F1 | Stuck. Do not start. | Call us\nF2 | Go", ["F1 | Stuck. Do not start. | Call us", "F2 | Go"]),
        ("J. Smith wrote it. It is long.", ["J. Smith wrote it.", "It is long."]),
        ("Ask the I.T. Crowd. Wait.", ["Ask the I.T. Crowd.", "Wait."]),
        ("It is sold in the U.S. The price is low.", ["It is sold in the U.S.", "The price is low."]),
        ("Stop at 5 P.M. Close it.", ["Stop at 5 P.M.", "Close it."]),
        ("Edit config.h. Assume zero.", ["Edit config.h.", "Assume zero."]),
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


TABLE = "Before it.\n\nCode | Meaning\nE01 | Low water\nE02 | High pressure\n\nAfter it."


@pytest.mark.parametrize("row", ["E01 | Low water", "E02 | High pressure"])
def test_a_row_finds_its_header(row):
    found = header_of(TABLE, TABLE.index(row))
    assert found is not None
    assert TABLE[slice(*found)] == "Code | Meaning"


@pytest.mark.parametrize("text", ["Code | Meaning", "After it.", "Before it."])
def test_a_header_and_a_sentence_have_no_header(text):
    assert header_of(TABLE, TABLE.index(text)) is None


def test_only_the_first_row_without_figures_is_a_header():
    assert [TABLE[slice(*span)] for span in split(TABLE) if is_header(TABLE, span)] == ["Code | Meaning"]
    rows = "E01 | Low water\nE02 | High pressure"
    assert not any(is_header(rows, span) for span in split(rows))


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("Item | HS-20 | HS-30", "Force | 20 t | 30 t", True),
        ("Engine | HS-20 | HS-30", "Maker | Briggs 6.5 hp | Honda GX270", True),
        ("Model |  | HS-20 | HS-30", "Force | rated | 20 t | 30 t", True),
        ("Model | HS-20 | HS-30 |", "Force | 20 t | 30 t | rated", True),
        ("| HS-20 | HS-30 | HS-40", "Force | 20 t | 30 t | 40 t", True),
        ("Model | HS-3.3 | HS-12", "Force | 3 t | 12 t", True),
        ("Valve |  | V1 | V2", "Seal |  | S1 | S2", False),
        ("Valve | V1 | V2", "Seal | S1.5 | S2.5", False),
        ("Model | HS-20", "Colour | red", False),
        ("Thread | M12", "Weight | 20 kg", False),
        ("Impeller | IMP-7 | bronze", "Sleeve | see drawing | steel", False),
        ("Pump | P-101 | M12", "Fan | P-102 | M10", False),
        ("Valve | V1 | V2", "Seal | S1 | S2", False),
        ("Pump | 4 kW | 6 kW", "Fan | 3 kW | 5 kW", False),
        ("HS-20 | HS-30 | HS-40", "a | b | c", False),
        ("$110 | rate", "$111 | rate", False),
    ],
)
def test_codes_of_one_kind_name_the_columns_of_a_comparison(first, second, names):
    rows = f"{first}\n{second}"
    assert (header_of(rows, rows.index(second)) == (0, len(first))) is names


def test_a_text_that_begins_in_the_middle_of_a_table_has_no_header_of_it_inside():
    rows = "Pine valve | east manifold | bleed first\nOak valve | laboratory | call the lead first"
    second = rows.index("Oak")
    assert header_of(rows, second) == (0, second - 1)
    assert header_of(rows, second, lead="Valve | Where | What to do") is None
    assert not is_header(rows, (0, second - 1), lead="Valve | Where | What to do")
    below = f"{rows}\n\nOf others.\n\nCode | Meaning\nE04 | Hot"
    assert header_of(below, below.index("E04"), lead="Valve | Where") is not None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Please ask DPI or the I.T. Crowd today.", 1),
        ("See 15 U.S.C. 6501 on this.", 1),
        ("Set it to 3000 R.P.M. Tighten the bolt.", 2),
        ("It was made in the U.S.A. Its weight is 5 kg.", 2),
        ("Works with A.C. Use no other.", 2),
        ("Come at 5 P.M. 6 of you.", 2),
    ],
)
def test_initials_before_a_name_or_a_figure_end_no_sentence(text, count):
    assert len(split(text)) == count
