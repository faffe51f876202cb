"""The bytes of a key file <-> its fields, and the one way to open it. No file, no clock, no randomness.

FORMAT.md is the specification. There is exactly one encoding of every key file: whatever `parse` accepts,
`encode` turns back into the same bytes, so there are no two files that mean the same.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.errors import KeyFileError, WrongSecret
from appliance.secret import DEVICE_KINDS, DEVICE_SALT_BYTES, KINDS, LONGEST_HANDLE, Kind, wipe
from appliance.vault.access import hybrid

Cipher = Literal["sqlcipher", "aegis", "chacha20"]
Label = Literal["page key", "page salt", "header mac", "mac tree"]
"""What is derived from the data key."""

KEY_BYTES: Final = 32
MAX_SLOTS: Final = 8
_MAGIC: Final = b"APLKEYS\n"
_VERSION: Final = 1
_CIPHERS: Final[dict[int, Cipher]] = {1: "sqlcipher", 2: "aegis", 3: "chacha20"}
_ESCROW: Final = 8
_PREFIX: Final = struct.Struct(">8sHH16sQ")
_COUNT: Final = struct.Struct(">H")
_HEAD: Final = struct.Struct(">HHHQ")
_DERIVED: Final = struct.Struct(">III16s12s48s")
_SEALED_BYTES: Final = KEY_BYTES + hybrid.OVERHEAD_BYTES
_OFFICER: Final = struct.Struct(f"{hybrid.PUBLIC_BYTES}s{_SEALED_BYTES}s")
_ANSWERED: Final = struct.Struct(">12s48s")
_DEVICES: Final = frozenset(number for number, kind in KINDS.items() if kind in DEVICE_KINDS)
_UNCOUNTED: Final = 4
"""A slot's length counts what follows its kind and length."""
_MAC_BYTES: Final = 32
MAX_BYTES: Final = _PREFIX.size + _COUNT.size + MAX_SLOTS * (_HEAD.size + _OFFICER.size) + _MAC_BYTES
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
    """One secret's way to the data key: `sealed` is the key under AES-256-GCM with `nonce`."""

    kind: Kind
    number: int
    created: int
    kdf: Kdf
    salt: bytes
    nonce: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Escrow:
    """An officer's way to the data key: `sealed` is the key under HPKE to the `public` key kept beside it."""

    number: int
    created: int
    public: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Device:
    """A device's way to the data key, which is sealed under what the device makes of `salt` with its key.

    `handle` names that key to the device, 1 to `LONGEST_HANDLE` bytes; only devices/ looks inside.
    """

    kind: Kind
    number: int
    created: int
    salt: bytes
    handle: bytes
    nonce: bytes
    sealed: bytes


AnySlot = Slot | Escrow | Device


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A parsed key file, not yet authenticated. `created` in seconds since 1970."""

    cipher: Cipher
    vault: bytes
    created: int
    slots: tuple[AnySlot, ...]
    mac: bytes


Unwrap = Callable[[KeyFile, AnySlot], bytearray | None]
"""From a slot to the data key in it, or None; it has the secret."""


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
    return b"".join((_prefix(file), _COUNT.pack(len(file.slots)), *map(_slot_bytes, file.slots)))


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


def open_with(file: KeyFile, unwrap: Unwrap) -> bytearray:
    """Return the data key of an authentic `file`.

    Every slot is tried even after one has opened: the time it takes does not tell which one it was.

    Raises:
        WrongSecret: no slot opens with what `unwrap` knows.
        KeyFileError: a slot opened, but the header is not what was written with that key.
    """
    opened = [data_key for slot in file.slots if (data_key := unwrap(file, slot)) is not None]
    if not opened:
        raise WrongSecret("This secret does not open the vault.")
    authenticate(file, opened[0])
    return opened[0]


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


def seal(file: KeyFile, slot: Slot | Device, *, wrapping_key: bytearray, data_key: bytearray) -> bytes:
    """Return `data_key` under AES-256-GCM, bound to the vault, the cipher profile and the slot's metadata."""
    return AESGCM(wrapping_key).encrypt(slot.nonce, data_key, _bound(file, slot))


def unseal(file: KeyFile, slot: Slot | Device, wrapping_key: bytearray) -> bytearray | None:
    """Return the data key in `slot`, None where it does not open, and wipe `wrapping_key`."""
    data_key = bytearray(KEY_BYTES)
    try:
        AESGCM(wrapping_key).decrypt_into(slot.nonce, slot.sealed, _bound(file, slot), data_key)
    except InvalidTag:
        return None
    finally:
        wipe(wrapping_key)
    return data_key


