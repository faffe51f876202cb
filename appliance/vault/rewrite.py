"""A vault -> the same content in a new store under a new data key: rotation, conversion, backup, restore."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from appliance import durable
from appliance.errors import StoreDamaged, UsageError
from appliance.secret import Secret
from appliance.types import Rewritten
from appliance.vault import store
from appliance.vault.access import keys
from appliance.vault.access.keyfile import DEFAULT_KDF, Cipher, Kdf, KeyFile
from appliance.vault.access.keys import Clock, DataKey
from appliance.vault.access.lease import LOCK, sole
from appliance.vault.audit import logfile
from appliance.vault.erasure import refuse_erased
from appliance.vault.folder import NEXT, WAL, drop, left, making, settle, unlocked
from appliance.vault.seal.checks import Progress, nothing
from appliance.vault.store import Store

_SOURCE: Final = "source"
_TAKEN: Final = (*keys.COPIES, store.FILE, WAL, store.ANCHOR, logfile.LOG)
"""What of a backup is read. Not the audit log's state: whoever found a backup could go on with the log."""
_SPARE: Final = 4 << 20
_PIECE: Final = 1 << 20


class _Plan(NamedTuple):
    cipher: Cipher | None
    kdf: Kdf
    clock: Clock
    progress: Progress


_Made = tuple[KeyFile, DataKey, Rewritten]


def rotate(
    folder: Path,
    secret: Secret,
    *,
    cipher: Cipher | None = None,
    kdf: Kdf = DEFAULT_KDF,
    clock: Clock,
    progress: Progress = nothing,
) -> Rewritten:
    """Give the vault at `folder` a new data key, and `cipher` where it is named; `secret` is wiped.

    The slot of `secret` and officers' slots are kept. The new store is complete, durable and verified before
    the new key file takes the old one's place, which is the commit; from then on a kill leaves a vault that
    the next opening finishes. `progress` is told a stage's name, how much of it is done, and of how much;
    what it raises stops the work.

    Raises:
        VaultMissing, WrongSecret, IntegrityError: as opening does.
        VaultBusy: the vault is open somewhere.
        StorageFull: there is no room for a second copy; nothing was changed.
    """
    plan = _Plan(cipher, kdf, clock, progress)
    with _kept(secret) as again, unlocked(folder, secret, alone=True) as key, durable.translated():
        file, new, made = _made_beside(folder, key, again, plan)
        keys.write(folder, file)
        settle(folder, new)
    return made


def backup(
    folder: Path,
    secret: Secret,
    target: Path,
    *,
    cipher: Cipher | None = None,
    kdf: Kdf = DEFAULT_KDF,
    clock: Clock,
    progress: Progress = nothing,
) -> Rewritten:
    """Make `target` a verified copy of the vault under its own data key; `secret` opens it, and is wiped.

    Other processes may have the vault open and write: the copy is of one moment. It is under another name
    until it is whole. The audit log goes along as it stands afterwards.

    Raises:
        VaultExists: there is something at `target`.
        VaultMissing, VaultBusy, WrongSecret, IntegrityError: as opening does.
        StorageFull: no room; nothing is left of it.
    """
    plan = _Plan(cipher, kdf, clock, progress)
    with (
        _kept(secret) as again,
        unlocked(folder, secret) as key,
        durable.translated(),
        making(target) as into,
    ):
        file, _, made = _made(folder, key, again, plan, into=into)
        _copy_log(folder, into)
        keys.write(into, file)
    return made


def restore(
    source: Path,
    secret: Secret,
    folder: Path,
    *,
    cipher: Cipher | None = None,
    kdf: Kdf = DEFAULT_KDF,
    clock: Clock,
    progress: Progress = nothing,
) -> Rewritten:
    """Make a vault at `folder` from the backup `source`; `secret` opens both, and is wiped.

    The backup is only read, and every row of it verified. The vault gets its own data key and keeps its id;
    its audit log goes on where the backup's ends, once `AuditLog.repair` has made the log's state anew.

    Raises:
        VaultExists: there is something at `folder`.
        VaultMissing: there is no backup at `source`. VaultBusy: it is open as a vault.
        WrongSecret, IntegrityError: as opening does; nothing is left of it.
        UsageError: something in the backup is no regular file; nothing was written.
        StorageFull: no room for two copies; nothing is left of it.
    """
    plan = _Plan(cipher, kdf, clock, progress)
    with _kept(secret) as again, durable.translated():
        refuse_erased(source)
        with making(folder) as into:
            taken = _taken(source, into / _SOURCE)
            with unlocked(taken, secret, alone=True) as key:
                file, _, made = _made(taken, key, again, plan, into=into)
            _copy_log(taken, into)
            keys.write(into, file)
            shutil.rmtree(taken)
    return made


