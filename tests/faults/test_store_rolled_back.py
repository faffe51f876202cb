"""Older pages, files, logs and anchors put back: noticed at the opening or before an answer uses them."""

from __future__ import annotations

import itertools

import pytest

from appliance.errors import IntegrityError, RolledBack, StoreDamaged, by_name
from appliance.types import Hit
from appliance.vault.access.keys import DataKey
from appliance.vault.seal.anchor import Anchor, State
from appliance.vault.seal.macs import Sealer
from appliance.vault.store import create_store, open_store, reanchor, seal_anew
from tests import tamper
from tests.stores import ENCODER, a_draft, a_key, added, noon, unit_vectors

CIPHERS = ["sqlcipher", "aegis", "chacha20"]


@pytest.fixture(scope="module", params=CIPHERS)
def specimen(request, tmp_path_factory):
    return tamper.build(tmp_path_factory.mktemp("past"), request.param)


@pytest.fixture
def kept(tmp_path):
    """A store with two documents, closed."""
    store = create_store(tmp_path, a_key(), clock=noon)
    added(store, a_draft("one pump", "two valve", source="/in/a.txt"), vectors=unit_vectors(2))
    added(store, a_draft("three pump", "four valve", source="/in/b.txt"), vectors=unit_vectors(2, seed=2))
    store.close()
    return tmp_path


def _open(path) -> object:
    return open_store(path, a_key(), clock=noon)


def _rewrite(path, *statements):
    """Change rows as somebody would who has the page key and not the seal's."""
    store = _open(path)
    for statement, values in statements:
        store._database.run(statement, values)
    store.close()


def test_the_newest_files_are_right(specimen, tmp_path):
    files = [specimen.whole[-1], specimen.logged[-1]]
    assert tamper.count(tmp_path / "put", specimen, files) == {"right": 2}


def test_no_older_page_makes_a_wrong_answer(specimen, tmp_path):
    cases = list(tamper.older_pages(specimen))
    found = tamper.count(tmp_path / "put", specimen, cases[:: 1 if specimen.cipher == "aegis" else 5])
    assert found["wrong"] == 0
    assert found["not opened"] > 3
    assert found["refused"] > 10


def test_every_older_file_is_refused_at_the_opening(specimen, tmp_path):
    found = tamper.count(tmp_path / "put", specimen, tamper.older_files(specimen))
    assert found == {"not opened": len(specimen.whole) - 1}


def test_every_older_log_is_refused_at_the_opening(specimen, tmp_path):
    found = tamper.count(tmp_path / "put", specimen, tamper.older_logs(specimen))
    assert found == {"not opened": 2 * (len(specimen.logged) - 1)}


def test_a_log_cut_anywhere_is_refused_at_the_opening(specimen, tmp_path):
    cases = list(tamper.cut_logs(specimen))
    found = tamper.count(tmp_path / "put", specimen, cases[:: 1 if specimen.cipher == "aegis" else 10])
    assert set(found) == {"not opened"}
    assert len(cases) > 200


def test_an_older_or_spoilt_anchor_is_refused_at_the_opening(specimen, tmp_path):
    cases = list(tamper.other_anchors(specimen))
    assert tamper.count(tmp_path / "put", specimen, cases) == {"not opened": len(cases)}


def test_flips_and_torn_pages_make_no_wrong_answer(specimen, tmp_path):
    cases = itertools.chain(tamper.flips(specimen, 60, seed=1), tamper.torn_pages(specimen, 60, seed=1))
    found = tamper.count(tmp_path / "put", specimen, cases)
    assert found["wrong"] == 0
    assert found["not opened"] + found["refused"] > 40


SWAP = (
    "UPDATE chunk SET {0} = (SELECT {0} FROM chunk AS other WHERE other.id = 5 - chunk.id) WHERE id IN (1, 4)"
)


@pytest.mark.parametrize("column", ["text", "start", "page"])
def test_chunks_swapped_between_documents_are_refused(kept, column):
    _rewrite(
        kept, ("UPDATE chunk SET start = start + 1, page = 9 WHERE id = 4", ()), (SWAP.format(column), ())
    )
    store = _open(kept)
    with pytest.raises(RolledBack):
        store.passages([Hit(4, 1.0, ("words",))])
    assert [check.name for check in store.check(full=True) if not check.ok]
    store.close()