def seal_to_officer(file: KeyFile, slot: Escrow, data_key: bytearray) -> bytes:
    """Return `data_key` sealed to the slot's public key, bound to all that `seal` binds and to that key.

    Raises:
        ValueError: it is no public key.
    """
    return hybrid.seal(slot.public, data_key, info=_escrow_info(file, slot))


def unseal_by_officer(file: KeyFile, slot: Escrow, private: bytearray) -> bytearray | None:
    """Return the data key in `slot`, None where it does not open."""
    return hybrid.unseal(private, slot.sealed, info=_escrow_info(file, slot))


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


def _prefix(file: KeyFile) -> bytes:
    number = next(code for code, name in _CIPHERS.items() if name == file.cipher)
    return _PREFIX.pack(_MAGIC, _VERSION, number, file.vault, file.created)


def _bound(file: KeyFile, slot: AnySlot) -> bytes:
    """Return what a slot's seal commits to: vault, cipher profile and everything of the slot but the seal."""
    return _prefix(file) + _slot_open(slot)


def _escrow_info(file: KeyFile, slot: Escrow) -> bytes:
    return f"appliance vault {_VERSION} escrow".encode() + _bound(file, slot)


def _slot_bytes(slot: AnySlot) -> bytes:
    nonce = b"" if isinstance(slot, Escrow) else slot.nonce
    return _slot_open(slot) + nonce + slot.sealed


def _slot_open(slot: AnySlot) -> bytes:
    if isinstance(slot, Escrow):
        return _head(_ESCROW, slot, _OFFICER.size) + slot.public
    kind = next(number for number, name in KINDS.items() if name == slot.kind)
    if isinstance(slot, Device):
        asked = slot.salt + slot.handle
        return _head(kind, slot, len(asked) + _ANSWERED.size) + asked
    kdf = slot.kdf
    cost = struct.pack(">III", kdf.memory, kdf.passes, kdf.lanes)
    return _head(kind, slot, _DERIVED.size) + cost + slot.salt


def _head(kind: int, slot: AnySlot, body: int) -> bytes:
    return _HEAD.pack(kind, _HEAD.size - _UNCOUNTED + body, slot.number, slot.created)


def _parse_slots(data: bytes, count: int) -> tuple[AnySlot, ...]:
    slots: list[AnySlot] = []
    at = _PREFIX.size + _COUNT.size
    for _ in range(count):
        slot, at = _parse_slot(data, at)
        slots.append(slot)
    # Ascending numbers: one order only, and no slot twice.
    if any(former.number >= latter.number for former, latter in pairwise(slots)):
        raise KeyFileError("The key file's slots are not in order.")
    if len(data) != at + _MAC_BYTES:
        raise KeyFileError("The key file does not end where it should.")
    return tuple(slots)


def _parse_slot(data: bytes, at: int) -> tuple[AnySlot, int]:
    if len(data) < at + _HEAD.size:
        raise KeyFileError("The key file is cut short.")
    kind, length, number, created = _HEAD.unpack_from(data, at)
    end = at + _UNCOUNTED + length
    if kind not in KINDS or end - at - _HEAD.size not in _sizes(kind):
        raise KeyFileError(f"The key file has a slot of an unknown kind ({kind}, {length} bytes).")
    _check_time(created)
    body = data[at + _HEAD.size : end]
    if len(data) < end:
        raise KeyFileError("The key file is cut short.")
    if kind == _ESCROW:
        return Escrow(number, created, *_OFFICER.unpack(body)), end
    if kind in _DEVICES:
        salt, handle = body[:DEVICE_SALT_BYTES], body[DEVICE_SALT_BYTES : -_ANSWERED.size]
        nonce, sealed = _ANSWERED.unpack(body[-_ANSWERED.size :])
        return Device(KINDS[kind], number, created, salt, handle, nonce, sealed), end
    memory, passes, lanes, salt, nonce, sealed = _DERIVED.unpack(body)
    kdf = _checked(Kdf(memory, passes, lanes))
    return Slot(KINDS[kind], number, created, kdf, salt, nonce, sealed), end


def _sizes(kind: int) -> range:
    """Return how many bytes may follow the head of a slot of a known kind; a device's handle is the rest."""
    if kind in _DEVICES:
        least = DEVICE_SALT_BYTES + _ANSWERED.size + 1
        return range(least, least + LONGEST_HANDLE)
    size = _OFFICER.size if kind == _ESCROW else _DERIVED.size
    return range(size, size + 1)


def _checked(kdf: Kdf) -> Kdf:
    if not allowed(kdf):
        cost = f"{kdf.memory} KiB, {kdf.passes}, {kdf.lanes}"
        raise KeyFileError(f"The key file asks for a key derivation out of bounds ({cost}).")
    return kdf


def _check_time(seconds: int) -> None:
    if seconds > _MAX_SECONDS:
        raise KeyFileError("The key file holds a time that no calendar has.")
