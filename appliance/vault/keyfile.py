"""The bytes of a key file <-> its fields, and the one way to open it. No file, no clock, no randomness.

FORMAT.md is the specification. There is exactly one encoding of every key file: whatever `parse` accepts,
`encode` turns back into the same bytes, so there are no two files that mean the same.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.errors import KeyFileError, WrongSecret

Cipher = Literal["sqlcipher", "aegis", "chacha20"]
Label = Literal["page key", "page salt", "header mac", "mac tree", "audit log"]
"""What is derived from the data key. The last two are reserved (FORMAT.md) and not used by this version."""

KEY_BYTES: Final = 32
MAX_SLOTS: Final = 8
_MAGIC: Final = b"APLKEYS\n"
_VERSION: Final = 1
_CIPHERS: Final[dict[int, Cipher]] = {1: "sqlcipher", 2: "aegis", 3: "chacha20"}
_PASSPHRASE: Final = 1
_PREFIX: Final = struct.Struct(">8sHH16sQ")
_COUNT: Final = struct.Struct(">H")
_SLOT: Final = struct.Struct(">HHHQIII16s12s48s")
_SLOT_HEAD: Final = struct.Struct(">HH")
_SLOT_OPEN: Final = _SLOT.size - 48 - 12
_MAC_BYTES: Final = 32
_MAX_SECONDS: Final = 253402300799  # 9999-12-31: what a datetime can still show


@dataclass(frozen=True, slots=True)
class Kdf:
    """Argon2id's cost: `memory` in KiB, `passes`, `lanes` (RFC 9106's m, t, p)."""

    memory: int
    passes: int
    lanes: int


DEFAULT_KDF: Final = Kdf(256 * 1024, 3, 4)
FLOOR: Final = Kdf(64 * 1024, 3, 4)
CEILING: Final = Kdf(1024 * 1024, 16, 16)


@dataclass(frozen=True, slots=True)
class Slot:
    """One passphrase's way to the data key: `sealed` is the key under AES-256-GCM with `nonce`."""

    number: int
    created: int
    kdf: Kdf
    salt: bytes
    nonce: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A parsed key file, not yet authenticated. `created` in seconds since 1970."""

    cipher: Cipher
    vault: bytes
    created: int
    slots: tuple[Slot, ...]
    mac: bytes


Derive = Callable[[Slot], bytearray]
"""From a slot's salt and cost to the 32-byte key that seals it; it has the secret."""


def allowed(kdf: Kdf) -> bool:
    """Tell whether `kdf` is between the floor (guessing) and the ceiling (a file made to eat the machine)."""
    return (
        FLOOR.memory <= kdf.memory <= CEILING.memory
        and FLOOR.passes <= kdf.passes <= CEILING.passes
        and FLOOR.lanes <= kdf.lanes <= CEILING.lanes
    )


def encode(file: KeyFile) -> bytes:
    """Return the only encoding of `file`."""
    return encode_open(file) + file.mac


def encode_open(file: KeyFile) -> bytes:
    """Return what the header MAC covers: everything before it."""
    slots = b"".join(_associated_slot(slot) + slot.nonce + slot.sealed for slot in file.slots)
    return _prefix(file) + _COUNT.pack(len(file.slots)) + slots


def parse(data: bytes) -> KeyFile:
    """Read a key file strictly: known versions, kinds and costs only, no byte too many.

    Raises:
        KeyFileError: anything else. No key was derived and nothing was decrypted.
    """
    if len(data) < _PREFIX.size + _COUNT.size:
        raise KeyFileError("The key file is cut short.")
    magic, version, cipher, vault, created = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise KeyFileError("The key file is not one of this program's.")
    if version != _VERSION:
        raise KeyFileError(
            f"The key file has format version {version}; this program knows version {_VERSION}."
        )
    if cipher not in _CIPHERS:
        raise KeyFileError(f"The key file names an unknown cipher profile ({cipher}).")
    _check_time(created)
    (count,) = _COUNT.unpack_from(data, _PREFIX.size)
    if not 1 <= count <= MAX_SLOTS:
        raise KeyFileError(f"The key file claims {count} slots; there may be 1 to {MAX_SLOTS}.")
    slots = _parse_slots(data, count)
    return KeyFile(_CIPHERS[cipher], vault, created, slots, data[-_MAC_BYTES:])


def open_with(file: KeyFile, derive: Derive) -> bytearray:
    """Return the data key of an authentic `file`.

    Raises:
        WrongSecret: no slot opens with what `derive` gives.
        KeyFileError: a slot opened, but the header is not what was written with that key.
    """
    for slot in file.slots:
        data_key = _unseal(file, slot, derive(slot))
        if data_key is not None:
            authenticate(file, data_key)
            return data_key
    raise WrongSecret("This secret does not open the vault.")


