"""The old bytes or the new, never a mixture and never a crumb."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import durable
from appliance.errors import StorageFull, UsageError


def test_it_writes_what_it_was_given_for_the_owner_alone(tmp_path: Path) -> None:
    durable.replace(tmp_path / "a", b"one")
    durable.replace(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_leaves_the_old_bytes_and_no_crumb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable.replace(tmp_path / "a", b"one")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        durable.replace(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_file_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        seen.append("sync folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "sync file")
        real_fsync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        seen.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    durable.replace(tmp_path / "a", b"one")
    assert seen == ["sync file", "rename", "sync folder"]


def test_what_is_superseded_or_shredded_is_overwritten_and_not_only_unlinked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for act in (lambda: durable.supersede(path, b"two"), lambda: durable.shred(path)):
        path.write_bytes(b"the old key")
        with path.open("rb") as held:
            act()
            assert held.read() == bytes(11)
    assert list(tmp_path.iterdir()) == []
    durable.supersede(path, b"the first")
    assert path.read_bytes() == b"the first"
    durable.shred(tmp_path / "nothing")


@pytest.mark.parametrize("act", [durable.shred, lambda path: durable.supersede(path, b"new")])
def test_what_is_larger_than_any_key_file_is_overwritten_only_where_a_key_could_be(
    tmp_path: Path, act: Callable[[Path], object]
) -> None:
    """To overwrite all of a sparse file that somebody planted takes its size in memory, and on the disk."""
    path = tmp_path / ".keys.00000000.tmp"
    path.write_bytes(b"the old key")
    os.truncate(path, 8 << 40)
    with path.open("rb") as held:
        act(path)
        assert held.read(1 << 20) == bytes(1 << 20)
        assert os.fstat(held.fileno()).st_blocks * 512 < 16 << 20


def test_nothing_is_overwritten_before_its_successor_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"the old key")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        durable.supersede(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"the old key"


def test_missing_room_is_told_in_round_numbers(tmp_path: Path) -> None:
    durable.require_room(tmp_path, 1)
    with pytest.raises(StorageFull, match=r"needs 1048576000 MiB of free space; \d+ MiB are free"):
        durable.require_room(tmp_path, 1000 << 40)


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EROFS, UsageError)])
def test_what_the_system_refuses_is_said_without_a_files_name(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, durable.translated():
        raise OSError(number, os.strerror(number), "a secret name")
    assert "secret" not in str(caught.value)


def test_what_goes_away_while_it_is_looked_at_does_not_have_to_be_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store.db-wal").write_bytes(b"a log")
    real = Path.lstat

    def gone(self: Path) -> os.stat_result:
        self.unlink()  # as the last process does that closes the store
        return real(self)

    monkeypatch.setattr(Path, "lstat", gone)
    durable.set_aside(tmp_path / "store.db-wal")
    assert list(tmp_path.iterdir()) == []
