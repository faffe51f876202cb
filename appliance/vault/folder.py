"""A vault's name -> its folder with key file and store, made whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.errors import VaultBusy, VaultExists
from appliance.secret import Secret
from appliance.vault import store
from appliance.vault.access import keys
from appliance.vault.access.keyfile import DEFAULT_KDF, Cipher, Kdf
from appliance.vault.access.keys import Clock, DataKey
from appliance.vault.access.lease import Lease, sole
from appliance.vault.erasure import finish_erasure, refuse_erased
from appliance.vault.store import Store

WAL: Final = f"{store.FILE}-wal"
_CRUMB: Final = re.compile(r"\.[a-z.]+\.[0-9a-f]{8}\.tmp")
NEXT: Final = ".next"
"""What the names of store and anchor end with while a rewrite builds them (FORMAT.md, "Rewriting"). They lie
beside the old ones: before Linux 5.19 Landlock lets nobody rename from one folder into another."""
_FORMERLY: Final = "next"
"""The folder in which older versions built them."""
_LEFT: Final = (
    _FORMERLY,
    f"{store.ANCHOR}{NEXT}",
    *(f"{store.FILE}{NEXT}{end}" for end in ("", "-wal", "-shm", "-journal")),
)


@durable.translated()
def create_vault(
    folder: Path, secret: Secret, *, clock: Clock, kdf: Kdf = DEFAULT_KDF, cipher: Cipher = "sqlcipher"
) -> Store:
    """Make a vault at `folder`, wipe `secret` and return the open store.

    It is built under another name beside `folder`, made durable and renamed: after a crash there is a whole
    vault or none. What a crash left behind is swept by the next creation.

    Raises:
        VaultExists: there is something at `folder`.
        UsageError: no vault can be made with this secret, `kdf` is out of bounds, the folder cannot be made.
        StorageFull: no room; nothing is left of it.
    """
    try:
        with making(folder) as temporary:
            key = keys.create(temporary, secret, clock=clock, kdf=kdf, cipher=cipher)
            store.create_store(temporary, key, clock=clock).close()
    finally:
        secret.wipe()
    with ExitStack() as undo:
        undo.callback(key.wipe)
        undo.callback(Lease(folder).close)
        return _opened(folder, key, clock, undo)


@durable.translated()
def open_vault(folder: Path, secret: Secret, *, clock: Clock) -> Store:
    """Unlock the vault at `folder`, wipe `secret` and return the open store.

    A rewrite that was killed is finished or taken back first.

    Raises:
        VaultMissing: there is none, or it was erased.
        VaultBusy: another process is rewriting it.
        WrongSecret: the secret does not open it.
        KeyFileError, StoreDamaged: what is there is not what was written.
    """
    with ExitStack() as undo:
        key = undo.enter_context(unlocked(folder, secret))
        return _opened(folder, key, clock, undo)


@contextmanager
def unlocked(folder: Path, secret: Secret, *, alone: bool = False) -> Iterator[DataKey]:
    """Unlock the vault at `folder`, while nobody else has it open where it must be `alone`; wipe `secret`.

    Others may not rewrite it until this ends; then the key is wiped.

    Raises:
        VaultMissing, VaultBusy, WrongSecret, KeyFileError: as `open_vault` does.
    """
    with ExitStack() as undo:
        undo.callback(secret.wipe)
        with durable.translated():
            finish_erasure(folder)
            refuse_erased(folder)
            lease = sole(folder) if alone else _leased(folder)
            undo.callback(lease.close)
            key = keys.unlock(folder, secret)
            undo.callback(key.wipe)
            settle(folder, key)
            if not alone:
                lease.share()
        yield key


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """Give a new folder to fill, and put it at `folder`, durable and whole, unless something is raised.

    Raises:
        VaultExists: there is something at `folder`.
    """
    if folder.exists():
        raise VaultExists(f"There is a vault {folder.name!r} already.")
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(folder)
    with _building(folder) as temporary:
        yield temporary
        _publish(temporary, folder)


def settle(folder: Path, key: DataKey) -> None:
    """Finish a rewrite that was committed, take back one that was not. The caller has the vault alone.

    The commit was to put the new key file at `keys`. So if the new store is this key's, it goes into its
    place; if the old one is, the rewrite never happened.
    """
    if not left(folder):
        return
    # The old store is asked first: the bytes that tell are public, and a stub with them could be planted.
    if _belongs(folder / store.FILE, key):
        keys.write(folder, keys.current(folder, key))
    elif _belongs(folder / f"{store.FILE}{NEXT}", key) or _brought(folder, key):
        keys.write(folder, keys.current(folder, key))
        _install(folder)
    else:
        return  # neither: whatever this is, opening says so, and nothing of it is thrown away
    drop(folder)


def left(folder: Path) -> list[Path]:
    """Return what a rewrite of the vault at `folder` left, and what somebody may have put in its place."""
    return [path for name in _LEFT if os.path.lexists(path := folder / name)]


def drop(folder: Path) -> None:
    """Remove what a rewrite left, durably."""
    for path in left(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    durable.sync(folder)


def _install(folder: Path) -> None:
    """Put anchor and store into their places, the store last: until then this can be done again."""
    for name in (WAL, f"{store.FILE}-shm"):
        (folder / name).unlink(missing_ok=True)  # the old store's: the new one must not take it for its own
    for name in (store.ANCHOR, store.FILE):
        new = folder / f"{name}{NEXT}"
        if new.exists():
            new.rename(folder / name)
            durable.sync(folder)


def _brought(folder: Path, key: DataKey) -> bool:
    """Bring up what an older version built in a folder of its own; tell whether there is such of this key."""
    former = folder / _FORMERLY
    anchor, new = former / store.ANCHOR, former / store.FILE
    # Whatever a planted link leads to must not be copied: /dev/zero would fill the disk.
    if any(path.is_symlink() for path in (former, anchor, new)) or not _belongs(new, key):
        return False
    for path in (anchor, new):  # the store last, as in `_install`
        if path.exists():
            _bring(path, folder / f"{path.name}{NEXT}")
    return True


def _bring(path: Path, target: Path) -> None:
    """Rename a file durably, or copy it where the kernel lets nobody rename it into another folder."""
    try:
        path.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            shutil.copy(path, copy)
            durable.sync(copy)
            copy.rename(target)
        except OSError:
            copy.unlink(missing_ok=True)
            raise
    durable.sync(target.parent)


def _belongs(path: Path, key: DataKey) -> bool:
    """Tell whether the store at `path` is of this key: its first bytes are the key's page salt."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) == bytes(key.page_salt())


