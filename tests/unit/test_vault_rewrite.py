"""New key, same content: rotation, conversion, backup, restore."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from appliance.errors import (
    KeyFileError,
    RolledBack,
    StorageFull,
    StoreDamaged,
    UsageError,
    VaultBusy,
    VaultExists,
    VaultMissing,
    WrongSecret,
)
from appliance.secret import Secret
from appliance.vault import folder, rewrite, store
from appliance.vault.access import keys
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.audit import logfile
from appliance.vault.database.engine import Database
from tests import steps
from tests.killing import quick_slots
from tests.stores import ENCODER, a_draft, a_key, added, noon, unit_vectors
from tests.victims import in_child

CIPHERS = ["sqlcipher", "aegis", "chacha20"]
CANARY = "canary of the deep sea valve"
TEXTS = [f"{CANARY}: pump number{n} delivers {n} litres" for n in range(30)]
FILES = {"anchor", "keys", "keys.bak", "open.lock", "store.db", "write.lock"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quick_slots(monkeypatch)


def passphrase(text="secret"):
    return Secret.passphrase(bytearray(text.encode()))


def opened(path, secret=None):
    return folder.open_vault(path, secret or passphrase(), clock=noon)


def rotated(path, **how):
    return rewrite.rotate(path, passphrase(), kdf=FLOOR, clock=noon, **how)


def backed_up(path, target, **how):
    return rewrite.backup(path, passphrase(), target, kdf=FLOOR, clock=noon, **how)


def restored(source, path, **how):
    return rewrite.restore(source, passphrase(), path, kdf=FLOOR, clock=noon, **how)


def content(path, secret=None):
    """The digest of a vault that is sound."""
    vault = opened(path, secret)
    try:
        assert [check for check in vault.check(full=True) if not check.ok] == []
        return vault.content_digest()
    finally:
        vault.close()


def names(path):
    return {found.name for found in path.iterdir()}


@pytest.fixture
def old_log(tmp_path_factory):
    """Where the vault's write-ahead log is kept as it was before the vault was closed."""
    return tmp_path_factory.mktemp("kept") / "store.db-wal"


@pytest.fixture
def vault(tmp_path, old_log):
    """A closed vault with gaps in its rowids, a pending document and a setting."""
    path = tmp_path / "main"
    made = folder.create_vault(path, passphrase(), clock=noon, kdf=FLOOR)
    gone = added(made, a_draft(*TEXTS, source="/in/gone.txt"))
    added(made, a_draft(*TEXTS))
    made.remove(gone.id)
    pending = a_draft(*TEXTS, source="/in/pending.txt")
    begun = made.begin(pending, model=ENCODER)
    made.append(begun.document_id, pending.chunks[:7], unit_vectors(7))
    made.set_setting("language", "de")
    shutil.copy(path / "store.db-wal", old_log)
    made.close()
    return path


def test_conversion_among_the_ciphers_keeps_content_and_changes_every_key(vault):
    before = content(vault)
    files, salts = set(), set()
    for cipher in ("aegis", "chacha20", "sqlcipher", "chacha20", "aegis", "sqlcipher"):
        made = rotated(vault, cipher=cipher)
        assert content(vault) == before == made.digest
        assert made.size == (vault / "store.db").stat().st_size
        assert keys.unlock(vault, passphrase()).cipher == cipher
        files.add((vault / "keys").read_bytes())
        salts.add((vault / "store.db").read_bytes()[:16])
        assert names(vault) == FILES
        assert {found.stat().st_mode & 0o777 for found in vault.iterdir()} == {0o600}
    assert len(files) == len(salts) == 6


def test_ids_survive_so_that_what_was_said_of_a_chunk_stays_true(vault):
    before = opened(vault)
    found, near = before.match([["pump"]], 99), before.nearest(unit_vectors(3)[2], 9)
    ids = [document.id for document in before.documents()]
    before.close()
    rotated(vault)
    after = opened(vault)
    assert after.match([["pump"]], 99) == found
    assert after.nearest(unit_vectors(3)[2], 9) == near
    assert [document.id for document in after.documents()] == ids
    assert after.begin(a_draft(*TEXTS, source="/in/pending.txt"), model=ENCODER).done == 7
    assert added(after, a_draft("new", source="/in/new.txt")).id > max(ids)
    after.close()


