"""kill -9 anywhere: what was acknowledged is there, what was not is whole or absent, nothing is damaged."""

from __future__ import annotations

import pytest

from appliance.errors import StorageFull, VaultMissing
from appliance.secret import Secret
from appliance.vault import folder
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.store import create_store, open_store
from tests.stores import ENCODER, a_draft, a_key, added, noon, unit_vectors
from tests.victims import killed_after, without_room

TEXTS = [f"pump number{n} delivers {n} litres" for n in range(12)]


@pytest.fixture
def kept(tmp_path):
    """A store with one ready document, closed."""
    store = create_store(tmp_path, a_key(), clock=noon)
    added(store, a_draft("the kept valve", source="/in/kept.txt"))
    store.close()
    return tmp_path


def _open(path):
    return open_store(path, a_key(), clock=noon)


def _assert_sound(store):
    assert [check for check in store.check(full=True) if not check.ok] == []
    assert "kept.txt" in [document.name for document in store.documents()]
    assert len(store.match([["valve"]], 9)) == 1


@pytest.mark.parametrize("calls", [1, 20, 60, 100, 150, 200, 260, 320, 400, 100_000])
def test_a_creation_leaves_a_whole_vault_or_none(tmp_path, calls):
    path = tmp_path / "vaults" / "main"

    def create():
        folder.create_vault(path, Secret.passphrase(bytearray(b"secret")), clock=noon, kdf=FLOOR).close()

    killed = killed_after(calls, create)
    assert killed or path.exists()
    if path.exists():
        folder.open_vault(path, Secret.passphrase(bytearray(b"secret")), clock=noon).close()
    else:
        with pytest.raises(VaultMissing):
            folder.open_vault(path, Secret.passphrase(bytearray(b"secret")), clock=noon)
        create()
    assert [found.name for found in path.parent.iterdir()] == ["main"]


@pytest.mark.parametrize("calls", [*range(5, 400, 23), 100_000])
def test_an_add_goes_on_after_the_batches_that_were_acknowledged(kept, calls):
    draft, vectors, acknowledged = a_draft(*TEXTS), unit_vectors(len(TEXTS)), kept / "acknowledged"

    def add():
        store = _open(kept)
        resume = store.begin(draft, model=ENCODER)
        for at in range(resume.done, len(TEXTS), 3):
            store.append(resume.document_id, draft.chunks[at : at + 3], vectors[at : at + 3])
            acknowledged.write_text(str(at + 3))
        store.finish(resume.document_id)

    killed_after(calls, add)
    store = _open(kept)
    _assert_sound(store)
    done = int(acknowledged.read_text()) if acknowledged.exists() else 0
    if store.by_source(draft.source) is None:
        assert done <= store.begin(draft, model=ENCODER).done <= done + 3
    store.close()
    add()
    store = _open(kept)
    _assert_sound(store)
    assert len(store.match([["pump"]], 99)) == store.by_source(draft.source).chunks == len(TEXTS)
    store.close()


@pytest.mark.parametrize("calls", [*range(5, 160, 11), 100_000])
def test_a_removal_happened_or_did_not(kept, calls):
    store = _open(kept)
    document = added(store, a_draft(*TEXTS))
    store.close()
    killed_after(calls, lambda: _open(kept).remove(document.id))
    store = _open(kept)
    _assert_sound(store)
    assert len(store.match([["pump"]], 99)) == store.chunk_count() - 1 in (0, len(TEXTS))
    store.remove(document.id)
    assert b"litre" not in store._database.image()
    _assert_sound(store)
    store.close()


@pytest.mark.parametrize("calls", [*range(5, 160, 11), 100_000])
def test_an_update_shows_the_old_version_or_the_new(kept, calls):
    store = _open(kept)
    added(store, a_draft("old words"))
    draft = a_draft("new words")
    begun = store.begin(draft, model=ENCODER)
    store.append(begun.document_id, draft.chunks, unit_vectors(1))
    store.close()
    killed_after(calls, lambda: _open(kept).finish(begun.document_id))
    store = _open(kept)
    _assert_sound(store)
    found = [len(store.match([[word]], 9)) for word in ("old", "new")]
    assert found in ([1, 0], [0, 1])
    assert store.text(store.by_source(draft.source).id) == ("old words" if found[0] else "new words")
    store.close()


@pytest.mark.parametrize("room", [0, 4096, 20_000, 60_000])
def test_a_full_disk_is_said_and_keeps_what_was_acknowledged(kept, room):
    draft, vectors = a_draft(*(text * 200 for text in TEXTS)), unit_vectors(len(TEXTS))
    store = _open(kept)
    begun = store.begin(draft, model=ENCODER)
    store.append(begun.document_id, draft.chunks[:1], vectors[:1])
    store.close()

    def go_on():
        store = _open(kept)
        for at in range(1, len(TEXTS)):
            store.append(begun.document_id, draft.chunks[at : at + 1], vectors[at : at + 1])

    # The write-ahead log starts anew, so this bounds the log; the file itself is longer already.
    assert without_room(room, go_on, expected=StorageFull)
    store = _open(kept)
    _assert_sound(store)
    assert store.begin(draft, model=ENCODER).done >= 1
    store.close()
