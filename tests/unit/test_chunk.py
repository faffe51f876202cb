"""How a document is cut, case by case."""

from __future__ import annotations

import time

from appliance.ingest.chunk import DEFAULT, Shape, chunks
from appliance.types import Block, Parsed

SENTENCE = "The pump delivers water at a steady rate all day."


def cut(*blocks, pages=None, shape=DEFAULT):
    return chunks(Parsed("Manual", blocks, pages), shape=shape)[2]


def prose(sentences, page=None):
    return Block("paragraph", " ".join([SENTENCE] * sentences), page)


def test_prose_is_cut_at_sentence_ends_near_the_target():
    found = cut(prose(60))
    assert len(found) > 2
    assert all(chunk.text.startswith("The pump") and chunk.text.endswith("day.") for chunk in found)
    assert all(0.6 * DEFAULT.target < len(chunk.text) <= DEFAULT.limit for chunk in found)


def test_a_chunk_never_crosses_into_another_path():
    found = cut(Block("heading", "A", level=1), prose(8), Block("heading", "B", level=1), prose(8))
    assert [chunk.heading for chunk in found] == ["A", "B"]


def test_headings_are_a_path():
    levels = [("Pumps", 1), ("Data", 2), ("Valves", 1)]
    blocks = [block for name, level in levels for block in (Block("heading", name, level=level), prose(8))]
    assert [chunk.heading for chunk in cut(*blocks)] == ["Pumps", "Pumps > Data", "Valves"]


def test_crumbs_under_one_parent_are_joined_and_show_their_headings():
    found = cut(
        Block("heading", "Errors", level=1),
        prose(17),
        Block("heading", "E1", level=2),
        Block("paragraph", "Too hot."),
        Block("heading", "E2", level=2),
        Block("paragraph", "Too cold."),
    )
    assert [chunk.heading for chunk in found] == ["Errors", "Errors"]
    assert found[1].text == "E1\n\nToo hot.\n\nE2\n\nToo cold."


def test_a_crumb_is_not_joined_over_the_end_of_a_page():
    blocks = (
        Block("heading", "A", 1, level=1),
        Block("paragraph", "One.", 1),
        Block("heading", "B", 2, level=1),
        Block("paragraph", "Two.", 2),
    )
    assert [(chunk.page, chunk.text) for chunk in cut(*blocks, pages=2)] == [(1, "One."), (2, "Two.")]


def test_a_heading_with_nothing_under_it_is_still_found():
    found = cut(
        prose(9), Block("heading", "Call 555-0100", level=1), Block("heading", "End", level=1), prose(9)
    )
    assert any("555-0100" in chunk.text for chunk in found)


def test_what_of_a_long_heading_no_path_holds_is_text_of_a_chunk():
    long = f"{'Work on the pump while it is under pressure, ' * 6}needs the permit HX-77."
    first, second = cut(Block("heading", long, level=1), prose(8), Block("heading", "B", level=2), prose(8))
    assert "HX-77" not in first.heading
    assert first.text.startswith(long)
    assert first.heading == long[:160]
    assert (second.heading, second.text) == (f"{long[:160]} > B", prose(8).text)


def test_a_heading_without_end_is_cut_like_any_text():
    endless = Block("heading", " ".join([SENTENCE] * 200), level=1)
    for blocks in ((endless,), (endless, prose(1))):
        found = cut(*blocks)
        assert all(len(chunk.text) <= DEFAULT.limit for chunk in found)
        assert sum(chunk.text.count(SENTENCE) for chunk in found) == 200 + len(blocks) - 1


def test_a_sentence_cut_by_the_end_of_a_page_is_finished_and_no_more():
    found = cut(
        Block("paragraph", "Open the valve. Then start the", 1),
        Block("paragraph", "pump slowly. Wait a minute.", 2),
        pages=2,
    )
    assert [(chunk.page, chunk.text) for chunk in found] == [
        (1, "Open the valve. Then start the\n\npump slowly."),
        (2, "Wait a minute."),
    ]


def test_a_page_that_ends_with_a_sentence_is_not_run_over():
    found = cut(Block("paragraph", "It is done.", 1), Block("paragraph", "and so on.", 2), pages=2)
    assert [chunk.text for chunk in found] == ["It is done.", "and so on."]


