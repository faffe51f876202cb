"""What a vault does that must survive anything, each with its promise: what `tests/killing.py` runs."""

from __future__ import annotations

import json

from appliance.errors import VaultErased, VaultMissing, WrongSecret
from appliance.secret import Secret
from appliance.vault import erasure, folder, rewrite
from appliance.vault.access import keys
from appliance.vault.access.keyfile import FLOOR
from tests.killing import Scenario
from tests.stores import ENCODER, a_draft, added, noon, unit_vectors

TEXTS = [f"pump number{n} delivers {n} litres " + "of water " * 40 for n in range(12)]
DRAFT = a_draft(*TEXTS, source="/in/added.txt")
VECTORS = unit_vectors(len(TEXTS))
BATCH = 3
FILES = {"anchor", "keys", "keys.bak", "open.lock", "store.db", "write.lock"}


def passphrase(text="secret"):
    return Secret.passphrase(bytearray(text.encode()))


def opened(path, text="secret"):
    return folder.open_vault(path, passphrase(text), clock=noon)


def _opens(path, text):
    try:
        opened(path, text).close()
    except WrongSecret:
        return False
    return True


def content(path):
    """The digest of a vault, which must be sound and have nothing lying about."""
    store = opened(path)
    try:
        wrong = [check for check in store.check(full=True) if not check.ok]
        assert wrong == [], wrong
        digest = store.content_digest()
    finally:
        store.close()
    assert {found.name for found in path.iterdir()} - {"audit.log"} == FILES, list(path.iterdir())
    return digest


def _vault(work):
    """A vault with two secrets, two documents and a gap in its rowids; and beside it what it holds."""
    path = work / "main"
    store = folder.create_vault(path, passphrase(), clock=noon, kdf=FLOOR)
    gone = added(store, a_draft(*TEXTS, source="/in/gone.txt"))
    added(store, a_draft("the kept valve", source="/in/kept.txt"))
    added(store, a_draft(*TEXTS, source="/in/removed.txt"))
    store.remove(gone.id)
    store.close()
    with folder.unlocked(path, passphrase()) as key:
        keys.add_slot(path, key, passphrase("another"), kdf=FLOOR, clock=noon)
    (path / "audit.log").write_bytes(b"a line of the log\n")
    (work / "digest").write_text(content(path))


def _same(work, name="main"):
    assert content(work / name) == (work / "digest").read_text()


# Adding and removing


def _add(work, acknowledge):
    store = opened(work / "main")
    resume = store.begin(DRAFT, model=ENCODER)
    for at in range(resume.done, len(TEXTS), BATCH):
        store.append(resume.document_id, DRAFT.chunks[at : at + BATCH], VECTORS[at : at + BATCH])
        acknowledge(str(at + BATCH))
    store.finish(resume.document_id)
    acknowledge("finished")
    store.close()


def _added(work, acknowledged):
    content(work / "main")
    store = opened(work / "main")
    assert len(store.match([["valve"]], 9)) == 1
    if store.by_source(DRAFT.source) is None:
        assert "finished" not in acknowledged
        done = max((int(number) for number in acknowledged), default=0)
        assert done <= store.begin(DRAFT, model=ENCODER).done <= done + BATCH
    else:
        assert len(store.match([["pump"]], 99)) == 2 * len(TEXTS)
    store.close()
    _add(work, lambda _: None) if "finished" not in acknowledged else None
    content(work / "main")


def _remove(work, acknowledge):
    store = opened(work / "main")
    store.remove(store.by_source("/in/removed.txt").id)
    acknowledge("removed")
    store.close()


def _removed(work, acknowledged):
    content(work / "main")
    store = opened(work / "main")
    document = store.by_source("/in/removed.txt")
    assert len(store.match([["pump"]], 99)) == (0 if document is None else len(TEXTS))
    assert document is None or "removed" not in acknowledged
    if document is not None:
        store.remove(document.id)
    assert b"litres" not in store._database.image()
    store.close()
    content(work / "main")


# Key file and rewriting


