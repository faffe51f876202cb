"""Documents in stores for fitting the reader: with the headings and tables that the appliance would see."""

from __future__ import annotations

import pytest

from scripts import reader_stores
from scripts.reader_authored import written
from scripts.reader_data import held_out


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return reader_stores.documents("authored", tmp_path_factory.mktemp("no data is needed"))


def test_a_made_up_document_is_one_document_with_its_headings(documents):
    first = next(iter(written()))
    held = documents[first.document]
    assert held.title == first.document.removeprefix("authored/")
    assert held.texts[first.text] == first.title.removeprefix(f"{held.title} > ")
    kinds = [block.kind for block in reader_stores._parsed(held).blocks]
    assert kinds[0] == "heading"
    assert kinds.count("heading") >= len(held.texts)


def test_lines_of_cells_are_a_table_whose_first_line_is_its_header(documents):
    tables = [
        block
        for held in documents.values()
        for block in reader_stores._parsed(held).blocks
        if block.kind == "table"
    ]
    assert len(tables) > 100
    assert all(block.header_rows == 1 and " | " in block.text.splitlines()[-1] for block in tables)


def test_prose_with_a_bar_in_it_and_nothing_at_all_are_no_tables():
    assert reader_stores._block("The valve | as it is called | opens.").kind == "paragraph"
    assert reader_stores._block("").kind == "paragraph"


def test_every_store_has_its_documents_and_its_questions():
    for plan in reader_stores.STORES.values():
        assert {plan.source, *plan.others} <= set(reader_stores.needed())


def test_its_store_has_enough_documents_that_were_never_trained_on(documents):
    every = {name: {} for name in ("squad", "natural", "covid", "medquad")} | {"authored": documents}
    inside = dict([(name, held) for name, held in documents.items() if held_out(name)][::2])
    asked = reader_stores._kinds(reader_stores.STORES["authored"], every, inside)
    wanted = reader_stores.STORES["authored"].questions
    assert len(asked["own"]) >= wanted["own"]
    assert len(asked["same subject"]) >= wanted["same subject"]
    assert len(asked["twin"]) >= 60