def authenticate(file: KeyFile, data_key: bytearray) -> None:
    """Check the header MAC, so that no slot can be added, dropped or exchanged without the data key.

    Raises:
        KeyFileError: it does not fit.
    """
    try:
        _mac(file, data_key).verify(file.mac)
    except InvalidSignature:
        raise KeyFileError("The key file was changed after it was written.") from None


def sign(file: KeyFile, data_key: bytearray) -> bytes:
    """Return the header MAC of `file`, whatever its `mac` field holds."""
    return _mac(file, data_key).finalize()


def seal(file: KeyFile, slot: Slot, *, wrapping_key: bytearray, data_key: bytearray) -> bytes:
    """Return `data_key` under AES-256-GCM, bound to the vault, the cipher profile and the slot's metadata."""
    return AESGCM(wrapping_key).encrypt(slot.nonce, data_key, _prefix(file) + _associated_slot(slot))


def derive_key(data_key: bytearray, file: KeyFile, label: Label, *, length: int) -> bytearray:
    """Return a key for one purpose by HKDF-SHA256 (RFC 5869).

    The vault's id is the salt. The cipher profile is part of the label, so that no page key is ever used
    under two ciphers.
    """
    info = f"appliance vault {_VERSION} {file.cipher} {label}".encode()
    key = bytearray(length)
    HKDF(hashes.SHA256(), length, salt=file.vault, info=info).derive_into(data_key, key)
    return key


def _mac(file: KeyFile, data_key: bytearray) -> hmac.HMAC:
    mac = hmac.HMAC(derive_key(data_key, file, "header mac", length=32), hashes.SHA256())
    mac.update(encode_open(file))
    return mac


def _unseal(file: KeyFile, slot: Slot, wrapping_key: bytearray) -> bytearray | None:
    data_key = bytearray(KEY_BYTES)
    try:
        AESGCM(wrapping_key).decrypt_into(
            slot.nonce, slot.sealed, _prefix(file) + _associated_slot(slot), data_key
        )
    except InvalidTag:
        return None
    finally:
        wipe(wrapping_key)
    return data_key


def wipe(secret: bytearray) -> None:
    """Overwrite `secret` with zeros. Copies Python made on its way are out of reach (FORMAT.md, Limits)."""
    secret[:] = bytes(len(secret))


def _prefix(file: KeyFile) -> bytes:
    number = next(code for code, name in _CIPHERS.items() if name == file.cipher)
    return _PREFIX.pack(_MAGIC, _VERSION, number, file.vault, file.created)


def _associated_slot(slot: Slot) -> bytes:
    kdf = slot.kdf
    fields = (slot.number, slot.created, kdf.memory, kdf.passes, kdf.lanes, slot.salt, b"", b"")
    return _SLOT.pack(_PASSPHRASE, _SLOT.size - _SLOT_HEAD.size, *fields)[:_SLOT_OPEN]


def _parse_slots(data: bytes, count: int) -> tuple[Slot, ...]:
    slots: list[Slot] = []
    at = _PREFIX.size + _COUNT.size
    for _ in range(count):
        slot = _parse_slot(data, at)
        # Ascending numbers: one order only, and no slot twice.
        if slots and slot.number <= slots[-1].number:
            raise KeyFileError("The key file's slots are not in order.")
        slots.append(slot)
        at += _SLOT.size
    if len(data) != at + _MAC_BYTES:
        raise KeyFileError("The key file does not end where it should.")
    return tuple(slots)


def _parse_slot(data: bytes, at: int) -> Slot:
    if len(data) < at + _SLOT.size:
        raise KeyFileError("The key file is cut short.")
    kind, length, number, created, memory, passes, lanes, salt, nonce, sealed = _SLOT.unpack_from(data, at)
    if kind != _PASSPHRASE or length != _SLOT.size - _SLOT_HEAD.size:
        raise KeyFileError(f"The key file has a slot of an unknown kind ({kind}, {length} bytes).")
    _check_time(created)
    kdf = Kdf(memory, passes, lanes)
    if not allowed(kdf):
        raise KeyFileError(
            f"The key file asks for a key derivation out of bounds ({memory} KiB, {passes}, {lanes})."
        )
    return Slot(number, created, kdf, salt, nonce, sealed)


def _check_time(seconds: int) -> None:
    if seconds > _MAX_SECONDS:
        raise KeyFileError("The key file holds a time that no calendar has.")