def _change_slots(work, acknowledge):
    with folder.unlocked(work / "main", passphrase()) as key:
        keys.add_slot(work / "main", key, passphrase("third"), kdf=FLOOR, clock=noon)
        acknowledge("added")
        keys.remove_slot(work / "main", key, 2)
        acknowledge("removed")


def _slots_changed(work, acknowledged):
    _same(work)
    assert _opens(work / "main", "third") or "added" not in acknowledged
    assert not (_opens(work / "main", "another") and "removed" in acknowledged)
    assert _opens(work / "main", "another") or _opens(work / "main", "third")


def _rotate(work, acknowledge):
    rewrite.rotate(work / "main", passphrase(), cipher="aegis", kdf=FLOOR, clock=noon)
    acknowledge("rotated")


def _rotated(work, acknowledged):
    dropped_opens = _opens(work / "main", "another")  # first: it may be the one that has to settle this
    _same(work)
    with folder.unlocked(work / "main", passphrase()) as key:
        done = key.cipher == "aegis"
    assert done or "rotated" not in acknowledged
    assert dropped_opens is not done
    rewrite.rotate(work / "main", passphrase(), cipher="chacha20", kdf=FLOOR, clock=noon)
    _same(work)


def _back_up(work, acknowledge):
    rewrite.backup(work / "main", passphrase(), work / "copy", kdf=FLOOR, clock=noon)
    acknowledge("backed up")


def _backed_up(work, acknowledged):
    _same(work)
    assert (work / "copy").exists() or "backed up" not in acknowledged
    if not (work / "copy").exists():
        _back_up(work, lambda _: None)
    assert (work / "copy" / "audit.log").read_bytes() == b"a line of the log\n"
    _same(work, "copy")
    assert {found.name for found in work.iterdir()} == {"main", "copy", "digest"}


def _vault_and_copy(work):
    _vault(work)
    _back_up(work, lambda _: None)


def _restore(work, acknowledge):
    rewrite.restore(work / "copy", passphrase(), work / "back", kdf=FLOOR, clock=noon)
    acknowledge("restored")


def _restored(work, acknowledged):
    assert (work / "back").exists() or "restored" not in acknowledged
    if not (work / "back").exists():
        _restore(work, lambda _: None)
    for name in ("back", "copy", "main"):
        _same(work, name)
    assert {found.name for found in work.iterdir()} == {"main", "copy", "back", "digest"}


def _erase(work, acknowledge):
    erasure.erase(work / "main", clock=noon)
    acknowledge("erased")


def _erased(work, acknowledged):
    """All or nothing: it opens whole, or it is erased and nothing that holds a key is left."""
    if not (work / "main" / erasure.RECORD).exists():
        assert acknowledged == []
        _same(work)
        return
    for text in ("secret", "another"):
        try:
            opened(work / "main", text)
        except VaultErased:
            continue
        raise AssertionError("an erased vault was opened")
    left = {found.name for found in (work / "main").iterdir()}
    assert left == {"erased.json", "audit.log", "open.lock", "write.lock"}, left
    assert json.loads((work / "main" / erasure.RECORD).read_text())["finished"]


def _create(work, acknowledge):
    folder.create_vault(work / "new" / "main", passphrase(), clock=noon, kdf=FLOOR).close()
    acknowledge("created")


def _created(work, acknowledged):
    path = work / "new" / "main"
    try:
        opened(path).close()
    except VaultMissing:
        assert acknowledged == []
        _create(work, lambda _: None)
    content(path)
    assert [found.name for found in path.parent.iterdir()] == ["main"]


ADD = Scenario("add", _vault, _add, _added)
REMOVE = Scenario("remove", _vault, _remove, _removed)
SLOTS = Scenario("slots", _vault, _change_slots, _slots_changed)
ROTATE = Scenario("rotate", _vault, _rotate, _rotated)
BACKUP = Scenario("backup", _vault, _back_up, _backed_up)
RESTORE = Scenario("restore", _vault_and_copy, _restore, _restored)
ERASE = Scenario("erase", _vault, _erase, _erased)
CREATE = Scenario("create", lambda _: None, _create, _created)
ALL = (ADD, REMOVE, SLOTS, ROTATE, BACKUP, RESTORE, ERASE, CREATE)
