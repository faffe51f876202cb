"""A passage grows by its section, and what is said of it grows with it."""

from __future__ import annotations

from dataclasses import replace

from appliance.journal import Journal
from appliance.retrieve import sections
from appliance.types import Block, Hit
from tests.unit.test_retriever import PREAMBLE, kept, paged


def two_pages():
    """Return a store and the passage on the second page of its one section."""
    store, _ = paged([PREAMBLE * 6], [PREAMBLE * 6])
    hits = [Hit(chunk, 0.5, ()) for chunk in range(1, store.chunk_count() + 1)]
    return store, next(each for each in store.passages(hits) if each.page == 2)


def test_a_passage_that_begins_on_an_earlier_page_says_so_and_has_no_tables_header():
    store, passage = two_pages()
    grown = sections.span(store, replace(passage, lead="Code | Meaning"), (0, passage.start + 10))
    assert (grown.page, grown.start, grown.lead) == (1, 0, "")
    assert grown.text == store.text(passage.document_id)[: passage.start + 10]
    same = sections.span(store, replace(passage, lead="Code | Meaning"), (passage.start, passage.start + 10))
    assert (same.page, same.lead) == (2, "Code | Meaning")


def test_only_the_page_of_the_sentence_is_part_of_it():
    store, passage = two_pages()
    found = sections.section(store, passage, (0, 20), before=2_000, after=2_000)
    top, _ = store.page_span(passage.document_id, passage.start)
    assert found.passage.start + found.part[0] == top
    assert found.begins


def test_it_is_known_whether_the_beginning_is_there():
    store, _ = paged([PREAMBLE * 60])
    last = store.passages([Hit(store.chunk_count(), 0.5, ())])[0]
    near, far = (
        sections.section(store, last, (0, 20), before=before, after=0).begins for before in (500, 50_000)
    )
    assert (near, far) == (False, True)


def test_all_chunks_that_a_passage_takes_text_from_are_known():
    store, _ = paged([PREAMBLE * 60])
    hits = [Hit(chunk, 0.5, ()) for chunk in range(1, store.chunk_count() + 1)]
    first, second, third, *_ = store.passages(hits)
    assert sections.chunks(store, second) == (second.chunk,)
    grown = sections.span(store, second, (first.start + 10, third.start + 10))
    assert sections.chunks(store, grown) == (second.chunk, first.chunk, third.chunk)
    log = Journal.__new__(Journal)
    log._store, store.leaf = store, str
    assert log._leaves([grown, first]) == [str(each.chunk) for each in (second, first, third)]
    assert sections.chunks(store, replace(second, start=second.start + 5, text=second.text[5:20])) == (
        second.chunk,
    )


def test_the_chapters_of_a_manual_are_no_steps():
    store, _ = kept(
        "manual",
        [
            Block("heading", "Pump manual", 1, level=1),
            Block("paragraph", PREAMBLE * 6, 1),
            Block("heading", "1. Introduction", 1, level=2),
            Block("paragraph", PREAMBLE * 6, 1),
        ],
        1,
    )
    first = store.passages([Hit(1, 0.5, ())])[0]
    assert (
        "1. Introduction" not in sections.section(store, first, (0, 20), before=0, after=50_000).passage.text
    )


def test_steps_that_are_headings_belong_to_the_section_and_show_them():
    store, _ = kept(
        "manual",
        [
            Block("heading", "Manual", 1, level=1),
            Block("heading", "Changing the oil", 1, level=2),
            Block("paragraph", PREAMBLE * 6, 1),
            Block("heading", "1. Warm the engine", 1, level=3),
            Block("paragraph", PREAMBLE * 6, 1),
            Block("heading", "Step 2", 1, level=3),
            Block("paragraph", PREAMBLE * 6, 1),
            Block("heading", "2.1 Other oils", 1, level=3),
            Block("paragraph", PREAMBLE * 6, 1),
        ],
        1,
    )
    first = store.passages([Hit(1, 0.5, ())])[0]
    found = sections.section(store, first, (0, 20), before=0, after=50_000).passage.text
    text = store.text(first.document_id).partition("Changing the oil\n\n")[2]
    assert found == text.partition("\n\n2.1 Other oils")[0]
    assert "\n\n1. Warm the engine\n\n" in found
    assert "\n\nStep 2\n\n" in found
