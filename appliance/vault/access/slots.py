"""A secret and a slot -> the data key; the data key and a secret -> a slot; which slots may go. No file."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.errors import UsageError
from appliance.secret import DEVICE_KINDS, DEVICE_SALT_BYTES, Secret, wipe
from appliance.types import SlotInfo
from appliance.vault.access import factors, hybrid, keyfile
from appliance.vault.access.keyfile import KEY_BYTES, MAX_SLOTS, AnySlot, Device, Escrow, Kdf, KeyFile, Slot


class Opener:
    """What `keyfile.open_with` asks: it tries its secret on slots of that secret's kind and on no others."""

    def __init__(self, secret: Secret) -> None:
        """Take what is needed of `secret` and wipe it.

        Raises:
            UsageError: it is a mistyped recovery code or a damaged file; no wrong secret is told so here.
        """
        self._kind = secret.kind
        self._public = self._asked = b""
        try:
            if secret.kind == "escrow key":
                self._input = factors.read_officer_private(secret.token)
                self._public = hybrid.public_half(self._input)
            elif secret.kind in DEVICE_KINDS:
                self._asked, self._input = factors.read_answer(secret)
            else:
                self._input = factors.kdf_input(secret)
        finally:
            secret.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        wipe(self._input)

    def __call__(self, file: KeyFile, slot: AnySlot) -> bytearray | None:
        """Return the data key in `slot`, None where it does not open."""
        if isinstance(slot, Escrow):
            ours = slot.public == self._public
            return keyfile.unseal_by_officer(file, slot, self._input) if ours else None
        if slot.kind != self._kind:
            return None
        if isinstance(slot, Device):
            ours = slot.salt + slot.handle == self._asked
            return keyfile.unseal(file, slot, device_key(file, slot, self._input)) if ours else None
        return keyfile.unseal(file, slot, argon2id(self._input, slot.kdf, slot.salt))


def argon2id(secret: bytearray, kdf: Kdf, salt: bytes) -> bytearray:
    """Return the 32-byte key that seals a slot (Argon2id, RFC 9106)."""
    key = bytearray(KEY_BYTES)
    Argon2id(
        salt=salt, length=KEY_BYTES, iterations=kdf.passes, lanes=kdf.lanes, memory_cost=kdf.memory
    ).derive_into(secret, key)  # type: ignore[arg-type]  # takes any buffer; bytes could not be wiped
    return key


def device_key(file: KeyFile, slot: Device, answer: bytearray) -> bytearray:
    """Return the 32-byte key that seals a device's slot, by HKDF-SHA256 (RFC 5869) of what it answered.

    An answer has 256 random bits, so there is nothing to make dear to guess. The nonce is in it: a rewrite
    keeps the salt, without which it would need the device, and yet no wrapping key seals twice.
    """
    key = bytearray(KEY_BYTES)
    info = b"appliance vault 1 device" + slot.nonce
    HKDF(hashes.SHA256(), KEY_BYTES, salt=file.vault, info=info).derive_into(answer, key)
    return key


def no_cheaper(kdf: Kdf, others: Iterable[AnySlot]) -> Kdf:
    """Return `kdf`, no parameter of it below those of the dearest of `others`.

    What is out of bounds stays so: making the slot refuses it.
    """
    found = [slot.kdf for slot in others if isinstance(slot, Slot)]
    if not found or not keyfile.allowed(kdf):
        return kdf
    dearest = max(found, key=lambda cost: cost.memory * cost.passes)
    return Kdf(
        max(kdf.memory, dearest.memory), max(kdf.passes, dearest.passes), max(kdf.lanes, dearest.lanes)
    )


