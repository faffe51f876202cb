"""bytes -> a file that is whole or not there, whatever happens to the power; and its end."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.errors import StorageFull, UsageError

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room."""
MOST_BLANKED: Final = 4 << 20
"""How much of a file is overwritten before it goes, a hundred times what one with a key measures: what was
planted may measure terabytes and take no room, and must not keep the owner out, nor a key from going."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the system refuses into our errors; no file's name is in the system's own words for it."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull("No room left to write the vault.") from error
        raise UsageError(
            f"The vault's folder cannot be used: {error.strerror or type(error).__name__}.",
            hint="Check its permissions, and where APPLIANCE_HOME leads.",
        ) from error


def replace(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put `data` at `path` so that a reader sees the old bytes or the new, never a mixture.

    A temporary file beside it is written and fsynced, renamed over `path`, and the folder is fsynced. It
    cannot promise anything on a disk that lies about its flushes, or on a file system without atomic rename.

    Raises:
        StorageFull: no room; `path` is as it was and the temporary file is gone.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write(temporary, data, mode)
        temporary.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if error.errno in FULL:
            raise StorageFull(f"No room left to write {path.name}.") from error
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def supersede(path: Path, data: bytes) -> None:
    """Do as `replace`, then overwrite the bytes that were at `path` before: they held a key.

    It cannot promise that the disk overwrites in place; a kill between the two leaves the old bytes in free
    blocks.

    Raises:
        StorageFull: no room; `path` is as it was.
    """
    try:
        old = open_regular(path, os.O_RDWR)
    except (FileNotFoundError, UsageError):
        replace(path, data)
        return
    try:
        replace(path, data)
        _blank(old, links=0)  # `replace` took its name
    finally:
        os.close(old)


def shred(path: Path) -> None:
    """Overwrite the file at `path` with zeros, in place and durably, then remove it; none there is no error.

    Of a file that is larger than `MOST_BLANKED` only so much is overwritten.

    Of what is no regular file, or has another name too, only this name goes: a planted link must not lead to
    somebody's documents. It cannot promise that the disk overwrites in place (flash, copy-on-write,
    snapshots), nor reach copies.
    """
    with contextlib.suppress(UsageError):
        try:
            descriptor = open_regular(path, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            _blank(descriptor, links=1)
        finally:
            os.close(descriptor)
    if not path.is_dir() or path.is_symlink():
        path.unlink()


def open_regular(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a file of ours: never through a link, and without waiting for a pipe that was put in its place.

    Raises:
        UsageError: there is something else in its place.
    """
    what = f"{path.name} in the vault's folder is no regular file."
    hint = "Somebody put it there. Nothing was changed; move it away and try again."
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise UsageError(what, hint=hint) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(what, hint=hint)
    return descriptor


def set_aside(path: Path) -> None:
    """Rename what is no regular file and lies where one of ours belongs: it must not keep the owner out."""
    # Asked once: the last process that closes the store takes its log away, between two questions too.
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            path.rename(path.with_name(f"{path.name}.strange-{secrets.token_hex(4)}"))


def require_room(folder: Path, needed: int) -> None:
    """Check that `needed` bytes fit into `folder`'s file system.

    Raises:
        StorageFull: they do not; it says how many are missing.
    """
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise StorageFull(
            f"A second copy needs {_mebibytes(needed)} MiB of free space; {_mebibytes(free)} MiB are free."
        )


def _mebibytes(size: int) -> int:
    return -(-size // (1 << 20))


def _blank(descriptor: int, *, links: int) -> None:
    """Overwrite a file with zeros unless it has more names than it should: those are somebody else's."""
    found = os.fstat(descriptor)
    if found.st_nlink <= links:
        os.pwrite(descriptor, bytes(min(found.st_size, MOST_BLANKED)), 0)
        os.fsync(descriptor)


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
