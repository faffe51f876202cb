"""A secret and a vault folder -> the data key, through the two copies of the key file; and changes to them.

`keys` is what counts: `keys.bak` stands in for it where it is missing or damaged. A change is written to
`keys.bak` first, so that `keys` is the one commit point and no slot that it lacks is left in the other for
longer than until the next unlock.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from appliance.errors import (
    IntegrityError,
    KeyFileError,
    StorageFull,
    UsageError,
    VaultBusy,
    VaultExists,
    WrongSecret,
)
from appliance.secret import Secret, wipe
from appliance.types import Check, SlotInfo
from appliance.vault.access import copies, keyfile
from appliance.vault.access import slots as slot_rules
from appliance.vault.access.keyfile import (
    DEFAULT_KDF,
    KEY_BYTES,
    AnySlot,
    Cipher,
    Device,
    Escrow,
    Kdf,
    KeyFile,
    Label,
    Slot,
)
from appliance.vault.access.slots import Opener

Clock = Callable[[], datetime]

COPIES: Final = copies.NAMES
_PAGE_SALT_BYTES: Final = 16


class Described(NamedTuple):
    """What a key file shows to anybody."""

    cipher: Cipher
    slots: tuple[SlotInfo, ...]


class DataKey:
    """The open vault's secret, and what is derived from it. Never shown, never compared, wiped by `wipe`."""

    __slots__ = ("_file", "_secret")

    def __init__(self, file: KeyFile, secret: bytearray) -> None:
        self._file = file
        self._secret = secret

    @property
    def cipher(self) -> Cipher:
        """The cipher profile of the store."""
        return self._file.cipher

    @property
    def vault(self) -> bytes:
        """The vault's random 16-byte id; no secret."""
        return self._file.vault

    def page_key(self) -> bytearray:
        """Return the 32-byte key of the store's pages. The caller wipes it."""
        return self._derive("page key", KEY_BYTES)

    def page_salt(self) -> bytearray:
        """Return the 16 bytes that are the first ones of store.db; no secret."""
        return self._derive("page salt", _PAGE_SALT_BYTES)

    def tree_key(self) -> bytearray:
        """Return the 32-byte key of the MAC tree. The caller wipes it."""
        return self._derive("mac tree", KEY_BYTES)

    def export_page_key(self) -> str:
        """Return page key and salt as the stock `sqlcipher` tool takes them: whoever has this reads all."""
        return f"x'{self.page_key().hex()}{self.page_salt().hex()}'"

    def opens(self, file: KeyFile) -> bool:
        """Tell whether `file` is an authentic key file of this vault."""
        try:
            keyfile.authenticate(file, self._secret)
        except KeyFileError:
            return False
        return file.vault == self._file.vault

    def signed(self, file: KeyFile) -> KeyFile:
        """Return `file` with its MAC."""
        return replace(file, mac=keyfile.sign(file, self._secret))

    def slot_for(self, file: KeyFile, secret: Secret | bytes, *, number: int, kdf: Kdf, now: int) -> AnySlot:
        """Return a slot of `file` with this key; `secret` is wiped, or it is an officer's public key.

        Raises:
            UsageError: no slot can be made with it.
        """
        if isinstance(secret, Secret):
            return slot_rules.made(file, self._secret, secret, number=number, kdf=kdf, now=now)
        return slot_rules.made_for_officer(file, self._secret, secret, number=number, now=now)

    def wipe(self) -> None:
        """Forget the key as far as Python can."""
        wipe(self._secret)

    def _derive(self, label: Label, length: int) -> bytearray:
        return keyfile.derive_key(self._secret, self._file, label, length=length)


def create(
    folder: Path, secret: Secret, *, clock: Clock, kdf: Kdf = DEFAULT_KDF, cipher: Cipher = "sqlcipher"
) -> DataKey:
    """Make a new data key, write both copies of its key file to `folder`, wipe `secret`.

    Raises:
        UsageError: nobody could give this secret again, or `kdf` is out of bounds.
        VaultExists: there is a key file already.
    """
    if any((folder / name).exists() for name in COPIES):
        secret.wipe()
        raise VaultExists("There is a key file in this folder already.")
    file, key = _new_file(secret, secrets.token_bytes(16), number=1, cipher=cipher, kdf=kdf, clock=clock)
    write(folder, file)
    return key