def made(
    file: KeyFile, data_key: bytearray, secret: Secret, *, number: int, kdf: Kdf, now: int
) -> Slot | Device:
    """Return a slot of `file` that `secret` opens; what is random in it is new. The secret is wiped.

    A device's salt was chosen when it was asked; `kdf` is not for devices.

    Raises:
        UsageError: nobody could give this secret again, or `kdf` is out of bounds.
    """
    try:
        if secret.kind in DEVICE_KINDS:
            return _made_for_device(file, data_key, secret, number=number, now=now)
        if not keyfile.allowed(kdf):
            raise UsageError("The key derivation's cost is out of bounds.")
        given = factors.kdf_input(secret)
        if not given:
            raise UsageError("A passphrase must be UTF-8 text and cannot be empty.")
    finally:
        secret.wipe()
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    slot = Slot(secret.kind, number, now, kdf, salt, nonce, b"")
    wrapping_key = argon2id(given, kdf, salt)
    wipe(given)
    sealed = keyfile.seal(file, slot, wrapping_key=wrapping_key, data_key=data_key)
    wipe(wrapping_key)
    return replace(slot, sealed=sealed)


def _made_for_device(file: KeyFile, data_key: bytearray, secret: Secret, *, number: int, now: int) -> Device:
    asked, answer = factors.read_answer(secret)
    salt, handle = asked[:DEVICE_SALT_BYTES], asked[DEVICE_SALT_BYTES:]
    nonce = secrets.token_bytes(12)
    slot = Device(secret.kind, number, now, salt, handle, nonce, b"")
    wrapping_key = device_key(file, slot, answer)
    wipe(answer)
    sealed = keyfile.seal(file, slot, wrapping_key=wrapping_key, data_key=data_key)
    wipe(wrapping_key)
    return replace(slot, sealed=sealed)


def made_for_officer(file: KeyFile, data_key: bytearray, public: bytes, *, number: int, now: int) -> Escrow:
    """Return a slot of `file` that the officer's private key opens.

    Raises:
        UsageError: `public` is not the 1216 bytes of a public key.
    """
    slot = Escrow(number, now, public, b"")
    try:
        return replace(slot, sealed=keyfile.seal_to_officer(file, slot, data_key))
    except ValueError:
        raise UsageError("This is not an officer's public key.") from None


def free_number(file: KeyFile) -> int:
    """Return the lowest number no slot has.

    Raises:
        UsageError: there are as many slots as there may be.
    """
    if len(file.slots) >= MAX_SLOTS:
        raise UsageError(f"A vault has at most {MAX_SLOTS} key slots.", hint="Remove one first.")
    return next(number for number in count(1) if number not in {slot.number for slot in file.slots})


def with_slot(file: KeyFile, slot: AnySlot) -> KeyFile:
    """Return `file` with one slot more, its MAC no longer true.

    Raises:
        UsageError: the officer has a slot already.
    """
    officers = {other.public for other in file.slots if isinstance(other, Escrow)}
    if isinstance(slot, Escrow) and slot.public in officers:
        raise UsageError("This officer's key has a slot already.")
    return replace(file, slots=tuple(sorted((*file.slots, slot), key=lambda other: other.number)))


def without_slot(file: KeyFile, number: int) -> KeyFile:
    """Return `file` with one slot less, its MAC no longer true.

    Raises:
        UsageError: there is no such slot, or nobody but an officer could open what is left.
    """
    left = tuple(slot for slot in file.slots if slot.number != number)
    if len(left) == len(file.slots):
        raise UsageError(f"There is no key slot {number}.", hint="`appliance keys list` shows them.")
    if all(isinstance(slot, Escrow) for slot in left):
        raise UsageError(
            "This is the last slot that you can open the vault with.",
            hint="Add another first; an officer's escrow slot does not count. Nothing was changed.",
        )
    return replace(file, slots=left)


def described(slot: AnySlot) -> SlotInfo:
    """Return what may be said of `slot` without any secret."""
    created = datetime.fromtimestamp(slot.created, UTC)
    if isinstance(slot, Escrow):
        return SlotInfo(slot.number, "escrow key", created, None, factors.fingerprint(slot.public))
    if isinstance(slot, Device):
        asked = (slot.salt + slot.handle).hex()
        return SlotInfo(slot.number, slot.kind, created, None, None, asked)
    kdf = slot.kdf
    return SlotInfo(slot.number, slot.kind, created, (kdf.memory, kdf.passes, kdf.lanes), None)
