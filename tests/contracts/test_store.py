"""What every store promises; the encrypted one and its in-memory twin are held to the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from appliance.errors import UsageError
from appliance.types import Hit
from appliance.vault.store import create_store
from tests.stores import ENCODER, NOON, FakeStore, a_draft, a_key, added, noon, unit_vectors


@pytest.fixture(params=["fake", "sqlcipher", "aegis", "chacha20"])
def store(request, tmp_path):
    made = (
        FakeStore() if request.param == "fake" else create_store(tmp_path, a_key(request.param), clock=noon)
    )
    yield made
    made.close()


def test_a_finished_document_is_listed_with_all_it_was_given(store):
    draft = replace(a_draft("one", "two"), lost=("page 3",), flags=("hidden text",))
    document = added(store, draft)
    assert store.documents() == (document,)
    assert (document.name, document.title, document.source) == ("manual.txt", "Manual", "/in/manual.txt")
    assert (document.digest, document.size, document.pages, document.chunks) == (draft.digest, 8, 2, 2)
    assert (document.added, document.lost, document.flags) == (NOON, ("page 3",), ("hidden text",))
    assert store.document(document.id) == document
    assert store.by_source(draft.source) == store.by_digest(draft.digest, ENCODER) == document
    assert store.chunk_count() == 2


def test_the_encoder_of_a_document_is_known_and_another_s_is_not_the_same(store):
    draft = a_draft("one")
    document = added(store, draft)
    store.begin(a_draft("pending", source="/in/other.txt"), model="another")
    assert document.model == ENCODER
    assert store.models() == {ENCODER: 1}
    assert store.by_digest(draft.digest, "another") is None


def test_text_and_pages_come_back_as_they_were(store):
    texts = ("Grün: 3 m³/h\t→", "two \N{SLIGHTLY SMILING FACE}", "null \0 inside")
    document = added(store, a_draft(*texts))
    assert store.text(document.id) == "\n".join(texts)
    pages = store.pages(document.id)
    assert [page.page for page in pages] == [1, 2, 3]
    assert "".join(page.text for page in pages) == store.text(document.id)
    assert pages[0].document == document


def test_the_page_of_an_offset_is_the_one_that_begins_at_or_before_it(store):
    draft = replace(a_draft("one", "two", "three"), page_starts=(2, 4, 4))
    document = added(store, draft)
    assert [store.page_at(document.id, offset) for offset in (0, 2, 3, 4, 99)] == [1, 1, 1, 3, 3]
    bare = added(store, replace(a_draft("one", source="/in/bare.txt"), page_starts=()))
    assert store.page_at(bare.id, 1) is None
    with pytest.raises(UsageError):
        store.page_at(99, 0)


def test_a_leaf_is_sixteen_bytes_of_one_chunk(store):
    document = added(store, a_draft("one", "two"))
    ids = [store.match([[word]], 1)[0][0] for word in ("one", "two")]
    leaves = [store.leaf(chunk) for chunk in ids]
    assert len(set(leaves)) == 2
    assert {len(leaf) for leaf in leaves} == {16}
    store.remove(document.id)
    with pytest.raises(UsageError):
        store.leaf(ids[0])


def test_a_document_without_pages_is_one_page_without_a_number(store):
    document = added(store, replace(a_draft("one"), page_starts=()))
    assert document.pages is None
    assert [(page.page, page.text) for page in store.pages(document.id)] == [(None, "one")]


@pytest.mark.parametrize("call", ["document", "text", "pages"])
def test_an_unknown_document_is_a_usage_error(store, call):
    with pytest.raises(UsageError):
        getattr(store, call)(1)


def test_a_pending_document_is_invisible_everywhere(store):
    draft = a_draft("the red valve", "the blue valve")
    vectors = unit_vectors(2)
    begun = store.begin(draft, model=ENCODER)
    store.append(begun.document_id, draft.chunks, vectors)
    assert store.documents() == ()
    assert store.by_source(draft.source) is store.by_digest(draft.digest, ENCODER) is None
    assert store.match([["valve"]], 9) == store.nearest(vectors[0], 9) == []
    assert store.chunk_count() == 0
    with pytest.raises(UsageError):
        store.text(begun.document_id)
    store.finish(begun.document_id)
    assert len(store.match([["valve"]], 9)) == len(store.nearest(vectors[0], 9)) == 2


def test_the_same_draft_resumes_after_the_chunks_that_are_stored(store):
    draft, vectors = a_draft("a", "b", "c"), unit_vectors(3)
    first = store.begin(draft, model=ENCODER)
    store.append(first.document_id, draft.chunks[:2], vectors[:2])
    second = store.begin(draft, model=ENCODER)
    assert (second.document_id, second.done) == (first.document_id, 2)
    store.append(second.document_id, draft.chunks[2:], vectors[2:])
    assert store.finish(second.document_id).chunks == 3


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"draft": a_draft("a", "x")}, id="text"),
        pytest.param({"draft": replace(a_draft("a", "b"), digest="f" * 64)}, id="digest"),
        pytest.param({"draft": replace(a_draft("a", "b"), title="Other")}, id="title"),
        pytest.param({"model": "other"}, id="model"),
    ],
)
def test_a_draft_that_differs_starts_anew(store, other):
    draft, vectors = a_draft("a", "b"), unit_vectors(2)
    first = store.begin(draft, model=ENCODER)
    store.append(first.document_id, draft.chunks[:1], vectors[:1])
    second = store.begin(**({"draft": draft, "model": ENCODER} | other))
    assert second.done == 0
    assert second.document_id != first.document_id
    with pytest.raises(UsageError):
        store.append(first.document_id, draft.chunks[1:], vectors[1:])


def test_a_new_version_takes_the_old_ones_place_only_when_it_is_finished(store):
    old = added(store, a_draft("the old valve"))
    draft = a_draft("the new valve")
    begun = store.begin(draft, model=ENCODER)
    store.append(begun.document_id, draft.chunks, unit_vectors(1))
    assert store.documents() == (old,)
    assert [store.text(d.id) for d in store.documents()] == ["the old valve"]
    new = store.finish(begun.document_id)
    assert store.documents() == (new,)
    assert store.match([["old"]], 9) == []
    assert len(store.nearest(unit_vectors(1)[0], 9)) == 1


def test_remove_takes_everything_and_may_be_repeated(store):
    kept = added(store, a_draft("a kept pump", source="/in/kept.txt"), seed=1)
    gone = added(store, a_draft("a removed pump", "a removed valve"), seed=2)
    chunks = [chunk for chunk, _ in store.match([["removed"]], 9)]
    for _ in range(2):
        store.remove(gone.id)
        assert store.documents() == (kept,)
        assert store.match([["removed"]], 9) == []
        assert store.document_frequency(["removed", "pump"]) == {"removed": 0, "pump": 1}
        assert len(store.nearest(unit_vectors(1)[0], 9)) == 1
        assert store.passages([Hit(chunk, 1.0, ("words",)) for chunk in chunks]) == ()
    with pytest.raises(UsageError):
        store.vectors(chunks)


def test_an_unfinished_document_is_known_and_can_be_removed(store):
    draft = a_draft("one", "two")
    resume = store.begin(draft, model=ENCODER)
    store.append(resume.document_id, draft.chunks[:1], unit_vectors(1))
    (unfinished,) = store.unfinished()
    assert (unfinished.id, unfinished.name) == (resume.document_id, "manual.txt")
    store.remove(unfinished.id)
    assert store.unfinished() == store.documents() == ()


def test_a_finished_document_is_not_unfinished(store):
    added(store, a_draft("one", "two"))
    assert store.unfinished() == ()


def test_discard_takes_only_what_is_pending(store):
    ready = added(store, a_draft("ready"))
    begun = store.begin(a_draft("pending", source="/in/other.txt"), model=ENCODER)
    for _ in range(2):
        store.discard(begun.document_id)
    store.discard(ready.id)
    assert store.documents() == (ready,)
    with pytest.raises(UsageError):
        store.finish(begun.document_id)


def test_ids_are_never_used_again(store):
    first = added(store, a_draft("one"))
    (chunk, _), *_ = store.match([["one"]], 1)
    store.remove(first.id)
    second = added(store, a_draft("one"))
    assert second.id > first.id
    assert store.match([["one"]], 1)[0][0] > chunk


@pytest.mark.parametrize("count", [0, 1])
def test_a_document_without_all_its_chunks_cannot_be_finished(store, count):
    draft = a_draft("a", "b")
    begun = store.begin(draft, model=ENCODER)
    store.append(begun.document_id, draft.chunks[:count], unit_vectors(2)[:count])
    with pytest.raises(UsageError):
        store.finish(begun.document_id)


def test_a_document_without_chunks_is_a_document(store):
    assert added(store, a_draft()).chunks == 0


def _bad_appends():
    draft, vectors = a_draft("a", "b"), unit_vectors(2)
    late = replace(draft.chunks[0], ordinal=1)
    extra = (*draft.chunks, replace(draft.chunks[1], ordinal=2))
    yield "not the next", (late,), vectors[:1]
    yield "too many", extra, unit_vectors(3)
    yield "fewer vectors", draft.chunks, vectors[:1]
    yield "wrong width", draft.chunks, vectors[:, :383]
    yield "wrong type", draft.chunks, vectors.astype(np.float64)
    yield "not unit", draft.chunks, vectors * 2
    yield "not finite", draft.chunks, np.full_like(vectors, np.nan)


@pytest.mark.parametrize(
    ("chunks", "vectors"), [pytest.param(c, v, id=name) for name, c, v in _bad_appends()]
)
def test_what_does_not_fit_is_refused_and_nothing_of_it_stored(store, chunks, vectors):
    begun = store.begin(a_draft("a", "b"), model=ENCODER)
    with pytest.raises(UsageError):
        store.append(begun.document_id, chunks, vectors)
    assert store.begin(a_draft("a", "b"), model=ENCODER).done == 0


def test_text_that_is_not_unicode_is_refused(store):
    with pytest.raises(UsageError):
        store.begin(a_draft("half a pair: \ud800"), model=ENCODER)
    assert store.begin(a_draft("whole"), model=ENCODER).done == 0


def test_words_match_in_any_inflection_case_and_accent(store):
    added(store, a_draft("Die Fläche GRÜN", "two pumps", "no such thing"))
    assert len(store.match([["pump"]], 9)) == 1
    assert len(store.match([["grun"]], 9)) == len(store.match([["Grün"]], 9)) == 1
    assert len(store.match([["PUMPS"], ["thing"]], 9)) == 2


def test_a_phrase_is_words_in_a_row(store):
    added(store, a_draft("flow control valve", "control the valve flow"))
    (only, _), *rest = store.match([["control", "valve"]], 9)
    assert not rest
    assert store.passages([Hit(only, 1.0, ("words",))])[0].text == "flow control valve"


def test_the_title_the_headings_and_a_tables_header_are_found_too(store):
    draft = a_draft("3 | 7", title="Quarterly", heading="Pumps > Limits")
    draft = replace(draft, chunks=(replace(draft.chunks[0], lead="Month | Output"),))
    added(store, draft)
    for word in ("quarterly", "limits", "output"):
        assert len(store.match([[word]], 9)) == 1


def test_the_rarer_word_counts_more_and_the_limit_holds(store):
    texts = [f"common number{n}" for n in range(8)]
    added(store, a_draft(*texts, "common rare"))
    found = store.match([["common"], ["rare"]], 3)
    assert len(found) == 3
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert store.passages([Hit(found[0][0], 1.0, ("words",))])[0].text == "common rare"


def test_any_chunk_is_rated_by_any_words_in_any_inflection(store):
    added(store, a_draft("pumps", "a valve and a pump", "nothing"))
    pumps, valve, nothing = (store.match([[word]], 1)[0][0] for word in ("pumps", "valve", "nothing"))
    found = store.rate({"Pump": 1.0, "valves": 3.0}, [pumps, valve, nothing])
    assert found[valve] > found[pumps] > found[nothing] == 0.0
    assert store.rate({"?": 1.0}, [pumps]) == {pumps: 0.0}
    assert store.rate({}, [pumps]) == {pumps: 0.0}
    assert store.rate({"pump": 1.0}, []) == {}


def test_a_chunk_that_is_gone_is_not_rated(store):
    document = added(store, a_draft("a pump"))
    (chunk, _), *_ = store.match([["pump"]], 1)
    store.remove(document.id)
    assert store.rate({"pump": 1.0}, [chunk]) == {}


def test_the_title_the_headings_and_a_tables_header_are_rated_too(store):
    draft = a_draft("3 | 7", title="Quarterly", heading="Pumps > Limits")
    added(store, replace(draft, chunks=(replace(draft.chunks[0], lead="Month | Output"),)))
    (chunk, _), *_ = store.match([["output"]], 1)
    assert all(store.rate({word: 1.0}, [chunk])[chunk] > 0 for word in ("quarterly", "limits", "output"))


@pytest.mark.parametrize(
    "hostile",
    [
        '"',
        '" OR "',
        "*",
        "NEAR(a b)",
        "context:secret",
        "-secret",
        "a\0b",
        "^",
        "'; DROP TABLE chunk",
        "()",
        "",
        "_",
    ],
)
def test_nothing_in_a_query_is_syntax(store, hostile):
    added(store, a_draft("secret", "plain"))
    found = store.match([[hostile], ["plain"]], 9)
    texts = [p.text for p in store.passages([Hit(chunk, 1.0, ("words",)) for chunk, _ in found])]
    assert "plain" in texts
    assert store.match([[hostile, "nowhere"]], 9) == []
    assert store.chunk_count() == 2


def test_a_query_of_nothing_finds_nothing(store):
    added(store, a_draft("plain"))
    assert store.match([], 9) == store.match([[]], 9) == store.match([["!?"]], 9) == []
    assert store.match([["plain"]], 0) == []


def test_a_very_long_query_is_answered(store):
    added(store, a_draft("plain word"))
    assert len(store.match([["word"], *([f"w{n}"] for n in range(3000))], 9)) == 1


def test_document_frequency_counts_chunks_in_any_inflection(store):
    added(store, a_draft("a pump", "two pumps, pumps", "a valve"))
    counts = store.document_frequency(["pump", "Pumps", "valve", "a pump", "absent", "?"])
    assert counts == {"pump": 2, "Pumps": 2, "valve": 1, "a pump": 2, "absent": 0, "?": 0}


def test_analysed_words_find_what_they_were_analysed_from(store):
    added(store, a_draft("Die große Datenbanken-Übersicht: databases, 3.5 kPa"))
    words = store.analyse("Große Databases: 3.5 kPa!")
    assert len(words) == 5
    assert all(count == 1 for count in store.document_frequency(words).values())
    assert len(store.match([words[:1]], 9)) == 1
    assert len(store.match([words[-3:]], 9)) == 1


def test_neighbours_are_exact_by_cosine_and_come_best_first(store):
    vectors = unit_vectors(50, seed=3)
    added(store, a_draft(*(f"chunk {n}" for n in range(50))), vectors=vectors)
    query = unit_vectors(1, seed=4)[0]
    found = store.nearest(query, 10)
    order = np.argsort(-(vectors @ query))[:10]
    texts = [p.text for p in store.passages([Hit(chunk, 1.0, ("vectors",)) for chunk, _ in found])]
    assert texts == [f"chunk {n}" for n in order]
    assert [score for _, score in found] == pytest.approx(
        sorted(vectors @ query, reverse=True)[:10], abs=1e-6
    )


def test_vectors_come_back_bit_for_bit_in_the_order_asked(store):
    vectors = unit_vectors(5)
    added(store, a_draft("a", "b", "c", "d", "e"), vectors=vectors)
    ids = [store.nearest(vectors[n], 1)[0][0] for n in (3, 0, 4)]
    assert np.array_equal(store.vectors(ids), vectors[[3, 0, 4]])
    assert store.vectors([]).shape == (0, 384)
    with pytest.raises(UsageError):
        store.vectors([10**6])


@pytest.mark.parametrize(
    "vector", [np.zeros(384, np.float32), np.full(384, np.inf, np.float32), unit_vectors(1)]
)
def test_a_query_that_is_not_one_unit_vector_is_refused(store, vector):
    with pytest.raises(UsageError):
        store.nearest(vector, 1)


def test_passages_keep_the_hits_order_score_and_finders(store):
    document = added(store, a_draft("alpha", "beta", heading="Part 1"))
    (alpha, _), (beta, _) = (store.match([[word]], 1)[0] for word in ("alpha", "beta"))
    hits = [Hit(beta, 0.5, ("words", "vectors")), Hit(10**6, 0.4, ("words",)), Hit(alpha, 0.25, ("vectors",))]
    second, first = store.passages(hits)
    assert (second.text, second.page, second.start, second.score) == ("beta", 2, 6, 0.5)
    assert (first.text, first.document, first.document_id) == ("alpha", "manual.txt", document.id)
    assert (second.found_by, first.found_by) == (("words", "vectors"), ("vectors",))
    assert (first.heading, first.lead, first.chunk) == ("Part 1", "", alpha)
    assert store.neighbours(alpha) == (beta,)
    assert store.neighbours(beta) == (alpha,)
    assert store.neighbours(10**6) == ()


def test_settings_are_kept(store):
    assert store.setting("embedding") is None
    for value in ("minilm", "other"):
        store.set_setting("embedding", value)
        assert store.setting("embedding") == value


def test_the_write_lock_nests(store):
    with store.writing(), store.writing():
        added(store, a_draft("inside"))
    with store.writing():
        assert len(store.documents()) == 1


def test_a_sound_store_passes_its_checks(store):
    added(store, a_draft("one", "two"))
    store.begin(a_draft("pending", source="/in/other.txt"), model=ENCODER)
    for full in (False, True):
        assert all(check.ok for check in store.check(full=full))
