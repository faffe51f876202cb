"""The two copies of the key file on disk: read as they are, changed one after the other; no key is known."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.errors import VaultMissing
from appliance.vault.access.keyfile import MAX_BYTES
from appliance.vault.access.lease import Lease

NAMES: Final = ("keys", "keys.bak")


def read_all(folder: Path) -> list[bytes]:
    """Return the bytes of the copies that are there.

    Raises:
        VaultMissing: none is.
    """
    found = [read(folder / name) for name in NAMES if (folder / name).exists()]
    if not found:
        raise VaultMissing(f"There is no vault in {folder.name!r}.")
    return found


def read(path: Path) -> bytes:
    """Return one copy's bytes, none where it cannot be read: a bad sector, a folder, a pipe put there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_BYTES + 1) or b""
    except PermissionError:
        raise  # another user's vault is not a damaged one
    except OSError:
        return b""


@durable.translated()
def write_all(folder: Path, data: bytes) -> None:
    """Put `data` into both copies, durably; `keys` comes last and is the commit point.

    Were it first, a kill between the two would leave a removed slot in `keys.bak`, which opens once `keys` is
    damaged. What the copies held before is overwritten as far as the disk does that.

    Raises:
        StorageFull: no room; `keys` is as it was.
    """
    for name in reversed(NAMES):
        durable.supersede(folder / name, data)


def write_second(folder: Path, data: bytes) -> None:
    """Put `data` into `keys.bak` alone."""
    durable.supersede(folder / NAMES[1], data)


@contextmanager
def changing(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the right to change the key file, so that no change is built on a file that another replaces.

    The vault is shared meanwhile: were it rewritten under a new key, the old one's file could come after it.

    Raises:
        BlockingIOError: somebody else holds it, and `wait` is false.
        VaultBusy: another process is rewriting the vault.
    """
    with closing(Lease(folder)):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(descriptor)
