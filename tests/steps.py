"""Every durable step of this process, told before it is taken: SQLite's below its cipher, and Python's own.

A *step* is a write, flush, cut, rename, creation or removal of something on the disk. Only for a child that
ends afterwards (`tests/victims.py`): nothing of this is taken back.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import apsw

Take = Callable[[], object]
Watch = Callable[["Step", Take], object]
"""What to do about a step: take it by calling its second argument, or not."""
PYTHON = (
    "fsync",
    "fdatasync",
    "rename",
    "replace",
    "unlink",
    "rmdir",
    "mkdir",
    "truncate",
    "ftruncate",
    "pwrite",
)
_VFS = "watched"


class Step:
    """One step: `by` "sqlite" or "python", its `name`, the `path` it is about, and for a write its `data`."""

    def __init__(self, by: str, name: str, path: Path, *, offset: int = 0, data: bytes | None = None) -> None:
        self.by = by
        self.name = name
        self.path = path
        self.offset = offset
        self.data = data
        self.short: Take | None = None
        """Writes only the first half."""

    def __repr__(self) -> str:
        return f"{self.by} {self.name} {self.path.name}"


def watch(told: Watch) -> None:
    """Have `told` decide about every step from now on."""
    _watch_sqlite(told)
    for name in PYTHON:
        _watch_python(name, told)


def _watch_python(name: str, told: Watch) -> None:
    real = getattr(os, name)

    def watched(first, *rest, **named):
        step = Step("python", name, _path(first))
        if name == "pwrite":
            step.data, step.offset = bytes(rest[0]), rest[1]
            step.short = lambda: real(first, rest[0][: len(rest[0]) // 2], rest[1])
        if name in ("truncate", "ftruncate"):
            step.offset = rest[0]
        return told(step, lambda: real(first, *rest, **named))

    setattr(os, name, watched)


def _path(what: object) -> Path:
    if isinstance(what, int):
        return Path(f"/proc/self/fd/{what}").readlink()
    return Path(os.fspath(what)).absolute()  # type: ignore[call-overload]


def _watch_sqlite(told: Watch) -> None:
    class File(apsw.VFSFile):
        def __init__(self, name, flags):
            super().__init__("unix", name, flags)
            self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)

        def xWrite(self, data, offset):  # noqa: N802 - apsw's names
            step = Step("sqlite", "write", self._path, offset=offset, data=bytes(data))
            step.short = lambda: super(File, self).xWrite(data[: len(data) // 2], offset)
            return told(step, lambda: super(File, self).xWrite(data, offset))

        def xSync(self, flags):  # noqa: N802
            return told(Step("sqlite", "sync", self._path), lambda: super(File, self).xSync(flags))

        def xTruncate(self, size):  # noqa: N802
            step = Step("sqlite", "truncate", self._path, offset=size)
            return told(step, lambda: super(File, self).xTruncate(size))

    class Vfs(apsw.VFS):
        def __init__(self):
            super().__init__(_VFS, base="unix", iVersion=3)

        def xOpen(self, name, flags):  # noqa: N802
            return File(name, flags)

        def xDelete(self, name, sync):  # noqa: N802
            return told(Step("sqlite", "delete", Path(name)), lambda: super(Vfs, self).xDelete(name, sync))

    _kept.append(Vfs())
    below = f"multipleciphers-{_VFS}"
    apsw.Connection("", vfs=below).close()  # the cipher layer makes itself over ours when it is asked for
    apsw.set_default_vfs(below)


_kept: list[apsw.VFS] = []