def test_a_table_is_cut_between_rows_and_every_piece_has_its_header():
    rows = [f"P-{n} | {n} m3/h | ready" for n in range(120)]
    found = cut(Block("table", "\n".join(["Pump | Flow | State", *rows]), header_rows=1))
    assert len(found) > 2
    assert found[0].text.startswith("Pump | Flow | State\nP-0 |")
    assert all(chunk.lead == "Pump | Flow | State" for chunk in found[1:])
    assert [line for chunk in found for line in chunk.text.split("\n")][1:] == rows


def test_a_later_title_of_a_table_takes_the_place_of_the_one_above_the_header():
    rows = [f"Air {n} | {n} hPa | ready" for n in range(120)]
    found = cut(
        Block(
            "table", "\n".join(["S700 | |", "What | Range | State", *rows, "S800 | |", *rows]), header_rows=2
        )
    )
    at = next(at for at, chunk in enumerate(found) if "S800" in chunk.text)
    assert not found[at].text.endswith("S800 | |")
    assert {chunk.lead for chunk in found[1:at]} == {"S700 | |\nWhat | Range | State"}
    assert {chunk.lead for chunk in found[at + 1 :]} == {"S800 | |\nWhat | Range | State"}


def test_a_title_that_begins_a_chunk_has_no_other_title_above_it():
    rows = ["S700 |", "Air | in hPa", "1 | 2", "3 | 4", "S800 |", "5 | 6", "7 | 8"]
    found = cut(Block("table", "\n".join(rows), header_rows=2), shape=Shape(target=20, limit=50, crumb=5))
    assert [(chunk.lead, chunk.text) for chunk in found] == [
        ("", "S700 |\nAir | in hPa\n1 | 2"),
        ("S700 |\nAir | in hPa", "3 | 4"),
        ("Air | in hPa", "S800 |\n5 | 6"),
        ("S800 |\nAir | in hPa", "7 | 8"),
    ]


def test_the_empty_fields_of_a_form_are_no_titles():
    rows = [row for n in range(60) for row in (f"Check tank {n} | |", f"Fill tank {n} | 5 l | done")]
    found = cut(
        Block("table", "\n".join(["Before work | |", "What | How much | State", *rows]), header_rows=2)
    )
    assert {chunk.lead for chunk in found[1:]} == {"Before work | |\nWhat | How much | State"}


def test_many_titles_and_a_hostile_header_are_cut_in_linear_time():
    rows = ["a |", "b | c", "d | e"] * 8_000
    began = time.perf_counter()
    found = cut(Block("table", "\n".join(["t |", f"{'h' * 500_000} | x", *rows]), header_rows=2))
    assert time.perf_counter() - began < 5
    assert all(len(chunk.lead) <= DEFAULT.limit for chunk in found)


def test_a_header_is_never_alone():
    shape = Shape(target=30, limit=40, crumb=5)
    found = cut(
        Block("table", "A header of some length\nrow one here\nrow two here", header_rows=1), shape=shape
    )
    assert found[0].text == "A header of some length\nrow one here"


def test_a_table_that_goes_on_after_a_long_text_keeps_its_header_out_of_it():
    found = cut(prose(20), Block("table", "A | B\n1 | 2", header_rows=1))
    assert found[0].lead == ""


def test_a_short_list_stays_together():
    found = cut(*(Block("item", f"- Step {n}: turn the wheel.") for n in range(8)))
    assert len(found) == 1


def test_one_endless_sentence_is_cut_between_words():
    found = cut(Block("paragraph", "word " * 2000))
    assert all(len(chunk.text) <= DEFAULT.limit for chunk in found)
    assert all(
        chunk.text.strip().split()[0] == "word" and chunk.text.split()[-1] == "word" for chunk in found
    )


def test_one_endless_word_is_cut_all_the_same():
    found = cut(Block("paragraph", "x" * 5000))
    assert sum(len(chunk.text) for chunk in found) == 5000


def test_empty_pages_begin_where_the_next_text_does():
    text, starts, _ = chunks(Parsed("T", (Block("paragraph", "One.", 2), Block("paragraph", "Two.", 4)), 5))
    assert starts == (0, 0, 6, 6, len(text))


def test_a_hostile_header_is_not_repeated_without_end():
    found = cut(Block("table", "\n".join(["h" * 100_000, *(f"row {n}" for n in range(300))]), header_rows=1))
    assert all(len(chunk.lead) <= DEFAULT.limit for chunk in found)


def test_a_large_document_is_cut_in_linear_time():
    began = time.perf_counter()
    found = cut(*(prose(200) for _ in range(100)))
    assert len(found) > 1000
    assert time.perf_counter() - began < 5
