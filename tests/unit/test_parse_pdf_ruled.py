"""PDF: tables whose cells are parted by rules, however these are drawn and wherever the words stand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingest.parse import formats, pdf_ruled
from appliance.ingest.parse.blocks import Bounds
from appliance.ingest.parse.pdf_page import Line, Page, Rule, Rules, Word
from appliance.types import Block
from tests import forge

XS, YS = (72, 140, 260, 500), (700, 680, 620, 600)
BODY = "The pump must be primed before it is started for the first time in a season."
CELLS: list[forge.Set] = [
    (76, 686, 10, "Code"),
    (144, 686, 10, "Fault"),
    (264, 686, 10, "Causes"),
    # The third cell begins above the others of its row, and the file has the first column last.
    (264, 668, 10, "1. The pump has failed."),
    (264, 656, 10, "2. The switch has failed."),
    (264, 644, 10, "3. The lift is not enough."),
    (264, 632, 10, "4. The pump is fitted the wrong way round."),
    (144, 650, 10, "Flow switch"),
    (264, 606, 10, "Same as E03"),
    (144, 606, 10, "Inner flow"),
    (76, 650, 10, "E03"),
    (76, 606, 10, "E10"),
]
ROWS = [
    "Code | Fault | Causes",
    "E03 | Flow switch | 1. The pump has failed. 2. The switch has failed. 3. The lift is not enough. "
    "4. The pump is fitted the wrong way round.",
    "E10 | Inner flow | Same as E03",
]


def strokes(xs: Sequence[float] = XS, ys: Sequence[float] = YS) -> bytes:
    flat = [f"{xs[0]} {y} m {xs[-1]} {y} l S" for y in ys]
    upright = [f"{x} {ys[0]} m {x} {ys[-1]} l S" for x in xs]
    return "\n".join([*flat, *upright]).encode()


def one_path() -> bytes:
    return strokes().replace(b" S", b"") + b"\nS"


def slivers() -> bytes:
    """As text processors draw: a thin box for each side of each cell."""
    flat = [f"{left} {y} {right - left} 0.5 re f" for left, right in pairwise(XS) for y in YS]
    upright = [f"{x} {low} 0.5 {top - low} re f" for top, low in pairwise(YS) for x in XS]
    return "\n".join([*flat, *upright]).encode()


def boxes() -> bytes:
    """Each cell a box of its own, one colour beside another."""
    fields = [
        (left, low, right - left, top - low) for top, low in pairwise(YS) for left, right in pairwise(XS)
    ]
    return b"".join(b"0.9 0.9 1 rg %d %d %d %d re f 0 g\n" % field for field in fields)


def sloppy() -> bytes:
    """The rules miss each other by two points."""
    flat = [f"{XS[0] + 2} {y} m {XS[-1] - 2} {y} l S" for y in YS]
    return "\n".join([*flat, *(f"{x} {YS[0] - 2} m {x} {YS[-1] + 2} l S" for x in XS)]).encode()


def framed() -> bytes:
    """Only what is inside of the table is drawn, not its sides."""
    flat = [f"{XS[0]} {y} m {XS[-1]} {y} l S" for y in YS]
    return "\n".join([*flat, *(f"{x} {YS[0]} m {x} {YS[-1]} l S" for x in XS[1:-1])]).encode()


def blocks(*pages: Sequence[forge.Set], form: bytes = b"") -> list[Block]:
    return list(formats.parse(forge.pdf(pages, form=form), "manual.pdf", Bounds()).blocks)


def placed(rows: Sequence[Sequence[str]], top: float, pitch: float) -> list[forge.Set]:
    """Texts in the columns, a row below the other."""
    return [
        (left + 4, top - pitch * at, 10, text)
        for at, row in enumerate(rows)
        for left, text in zip(XS, row, strict=False)
    ]


def tables(found: list[Block]) -> list[list[str]]:
    return [block.text.split("\n") for block in found if block.kind == "table"]


@pytest.mark.parametrize(
    "drawn", [strokes, one_path, slivers, boxes, sloppy, framed], ids=lambda drawn: drawn.__name__
)
def test_a_cell_is_what_no_rule_cuts(drawn) -> None:
    found = blocks([(72, 720, 10, BODY), drawn(), *CELLS, (72, 560, 10, "Call the workshop.")])
    assert tables(found) == [ROWS]
    assert [block.kind for block in found] == ["paragraph", "table", "paragraph"]


def test_rules_of_a_drawing_inside_the_page_count_where_it_lies() -> None:
    found = blocks([b"q 0.5 0 0 0.5 36 300 cm /Form Do Q", *CELLS], form=strokes())
    assert tables(found) != [ROWS]  # the rules are elsewhere
    moved = b"q 0.5 0 0 0.5 36 300 cm /Form Do Q"
    form = b"2 0 0 2 -72 -600 cm\n" + strokes()
    assert tables(blocks([moved, *CELLS], form=form)) == [ROWS]


def test_a_cell_stands_in_each_row_that_it_spans() -> None:
    rules = b"72 700 m 500 700 l S 140 680 m 500 680 l S 72 660 m 500 660 l S 72 640 m 500 640 l S "
    rules += b"72 700 m 72 640 l S 140 700 m 140 640 l S 260 700 m 260 660 l S 500 700 m 500 640 l S"
    texts = [(76, 676, 10, "Heating"), (144, 686, 10, "Power"), (264, 686, 10, "5 kW")]
    texts += [
        (144, 666, 10, "Current"),
        (264, 666, 10, "9 A"),
        (76, 646, 10, "Class"),
        (144, 646, 10, "IP X4"),
    ]
    assert tables(blocks([rules, *texts])) == [
        ["Heating | Power | 5 kW", "Heating | Current | 9 A", "Class | IP X4 |"]
    ]


def test_a_long_cell_stands_in_the_first_row_alone() -> None:
    rules = b"72 700 m 590 700 l S 400 680 m 590 680 l S 72 660 m 590 660 l S "
    rules += b" ".join(b"%d 700 m %d 660 l S" % (x, x) for x in (72, 400, 500, 590))
    long = [(76.0, 692.0 - 6 * at, 5.0, "a word that goes on and on " * 4) for at in range(5)]
    short = [(404, 686, 10, "One"), (404, 666, 10, "Two"), (504, 686, 10, "mm"), (504, 666, 10, "kg")]
    (rows,) = tables(blocks([rules, *long, *short]))
    assert rows[0].startswith("a word that goes on")
    assert rows[1] == "| Two | kg"


def test_the_rest_of_a_table_has_its_header() -> None:
    first = [strokes(), *CELLS]
    rest = [strokes(XS, YS[:3]), (76, 686, 10, "E11"), (144, 686, 10, "Clock"), (264, 686, 10, "Set it")]
    rest += [(76, 646, 10, "E12"), (144, 646, 10, "Fan"), (264, 646, 10, "Clean it")]
    found = blocks(first, rest)
    assert tables(found)[1] == [ROWS[0], "E11 | Clock | Set it", "E12 | Fan | Clean it"]
    assert [block.header_rows for block in found if block.kind == "table"] == [1, 1]
    for text in ((72, 760, 10, "5.2 Spare parts"), (72, 740, 10, BODY)):
        assert tables(blocks(first, [text, *rest]))[1][0] == "E11 | Clock | Set it"
    heads = [(72, 770, 9, "Operations manual")]
    again = blocks([*heads, *first], [*heads, *rest], [*heads, *rest])
    assert [rows[0] for rows in tables(again)] == [ROWS[0]] * 3
    titled = [b"72 720 m 500 720 l S 72 720 m 72 700 l S 500 720 m 500 700 l S", (200, 706, 10, "Others")]
    assert tables(blocks(first, [*titled, *rest]))[1][:2] == ["Others |  |", "E11 | Clock | Set it"]
    other = strokes((72, 125, 260, 500), YS[:3])
    assert tables(blocks(first, [other, *rest[1:]]))[1][0] == "E11 | Clock | Set it"


def even(*rows: tuple[str, ...]) -> list[forge.Set]:
    """A table drawn with all rows equally high."""
    return [strokes(XS, [700 - 30 * at for at in range(len(rows) + 1)]), *placed(rows, 682, 30)]


FIRST = even(("Code", "Fault", "Limit"), ("E1", "Fan", "2 kW"), ("E2", "Heavy rain", "9 kW or more"))


@pytest.mark.parametrize("tail", [("", "intensity", ""), ("", "", "in winter")])
def test_the_tail_of_a_row_that_a_page_cuts_ends_that_row(tail: tuple[str, str, str]) -> None:
    rest = even(tail, ("E3", "Door", "1 kW"), ("E4", "Clock", "3 kW"))
    first, second = tables(blocks(FIRST, rest))
    cut = " | ".join(
        f"{one} {two}".strip() for one, two in zip(("E2", "Heavy rain", "9 kW or more"), tail, strict=True)
    )
    assert first == ["Code | Fault | Limit", "E1 | Fan | 2 kW", cut]
    assert second == ["Code | Fault | Limit", "E3 | Door | 1 kW", "E4 | Clock | 3 kW"]


@pytest.mark.parametrize("row", [("", "Intensity", ""), ("", "or 2", "kW 3")])
def test_what_may_be_a_row_of_its_own_stays_one(row: tuple[str, str, str]) -> None:
    first, second = tables(blocks(FIRST, even(row, ("E3", "Door", "1 kW"), ("E4", "Clock", "3 kW"))))
    assert first[-1] == "E2 | Heavy rain | 9 kW or more"
    assert second[1] == " | ".join(row).strip()


def test_the_rest_of_a_table_has_the_last_of_its_titles() -> None:
    head = ("What", "How", "Limit")

    def titled(*titles: str) -> list[forge.Set]:
        """A table that each title begins anew, or goes on without one."""
        rows = [row for name in titles for row in ((name,), head, ("Air", "Dry", "9 A"))]
        low = 700 - 20 * len(rows)
        inner = [at for at, row in enumerate(rows) if len(row) > 1]
        flat = [f"72 {700 - 20 * at} m 500 {700 - 20 * at} l S" for at in range(len(rows) + 1)]
        sides = [f"{x} 700 m {x} {low} l S" for x in (72, 500)]
        upright = [f"{x} {700 - 20 * at} m {x} {680 - 20 * at} l S" for x in (140, 260) for at in inner]
        return ["\n".join([*flat, *sides, *upright]).encode(), *placed(rows, 686, 20)]

    rest = [strokes(XS, (700, 680, 660)), *placed([("Rain", "Wet", "3 A"), ("Fog", "Wet", "2 A")], 686, 20)]
    for titles in (["S700"], ["S700", "S800"], ["S700", "S800", "Measured in air."]):
        found = tables(blocks(titled(*titles), rest, rest))
        last = titles[:2][-1]
        assert [rows[:3] for rows in found[1:]] == [
            [f"{last} |  |", "What | How | Limit", "Rain | Wet | 3 A"]
        ] * 2


def test_a_title_over_all_columns_belongs_to_the_header() -> None:
    rules = strokes() + b"\n72 720 m 500 720 l S 72 720 m 72 700 l S 500 720 m 500 700 l S"
    found = blocks([rules, (200, 706, 10, "Trouble analysis"), *CELLS])
    assert tables(found) == [["Trouble analysis |  |", *ROWS]]
    assert found[0].header_rows == 2


def test_names_with_figures_over_figures_are_a_header() -> None:
    names = ["Model", "BN-006", "BN-012"], ["Weight, kg", "110", "134"], ["Flow, m3/h", "1.0", "2.06"]
    texts = [
        (left + 4, low + 5, 10, text)
        for low, row in zip(YS[1:], names, strict=True)
        for left, text in zip(XS, row, strict=False)
    ]
    found = blocks([strokes(), *texts])
    assert (found[0].text.split("\n")[0], found[0].header_rows) == ("Model | BN-006 | BN-012", 1)


def test_text_between_two_tables_stays_text() -> None:
    rules = strokes() + b"\n" + strokes(XS, (560, 540, 520)) + b"\n72 600 m 72 560 l S 500 600 m 500 560 l S"
    between = [(76.0, 590.0 - 10 * at, 8.0, f"{BODY} Then it is let run for ten minutes.") for at in range(3)]
    below = [(76, 546, 10, "A1"), (264, 546, 10, "Off"), (76, 526, 10, "A2"), (264, 526, 10, "On")]
    found = blocks([rules, *CELLS, *between, *below])
    assert [block.kind for block in found] == ["table", "paragraph", "table"]
    assert tables(found) == [ROWS, ["A1 | Off", "A2 | On"]]


def test_what_stands_below_from_side_to_side_is_no_row() -> None:
    rules = strokes() + b"\n72 600 m 72 580 l S 500 600 m 500 580 l S 72 580 m 500 580 l S"
    found = blocks([rules, *CELLS, (76, 586, 10, "Measured at 20 degrees.")])
    assert [block.text for block in found] == ["\n".join(ROWS), "Measured at 20 degrees."]


def test_a_frame_around_the_page_is_no_table() -> None:
    """Nor is what stands in its margin a second column."""
    rules = b" ".join(b"%d 780 m %d 40 l S" % (x, x) for x in (40, 470, 530, 600))
    rules += b" " + b" ".join(
        b"%d %d m 600 %d l S" % (x, y, y) for x, y in ((40, 780), (470, 500), (470, 300), (40, 40))
    )
    page = [(50.0, 700.0 - 12 * at, 10.0, BODY) for at in range(9)]
    notes = [(480, 700, 10, "Drawn"), (480, 400, 10, "Checked"), (480, 200, 10, "Approved")]
    notes += [(left + 60, bottom, size, "AB") for left, bottom, size, _ in notes]
    assert not tables(blocks([rules, *page, *notes]))


def test_a_head_whose_rules_miss_those_below_has_their_columns() -> None:
    head = b"72 720 m 500 720 l S " + b" ".join(b"%d 720 m %d 700 l S" % (x, x) for x in (72, 148, 268, 500))
    named = [(78, 706, 10, "No."), (152, 706, 10, "What"), (272, 706, 10, "Why")]
    assert tables(blocks([head + b"\n" + strokes(), *named, *CELLS])) == [["No. | What | Why", *ROWS]]


def test_a_word_cut_in_a_cell_is_mended() -> None:
    cut = [(264, 668, 10, "The tempera-"), (264, 656, 10, "ture is too high.")]
    first, rest = CELLS[:3], CELLS[7:]
    (rows,) = tables(blocks([strokes(), *first, *cut, *rest]))
    assert rows[1] == "E03 | Flow switch | The temperature is too high."


def test_axes_and_their_ticks_part_no_cells() -> None:
    axes = b"140 700 m 140 590 l S 72 620 m 500 620 l S "
    ticks = b" ".join(b"137 %d m 143 %d l S" % (y, y) for y in range(630, 700, 10))
    ticks += b" " + b" ".join(b"%d 617 m %d 623 l S" % (x, x) for x in range(180, 500, 40))
    texts = [
        (100, 680, 8, "80"),
        (100, 650, 8, "40"),
        (300, 660, 8, "met"),
        (100, 604, 8, "in"),
        (200, 604, 8, "2013"),
    ]
    assert not tables(blocks([axes + ticks, *texts]))


def test_a_grid_with_hardly_any_text_is_a_diagram() -> None:
    drawn = strokes(range(72, 500, 40), range(700, 600, -20))
    few = [(76, 686, 8, "0"), (116, 686, 8, "5"), (76, 666, 8, "1"), (116, 666, 8, "6")]
    assert not tables(blocks([drawn, *few]))


def test_boxes_of_a_flow_chart_are_no_table() -> None:
    drawn = (
        strokes((72, 200), (700, 660)) + b"\n" + strokes((300, 430), (700, 660)) + b"\n200 680 m 300 680 l S"
    )
    assert not tables(blocks([drawn, (80, 676, 10, "Start"), (310, 676, 10, "Stop")]))


def test_a_drawing_costs_no_time_and_hides_no_text() -> None:
    fine = [4 + 4 * at for at in range(190)]
    began = time.process_time()
    found = blocks([b"\n".join([strokes(fine[:150], fine[::-1])] * 40), *CELLS])
    assert time.process_time() - began < 5
    assert "E03" in " ".join(block.text for block in found)


def test_words_of_several_rows_that_the_engine_took_for_one_line() -> None:
    words = [Word(10, 20, "IPX4", 22, 28), Word(10, 20, "75", 12, 18), Word(30, 40, "low", 2, 8)]
    named = [Line([Word(1, 5, name, low, low + 6)], low, low + 6, 6) for name, low in (("A", 22), ("B", 12))]
    page = Page(1, 100, 100, [Line(words, 2, 28, 6), *named])
    page.rules.flat[:] = [Rule(at, 0, 25) for at in (30, 20, 10)]
    page.rules.upright[:] = [Rule(at, 10, 30) for at in (0, 8, 25)]
    ((_, parts),) = pdf_ruled.pages_parts([page], set())
    assert [part.text if isinstance(part, Line) else part.rows for part in parts] == [
        [["A", "IPX4"], ["B", "75"]],
        "low",
    ]


def test_text_from_side_to_side_that_goes_on_from_the_first_column() -> None:
    steps = range(700, 600, -10)
    rules = b"72 700 m 500 700 l S 72 700 m 72 550 l S 500 700 m 500 550 l S 72 550 m 500 550 l S "
    rules += b" ".join(b"140 %d m 500 %d l S" % (y, y) for y in (*steps, 600, 580)) + b" 72 580 m 72 580 l S "
    rules += b" ".join(b"%d 700 m %d 600 l S %d 580 m %d 550 l S" % (x, x, x, x) for x in (140, 260))
    rules += b" 140 565 m 500 565 l S"
    cells = [(left, y - 8, 6, f"{left}.{y}") for y in steps for left in (144, 264)]
    long = [(145.0, 592.0 - 6 * at, 4.0, f"{BODY} {BODY}") for at in range(2)]
    below = [(left, y, 6, f"{left}.{y}") for y in (570, 555) for left in (144, 264)]
    found = blocks([rules, (76, 650, 6, "side"), *cells, *long, *below])
    assert tables(found)[0][0] == "side | 144.700 | 264.700"
    assert tables(found)[1] == ["144.570 | 264.570", "144.555 | 264.555"]


def test_rules_far_apart_on_one_line_are_two() -> None:
    left = [(76, 686, 10, "A1"), (116, 686, 10, "Off"), (76, 666, 10, "A2"), (116, 666, 10, "On")]
    right = [(x + 300, y, size, text.lower()) for x, y, size, text in left]
    drawn = strokes((72, 112, 152), (700, 680, 660)) + b"\n" + strokes((372, 412, 452), (700.5, 680.5, 660.5))
    between = [(200, 686, 10, "Never open the valve"), (200, 672, 10, "while the pump runs.")]
    found = blocks([drawn, *left, *between, *right])
    assert tables(found) == [["A1 | Off", "A2 | On"], ["a1 | off", "a2 | on"]]
    assert "Never open the valve while the pump runs." in [block.text for block in found]


def test_a_hyphen_that_the_document_writes_stays() -> None:
    cut = [(264, 668, 10, "Fitted to BN-"), (264, 656, 10, "006 and BN-012.")]
    (rows,) = tables(
        blocks([(72, 740, 10, "Pump BN-006 and its spare"), strokes(), *CELLS[:3], *cut, *CELLS[7:]])
    )
    assert rows[1] == "E03 | Flow switch | Fitted to BN-006 and BN-012."


@pytest.mark.parametrize("paint", ["1 G", "/Clear gs", "0 0 10 10 re W n"])
def test_rules_that_nobody_sees_part_nothing(paint: str) -> None:
    clear = b"/Clear << /ca 0 /CA 0 >>"
    prose = [(76.0, 690.0 - 14 * at, 10.0, BODY) for at in range(6)]
    page = [b"q " + paint.encode() + b" " + strokes() + b" Q", *prose]
    data = forge.pdf([page]).replace(b"/Clear << /ca 0 >>", clear)
    found = formats.parse(data, "manual.pdf", Bounds()).blocks
    assert [block.text for block in found] == [" ".join([BODY] * 6)]


def test_rules_through_words_part_nothing() -> None:
    """They may lie under a picture, or be painted over."""
    prose = [(76.0, 690.0 - 14 * at, 10.0, BODY) for at in range(6)]
    found = blocks([strokes(), *prose])
    assert [block.text for block in found] == [" ".join([BODY] * 6)]


def test_the_columns_of_a_page_are_no_cells() -> None:
    rules = b"60 740 m 552 740 l S 60 420 m 552 420 l S 60 60 m 552 60 l S 306 740 m 306 60 l S"
    texts = [
        (left, top - 12 * at, 9, "The pump is primed before it is started in a")
        for left in (66, 312)
        for top in (720, 400)
        for at in range(20)
    ]
    assert not tables(blocks([rules, *texts]))


def test_a_header_without_end_is_not_repeated() -> None:
    head = pdf_ruled.Ruled([["x" * 3000, "y"], ["1", "2"]], 1, (0, 50, 90))
    assert pdf_ruled.Ruled([["3", "4"]], 0, (0, 50, 90)).after(head).header_rows == 0


def test_white_rules_part_no_columns() -> None:
    assert tables(blocks([strokes(), *CELLS])) == [ROWS]
    assert tables(blocks([b"1 G " + strokes() + b" 0 G", *CELLS])) != [ROWS]


def test_a_caption_begins_another_table() -> None:
    rest = [strokes(XS, YS[:3]), (76, 686, 10, "Part"), (144, 686, 10, "From"), (264, 686, 10, "Shelf")]
    rest += [(76, 646, 10, "Seal"), (144, 646, 10, "Works"), (264, 646, 10, "North")]
    found = blocks([strokes(), *CELLS], [(72, 720, 10, "Table 2. Spare parts"), *rest])
    assert tables(found)[1][0] == "Part | From | Shelf"


def test_many_rows_from_side_to_side_cost_no_time() -> None:
    ys = [780 - 0.6 * at for at in range(1200)]
    rules = b" ".join(b"72 %.1f m 500 %.1f l S" % (y, y) for y in (*ys[::6], 790))
    rules += b" 72 790 m 72 62 l S 500 790 m 500 62 l S 200 790 m 200 780 l S"
    texts = [(76.0, y - 3, 3.0, f"note {at}") for at, y in enumerate(ys[::6][:-1])]
    began = time.process_time()
    found = blocks([rules, *texts])
    assert time.process_time() - began < 2
    assert sum(block.text.count("note") for block in found) == len(texts)


def test_rows_that_no_rule_parts_are_told_by_their_gaps() -> None:
    """As LaTeX draws: uprights, and level rules around the head and at the bottom."""
    ys = (700, 680, 600)
    head = [(76, 686, 10, "Code"), (144, 686, 10, "Fault"), (264, 686, 10, "Limit")]
    rows = [
        ("E03", "Flow switch", "5 kW"),
        ("E04", "Inner flow", "7 kW"),
        ("E05", "Fan", "2 kW"),
        ("E06", "Door", "1 kW"),
    ]
    assert tables(blocks([strokes(XS, ys), *head, *placed(rows, 666, 14)])) == [
        ["Code | Fault | Limit", *(" | ".join(row) for row in rows)]
    ]


def test_text_that_runs_over_several_lines_in_all_cells_is_one_row() -> None:
    ys = (700, 680, 630, 580)
    head = [(76, 686, 10, "Code"), (144, 686, 10, "Fault"), (264, 686, 10, "Limit")]
    lines = (
        ("E03 or", "Flow switch", "Not above"),
        ("E04 or", "of the pump", "5 kW in"),
        ("E05", "is broken", "winter"),
    )
    body = [*placed(lines, 666, 14), *placed(lines, 616, 14)]
    row = "E03 or E04 or E05 | Flow switch of the pump is broken | Not above 5 kW in winter"
    assert tables(blocks([strokes(XS, ys), *head, *body])) == [["Code | Fault | Limit", row, row]]


def test_a_title_with_a_gap_stays_a_title() -> None:
    rules = strokes() + b"\n72 720 m 500 720 l S 72 720 m 72 700 l S 500 720 m 500 700 l S"
    found = blocks([rules, (76, 706, 10, "Heaters"), (300, 706, 10, "(in kW)"), *CELLS])
    assert tables(found)[0][0] == "Heaters (in kW) |  |"


def test_words_that_overlap_backwards_are_no_fault() -> None:
    rules = strokes(XS, YS).replace(b"140 700 m 140 600", b"140 680 m 140 600")
    rules = rules.replace(b"260 700 m 260 600", b"260 680 m 260 600")
    back = b"BT /F1 10 Tf 497.6 686 Td [(i) -10 ( ) 3000 (Remedies)] TJ ET"
    assert blocks([rules, (76, 686, 10, "Heaters"), back, *CELLS[3:]])


def test_of_bands_every_other_is_drawn() -> None:
    level = b" ".join(b"72 %d m 500 %d l S" % (y, y) for y in (700, 680, 660, 640, 620))
    sides = b" 72 700 m 72 620 l S 500 700 m 500 620 l S "
    shaded = b" ".join(
        b"0.8 g %d %d %d 20 re f 0 g" % (left, low, right - left)
        for low in (680, 640)
        for left, right in pairwise(XS)
    )
    rows = [
        ("Code", "Fault", "Limit"),
        ("E03", "Flow switch", "5 kW"),
        ("E04", "Fan", "2 kW"),
        ("E05", "Door", "1 kW"),
    ]
    assert tables(blocks([shaded + b" " + level + sides, *placed(rows, 686, 20)])) == [
        [" | ".join(row) for row in rows]
    ]


def test_headings_between_two_tables_stay_headings() -> None:
    def indicators(top: float) -> list[forge.Set]:
        ys = (top, top - 20, top - 40)
        named = [
            (left + 4, y - 14, 10, text)
            for y in ys[:2]
            for left, text in zip(XS, ("A1", "On", "kW"), strict=False)
        ]
        return [strokes(XS, ys), *named]

    page = [*indicators(700), (72, 640, 12, "Performance Indicators"), (72, 618, 12, "KPI 1.1 Miles")]
    prose = [(72.0, 500.0 - 14 * at, 12.0, BODY) for at in range(4)]
    found = blocks([*page, *indicators(600), *prose])
    assert [block.text for block in found if block.kind != "table"] == [
        "Performance Indicators",
        "KPI 1.1 Miles",
        " ".join([BODY] * 4),
    ]


EDGE = st.integers(0, 90)
RULE = st.builds(Rule, EDGE, st.sampled_from([0, 0, 30]), st.sampled_from([90, 90, 60]))
PLACE = st.tuples(st.integers(0, 85), st.integers(0, 85))


@given(st.lists(RULE, max_size=9), st.lists(RULE, max_size=6), st.lists(PLACE, max_size=20), st.booleans())
def test_no_word_is_lost(
    flat: list[Rule], upright: list[Rule], places: list[tuple[int, int]], wordy: bool
) -> None:
    long = "x" * 160 if wordy else ""
    words = [Word(left, left + 5, f"w{at}{long}", low, low + 5) for at, (left, low) in enumerate(places)]
    pairs = [words[at : at + 2] for at in range(0, len(words), 2)]
    lines = [Line(pair, min(w.low for w in pair), max(w.high for w in pair), 5) for pair in pairs]
    ((_, parts),) = pdf_ruled.pages_parts([Page(1, 90, 90, lines, rules=Rules(flat, upright))], set())
    told = " ".join(
        part.text if isinstance(part, Line) else " ".join(map(" ".join, part.rows)) for part in parts
    )
    assert set(told.split()) == {word.text for word in words}