def test_the_copy_begins_with_its_salt_and_holds_no_word_nor_key(vault, tmp_path):
    key = a_key("aegis", secret=9)
    page_key, salt = key.page_key(), key.page_salt()
    old = keys.unlock(vault, passphrase())
    database = Database(vault / "store.db", cipher=old.cipher, key=old.page_key(), salt=old.page_salt())
    (tmp_path / "alone").mkdir()
    database.copy_to(tmp_path / "alone" / "copy", cipher="aegis", key=page_key, salt=salt, tick=lambda: None)
    image = database.image()
    database.close()
    assert names(tmp_path / "alone") == {"copy"}
    data = (tmp_path / "alone" / "copy").read_bytes()
    assert data[:16] == salt
    assert CANARY.encode() in image
    for secret in (CANARY.encode(), bytes(page_key), page_key.hex().encode()):
        assert secret not in data
    with pytest.raises(StoreDamaged):
        Database(tmp_path / "alone" / "copy", cipher="aegis", key=old.page_key(), salt=salt)


def test_no_byte_that_goes_to_the_disk_is_readable_and_no_name_holds_a_key(vault):
    """Below the cipher, temporary files too: SQLite is given the new key as a part of a file's name."""

    def act():
        written, told_of = [], []

        def told(step, take):
            written.append(step.data or b"")
            told_of.append(str(step.path))
            return take()

        steps.watch(told)
        rotated(vault, cipher="chacha20")
        with folder.unlocked(vault, passphrase()) as key:
            page_key = key.page_key()
        everything = b"".join(written)
        assert len(everything) > (vault / "store.db").stat().st_size
        assert f"{store.FILE}.next" in {name.rpartition("/")[2] for name in told_of}
        for secret in (CANARY.encode(), CANARY.encode("utf-16-le"), bytes(page_key), page_key.hex().encode()):
            assert secret not in everything
        assert page_key.hex() not in " ".join(told_of)

    assert in_child(act) == 0


def test_what_was_left_behind_no_longer_opens_and_is_named(vault):
    with folder.unlocked(vault, passphrase()) as key:
        keys.add_slot(vault, key, passphrase("another"), kdf=FLOOR, clock=noon)
        page_key = key.export_page_key()
    with folder.unlocked(vault, passphrase("another")):
        pass
    dropped = rotated(vault).dropped
    assert [(slot.number, slot.kind) for slot in dropped] == [(2, "passphrase")]
    with pytest.raises(WrongSecret):
        opened(vault, passphrase("another"))
    with folder.unlocked(vault, passphrase()) as key:
        assert key.export_page_key() != page_key


def test_the_old_key_file_is_overwritten_and_not_only_unlinked(vault):
    old = [(vault / name).open("rb") for name in keys.COPIES]
    rotated(vault)
    for file in old:
        with file:
            assert not any(file.read())


def test_an_open_vault_is_not_rewritten_and_a_rewritten_one_not_opened(vault):
    first, second = opened(vault), opened(vault)
    with pytest.raises(VaultBusy):
        rotated(vault)
    first.close()
    with pytest.raises(VaultBusy):
        rotated(vault)
    second.close()

    def look(*_):
        with pytest.raises(VaultBusy):
            opened(vault)
        with pytest.raises(VaultBusy):
            rotated(vault)

    rotated(vault, progress=look)