@contextmanager
def _kept(secret: Secret) -> Iterator[Secret]:
    """Give a copy of `secret` for the new slot; in the end both are wiped."""
    again = secret.copy()
    try:
        yield again
    finally:
        secret.wipe()
        again.wipe()


def _made_beside(folder: Path, key: DataKey, again: Secret, plan: _Plan) -> _Made:
    """Make the new store beside the old one, durable; nothing is left where that fails."""
    if left(folder):
        raise StoreDamaged("There is a new store already, and neither is of this key.")
    try:
        made = _made(folder, key, again, plan, into=folder, suffix=NEXT)
        for name in (store.FILE, store.ANCHOR):
            durable.sync(folder / f"{name}{NEXT}")
        durable.sync(folder)
    except BaseException:
        with suppress(OSError):
            drop(folder)
        raise
    return made


def _made(folder: Path, key: DataKey, again: Secret, plan: _Plan, *, into: Path, suffix: str = "") -> _Made:
    """Write what the vault holds `into` a folder under a new key, sealed anew, and verify it.

    The names of the new files end with `suffix`.
    """
    start = plan.clock()
    durable.require_room(into, _room(folder))
    old, path = keys.current(folder, key), into / f"{store.FILE}{suffix}"
    cipher = plan.cipher or key.cipher
    file, new, dropped = keys.renew(old, again, cipher=cipher, kdf=plan.kdf, clock=plan.clock)
    expected = _size(folder / store.FILE)
    with closing(store.open_store(folder, key, clock=plan.clock)) as source:
        digest = source.copy_to(path, new, tick=lambda: plan.progress("copy", _size(path), expected))
    plan.progress("seal", 0, 1)
    store.seal_anew(into, new, clock=plan.clock, suffix=suffix).close()
    with closing(store.open_store(into, new, clock=plan.clock, suffix=suffix)) as made:
        _need_same(made, digest, plan.progress)
    if path.with_name(f"{path.name}-wal").exists():
        raise StoreDamaged("The new store could not be written as one file.")
    seconds = (plan.clock() - start).total_seconds()
    return file, new, Rewritten(dropped, _size(path), seconds, digest)


def _need_same(made: Store, digest: str, progress: Progress) -> None:
    wrong = [check.name for check in made.check(full=True, progress=progress) if not check.ok]
    progress("compare", 0, 1)
    if wrong or made.content_digest() != digest:
        raise StoreDamaged(f"The new store is not what the old one is: {', '.join(wrong) or 'its content'}.")


def _taken(source: Path, target: Path) -> Path:
    """Copy a backup's files to `target`: nothing has to be written beside the backup to open it.

    The medium may be a stranger's, and no secret was checked yet: a link to a device, or a file that grows,
    would fill the disk. So all are opened first, through no link, and copied as far as there is room for.
    """
    with ExitStack() as undo:
        if lock := _regular(source / LOCK):
            lock.close()
            undo.callback(sole(source).close)
        files = {name: undo.enter_context(file) for name in _TAKEN if (file := _regular(source / name))}
        sizes = {name: os.fstat(file.fileno()).st_size for name, file in files.items()}
        durable.require_room(target.parent, 2 * _enough(sum(sizes.values())))
        target.mkdir(mode=0o700)
        for name, file in files.items():
            _copy(file, target / name, sizes[name])
    return target


def _regular(path: Path) -> BinaryIO | None:
    """Open a file of a backup, None where there is none.

    Raises:
        UsageError: there is something else in its place.
    """
    try:
        return os.fdopen(durable.open_regular(path, os.O_RDONLY), "rb")
    except FileNotFoundError:
        return None
    except UsageError:
        raise UsageError(
            f"{path.name} in the backup is no regular file.",
            hint="Somebody put it there. Nothing was written; take another copy of the backup.",
        ) from None


def _copy(file: BinaryIO, path: Path, size: int) -> None:
    """Copy the first `size` bytes of `file` to `path`, or what there is of them."""
    with path.open("xb") as copy:
        os.fchmod(copy.fileno(), 0o600)
        while size > 0 and (piece := file.read(min(size, _PIECE))):
            copy.write(piece)
            size -= len(piece)


def _copy_log(folder: Path, target: Path) -> None:
    """Copy the audit log as it stands, without a line that is just being written."""
    path = folder / logfile.LOG
    if not path.exists():
        return
    with logfile.reading(path) as log, logfile.shared(log):
        durable.replace(target / logfile.LOG, path.read_bytes())


def _room(folder: Path) -> int:
    """Return the bytes that a second store may take while it is made."""
    return _enough(_size(folder / store.FILE) + _size(folder / WAL))


def _enough(size: int) -> int:
    return size + size // 10 + _SPARE


def _size(path: Path) -> int:
    try:  # others may have the store open, and the last to close it takes its log away
        return path.stat().st_size
    except FileNotFoundError:
        return 0
