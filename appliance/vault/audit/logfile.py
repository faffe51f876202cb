"""The audit log's two files: read from the end or through, appended to durably, overwritten in place."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.errors import AuditDamaged, StorageFull, UsageError
from appliance.vault.audit import entry
from appliance.vault.audit.entry import MAX_LINE, START, STATE_BYTES, Entry, Fault, State
from appliance.vault.audit.trail import Next, Tail

LOG: Final = "audit.log"
KEY: Final = "audit.key"
_BLOCK: Final = 1 << 16
_MAX_SKIPPED: Final = 64
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED: Final = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the system refuses into our errors: what cannot be recorded is not done."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("No room left to write the audit log.") from error
        if error.errno in _REFUSED:
            raise UsageError(
                f"The vault's folder cannot be written to: {error.strerror}.",
                hint="Nothing is damaged, but what cannot be recorded is not done. Copy the folder to a "
                "medium that can be written to, or look at its permissions.",
            ) from error
        raise AuditDamaged(f"The audit log cannot be used: {error.strerror}.") from error


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Open the log, made anew where it is missing, and keep every other writer out."""
    path = folder / LOG
    try:
        descriptor = _opened(path, os.O_RDWR)
    except FileNotFoundError:
        descriptor = _opened(path, os.O_RDWR | os.O_CREAT)
        durable.sync(folder)
    try:
        with shared(descriptor, fcntl.LOCK_EX):
            yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def reading(path: Path) -> Iterator[int]:
    """Open a regular file for reading."""
    descriptor = _opened(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def shared(descriptor: int, how: int = fcntl.LOCK_SH) -> Iterator[None]:
    """Hold a lock that keeps writers out, or with another `how` everybody."""
    fcntl.flock(descriptor, how)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _opened(path: Path, how: int) -> int:
    descriptor = os.open(path, how | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AuditDamaged(f"{path.name} is no regular file.")
    return descriptor


def tail_of(log: int) -> Tail:
    """Read the end of the log, however long it is: its last 64 KiB, more only where those are damaged."""
    size = os.fstat(log).st_size
    lines = backwards(log, size, limit=4 * MAX_LINE)
    torn, last = next(lines, None), next(lines, None)
    if torn is None:  # empty, or no line feed in the last MiB: nothing of that is ours
        return Tail(size, size, b"?" if size else b"", START, None, 0)
    if last is None:
        return Tail(size, len(torn), torn, START, None, 0)
    found = parsed(last)
    above, skipped = found, 0
    while above is None and skipped < _MAX_SKIPPED:
        line = next(lines, None)
        skipped += 1
        if line is None:
            break
        above = parsed(line)
    following = above.n + skipped + 1 if above else 0
    return Tail(size, len(torn), torn, entry.line_hash(last), found, following)


def backwards(log: int, size: int, *, limit: int) -> Iterator[bytes]:
    """Yield from the end what follows the last line feed, then the lines, reading at most `limit` bytes."""
    held, at, ending = b"", size, b""
    while at > 0 and size - at < limit:
        step = min(_BLOCK, at)
        at -= step
        held, *pieces = (os.pread(log, step, at) + held).split(b"\n")
        held = held[-MAX_LINE - 1 :]  # longer is no entry: a log stretched with zeros must not eat the memory
        for piece in [*reversed(pieces), *([held] if at == 0 else [])]:
            yield piece + ending
            ending = b"\n"


def lines(log: int, size: int) -> Iterator[bytes]:
    """Yield the lines of the first `size` bytes, each with its line feed; one too long is cut."""
    with os.fdopen(os.dup(log), "rb", buffering=1 << 20) as file:
        file.seek(0)
        while size > 0 and (line := file.readline(min(size, MAX_LINE + 1))):
            size -= len(line)
            if not line.endswith(b"\n") and size > 0:
                while size > 0 and (rest := file.readline(min(size, MAX_LINE))):
                    size -= len(rest)
                    if rest.endswith(b"\n"):
                        break
                line += b"\n"
            yield line


def parsed(line: bytes) -> Entry | None:
    """Return the entry, None where the line cannot be read."""
    try:
        return entry.parse(line)
    except AuditDamaged:
        return None


def append(log: int, line: bytes, tail: Tail, after: Next) -> None:
    """Append durably, or leave the log without a part of it."""
    end = tail.size
    if after.cut:
        end -= tail.partial
        os.ftruncate(log, end)
    elif tail.partial:
        line = b"\n" + line  # not ours to cut: it stays, as a line that nobody can read
    try:
        _write(log, line, end)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(log, end)
        raise


def read_state(folder: Path) -> State | Fault:
    """Return the state, or what is wrong with it."""
    try:
        with reading(folder / KEY) as descriptor:
            return entry.parse_state(os.pread(descriptor, STATE_BYTES + 1, 0))
    except FileNotFoundError:
        return "missing"
    except AuditDamaged:
        return "torn"


def put_state(folder: Path, state: State) -> None:
    """Overwrite the state in place, so that the key that it held is gone from the file."""
    descriptor = _opened(folder / KEY, os.O_WRONLY | os.O_CREAT)
    try:
        _write(descriptor, entry.encode_state(state), 0)
        if os.fstat(descriptor).st_size != STATE_BYTES:
            os.ftruncate(descriptor, STATE_BYTES)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes, at: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], at + written)
    os.fdatasync(descriptor)
