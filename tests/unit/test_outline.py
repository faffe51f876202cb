"""Which lines of a plain text become headings, and with them the place that is cited."""

from __future__ import annotations

import pytest

from tests.unit.test_parse_text import read


def headings(text: str, name: str = "a.txt") -> list[tuple[int, str]]:
    return [(block.level, block.text) for block in read(name, text).blocks if block.kind == "heading"]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Pump room\n=========", 1),
        ("Pump room\n---------", 2),
        ("Pump room\n-----------", 2),
        ("Pump room\n~~~~~~~", 2),
        ("APC\n---", 2),
    ],
)
def test_an_underline_is_about_as_long_as_its_text(text: str, level: int) -> None:
    assert headings(f"{text}\n\nThe key hangs left.\n") == [(level, text.partition("\n")[0])]


@pytest.mark.parametrize(
    "text",
    [
        "From a post to the list:\n------\n\tsend it\n",
        "Pump room\n---\n",
        "Pump room\n" + "-" * 40 + "\n",
        "[NOTE]\n======\nMind the step.\n======\n",
        "* All keys\n----------\n",
        "|===\n|===\n",
    ],
)
def test_any_other_line_of_dashes_underlines_nothing(text: str) -> None:
    assert headings(f"First words.\n\n{text}\nLast words.\n") == []


def test_what_closes_a_block_underlines_nothing_and_headings_go_on_behind_it() -> None:
    text = "Now do this:\n------\n\tsync\n\nhalt -p\n------\n\nChecks\n------\n\nThe valve is shut.\n"
    assert headings(text) == [(2, "Checks")]
    block = "Words.\n\n------\nsync\n\nhalt -p\n------\n\nMore words.\n"
    assert headings(block) == []


def test_numbers_name_sections_and_not_the_items_of_a_list() -> None:
    sections = (
        "1. Overview\n\nIt lifts water.\n\n2. Starting\n\n1. Turn the selector\n\n2. Press the button\n\n"
        "3. Wait for the pressure\n\n3. Alarms\n\nThe horn sounds.\n\n4.2 Maintenance\n\nGrease it.\n"
    )
    assert headings(sections) == [
        (1, "1. Overview"),
        (1, "2. Starting"),
        (1, "3. Alarms"),
        (2, "4.2 Maintenance"),
    ]
    steps = (
        "The steps:\n\n1. The UPS goes on battery\n\n2. The battery is low, that is,\n   it says so:\n\n"
        "OB LB, and the rest.\n\n3. The primary tells the others\n\nThey go down.\n"
    )
    assert headings(steps) == []
    assert ("item", "1. The UPS goes on battery") in [(b.kind, b.text) for b in read("a.txt", steps).blocks]


def test_capitals_name_sections_and_not_examples_items_or_codes() -> None:
    text = (
        "ALARMS\n\nE04 stops it.\n\nOL\n\n\tDEBUG_MIN 6\n\n- NOTIFYFLAG ONLINE\n\nThat is all.\n\n"
        "SPARE PARTS\n\nTwo.\n"
    )
    assert headings(text) == [(1, "ALARMS"), (1, "SPARE PARTS")]


def test_one_line_of_capitals_in_a_long_text_names_no_page_behind_it() -> None:
    pages = [f"Page about drug {n}\n\nIts use.\n" for n in range(40)]
    assert headings("\f".join([*pages[:20], "STEMI\n\nCall for help.\n", *pages[20:]])) == []
    assert headings("\f".join(["FIELD MANUAL\n\nOf all drugs.\n", *pages])) == [(1, "FIELD MANUAL")]
    assert len(headings("\f".join(f"DRUG {n} OF MANY\n\nIts use.\n" for n in range(40)))) == 40
