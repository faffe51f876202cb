"""What somebody who may write to a vault's folder, but has no secret, puts there while the owner is away."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import durable
from appliance.errors import ApplianceError, StorageFull, UsageError
from appliance.secret import Secret
from appliance.vault import rewrite
from appliance.vault.access import keys
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.access.lease import LOCK
from appliance.vault.audit import logfile
from appliance.vault.folder import create_vault, open_vault, unlocked
from appliance.vault.store import ANCHOR, FILE, reanchor


def clock() -> datetime:
    return datetime(2026, 11, 24, tzinfo=UTC)


def words() -> Secret:
    return Secret.passphrase(bytearray(b"planted things"))


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    folder = tmp_path / "live"
    create_vault(folder, words(), clock=clock, kdf=FLOOR).close()
    return folder


def whole(folder: Path) -> bool:
    with closing(open_vault(folder, words(), clock=clock)) as store:
        return all(check.ok for check in store.check(full=True))


PLANTS: dict[str, Callable[[Path], object]] = {
    "links that look like leftovers": lambda folder: [
        (folder / f".x.0000000{number}.tmp").symlink_to(name)
        for number, name in enumerate(("keys", "keys.bak"))
    ],
    "hard links that look like leftovers": lambda folder: os.link(
        folder / "keys", folder / ".x.00000000.tmp"
    ),
    "a folder that looks like a leftover": lambda folder: (folder / ".x.00000000.tmp").mkdir(),
    "a pipe that looks like a leftover": lambda folder: os.mkfifo(folder / ".x.00000000.tmp"),
    "a leftover of 8 TiB that takes no room": lambda folder: _sparse(folder / ".keys.00000000.tmp"),
    "a link for a rewrite": lambda folder: (folder / "next").symlink_to("/tmp"),
    "a link for a new store": lambda folder: (folder / f"{FILE}.next").symlink_to("/dev/zero"),
    "a folder for a new store": lambda folder: (folder / f"{FILE}.next" / "x").mkdir(parents=True),
    "a pipe for a new anchor": lambda folder: os.mkfifo(folder / f"{ANCHOR}.next"),
    "a folder for the lock": lambda folder: _instead(folder / "open.lock", Path.mkdir),
    "a pipe for the lock": lambda folder: _instead(folder / "open.lock", os.mkfifo),
    "a folder for the write lock": lambda folder: _instead(folder / "write.lock", Path.mkdir),
    "a folder for the log": lambda folder: (folder / f"{FILE}-wal").mkdir(),
    "a folder for the log's index": lambda folder: (folder / f"{FILE}-shm").mkdir(),
}


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 8 << 40)


def _instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink(missing_ok=True)
    make(path)


@pytest.mark.parametrize("plant", PLANTS)
def test_the_owner_gets_in_and_nothing_is_lost(plant: str, vault: Path) -> None:
    PLANTS[plant](vault)
    assert whole(vault)
    assert whole(vault)


@pytest.mark.parametrize("name", [f"{FILE}.next", f"next/{FILE}"])
def test_a_stub_with_the_stores_first_bytes_does_not_take_its_place(name: str, vault: Path) -> None:
    (vault / name).parent.mkdir(exist_ok=True)
    (vault / name).write_bytes((vault / FILE).read_bytes()[:16])
    assert whole(vault)


@pytest.mark.parametrize("record", [b"", b"{}", b'{"erased": "2026-11-24", "finished": false}'])
def test_a_record_that_nobody_wrote_destroys_nothing(record: bytes, vault: Path) -> None:
    (vault / "erased.json").write_bytes(record)
    before = (vault / "keys").read_bytes()
    with pytest.raises(UsageError, match="no record of an erasure"):
        open_vault(vault, words(), clock=clock)
    assert (vault / "keys").read_bytes() == before
    (vault / "erased.json").unlink()
    assert whole(vault)


def test_a_backup_cannot_reach_a_vault_through_a_link(vault: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    record = {"erased": "2026-11-24", "finished": False, "overwritten_and_removed": {}, "removed": {}}
    (stick / "erased.json").write_text(json.dumps(record))
    (stick / "keys.a").symlink_to(vault / FILE)
    with pytest.raises(ApplianceError):
        rewrite.restore(stick, words(), tmp_path / "new", clock=clock, kdf=FLOOR)
    assert whole(vault)


# A backup on a stranger's medium


@pytest.fixture
def stick(vault: Path, tmp_path: Path) -> Path:
    (vault / logfile.LOG).write_bytes(b"{}\n")
    rewrite.backup(vault, words(), tmp_path / "stick", clock=clock, kdf=FLOOR)
    return tmp_path / "stick"


def restored(stick: Path) -> Path:
    rewrite.restore(stick, words(), stick.with_name("new"), clock=clock, kdf=FLOOR)
    return stick.with_name("new")


STRANGE: dict[str, Callable[[Path], object]] = {
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "nothing": lambda path: path.symlink_to("nowhere"),
    "a document": lambda path: path.symlink_to(path.parent.with_name("live") / FILE),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("strange", STRANGE)
def test_a_backup_is_read_from_regular_files_alone(strange: str, stick: Path) -> None:
    """A link to /dev/zero was once copied until the disk was full."""
    for name in (*keys.COPIES, FILE, f"{FILE}-wal", ANCHOR, logfile.LOG, LOCK):
        kept = stick.with_name("kept")
        shutil.copytree(stick, kept)
        _instead(stick / name, STRANGE[strange])
        found = {path.name: path.lstat().st_ino for path in stick.iterdir()}
        with pytest.raises(UsageError, match=f"{name} in the backup is no regular file") as caught:
            refused(stick)
        assert "Nothing was written" in caught.value.hint
        assert {path.name: path.lstat().st_ino for path in stick.iterdir()} == found
        shutil.rmtree(stick)
        kept.rename(stick)
        assert {path.name for path in stick.parent.iterdir()} == {"live", "stick"}


def refused(stick: Path) -> None:
    """Restore it with room for some MiB only, so that it fails soon where it should not have begun."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, hard))
    try:
        restored(stick)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", [ANCHOR, logfile.LOG])
def test_a_backup_that_does_not_fit_is_said_so_before_anything_is_copied(name: str, stick: Path) -> None:
    disk = os.statvfs(stick)
    os.truncate(stick / name, disk.f_bavail * disk.f_frsize)
    with pytest.raises(StorageFull, match=r"needs \d+ MiB"):
        refused(stick)
    assert {path.name for path in stick.parent.iterdir()} == {"live", "stick"}


def test_a_backup_that_grows_is_copied_no_further_than_there_was_room_for(
    stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> None:
        with (stick / logfile.LOG).open("ab") as log:
            log.write(b"more and more")

    monkeypatch.setattr(durable, "require_room", measured)
    assert (restored(stick) / logfile.LOG).read_bytes() == b"{}\n"


def test_an_anchor_that_is_a_folder_is_noticed_and_can_be_repaired(vault: Path) -> None:
    _instead(vault / ANCHOR, Path.mkdir)
    with pytest.raises(ApplianceError):
        open_vault(vault, words(), clock=clock)
    with unlocked(vault, words(), alone=True) as key:
        reanchor(vault, key, clock=clock).close()
    assert whole(vault)


def test_a_document_with_two_names_is_not_overwritten(tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_bytes(b"somebody's letter")
    os.link(letter, tmp_path / "planted")
    durable.shred(tmp_path / "planted")
    assert letter.read_bytes() == b"somebody's letter"
    assert not (tmp_path / "planted").exists()