def test_a_wrong_secret_changes_nothing_and_both_secrets_are_wiped(vault):
    before = {path.name: path.read_bytes() for path in vault.iterdir()}
    for text, error in (("wrong", WrongSecret), ("secret", VaultExists)):
        secret = passphrase(text)
        with pytest.raises(error):
            rewrite.backup(vault, secret, vault.parent, kdf=FLOOR, clock=noon)
        assert not any(secret.words)
    secret = passphrase("wrong")
    with pytest.raises(WrongSecret):
        rewrite.rotate(vault, secret, kdf=FLOOR, clock=noon)
    assert not any(secret.words)
    assert {path.name: path.read_bytes() for path in vault.iterdir()} == before | {"open.lock": b""}


def test_too_little_room_is_said_before_anything_is_written(vault, monkeypatch):
    before = content(vault)

    class Disk:
        f_bavail, f_frsize = 3, 1 << 20

    monkeypatch.setattr(os, "statvfs", lambda _: Disk)
    for act in (rotated, lambda path: backed_up(path, path.with_name("copy"))):
        with pytest.raises(StorageFull, match=r"needs \d+ MiB of free space; 3 MiB are free"):
            act(vault)
    assert names(vault) == FILES
    assert names(vault.parent) == {"main"}
    monkeypatch.undo()
    quick_slots(monkeypatch)
    assert content(vault) == before


def test_a_copy_that_lost_a_row_is_never_taken_for_the_vault(vault, monkeypatch):
    real = Database.copy_to

    def lossy(self, path, *, cipher, key, salt, tick):
        real(self, path, cipher=cipher, key=key, salt=salt, tick=tick)
        copy = Database(path, cipher=cipher, key=key, salt=salt)
        copy.run("UPDATE chunk SET text = 'forged' WHERE id = (SELECT max(id) FROM chunk)")
        copy.close()

    before = content(vault)
    monkeypatch.setattr(Database, "copy_to", lossy)
    with pytest.raises(RolledBack):
        rotated(vault)
    assert content(vault) == before
    assert names(vault) == FILES


def test_a_copy_of_an_older_moment_is_never_taken_for_the_vault(vault, tmp_path, monkeypatch):
    real = Database.copy_to
    shutil.copy(vault / "store.db", tmp_path / "older.db")
    changed = opened(vault)
    added(changed, a_draft("more", source="/in/more.txt"))
    changed.close()
    key = keys.unlock(vault, passphrase())
    older = Database(tmp_path / "older.db", cipher=key.cipher, key=key.page_key(), salt=key.page_salt())
    monkeypatch.setattr(Database, "copy_to", lambda _, *where, **how: real(older, *where, **how))
    with pytest.raises(RolledBack, match="older"):
        rotated(vault)
    older.close()


# Backup and restore


def test_a_backup_is_another_vault_with_the_same_content(vault, tmp_path):
    (vault / logfile.LOG).write_bytes(b"{}\n")
    (vault / logfile.KEY).write_bytes(b"state")
    made = backed_up(vault, tmp_path / "medium" / "copy")
    copy = tmp_path / "medium" / "copy"
    assert names(copy) == FILES - {"open.lock"} | {"audit.log"}
    assert {found.stat().st_mode & 0o777 for found in copy.iterdir()} == {0o600}
    assert content(copy) == content(vault) == made.digest
    assert (copy / "store.db").read_bytes()[:16] != (vault / "store.db").read_bytes()[:16]
    with pytest.raises(VaultExists):
        backed_up(vault, copy)


def test_a_restored_vault_is_the_same_under_a_third_key_and_the_backup_untouched(vault, tmp_path):
    (vault / logfile.LOG).write_bytes(b"{}\n")
    backed_up(vault, tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()}
    made = restored(tmp_path / "copy", tmp_path / "back", cipher="chacha20")
    assert content(tmp_path / "back") == content(vault) == made.digest
    assert names(tmp_path / "back") == FILES | {"audit.log"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()} == before
    with folder.unlocked(vault, passphrase()) as one, folder.unlocked(tmp_path / "back", passphrase()) as two:
        assert one.vault == two.vault
        assert one.export_page_key() != two.export_page_key()


