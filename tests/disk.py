"""What a disk may hold after the power went: all that was flushed, and of the rest any part.

Names (creations, renames, removals) are kept in their order, as a journalling file system does: of those
since the last flush of a folder any first few are there. Of a file's unflushed writes each is there or not,
or torn at a sector. SQLite's shared memory is never there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.steps import Step, Take

_SECTOR = 512


class Disk:
    """The disk under one folder, from now on; every step has to be told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = dict(_names(folder))
        self._flushed_names = dict(self._names)
        self._changes: list[dict[str, int | None]] = []
        self._flushed = {
            inode: (folder / name).read_bytes() for name, inode in self._names.items() if inode > 0
        }
        self._now = dict(self._flushed)
        self._writes: dict[int, list[tuple[int, bytes | None]]] = {}

    def step(self, step: Step, take: Take) -> object:
        """Take a step and remember what of it is on the disk."""
        self._look()
        inode = _inode(step.path)
        result = take()
        self._look()
        if step.name in ("write", "pwrite") and step.data is not None and inode is not None:
            self._writes.setdefault(inode, []).append((step.offset, step.data))
        elif step.name in ("truncate", "ftruncate") and inode in self._writes:
            self._writes[inode].append((step.offset, None))
        elif step.name in ("sync", "fsync", "fdatasync"):
            self._flush(step, inode)
        elif step.name == "delete":
            self._flush_names()
        return result

    def lose(self, random: np.random.Generator) -> None:
        """Make the folder what the disk holds after the power went."""
        self._look()
        names = dict(self._flushed_names)
        for change in self._changes[: random.integers(len(self._changes) + 1)]:
            _apply(names, change)
        contents = {name: self._content(inode, random) for name, inode in names.items() if inode > 0}
        for path in self._folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, inode in sorted(names.items()):  # a folder comes before what is in it
            path = self._folder / name
            if inode < 0:
                path.mkdir(mode=0o700)
            elif not name.endswith("-shm"):
                path.touch(mode=0o600)
                path.write_bytes(contents[name])

    def _flush(self, step: Step, inode: int | None) -> None:
        if step.path.is_dir() or step.path.name.endswith(("-wal", "-journal")):
            self._flush_names()  # SQLite flushes the folder with a new log, inside its own code
        if inode is not None and step.path.is_file():
            self._flushed[inode] = step.path.read_bytes()
            self._writes.pop(inode, None)

    def _flush_names(self) -> None:
        for change in self._changes:
            _apply(self._flushed_names, change)
        self._changes.clear()

    def _look(self) -> None:
        """Notice what changed in the names, and what files hold that were not written by a step."""
        names = dict(_names(self._folder))
        gone = {name: None for name in self._names if name not in names}
        new = {name: inode for name, inode in names.items() if self._names.get(name) != inode}
        if gone or new:
            self._changes.append(gone | new)
        self._names = names
        for name, inode in names.items():
            if inode > 0 and inode not in self._writes:
                self._now[inode] = _read(self._folder / name)

    def _content(self, inode: int, random: np.random.Generator) -> bytes:
        old = self._flushed.get(inode, b"")
        if inode not in self._writes:
            return _some(old, self._now.get(inode, b""), random)
        data = bytearray(old)
        for offset, piece in self._writes[inode]:
            if piece is None:
                data = data[:offset] if random.random() < 0.5 else data
                continue
            kept = piece[: _kept(len(piece), random)]
            if kept:
                data.extend(bytes(max(0, offset - len(data))))
                data[offset : offset + len(kept)] = kept
        return bytes(data)


def _kept(size: int, random: np.random.Generator) -> int:
    """Return how much of a write of that size is there: none, all, or some sectors."""
    fate = random.random()
    if fate < 0.45 or size <= _SECTOR:
        return 0 if fate < 0.5 else size
    return size if fate < 0.9 else _SECTOR * int(random.integers(size // _SECTOR + 1))


def _some(old: bytes, now: bytes, random: np.random.Generator) -> bytes:
    """Return one of what a file may hold that was rewritten and not flushed."""
    if old == now:
        return old
    return (old, now, b"", now[: len(now) // 2], bytes(len(now)))[random.integers(5)]


def _apply(names: dict[str, int], change: dict[str, int | None]) -> None:
    for name, inode in change.items():
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


def _names(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield each file's name in the folder and its inode, minus the inode for a folder."""
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(at, name)
            inode = _inode(path)
            if inode is not None:
                yield str(path.relative_to(folder)), -inode if path.is_dir() else inode


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
