"""A vault's folder and a secret -> what is done about its keys, each attempt and each change on record.

None of it opens the store or loads a model: keys are changed by who can open the vault, and nothing is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from appliance import durable
from appliance.errors import ApplianceError, UsageError, WrongSecret
from appliance.secret import Secret, wipe
from appliance.types import Checking, Rewritten, SlotInfo
from appliance.vault import factors, keys, rewrite
from appliance.vault.audit import AuditLog
from appliance.vault.cost import calibrate
from appliance.vault.erasure import erase, refuse_erased
from appliance.vault.keyfile import DEFAULT_KDF, Cipher, Kdf
from appliance.vault.keys import DataKey
from appliance.vault.trail import delay_s

Tell = Callable[[Checking], None]


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


@contextmanager
def attempt(folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[AuditLog]:
    """Let a secret be tried inside: late after several wrong ones, and on record where it is wrong.

    Raises:
        WrongSecret: as the block inside did, once the failure is on the disk.
        VaultMissing: there is no such vault, or it was erased.
    """
    refuse_erased(folder)
    log = AuditLog.open(folder, now)
    sleep(delay_s(log.failures()))
    try:
        yield log
    except WrongSecret:
        log.record("unlock", "wrong secret")
        raise


def slots(folder: Path) -> tuple[SlotInfo, ...]:
    """Return the ways to open the vault, without a secret.

    Raises:
        VaultMissing: there is no such vault, or it was erased.
    """
    refuse_erased(folder)
    return keys.slots(folder)


def add_slot(folder: Path, secret: Secret, new: Secret | bytes, *, kdf: Kdf = DEFAULT_KDF) -> int:
    """Let `new`, a secret or an officer's public key file, open the vault too; return its slot's number.

    Raises:
        WrongSecret: `secret` does not open the vault.
        UsageError: there is no free slot, or nobody could give `new` again.
    """
    with _changing(folder, secret, "add") as key:
        made = new if isinstance(new, Secret) else factors.read_officer_public(new)
        return keys.add_slot(folder, key, made, kdf=kdf, clock=now)


def remove_slot(folder: Path, secret: Secret, number: int) -> None:
    """Let the secret of slot `number` open the vault no more.

    Raises:
        WrongSecret: `secret` does not open the vault.
        UsageError: there is no such slot, or it is the last that opens without an officer.
    """
    with _changing(folder, secret, "remove") as key:
        keys.remove_slot(folder, key, number)


def recalibrate(folder: Path, secret: Secret) -> Kdf:
    """Give the slot that `secret` opens the cost that suits this machine; return the cost.

    Raises:
        WrongSecret: `secret` does not open the vault.
        UsageError: an officer's key has no cost.
    """
    if secret.kind == "escrow key":
        raise UsageError("An escrow slot has no key derivation to calibrate.")
    again = secret.copy()
    try:
        kdf = calibrate()
        with _changing(folder, secret, "calibrate") as key:
            keys.renew_slot(folder, key, again, kdf=kdf, clock=now)
    finally:
        again.wipe()
    return kdf


def export_key(folder: Path, secret: Secret) -> str:
    """Return page key and salt as the stock `sqlcipher` tool takes them. Whoever has it reads everything.

    Raises:
        WrongSecret: `secret` does not open the vault.
    """
    with _changing(folder, secret, "export") as key:
        return key.export_page_key()


def rotate(folder: Path, secret: Secret, *, cipher: Cipher | None, tell: Tell) -> Rewritten:
    """Put the vault under a new data key, and under `cipher` where one is named.

    Raises:
        WrongSecret: `secret` does not open the vault.
        VaultBusy: it is open somewhere.
        StorageFull: there is no room for a second copy; nothing was changed.
    """
    with _recorded(folder, "rotate"):
        return rewrite.rotate(folder, secret, cipher=cipher, clock=now, progress=_teller(tell))


def backup(folder: Path, secret: Secret, target: Path, *, tell: Tell) -> Rewritten:
    """Write a verified backup, encrypted under a key of its own, to the new folder `target`.

    Raises:
        WrongSecret: `secret` does not open the vault.
        VaultExists: there is something at `target`.
        StorageFull: no room; nothing is left of it.
    """
    with _recorded(folder, "backup"):
        return rewrite.backup(folder, secret, target, clock=now, progress=_teller(tell))


def restore(source: Path, secret: Secret, folder: Path, *, tell: Tell) -> Rewritten:
    """Make the vault at `folder` from the backup `source`. Its log goes on where the backup's ended.

    Raises:
        VaultExists: there is something at `folder`.
        WrongSecret, IntegrityError: the backup does not open, or is not what was written.
    """
    return rewrite.restore(source, secret, folder, clock=now, progress=_teller(tell))


def make_officer(private: Path, public: Path) -> str:
    """Make an officer's key pair for escrow: two new files; return the public key's fingerprint.

    Raises:
        UsageError: one of the files is there already.
    """
    for path in (private, public):
        if path.exists():
            raise UsageError(f"There is something at {path} already; nothing was overwritten.")
    secret, shared = factors.generate_officer_key()
    try:
        durable.replace(private, bytes(secret))
    finally:
        wipe(secret)
    durable.replace(public, shared, mode=0o644)
    return factors.fingerprint(factors.read_officer_public(shared))


def destroy(folder: Path) -> dict[str, object]:
    """Destroy the keys of the vault, on record first, and return the record that stays in its folder."""
    refuse_erased(folder)
    AuditLog.open(folder, now).record("erase", "begun")
    return erase(folder, clock=now)


@contextmanager
def _recorded(folder: Path, action: Literal["rotate", "backup"]) -> Iterator[None]:
    with attempt(folder) as log:
        log.record(action, "begun")
        try:
            yield
        except ApplianceError:
            log.record(action, "failed")
            raise
        log.record(action, "done")


def _teller(tell: Tell) -> Callable[[str, int, int], None]:
    return lambda name, done, total: tell(Checking(name, done, total))


@contextmanager
def _changing(folder: Path, secret: Secret, what: str) -> Iterator[DataKey]:
    with attempt(folder) as log:
        key = keys.unlock(folder, secret)
    try:
        log.record("keys", f"{what} begun")
        try:
            yield key
        except ApplianceError:
            log.record("keys", f"{what} failed")
            raise
        log.record("keys", f"{what} done")
    finally:
        key.wipe()