def test_nothing_is_restored_from_what_is_no_sound_backup(vault, tmp_path):
    backed_up(vault, tmp_path / "copy")
    good = (tmp_path / "copy" / "store.db").read_bytes()
    cases = {
        "flipped": (good[:5000] + bytes([good[5000] ^ 1]) + good[5001:], StoreDamaged),
        "cut": (good[: 8 * 4096], StoreDamaged),
        "empty": (b"", StoreDamaged),
    }
    for data, error in cases.values():
        (tmp_path / "copy" / "store.db").write_bytes(data)
        with pytest.raises(error):
            restored(tmp_path / "copy", tmp_path / "back")
    (tmp_path / "copy" / "store.db").write_bytes(good)
    with pytest.raises(VaultExists):
        restored(tmp_path / "copy", vault)
    with pytest.raises(VaultMissing):
        restored(tmp_path / "nowhere", tmp_path / "back")
    for name in keys.COPIES:
        (tmp_path / "copy" / name).write_bytes(b"")
    with pytest.raises(KeyFileError):
        restored(tmp_path / "copy", tmp_path / "back")
    assert names(tmp_path) == {"main", "copy"}


def test_an_older_store_in_a_backup_is_noticed(vault, tmp_path):
    backed_up(vault, tmp_path / "copy")
    shutil.copytree(tmp_path / "copy", tmp_path / "older")
    newer = opened(tmp_path / "copy")
    added(newer, a_draft("more", source="/in/more.txt"))
    newer.close()
    shutil.copy(tmp_path / "older" / "store.db", tmp_path / "copy" / "store.db")
    with pytest.raises(RolledBack):
        restored(tmp_path / "copy", tmp_path / "back")


def test_a_backup_is_made_while_another_writes(vault, tmp_path):
    """The writer commits all the while; each copy is of one of its moments, never of none."""
    stop, digests, failed = threading.Event(), {content(vault)}, []

    def write():
        writer = opened(vault)
        number = 0
        try:
            while not stop.is_set():
                number += 1
                draft = a_draft(f"{number} drops", source=f"/in/{number % 3}.txt")
                resume = writer.begin(draft, model=ENCODER)
                digests.add(writer.content_digest())
                writer.append(resume.document_id, draft.chunks, unit_vectors(1))
                digests.add(writer.content_digest())
                writer.finish(resume.document_id)
                digests.add(writer.content_digest())
        except Exception as error:  # noqa: BLE001 - a thread's error is for the test to show
            failed.append(error)
        finally:
            writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        made = [backed_up(vault, tmp_path / f"copy{n}").digest for n in range(3)]
    finally:
        stop.set()
        thread.join()
    assert failed == []
    assert set(made) <= digests
    assert [content(tmp_path / f"copy{n}") for n in range(3)] == made


def test_a_log_that_goes_away_while_it_is_measured_takes_no_room(vault, old_log, monkeypatch):
    """The last to close a store takes its log away, between any two looks at it."""
    log, exists = vault / "store.db-wal", Path.exists
    without = rewrite._room(vault)
    shutil.copy(old_log, log)
    assert rewrite._room(vault) > without

    def gone_once_seen(path):
        seen = exists(path)
        if path == log:
            log.unlink(missing_ok=True)
        return seen

    monkeypatch.setattr(Path, "exists", gone_once_seen)
    rewrite._room(vault)  # does not fail where it was asked for before it was measured
    log.unlink(missing_ok=True)
    assert rewrite._room(vault) == without


def test_a_vault_that_is_open_is_no_backup(vault, tmp_path):
    held = opened(vault)
    with pytest.raises(VaultBusy):
        restored(vault, tmp_path / "back")
    held.close()
    assert restored(vault, tmp_path / "back").digest == content(vault)


def test_an_escrow_key_alone_cannot_carry_a_rotation(vault):
    with pytest.raises(UsageError):
        rewrite.rotate(vault, Secret.escrow_key(bytearray(b"no key")), kdf=FLOOR, clock=noon)
    assert names(vault) == FILES
    assert store.FILE in names(vault)
