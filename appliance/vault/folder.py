"""A vault's name -> its folder with key file and store, made whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance import durable
from appliance.errors import StorageFull, UsageError, VaultExists, VaultMissing
from appliance.vault import keys, store
from appliance.vault.keyfile import DEFAULT_KDF, Cipher, Kdf, wipe
from appliance.vault.keys import Clock, DataKey
from appliance.vault.store import Store


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the system refuses into our errors; no file's name is in the system's own words for it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("No room left to write the vault.") from error
        raise UsageError(
            f"The vault's folder cannot be used: {error.strerror}.",
            hint="Check its permissions, and where APPLIANCE_HOME leads.",
        ) from error


@_translated()
def create_vault(
    folder: Path, passphrase: bytearray, *, clock: Clock, kdf: Kdf = DEFAULT_KDF, cipher: Cipher = "sqlcipher"
) -> Store:
    """Make a vault at `folder`, wipe `passphrase` and return the open store.

    It is built under another name beside `folder`, made durable and renamed: after a crash there is a whole
    vault or none. What a crash left behind is swept by the next creation.

    Raises:
        VaultExists: there is something at `folder`.
        UsageError: the passphrase is empty or not UTF-8, `kdf` is out of bounds, the folder cannot be made.
        StorageFull: no room; nothing is left of it.
    """
    if folder.exists():
        wipe(passphrase)
        raise VaultExists(f"There is a vault {folder.name!r} already.")
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(folder)
    with _building(folder) as temporary:
        key = keys.create(temporary, passphrase, clock=clock, kdf=kdf, cipher=cipher)
        store.create_store(temporary, key, clock=clock).close()
        _publish(temporary, folder)
    return _opened(folder, key, clock)


@_translated()
def open_vault(folder: Path, passphrase: bytearray, *, clock: Clock) -> Store:
    """Unlock the vault at `folder`, wipe `passphrase` and return the open store.

    Raises:
        VaultMissing: there is none.
        WrongSecret: the passphrase does not open it.
        KeyFileError, StoreDamaged: what is there is not what was written.
    """
    if not folder.is_dir():
        wipe(passphrase)
        raise VaultMissing(f"There is no vault {folder.name!r}.")
    return _opened(folder, keys.unlock(folder, passphrase), clock)


def _opened(folder: Path, key: DataKey, clock: Clock) -> Store:
    opened = store.open_store(folder, key, clock=clock)
    opened.check_also(lambda: keys.check(folder, key))
    return opened


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.making")
    temporary.mkdir(mode=0o700)
    descriptor = _lock(temporary)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _publish(temporary: Path, folder: Path) -> None:
    for path in temporary.iterdir():
        _sync(path)
    durable.sync_folder(temporary)
    try:
        temporary.rename(folder)
    except OSError as error:
        if folder.exists():
            raise VaultExists(f"There is a vault {folder.name!r} already.") from error
        raise
    durable.sync_folder(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove what killed creations of this vault left; a living one holds a lock on its own."""
    for left in folder.parent.glob(f".{folder.name}.*.making"):
        descriptor = _lock(left)
        if descriptor is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(descriptor)


def _lock(folder: Path) -> int | None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
