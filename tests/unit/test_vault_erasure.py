"""Crypto-erase: no former secret opens, no slot is left on the disk, the record says what that promises."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from appliance.errors import UsageError, VaultBusy, VaultErased, VaultExists, VaultMissing
from appliance.secret import Secret
from appliance.vault import erasure, folder
from appliance.vault.access import keys
from appliance.vault.access.keyfile import FLOOR
from tests.killing import quick_slots
from tests.stores import a_draft, added, noon


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quick_slots(monkeypatch)


def passphrase(text="secret"):
    return Secret.passphrase(bytearray(text.encode()))


@pytest.fixture
def vault(tmp_path):
    path = tmp_path / "main"
    made = folder.create_vault(path, passphrase(), clock=noon, kdf=FLOOR)
    added(made, a_draft("one", "two"))
    made.close()
    with folder.unlocked(path, passphrase()) as key:
        keys.add_slot(path, key, passphrase("another"), kdf=FLOOR, clock=noon)
    (path / "audit.log").write_bytes(b"{}\n")
    (path / "audit.key").write_bytes(b"state of the log")
    return path


def names(path):
    return {str(found.relative_to(path)) for found in path.rglob("*")}


def test_no_former_secret_opens_and_opening_says_when(vault):
    erasure.erase(vault, clock=noon)
    for text in ("secret", "another", "wrong"):
        secret = passphrase(text)
        with pytest.raises(VaultErased, match=r"'main' was erased on purpose at 2026-01-02 12:00:00\+00:00"):
            folder.open_vault(vault, secret, clock=noon)
        assert not any(secret.words)
    assert names(vault) == {"erased.json", "audit.log", "open.lock", "write.lock"}


def test_every_file_with_a_key_is_overwritten_in_place_before_it_goes(vault):
    (vault / ".keys.0123.tmp").write_bytes((vault / "keys").read_bytes())
    (vault / "next").mkdir()
    for name in ("next/store.db", "store.db.next", "anchor.next"):
        (vault / name).write_bytes(b"pages")
    secret = ("keys", "keys.bak", ".keys.0123.tmp", "audit.key", "anchor", "anchor.next")
    held = {name: (vault / name).open("rb") for name in secret}
    record = erasure.erase(vault, clock=noon)
    for name, file in held.items():
        with file:
            data = file.read()
        assert len(data) == record["overwritten_and_removed"][name] > 0
        assert not any(data)
    assert set(record["removed"]) == {"store.db", "store.db.next", "next/store.db"}


def test_nothing_that_was_planted_keeps_the_key_files_from_going_first(vault, monkeypatch):
    for name in (".keys.00000000.tmp", "anchor.a", "audit.key.a", "keys.a"):
        (vault / name).write_bytes(b"planted")
    os.truncate(vault / ".keys.00000000.tmp", 8 << 40)
    gone, shred = [], erasure.durable.shred
    monkeypatch.setattr(erasure.durable, "shred", lambda path: (gone.append(path.name), shred(path)))
    erasure.erase(vault, clock=noon)
    assert gone[:2] == ["keys", "keys.bak"]
    assert sorted(gone) == sorted({*gone})
    assert names(vault) == {"erased.json", "audit.log", "open.lock", "write.lock"}


def test_the_record_is_honest_and_lasts(vault):
    record = erasure.erase(vault, clock=noon)
    kept = json.loads((vault / "erased.json").read_text())
    assert kept == json.loads(json.dumps(record))
    assert kept["finished"] is True
    promised_not = " ".join(kept["not_promised"])
    for word in ("backups", "flash", "snapshot", "audit log"):
        assert word in promised_not
    with pytest.raises(VaultErased):
        erasure.erase(vault, clock=noon)
    with pytest.raises(VaultExists):
        folder.create_vault(vault, passphrase(), clock=noon, kdf=FLOOR)
    assert json.loads((vault / "erased.json").read_text()) == kept


def test_an_open_vault_is_not_erased(vault):
    opened = folder.open_vault(vault, passphrase(), clock=noon)
    with pytest.raises(VaultBusy):
        erasure.erase(vault, clock=noon)
    assert len(opened.documents()) == 1
    opened.close()
    folder.open_vault(vault, passphrase(), clock=noon).close()


def test_an_erasure_that_a_crash_cut_off_is_finished_by_whoever_opens(vault, tmp_path, monkeypatch):
    shutil.copytree(vault, tmp_path / "copy")
    monkeypatch.setattr(erasure.durable, "shred", lambda _: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        erasure.erase(vault, clock=noon)
    monkeypatch.undo()
    assert (vault / "keys").exists()
    with pytest.raises(VaultErased):
        folder.open_vault(vault, passphrase(), clock=noon)
    assert names(vault) == {"erased.json", "audit.log", "open.lock", "write.lock"}
    assert json.loads((vault / "erased.json").read_text())["finished"] is True


@pytest.mark.parametrize(
    "record", [b"", b"[]", b'{"erased": "\x1b[31m", "finished": true}', b'{"erased": 7}']
)
def test_a_record_that_nobody_wrote_destroys_nothing_and_says_nothing_to_the_terminal(vault, record):
    (vault / "erased.json").write_bytes(record)
    before = names(vault)
    with pytest.raises(UsageError, match="no record of an erasure"):
        folder.open_vault(vault, passphrase(), clock=noon)
    assert names(vault) == before


def test_there_must_be_something_to_erase(tmp_path):
    with pytest.raises(VaultMissing):
        erasure.erase(tmp_path / "nowhere", clock=noon)