def _leased(folder: Path) -> Lease:
    """Return a lease on the vault, unshared where a rewrite has to be settled."""
    lease = Lease(folder)
    try:
        crumbs = [path for path in folder.glob(".*.tmp") if _CRUMB.fullmatch(path.name)]
        unsettled = left(folder)
        if not (crumbs or unsettled):
            return lease
        alone = lease.alone()
        if unsettled and not alone:
            raise VaultBusy("Another process is opening the vault.", hint="Try again in a moment.")
        for crumb in crumbs if alone else ():
            durable.shred(crumb)  # a killed `durable.replace` left it: maybe a whole key file
    except BaseException:
        lease.close()
        raise
    return lease


def _opened(folder: Path, key: DataKey, clock: Clock, undo: ExitStack) -> Store:
    """Open the store, which then holds what `undo` would let go of."""
    opened = store.open_store(folder, key, clock=clock)
    opened.check_also(lambda: keys.check(folder, key))
    opened.close_also(undo.pop_all().close)
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
        durable.sync(path)
    durable.sync(temporary)
    try:
        temporary.rename(folder)
    except OSError as error:
        if folder.exists():
            raise VaultExists(f"There is a vault {folder.name!r} already.") from error
        raise
    durable.sync(folder.parent)


def _sweep(folder: Path) -> None:
    """Remove what killed creations of this vault left; a living one holds a lock on its own."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.making"):
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
