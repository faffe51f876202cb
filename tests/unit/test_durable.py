"""The old bytes or the new, never a mixture and never a crumb."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from appliance import durable
from appliance.errors import StorageFull


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
