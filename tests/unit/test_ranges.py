"""Which figures a question names, and which rows have a range that holds them."""

from __future__ import annotations

import time

import pytest

from appliance.quantity import IN_UNITS
from appliance.ranges import EXCLUDED, HELD, figures, held

SIZES = "Engine Size | Torque"


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("torque for 250cc", [(250, "cc")]),
        ("torque for a 1,250.5 cc engine", [(1250.5, "cc")]),
        ("oil at -10 °C", [(-10, "c")]),
        ("oil at 50 degrees F", [(50, "f")]),
        ("a bill of $1,500", [(1500, "$")]),
        ("a 24-volt pump after 2 hrs", [(24, "v"), (2, "h")]),
        ("what does P-101 say of RS-15-12 and E04", []),
        ("what was done on 2026-02-19 at 10:30, or 12/05/2026", []),
        ("the server at 192.168.0.1 runs version v1.2", []),
        ("5W-30 in the 11th hour", []),
        ("over 30 hours, or between 5 and 10 V, or 3 to 4 m, or 7 kg or more", []),
        (f"{'x' * 600} 250cc", []),
        ("", []),
    ],
)
def test_the_figures_of_a_question_are_its_measures_and_no_codes_dates_or_ranges(question, found):
    assert [(figure.value, figure.unit) for figure in figures(question)] == found


@pytest.mark.parametrize(
    ("asked", "worth"),
    [
        ("250cc", [EXCLUDED, HELD, EXCLUDED]),
        ("200 cc", [HELD, HELD, EXCLUDED]),
        ("1,000cc", [EXCLUDED, EXCLUDED, HELD]),
        ("90cc", [0, 0, 0]),
        ("engine size 250", [EXCLUDED, HELD, EXCLUDED]),
        ("a size of 250", [EXCLUDED, HELD, EXCLUDED]),
        ("a 250 engine", [EXCLUDED, HELD, EXCLUDED]),
        ("step 250", [0, 0, 0]),
        ("250 hp", [0, 0, 0]),
        ("no figure", [0, 0, 0]),
    ],
)
def test_of_a_scales_rows_the_one_that_holds_the_figure_is_meant_and_no_other(asked, worth):
    rows = ["Small (100-200cc) | 12", "Medium (200 to 400 cc) | 15", "Large (400cc+) | 20"]
    assert held(figures(asked), [(row, SIZES) for row in rows]) == worth


@pytest.mark.parametrize(
    ("sentence", "holds"),
    [
        ("Below 32°F | thin", False),
        ("Below 80°F | thin", True),
        ("Above 32°F | thick", True),
        (">32°F | thick", True),
        ("no less than 60 F", False),
        ("no more than 60 F", True),
        ("more than 60 F", False),
        ("60 F or less", True),
        ("60 F and up", False),
        ("over 30 to 40 F", False),
        ("between 40 and 60 degrees F", True),
        ("40 and 60 F", False),
        ("-20~60°F", True),
        ("60-40 °F", True),
        ("(0-27°C)", False),
        ("50 F", True),
    ],
)
def test_a_range_is_written_in_many_ways(sentence, holds):
    beside = ("It runs at 1-2 F.", "")  # a passage with a range of the kind
    assert held(figures("oil at 50°F"), [(sentence, ""), beside])[0] == (HELD if holds else 0)


def test_a_bare_range_is_one_where_its_column_says_of_what():
    rows = ["18-40 | 2", "over 65 | 1", "10-05-2026 | 3"]
    by_age, by_date = (
        [(row, header) for row in rows] for header in ("Age (years) | Tablets", "Date | Tablets")
    )
    assert held(figures("tablets at age 35"), by_age) == [HELD, EXCLUDED, 0]
    assert held(figures("tablets at 70 years"), by_age) == [EXCLUDED, HELD, 0]
    assert held(figures("tablets at age 35"), by_date) == [0, 0, 0]


def test_another_range_is_held_against_a_sentence_only_in_its_head_and_in_a_scale():
    asked = figures("input range of the 24 V supply")
    assert held(asked, [("Input | 85-264 V", ""), ("Output | 22-27 V", "")]) == [0, HELD]
    assert held(asked, [("85-264 V | Input", ""), ("Output | 22-27 V", "")]) == [0, HELD]
    assert held(asked, [("85-264 V: input", ""), ("22-27 V: output", "")]) == [EXCLUDED, HELD]
    assert held(asked, [("It takes 85-264 V.", ""), ("It gives 22-27 V.", "")]) == [0, HELD]


def test_a_figure_as_it_stands_is_worth_no_less_and_nothing_where_there_are_no_ranges():
    assert held(figures("at 50 F"), [("50 F | x", ""), ("40-60 F | y", ""), ("60-70 F | z", "")]) == [
        HELD,
        HELD,
        EXCLUDED,
    ]
    assert held(figures("at 50 F"), [("50 F | x", ""), ("60 F | y", "")]) == [0, 0]
    assert HELD >= IN_UNITS


def test_two_figures_of_a_question_do_not_count_twice():
    rows = [("1-2 F | 3-4 V", ""), ("5-6 F | 3-4 V", "")]
    assert held(figures("at 2 F and 3 V"), rows) == [HELD, 0]


def test_the_row_that_an_announcement_is_quoted_with_is_judged_as_a_row():
    first = "Torque:\n\nSize (cc) | Torque\n100-200 | 12"
    assert held(figures("300 cc"), [(first, ""), ("200-400 | 15", "Size (cc) | Torque")]) == [EXCLUDED, HELD]


@pytest.mark.parametrize(
    "piece", ["1-", "1,", "1 ", "over ", "between 1 and ", "9", "1.1", "no more than ", "a" * 9]
)
def test_hostile_text_is_read_in_linear_time(piece):
    text = piece * 100_000
    began = time.perf_counter()
    held(figures(f"5 V {text}"), [(text, text), (f"{text} | 1-2 V", text)])
    assert time.perf_counter() - began < 1


def test_hours_of_a_clock_are_no_measure():
    rows = ["6 am - 2 pm | A", "2 pm - 10 pm | B", "10 pm - 6 am | C"]
    assert held(figures("shift for 8 am"), [(row, "Time | Shift") for row in rows]) == [0, 0, 0]


def test_a_bound_that_is_left_out_holds_not_its_own_figure():
    rows = ["Small (under 250cc) | 12", "Large (250cc and over) | 20"]
    assert held(figures("250cc"), [(row, "") for row in rows]) == [EXCLUDED, HELD]
    rows = ["up to 250cc | 12", "over 250cc | 20"]
    assert held(figures("250cc"), [(row, "") for row in rows]) == [HELD, EXCLUDED]


def test_inches_are_inches_and_a_scale_without_a_row_for_it_says_nothing():
    rows = [("2-4 inches | A", ""), ("4-6 inches | B", "")]
    assert held(figures("5 inch"), rows) == [EXCLUDED, HELD]
    assert held(figures("load 1,500 kg"), [("1.000-2.000 kg | A", ""), ("2.000 - 3.000 kg | B", "")]) == [
        0,
        0,
    ]