@pytest.mark.parametrize("columns", ["bits", "value", "both"])
def test_swapped_vectors_are_refused(kept, columns):
    store = _open(kept)
    (one, four) = store._database.rows("SELECT bits, value FROM vector WHERE id IN (1, 4)")
    store.close()
    swapped = {
        "bits": ((four[0], one[1]), (one[0], four[1])),
        "value": ((one[0], four[1]), (four[0], one[1])),
    }
    new = swapped.get(columns, (four, one))
    insert = "INSERT INTO vector (id, bits, value) VALUES (?, vec_bit(?), ?)"
    _rewrite(
        kept,
        ("DELETE FROM vector WHERE id IN (1, 4)", ()),
        *((insert, (number, *row)) for number, row in zip((1, 4), new, strict=True)),
    )
    store = _open(kept)
    with pytest.raises(RolledBack):
        store.nearest(unit_vectors(2)[0], 1)
    assert "vectors" in [check.name for check in store.check(full=True) if not check.ok]
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE document SET name = 'other.txt' WHERE id = 1",
        "UPDATE document SET text = 'other' WHERE id = 1",
        "UPDATE document SET state = 'pending' WHERE id = 1",
        "UPDATE page SET start = 1 WHERE document = 1 AND number = 2",
        "DELETE FROM page WHERE document = 1",
        "DELETE FROM chunk WHERE id = 1",
        "DELETE FROM vector WHERE id = 1",
        "DELETE FROM leaf WHERE document = 1",
        "UPDATE leaf SET signs = x'00' WHERE document = 1",
        "UPDATE seal SET text_mac = x'00' WHERE document = 1",
    ],
)
def test_any_changed_row_is_refused_when_it_is_read(kept, statement):
    _rewrite(kept, (statement, ()))
    store = _open(kept)
    with pytest.raises(RolledBack):
        _ask_all(store)
    store.close()


def _ask_all(store):
    store.documents()
    store.pages(1)
    store.passages([Hit(1, 1.0, ("words",))])
    store.nearest(unit_vectors(2)[0], 9)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM seal WHERE document = 1",
        "UPDATE seal SET node = (SELECT node FROM seal WHERE document = 2) WHERE document = 1",
        "INSERT INTO setting (key, value) VALUES ('embedding', 'other')",
        "UPDATE head SET sequence = sequence - 1",
        "UPDATE head SET words = x'00'",
        "DELETE FROM head",
        "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'chunk'",
        "PRAGMA user_version = 1",
    ],
)
def test_what_hangs_from_the_head_is_refused_at_the_opening(kept, statement):
    _rewrite(kept, (statement, ()))
    with pytest.raises(RolledBack) as caught:
        _open(kept)
    assert caught.value.exit_code == 6
    assert "repair" in caught.value.hint


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.match([["valve"]], 9),
        lambda store: store.document_frequency(["valve"]),
        lambda store: store.remove(1),
        lambda store: added(store, a_draft("new")),
        lambda store: store.prepare(),
    ],
)
def test_another_words_index_is_refused_before_anything_uses_it(kept, ask):
    _rewrite(
        kept, ("INSERT INTO words (words, rowid, context, body) VALUES ('delete', 1, 'Manual', 'pump')", ())
    )
    store = _open(kept)
    with pytest.raises(RolledBack, match="words index"):
        ask(store)
    assert "words sum" in [check.name for check in store.check(full=False) if not check.ok]
    store.close()


def test_the_error_is_known_by_name_and_is_an_integrity_error():
    assert by_name("RolledBack") is RolledBack
    assert issubclass(RolledBack, IntegrityError)


def test_a_change_on_top_of_a_rolled_back_chunk_is_refused(kept):
    """Taking out the terms of a text that was not put in would spoil the words index for good."""
    _rewrite(kept, ("UPDATE chunk SET text = 'other' WHERE id = 1", ()))
    store = _open(kept)
    with pytest.raises(RolledBack):
        store.remove(1)
    assert len(store.match([["valve"]], 9)) == 2
    store.close()


def test_an_older_anchor_put_back_meanwhile_stops_the_next_change(kept):
    older = (kept / "anchor").read_bytes()
    store = _open(kept)
    store.set_setting("a", "b")
    (kept / "anchor").write_bytes(older)
    with pytest.raises(RolledBack):
        store.set_setting("a", "c")
    assert store.setting("a") == "b"
    store.close()


# The anchor by itself


def _anchor(path):
    return Anchor(path / "anchor", Sealer(bytearray(32), bytes(16)))


def _states(count):
    return [State(number, bytes([number]) * 32) for number in range(1, count + 1)]


def test_an_anchor_keeps_the_last_that_was_written(tmp_path):
    anchor = _anchor(tmp_path)
    for number, state in enumerate(_states(5)):
        anchor.write([state])
        assert anchor.read().states == (state,)
        assert anchor.read().count == number
    assert (tmp_path / "anchor").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", [0, 1])
def test_a_torn_slot_leaves_the_other(tmp_path, torn):
    anchor, states = _anchor(tmp_path), _states(4)
    for state in states:
        anchor.write([state])
    data = bytearray((tmp_path / "anchor").read_bytes())
    data[torn * 4096 + 100 : torn * 4096 + 512] = bytes(412)
    (tmp_path / "anchor").write_bytes(data)
    assert anchor.read().states == (states[3 if torn == 0 else 2],)
    anchor.write([State(9, bytes(32))])
    assert None not in anchor.slots()
    assert anchor.read().states == (State(9, bytes(32)),)


