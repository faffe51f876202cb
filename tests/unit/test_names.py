"""What a question names exactly, and the passage it is brought to."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingest.chunk import chunks
from appliance.retrieve.names import LOOSE, OPENS, STANDS, Name, holders, names
from appliance.retrieve.retriever import Retriever
from appliance.types import PASSAGES, Block, Draft, Parsed, chunk_input
from tests.fakes import FakeEncoder, fake_passage
from tests.stores import FakeStore

FILL = "The operator reads the pressure, the level and the temperature of the plant and writes them down."
ALARMS = (
    "Error | Meaning | What to do",
    *(f"{n} | Fault of circuit {n + 40} | Reset the controller" for n in range(1, 8)),
    "8 | Motor overload | Let the motor cool down",
    *(f"{n} | Fault of circuit {n + 40} | Reset the controller" for n in range(9, 40)),
)
CODES = tuple(f"E-{n:02}: {what}" for n, what in enumerate(("no flow", "dry run", "high level") * 12))
PARTS = (
    "Part | Number | Price",
    "Seal kit | 7 345 210 | $110",
    "Bearing | 7 345 310 | $1,100",
    "Wear ring | 6204-2RS | $110.50",
    'Thread | 3/4" | 110',
    "Port | TCP/443 | open",
    "Certificate | X.509 | 12.5 %",
)


def analyse(text):
    return FakeStore().analyse(text)


@lru_cache
def plant():
    """Return a retriever over pages of filler, with three tables among them that mention each other."""
    store, encoder = FakeStore(), FakeEncoder()
    pages = [[Block("paragraph", f"{FILL} Page {n} of 110, error log {n}.", n + 1)] for n in range(60)]
    pages[7] = [Block("table", "\n".join(ALARMS), 8, header_rows=1)]
    pages[20] = [Block("item", code, 21) for code in CODES]
    pages[33] = [Block("table", "\n".join(PARTS), 34, header_rows=1)]
    pages[40] = [
        Block("paragraph", "If E-04 shows, or error 8 comes twice, call the service. See P-101.", 41)
    ]
    pages[50] = [
        Block("paragraph", "Pump P-101 delivers 42 m. Pump P-1010 is another. AB12C is its plate.", 51)
    ]
    text, starts, pieces = chunks(Parsed("plant", tuple(b for page in pages for b in page), len(pages)))
    digest = hashlib.sha256(text.encode()).hexdigest()
    draft = Draft("/in/plant", "plant", "plant", digest, len(text), text, starts, pieces)
    resume = store.begin(draft, model=encoder.name)
    store.append(resume.document_id, pieces, encoder.encode([chunk_input(c, "plant") for c in pieces]))
    store.finish(resume.document_id)
    return Retriever(store, encoder), text


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("error 8", "8 | Motor overload"),
        ("What does error 8 mean?", "8 | Motor overload"),
        ("what is E-04", "E-04: dry run"),
        ("E-11?", "E-11: high level"),
        ("which part costs $110", "7 345 210 | $110"),
        ("what costs $110.50", "$110.50"),
        ("what costs $1,100?", "$1,100"),
        ("part 7 345 310", "7 345 310"),
        ('a 3/4" thread', '3/4"'),
        ("is TCP/443 open", "TCP/443"),
        ("X.509", "X.509"),
        ("12.5 %", "12.5 %"),
        ("12.5%", "12.5 %"),
        ("6204-2rs", "6204-2RS"),
        ("pump P-101 head", "P-101 delivers"),
        ("pump p101 head", "P-101 delivers"),
        ("P‑101 delivers what", "P-101 delivers"),
        ("what is AB-12-C", "AB12C"),
    ],
)
def test_the_row_that_is_asked_for_by_its_code_is_in_the_first_passage(question, row):
    retriever, _ = plant()
    assert row in retriever.search(question, most=PASSAGES).passages[0].text


def identifiers(text):
    words = re.findall(r"[^\s|,;:]+(?: %)?", text)
    mixed = [word for word in words if re.search(r"\d", word) and re.search(r"[^\W\d]|[$%/]", word)]
    return sorted({word.rstrip(".") for word in mixed})


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_identifier_of_the_text_brings_a_passage_that_holds_it(data):
    retriever, text = plant()
    name = data.draw(st.sampled_from(identifiers(text)))
    assert any(name in passage.text for passage in retriever.search(name, most=PASSAGES).passages[:3])


@pytest.mark.parametrize(
    ("written", "text", "sure"),
    [
        ("$110", "costs $110 a visit", STANDS),
        ("$110", "| $110 |", OPENS),
        ("$110", "- $110: the copay", OPENS),
        ("$110", "110 visits", LOOSE),
        ("$110", "costs $110.50", LOOSE),
        ("$110", "costs US$110", LOOSE),
        ("12.5", "costs 3,12.5", LOOSE),
        ("P-101", "Pump P-101.", STANDS),
        ("P-101", "Pump P‑101 and", STANDS),
        ("P-101", "Pump P-101A", LOOSE),
        ("P-101", "Pump P-101-A", LOOSE),
        ("12.5 %", "at 12.5% load", STANDS),
        ("E-04", "E-04: dry run", OPENS),
        ("E-04", "see\nE-04 there", OPENS),
        ("E-04", "see E-04 there", STANDS),
    ],
)
def test_how_surely_a_text_holds_a_name(written, text, sure):
    assert Name(written, ((),)).held(text) == sure


def test_a_name_that_opens_the_last_heading_is_explained_there():
    page = fake_passage(text="The machine looks for its switches.", heading="Settings > $22 - Homing cycle")
    other = fake_passage(2, text="It costs $22 a day.", heading="Prices")
    name = Name("$22", (("22",),))
    assert holders(name, [page, other]) == {page.chunk: OPENS, other.chunk: STANDS}


@pytest.mark.parametrize(
    ("text", "sure"),
    [
        ("Error | Meaning\n8 | overload", OPENS),
        ("Errors\n8: overload", OPENS),
        ("Errors\n8. overload", OPENS),
        ("see error 8 there", STANDS),
        ("Error | Meaning\n18 | overload", 0),
        ("Error | Meaning\n3 | 8 litres", 0),
        ("Step | Meaning\n8 | overload", 0),
    ],
)
def test_a_bare_number_is_of_its_kind(text, sure):
    assert Name("error 8", ((),), kind="error").held(text) == sure


@pytest.mark.parametrize(
    ("question", "written"),
    [
        ("what costs $1,100?", ["$1,100"]),
        ("the 12.5 % mark", ["12.5 %"]),
        ("does error 8 in pump P-101 count", ["8", "error 8", "P-101"]),
        ("what is MAX_DEST_PER_PKT, and save_config?", ["MAX_DEST_PER_PKT", "save_config"]),
        ("a head of 12 m", ["12", "12 m"]),
        ("what happened in 2022", ["2022"]),
        ("due on December 31, 2017 in fiscal 2016", ["31", "2017", "2016"]),
        ("part 7 345 310", ["7", "part 7", "345", "7 345", "310", "345 310"]),
        ('where is "balance billing"', ["balance billing"]),
        ("how many", []),
    ],
)
def test_what_a_question_names(question, written):
    found = names(question, analyse, frozenset({"of", "in"}))
    assert [name.written for name in found] == written


@given(st.text(max_size=60), st.text(max_size=200))
def test_no_text_breaks_it(question, text):
    for name in names(question, analyse, frozenset()):
        assert 0 <= name.held(text) <= 1


def test_a_page_of_dots_is_read_at_once():
    text = "P-101 " + "." * 100_000 + " | " * 20_000
    assert Name("P-102", ((),)).held(text) == LOOSE
