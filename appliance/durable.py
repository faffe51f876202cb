"""bytes -> a file that is whole or not there, whatever happens to the power."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from appliance.errors import StorageFull


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
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull(f"No room left to write {path.name}.") from error
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
