"""Made-up tables: the answer is a whole cell of the row that is asked for, and what is absent is absent."""

from __future__ import annotations

import re

import pytest

from scripts import reader_tables
from scripts.reader_tables import QUANTITIES

FOUND = list(reader_tables.tables())
ANSWERED = [each for each in FOUND if each.span]


def line_of(each):
    """Return the line that holds the answer."""
    start = each.text.rfind("\n", 0, each.span[0]) + 1
    return each.text[start:].partition("\n")[0]


def test_they_are_always_the_same_of_every_kind_and_a_good_part_has_no_answer():
    assert list(reader_tables.tables()) == FOUND
    titles = {re.sub(r"^.* (data sheet|alarms)$", r"\1", each.title) for each in FOUND}
    assert titles == {"data sheet", "alarms", "Equipment overview", "Maintenance schedule"}
    assert 0.15 < 1 - len(ANSWERED) / len(FOUND) < 0.4


def test_an_answer_is_a_whole_cell():
    for each in ANSWERED:
        cells = re.split(r" \| |: |^- ", line_of(each))
        assert each.text[slice(*each.span)] in cells, each
        assert (each.relevant, each.answerable) == (1, 1)


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda each: each.name.replace(" ", "-"))
def test_what_a_data_sheet_is_asked_for_is_the_value_of_that_quantity(quantity):
    ours = []
    for each in FOUND:
        thing = each.title.removesuffix(" data sheet").lower()
        ways = [f"{quantity.name} of the {thing}", *(way.format(thing) for way in quantity.asked)]
        if each.title.endswith("data sheet") and each.question.removesuffix("?") in ways:
            ours.append(each)
    assert ours
    for each in ours:
        if each.span:
            assert line_of(each).lstrip("- ").startswith(quantity.name.capitalize()), each
        else:
            assert f"{quantity.name.capitalize()}:" not in each.text.replace(" | ", ": "), each


def test_a_row_is_that_of_the_thing_or_code_asked_for():
    for each in ANSWERED:
        if each.title == "Equipment overview":
            thing = line_of(each).partition(" | ")[0].casefold()
            others = [row.partition(" | ")[0].casefold() for row in each.text.splitlines()]
            named = [name for name in others if re.search(rf"\b{re.escape(name)}\b", each.question)]
            assert max(named, key=len) == thing, each
        code = re.search(r"\babout (.+)\?$", each.question)
        assert code is None or line_of(each).startswith(f"{code.group(1)} | "), each
