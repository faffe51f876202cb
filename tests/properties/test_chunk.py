"""Laws of chunking, on documents nobody would write."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingest.chunk import Shape, chunks
from appliance.types import Block, Parsed

SHAPE = Shape(target=60, limit=100, crumb=20)
WORD = st.text("abcdeéß漢XYZ019-.,", min_size=1, max_size=12)
SENTENCE = st.lists(WORD, min_size=1, max_size=14).map(lambda words: " ".join(words) + ".")
PROSE = st.lists(SENTENCE, min_size=1, max_size=6).map(" ".join)
ROWS = st.lists(WORD.map(lambda word: f"{word} | 1"), min_size=1, max_size=12).map("\n".join)
PAGE = st.integers(0, 2)


@st.composite
def documents(draw):
    pages = draw(st.none() | st.integers(1, 6))
    blocks = []
    for _ in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(["heading", "paragraph", "paragraph", "item", "table", "code"]))
        text = draw(ROWS if kind in ("table", "code") else WORD | PROSE if kind == "heading" else PROSE)
        level = draw(st.integers(1, 3)) if kind == "heading" else 0
        rows = draw(st.integers(0, 2)) if kind == "table" else 0
        blocks.append(Block(kind, text, draw(st.none() | st.integers(1, 6)), level, rows))
    return Parsed("Title", tuple(blocks), pages)


@settings(max_examples=150, deadline=None)
@given(documents())
def test_a_chunk_is_its_span_and_spans_are_ordered_and_apart(parsed):
    text, _, found = chunks(parsed, shape=SHAPE)
    assert [chunk.ordinal for chunk in found] == list(range(len(found)))
    assert all(chunk.text == text[chunk.start : chunk.end] and chunk.text.strip() for chunk in found)
    assert all(one.end <= two.start for one, two in itertools.pairwise(found))


@settings(max_examples=150, deadline=None)
@given(documents())
def test_nothing_outside_headings_is_lost(parsed):
    text, _, found = chunks(parsed, shape=SHAPE)
    covered = [False] * len(text)
    for chunk in found:
        covered[chunk.start : chunk.end] = [True] * (chunk.end - chunk.start)
    at = 0
    for block in (block for block in parsed.blocks if block.text.strip()):
        at = text.index(block.text.strip(), at)
        if block.kind != "heading":
            span = range(at, at + len(block.text.strip()))
            assert all(covered[i] or text[i].isspace() for i in span)
        at += len(block.text.strip())


@settings(max_examples=150, deadline=None)
@given(documents())
def test_every_heading_is_in_a_path_or_in_chunks(parsed):
    _, _, found = chunks(parsed, shape=SHAPE)
    paths = "\n".join(chunk.heading for chunk in found)
    texts = "".join("".join(chunk.text.split()) for chunk in found)
    for block in (block for block in parsed.blocks if block.kind == "heading"):
        assert block.text.strip() in paths or "".join(block.text.split()) in texts


@settings(max_examples=150, deadline=None)
@given(documents())
def test_the_page_of_a_chunk_is_that_of_its_start(parsed):
    text, starts, found = chunks(parsed, shape=SHAPE)
    assert len(starts) == (parsed.pages or 0)
    assert list(starts) == sorted(starts)
    for chunk in found:
        if parsed.pages is None:
            assert chunk.page is None
        else:
            assert chunk.page is not None
            assert starts[chunk.page - 1] <= chunk.start
            assert chunk.start < ([*starts, len(text)][chunk.page] or 1) or chunk.page == parsed.pages


@settings(max_examples=150, deadline=None)
@given(documents())
def test_no_chunk_is_over_the_limit_but_by_its_header(parsed):
    _, _, found = chunks(parsed, shape=SHAPE)
    longest = 2 * SHAPE.limit  # a header row and the first row under it are kept together
    assert all(len(chunk.text) <= longest and len(chunk.lead) <= SHAPE.limit // 2 for chunk in found)


@settings(max_examples=50, deadline=None)
@given(documents())
def test_the_same_document_is_cut_the_same_way(parsed):
    assert chunks(parsed, shape=SHAPE) == chunks(parsed, shape=SHAPE)