def unlock(folder: Path, secret: Secret) -> DataKey:
    """Return the data key of the vault in `folder` and wipe `secret`.

    Either copy of the key file suffices. A change that was killed between the two is undone: `keys.bak` is
    made like `keys` again, where the medium allows it.

    Raises:
        WrongSecret: the secret opens no slot; one message whatever the reason.
        KeyFileError: neither copy is canonical and authentic.
        VaultMissing: there is no key file.
        UsageError: a recovery code is mistyped, a key file damaged: it was tried on no slot.
    """
    with Opener(secret) as opener:
        found = copies.read_all(folder)
        key = _unlock(found, opener, folder)
    if len(set(found)) > 1:
        _undo_half_a_change(folder, key)
    return key


def open_bytes(data: bytes, unwrap: keyfile.Unwrap) -> DataKey:
    """Return the data key in one copy of a key file, the secret being whatever `unwrap` knows.

    Raises:
        WrongSecret, KeyFileError: as `unlock` does.
    """
    file = keyfile.parse(data)
    return DataKey(file, keyfile.open_with(file, unwrap))


def described(folder: Path) -> Described:
    """Return what the key file says of itself, without a secret and so not authenticated.

    Raises:
        VaultMissing: there is no key file.
        KeyFileError: neither copy is canonical.
    """
    file = _readable(folder)
    return Described(file.cipher, tuple(map(slot_rules.described, file.slots)))


def slots(folder: Path) -> tuple[SlotInfo, ...]:
    """Return the slots of `described`.

    Raises:
        VaultMissing, KeyFileError: as `described` does.
    """
    return described(folder).slots


def add_slot(folder: Path, key: DataKey, secret: Secret | bytes, *, kdf: Kdf, clock: Clock) -> int:
    """Let `secret` open the vault too, and return its slot's number; `bytes` are an officer's public key.

    It costs at least what the dearest slot does: who guesses takes the cheapest. When this returns, both
    copies are durable with the slot; before, either holds what it held or that.

    Raises:
        UsageError: nobody could give this secret again, `kdf` is out of bounds, or there is no free slot.
        KeyFileError: neither copy is authentic.
        VaultBusy: another process is rewriting the vault.
        StorageFull: no room; nothing was changed.
    """
    try:
        with copies.changing(folder):
            file = current(folder, key)
            number, now = slot_rules.free_number(file), int(clock().timestamp())
            kdf = slot_rules.no_cheaper(kdf, file.slots)
            slot = key.slot_for(file, secret, number=number, kdf=kdf, now=now)
            write(folder, key.signed(slot_rules.with_slot(file, slot)))
    finally:
        if isinstance(secret, Secret):
            secret.wipe()
    return number


def remove_slot(folder: Path, key: DataKey, number: int) -> None:
    """Let a slot's secret open the vault no more. An older copy of the key file still does (FORMAT.md).

    Raises:
        UsageError: there is no such slot, or only officers could open what is left.
        KeyFileError: neither copy is authentic.
        StorageFull: no room; nothing was changed.
    """
    with copies.changing(folder):
        write(folder, key.signed(slot_rules.without_slot(current(folder, key), number)))


def renew_slot(folder: Path, key: DataKey, secret: Secret, *, kdf: Kdf, clock: Clock) -> Kdf:
    """Make the slot that `secret` opens as dear as `kdf`; return its cost, never a cheaper one than before.

    Its number and kind stay. `secret` is wiped.

    Raises:
        WrongSecret: it opens no slot.
        UsageError: `kdf` is out of bounds.
        StorageFull: no room; nothing was changed.
    """
    try:
        with copies.changing(folder):
            file, now = current(folder, key), int(clock().timestamp())
            old = _opened_by(file, secret)
            if (
                keyfile.allowed(kdf)
                and isinstance(old, Slot)
                and old.kdf.memory * old.kdf.passes >= kdf.memory * kdf.passes
            ):
                return old.kdf
            slot = key.slot_for(file, secret, number=old.number, kdf=kdf, now=now)
            others = tuple(other for other in file.slots if other.number != old.number)
            write(folder, key.signed(slot_rules.with_slot(replace(file, slots=others), slot)))
            return kdf
    finally:
        secret.wipe()