def test_an_anchor_of_another_vault_or_key_is_none(tmp_path):
    _anchor(tmp_path).write(_states(1))
    for sealer in (Sealer(bytearray(32), bytes([1]) * 16), Sealer(bytearray([1]) * 32, bytes(16))):
        with pytest.raises(RolledBack, match="not authentic"):
            Anchor(tmp_path / "anchor", sealer).read()


def test_a_link_in_the_anchors_place_is_not_followed(tmp_path):
    anchor = _anchor(tmp_path)
    anchor.write(_states(1))
    (tmp_path / "anchor").rename(tmp_path / "elsewhere")
    (tmp_path / "anchor").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RolledBack):
        anchor.read()


# Repair


def test_a_missing_anchor_is_an_error_and_the_key_holder_may_accept_the_store(kept):
    (kept / "anchor").unlink()
    with pytest.raises(RolledBack, match="missing"):
        _open(kept)
    assert not (kept / "anchor").exists()
    store = reanchor(kept, a_key(), clock=noon)
    before = store.sequence
    store.close()
    store = _open(kept)
    assert store.sequence == before
    assert all(check.ok for check in store.check(full=True))
    store.close()


def test_an_older_file_can_be_accepted_and_counts_on_after_what_the_anchor_knew(kept):
    older = (kept / "store.db").read_bytes()
    store = _open(kept)
    store.remove(2)
    newest = store.sequence
    store.close()
    (kept / "store.db").write_bytes(older)
    with pytest.raises(RolledBack, match="older"):
        _open(kept)
    store = reanchor(kept, a_key(), clock=noon)
    assert store.sequence > newest
    assert len(store.documents()) == 2
    store.set_setting("goes", "on")
    store.close()
    _open(kept).close()


def test_what_does_not_agree_with_itself_cannot_be_accepted(kept):
    _rewrite(kept, ("UPDATE chunk SET text = 'other' WHERE id = 1", ()))
    anchor = (kept / "anchor").read_bytes()
    with pytest.raises(StoreDamaged):
        reanchor(kept, a_key(), clock=noon)
    assert (kept / "anchor").read_bytes() == anchor


def test_a_store_is_sealed_anew_under_another_key(kept):
    store = _open(kept)
    digest, head = store.content_digest(), store.head
    store.reseal()
    assert store.content_digest() == digest
    assert store.head != head
    assert all(check.ok for check in store.check(full=True))
    store.close()
    store = seal_anew(kept, a_key(), clock=noon)
    assert store.content_digest() == digest
    store.close()


# Before there were seals


def _unseal(path):
    _rewrite(
        path,
        *((f"DROP TABLE {table}", ()) for table in ("seal", "leaf", "head")),
        ("PRAGMA user_version = 1", ()),
    )


def test_a_store_from_before_is_sealed_when_it_is_opened(kept):
    store = _open(kept)
    digest = store.content_digest()
    store.close()
    _unseal(kept)
    (kept / "anchor").unlink()
    store = _open(kept)
    assert store.content_digest() == digest
    assert all(check.ok for check in store.check(full=True))
    store.close()
    _open(kept).close()


def test_a_store_from_before_put_back_beside_an_anchor_is_refused(kept):
    _unseal(kept)
    with pytest.raises(RolledBack, match="before it was sealed"):
        _open(kept)


# What is removed


def test_nothing_of_the_seal_of_a_removed_document_is_left(kept):
    store = _open(kept)
    leaves = [store.leaf(chunk) for chunk in (3, 4)]
    rows = store._database.rows("SELECT node, text_mac, pages_mac, blocks FROM seal WHERE document = 2")
    macs = [
        *leaves,
        *rows[0],
        *(row[0] for row in store._database.rows("SELECT signs FROM leaf WHERE document = 2")),
    ]
    assert all(mac in store._database.image() for mac in macs)
    store.remove(2)
    assert not any(mac in store._database.image() for mac in macs)
    assert store.leaf(1) in store._database.image()
    store.close()


def test_the_digest_tells_contents_apart_and_nothing_else(tmp_path):
    digests = []
    for cipher, secret, text in (("aegis", 7, "one"), ("chacha20", 8, "one"), ("aegis", 7, "two")):
        path = tmp_path / f"{cipher}{text}"
        path.mkdir()
        key: DataKey = a_key(cipher, secret=secret)
        store = create_store(path, key, clock=noon)
        if cipher == "chacha20":
            store.remove(added(store, a_draft("gone")).id)
        added(store, a_draft(text))
        digests.append(store.content_digest())
        store.close()
    assert digests[0] == digests[1] != digests[2]


def test_pending_documents_are_sealed_and_gone_on_with(kept):
    draft, vectors = a_draft("a", "b", "c"), unit_vectors(3)
    store = _open(kept)
    begun = store.begin(draft, model=ENCODER)
    store.append(begun.document_id, draft.chunks[:2], vectors[:2])
    store.close()
    store = _open(kept)
    assert store.begin(draft, model=ENCODER).done == 2
    store.append(begun.document_id, draft.chunks[2:], vectors[2:])
    store.finish(begun.document_id)
    assert len(store.nearest(vectors[0], 9)) == 7
    store.close()
