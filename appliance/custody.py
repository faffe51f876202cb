"""A vault's folder and a secret -> what is done about its keys, each attempt and each change on record.

None of it opens the store or loads a model: keys are changed by who can open the vault, and nothing is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from appliance import durable
from appliance.errors import (
    ApplianceError,
    AuditDamaged,
    Cancelled,
    IntegrityError,
    StorageFull,
    UsageError,
    WrongSecret,
)
from appliance.secret import DEVICE_KINDS, Secret, wipe
from appliance.types import Checking, Rewritten, SlotInfo
from appliance.vault import rewrite
from appliance.vault.access import factors, keys
from appliance.vault.access.cost import calibrate
from appliance.vault.access.keyfile import DEFAULT_KDF, Cipher, Kdf
from appliance.vault.access.keys import DataKey
from appliance.vault.audit.auditlog import AuditLog
from appliance.vault.audit.trail import delay_s
from appliance.vault.erasure import erase, finish_erasure, refuse_erased

Tell = Callable[[Checking], None]


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


@contextmanager
def attempt(folder: Path, *, stop: threading.Event) -> Iterator[AuditLog]:
    """Let a secret be tried inside: late after several wrong ones, and on record where it does not open.

    Raises:
        WrongSecret, IntegrityError: as the block inside did, once the failure is on the disk.
        VaultMissing: there is no such vault, or it was erased.
        Cancelled: `stop` was set before the secret was tried.
    """
    with durable.translated():
        finish_erasure(folder)
        refuse_erased(folder)
        log = AuditLog.open(folder, now)
        if stop.wait(delay_s(log.failures())):
            raise Cancelled("Stopped.")
        try:
            yield log
        except WrongSecret:
            log.record("unlock", "wrong secret")
            raise
        except IntegrityError:
            with suppress(AuditDamaged, StorageFull):  # it may be the log itself
                log.record("unlock", "damaged")
            raise


def refused(folder: Path, *, stop: threading.Event) -> None:
    """Put on record that a device refused to answer, as late as after a wrong secret. None was tried.

    Raises:
        VaultMissing: there is no such vault, or it was erased.
        Cancelled: `stop` was set.
    """
    with suppress(WrongSecret), attempt(folder, stop=stop):
        raise WrongSecret("The device refused.")


def slots(folder: Path) -> tuple[SlotInfo, ...]:
    """Return the ways to open the vault, without a secret.

    Raises:
        VaultMissing: there is no such vault, or it was erased.
    """
    with durable.translated():
        refuse_erased(folder)
        return keys.slots(folder)


def add_slot(
    folder: Path,
    secret: Secret,
    new: Secret | bytes,
    *,
    stop: threading.Event,
    kdf: Kdf = DEFAULT_KDF,
) -> int:
    """Let `new`, a secret or an officer's public key file, open the vault too; return its slot's number.

    Raises:
        WrongSecret: `secret` does not open the vault.
        UsageError: there is no free slot, or nobody could give `new` again.
    """
    with _changing(folder, secret, "add", stop) as key:
        made = new if isinstance(new, Secret) else factors.read_officer_public(new)
        return keys.add_slot(folder, key, made, kdf=kdf, clock=now)


def remove_slot(folder: Path, secret: Secret, number: int, *, stop: threading.Event) -> None:
    """Let the secret of slot `number` open the vault no more.

    Raises:
        WrongSecret: `secret` does not open the vault.
        UsageError: there is no such slot, or it is the last that opens without an officer.
    """
    with _changing(folder, secret, "remove", stop) as key:
        keys.remove_slot(folder, key, number)


def recalibrate(folder: Path, secret: Secret, *, stop: threading.Event) -> Kdf:
    """Give the slot that `secret` opens the cost that suits this machine, if dearer; return its cost.

    Raises:
        WrongSecret: `secret` does not open the vault.
        UsageError: an officer's or a device's key has no cost.
    """
    if secret.kind == "escrow key" or secret.kind in DEVICE_KINDS:
        raise UsageError("Such a slot holds a random key; there is no key derivation to calibrate.")
    again = secret.copy()
    try:
        kdf = calibrate()
        with _changing(folder, secret, "calibrate", stop) as key:
            return keys.renew_slot(folder, key, again, kdf=kdf, clock=now)
    finally:
        again.wipe()


def export_key(folder: Path, secret: Secret, *, stop: threading.Event) -> str:
    """Return page key and salt as the stock `sqlcipher` tool takes them. Whoever has it reads everything.

    Raises:
        WrongSecret: `secret` does not open the vault.
    """
    with _changing(folder, secret, "export", stop) as key:
        return key.export_page_key()


def rotate(
    folder: Path, secret: Secret, *, cipher: Cipher | None, tell: Tell, stop: threading.Event
) -> Rewritten:
    """Put the vault under a new data key, and under `cipher` where one is named.

    Raises:
        Cancelled: `stop` was set; nothing was changed.
        WrongSecret: `secret` does not open the vault.
        VaultBusy: it is open somewhere.
        StorageFull: there is no room for a second copy; nothing was changed.
    """
    with _recorded(folder, "rotate", stop):
        return rewrite.rotate(folder, secret, cipher=cipher, clock=now, progress=_teller(tell, stop))


def backup(folder: Path, secret: Secret, target: Path, *, tell: Tell, stop: threading.Event) -> Rewritten:
    """Write a verified backup, encrypted under a key of its own, to the new folder `target`.

    Raises:
        Cancelled: `stop` was set; nothing is left of it.
        WrongSecret: `secret` does not open the vault.
        VaultExists: there is something at `target`.
        StorageFull: no room; nothing is left of it.
    """
    with _recorded(folder, "backup", stop):
        return rewrite.backup(folder, secret, target, clock=now, progress=_teller(tell, stop))


def restore(source: Path, secret: Secret, folder: Path, *, tell: Tell, stop: threading.Event) -> Rewritten:
    """Make the vault at `folder` from the backup `source`. Its log goes on where the backup's ended.

    Raises:
        Cancelled: `stop` was set; nothing is left of it.
        VaultExists: there is something at `folder`.
        WrongSecret, IntegrityError: the backup does not open, or is not what was written.
    """
    return rewrite.restore(source, secret, folder, clock=now, progress=_teller(tell, stop))


def make_officer(private: Path, public: Path) -> str:
    """Make an officer's key pair for escrow: two new files; return the public key's fingerprint.

    Raises:
        UsageError: one of the files is there already, or cannot be written.
    """
    refuse_taken(private, public)
    secret, shared = factors.generate_officer_key()
    try:
        write_new(private, bytes(secret))
    finally:
        wipe(secret)
    write_new(public, shared, mode=0o644)
    return factors.fingerprint(factors.read_officer_public(shared))


def destroy(folder: Path) -> dict[str, object]:
    """Destroy the keys of the vault, on record first, and return the record that stays in its folder.

    Raises:
        VaultMissing: there is no such vault, or it was erased before.
        VaultBusy: it is open somewhere.
    """
    with durable.translated():
        refuse_erased(folder)
    log = AuditLog.open(folder, now)
    with suppress(ApplianceError):  # a lost log, a full disk must keep nobody from this; the record stays
        log.record("erase", "begun")
    try:
        return erase(folder, clock=now)
    except ApplianceError:
        with suppress(AuditDamaged, StorageFull):
            log.record("erase", "failed")
        raise


def refuse_taken(*paths: Path) -> None:
    """Check that there is nothing yet where new files are to be.

    Raises:
        UsageError: there is, or two are the same.
    """
    for path in paths:
        if path.exists() or path.is_symlink():
            raise UsageError(f"There is something at {path} already; nothing was overwritten.")
    if len(set(paths)) < len(paths):
        raise UsageError("The private and the public half need a file each.")


def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file for the user, somewhere outside the vault.

    Raises:
        UsageError: it cannot be written there.
        StorageFull: no room.
    """
    with outside(path):
        durable.replace(path, data, mode=mode)


@contextmanager
def outside(path: Path) -> Iterator[None]:
    """Turn what the system refuses about a path that the user named into a UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from error


@contextmanager
def _recorded(folder: Path, action: Literal["rotate", "backup"], stop: threading.Event) -> Iterator[None]:
    with attempt(folder, stop=stop) as log:
        log.record(action, "begun")
        try:
            yield
        except Cancelled:
            log.record(action, "stopped")
            raise
        except BaseException:
            log.record(action, "failed")
            raise
        log.record(action, "done")


def _teller(tell: Tell, stop: threading.Event) -> Callable[[str, int, int], None]:
    def progress(name: str, done: int, total: int) -> None:
        if stop.is_set():
            raise Cancelled("Stopped.")
        tell(Checking(name, done, total))

    return progress


@contextmanager
def _changing(folder: Path, secret: Secret, what: str, stop: threading.Event) -> Iterator[DataKey]:
    with attempt(folder, stop=stop) as log:
        key = keys.unlock(folder, secret)
    try:
        log.record("keys", f"{what} begun")
        try:
            yield key
        except BaseException:
            log.record("keys", f"{what} failed")
            raise
        log.record("keys", f"{what} done")
    finally:
        key.wipe()