def renew(
    old: KeyFile, secret: Secret, *, cipher: Cipher, kdf: Kdf, clock: Clock
) -> tuple[KeyFile, DataKey, tuple[SlotInfo, ...]]:
    """Return a key file with a new data key for the vault of `old`, that key, and the slots left behind.

    The slot that `secret` opens is made anew with its number and kind, no cheaper than it was, and escrow
    slots are sealed anew to their public keys. The others would need their secrets. `secret` is wiped.

    Raises:
        WrongSecret: it opens no slot of `old`.
        UsageError: it is an officer's key, and nobody else could open the result.
    """
    try:
        if secret.kind == "escrow key":
            raise UsageError("An escrow key alone cannot hold a vault.", hint="Add a passphrase first.")
        slot = _opened_by(old, secret)
        kdf = slot_rules.no_cheaper(kdf, [slot])
        file, key = _new_file(secret, old.vault, number=slot.number, cipher=cipher, kdf=kdf, clock=clock)
    finally:
        secret.wipe()
    for other in old.slots:
        if isinstance(other, Escrow):
            again = key.slot_for(file, other.public, number=other.number, kdf=kdf, now=file.created)
            file = slot_rules.with_slot(file, again)
    dropped = tuple(s for s in old.slots if s.number not in {kept.number for kept in file.slots})
    return key.signed(file), key, tuple(map(slot_rules.described, dropped))


def current(folder: Path, key: DataKey) -> KeyFile:
    """Return the authentic key file in `folder`, that of `keys` where both are.

    Raises:
        KeyFileError: neither copy is authentic.
        VaultMissing: there is no key file.
    """
    for data in copies.read_all(folder):
        with contextlib.suppress(KeyFileError):
            file = keyfile.parse(data)
            if key.opens(file):
                return file
    raise KeyFileError("No copy of the key file is authentic.")


def write(folder: Path, file: KeyFile) -> None:
    """Put `file` into both copies, durably; `keys` is the commit point (copies.py).

    Raises:
        StorageFull: no room; `keys` is as it was.
    """
    copies.write_all(folder, keyfile.encode(file))


def check(folder: Path, key: DataKey) -> Iterator[Check]:
    """Yield for each copy of the key file whether it is authentic."""
    for name in COPIES:
        yield Check(f"key file {name}", *_judge(folder / name, key))


def _judge(path: Path, key: DataKey) -> tuple[bool, str]:
    if not path.exists():
        return False, "missing; the other copy can be copied here"
    try:
        authentic = key.opens(keyfile.parse(copies.read(path)))
    except KeyFileError as error:
        return False, error.message
    return authentic, "authentic" if authentic else "not authentic; the other copy can be copied here"


def _unlock(found: list[bytes], opener: Opener, folder: Path) -> DataKey:
    failures: list[IntegrityError | WrongSecret] = []
    for data in dict.fromkeys(found):
        try:
            key = open_bytes(data, opener)
        except (KeyFileError, WrongSecret) as error:
            failures.append(error)
            continue
        if data == found[0] or not _authentic(found[0], key):
            return key
        # Only the stand-in opens, and `keys` is sound: this slot is one that it no longer, or not yet, has.
        _undo_half_a_change(folder, key)
        key.wipe()
    # A damaged copy beside a sound one that does not open: the secret is wrong, and that is all we say.
    raise next((error for error in failures if isinstance(error, WrongSecret)), failures[0])


def _authentic(data: bytes, key: DataKey) -> bool:
    try:
        return key.opens(keyfile.parse(data))
    except KeyFileError:
        return False


def _undo_half_a_change(folder: Path, key: DataKey) -> None:
    """Make a stale `keys.bak` like `keys`. Damage is left for `check` to name, a busy folder for later."""
    with contextlib.suppress(OSError, StorageFull, VaultBusy), copies.changing(folder, wait=False):
        first, second = (copies.read(folder / name) for name in COPIES)
        if first != second and _authentic(first, key) and _authentic(second, key):
            copies.write_second(folder, first)


def _readable(folder: Path) -> KeyFile:
    failures: list[KeyFileError] = []
    for data in copies.read_all(folder):
        try:
            return keyfile.parse(data)
        except KeyFileError as error:
            failures.append(error)
    raise failures[0]


def _new_file(
    secret: Secret, vault: bytes, *, number: int, cipher: Cipher, kdf: Kdf, clock: Clock
) -> tuple[KeyFile, DataKey]:
    now = int(clock().timestamp())
    file = KeyFile(cipher=cipher, vault=vault, created=now, slots=(), mac=b"")
    key = DataKey(file, bytearray(secrets.token_bytes(KEY_BYTES)))
    slot = key.slot_for(file, secret, number=number, kdf=kdf, now=now)
    return key.signed(slot_rules.with_slot(file, slot)), key


def _opened_by(file: KeyFile, secret: Secret) -> Slot | Device:
    """Return the slot of `file` that `secret` opens, without wiping it."""
    with Opener(secret.copy()) as opener:
        for slot in file.slots:
            data_key = opener(file, slot)
            if data_key is not None:
                wipe(data_key)
                if not isinstance(slot, Escrow):
                    return slot
    raise WrongSecret("This secret does not open the vault.")
