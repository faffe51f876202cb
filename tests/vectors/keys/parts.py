"""What the scenarios are made of: key files with known secrets, and ways to spoil their bytes."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from appliance.secret import Kind, Secret
from appliance.vault.access import factors, hybrid, keyfile, slots
from appliance.vault.access.keyfile import FLOOR, AnySlot, Device, Escrow, Kdf, KeyFile, Slot

HERE = Path(__file__).parent
SEALS = HERE / "sealed.json"
"""HPKE never seals the same way twice: what was sealed once is kept, so that the files can be made again."""
DATA_KEY = bytes(range(32))
PASSPHRASE = "correct horse"
OTHER = "battery staple"
SLOT_AT = 38
SLOT, OFFICER_SLOT = 102, 2398
LAST_SECOND = 253402300799
PHOTO = bytes(range(64))
"""A file that somebody chose as a key file."""
OUR_KEY_FILE = bytes(factors.key_file(bytearray(range(100, 136))))
CODE = factors.recovery_code(bytearray(range(16))).decode()
PRIVATE = bytes(range(96))
OTHER_PRIVATE = bytes(range(96, 192))
OFFICER, OFFICER_PUBLIC = map(bytes, factors.officer_texts(bytearray(PRIVATE)))
OTHER_OFFICER = bytes(factors.officer_texts(bytearray(OTHER_PRIVATE))[0])
_seals: dict[str, str] = json.loads(SEALS.read_text()) if SEALS.exists() else {}


@dataclass(frozen=True)
class Given:
    """A secret that can be given again and again."""

    kind: Kind
    words: str = ""
    token: bytes = b""
    asked: bytes = b""

    def secret(self) -> Secret:
        words = bytearray(self.asked or self.words.encode())
        return Secret(self.kind, words=words, token=bytearray(self.token))


TYPED = Given("passphrase", PASSPHRASE)
SECRETS = {
    "passphrase": TYPED,
    "key_file": Given("key file", token=PHOTO),
    "recovery_code": Given("recovery code", CODE),
    "two_factor": Given("two-factor", PASSPHRASE, PHOTO),
    "escrow": Given("escrow key", token=OFFICER),
}
DEVICES = {
    "fido2": Given(
        "FIDO2 key", token=bytes(range(150, 182)), asked=bytes(range(32)) + bytes(range(100, 164))
    ),
    "pkcs11": Given(
        "PKCS#11 key", token=bytes(range(60, 92)), asked=bytes(range(7, 39)) + b"card\0vault key"
    ),
}
"""What was asked and what was answered; no device is needed to open the vectors."""
EVERY = SECRETS | DEVICES


@dataclass(frozen=True)
class Vector:
    name: str
    expect: str
    comment: str
    data: bytes
    given: Given = TYPED

    def encode(self) -> bytes:
        lines = [f"expect: {self.expect}", f"passphrase: {self.given.words}"]
        if self.given.kind != "passphrase":
            lines.append(f"secret: {self.given.kind}")
        if self.given.token:
            lines.append(f"token: {self.given.token.hex()}")
        if self.given.asked:
            lines.append(f"asked: {self.given.asked.hex()}")
        lines += [f"data key: {DATA_KEY.hex()}", f"comment: {self.comment}", "", ""]
        return "\n".join(lines).encode() + self.data


_argon2id = slots.argon2id


@cache
def _derived(secret: bytes, kdf: Kdf, salt: bytes) -> bytes:
    return bytes(_argon2id(bytearray(secret), kdf, salt))


def argon2id(secret: bytearray, kdf: Kdf, salt: bytes) -> bytearray:
    """The real one, each derivation done once."""
    return bytearray(_derived(bytes(secret), kdf, salt))


def a_slot(number: int = 1, kdf: Kdf = FLOOR, kind: Kind = "passphrase") -> Slot:
    return Slot(kind, number, 1_700_000_000, kdf, bytes([number]) * 16, bytes([number + 64]) * 12, b"")


def sealed(file: KeyFile, slot: Slot, given: Given) -> Slot:
    wrapping_key = argon2id(factors.kdf_input(given.secret()), slot.kdf, slot.salt)
    data_key = bytearray(DATA_KEY)
    return replace(slot, sealed=keyfile.seal(file, slot, wrapping_key=wrapping_key, data_key=data_key))


def escrowed(file: KeyFile, number: int = 1, private: bytes = PRIVATE) -> Escrow:
    slot = Escrow(number, 1_700_000_000, hybrid.public_half(bytearray(private)), b"")
    name = f"{keyfile._bound(file, slot)[8:50].hex()} {factors.fingerprint(slot.public)}"
    kept = replace(slot, sealed=bytes.fromhex(_seals.get(name, "")))
    if keyfile.unseal_by_officer(file, kept, bytearray(private)) is None:
        kept = replace(slot, sealed=keyfile.seal_to_officer(file, slot, bytearray(DATA_KEY)))
        _seals[name] = kept.sealed.hex()
    return kept


def a_device(file: KeyFile, number: int, given: Given) -> Device:
    salt, handle, nonce = given.asked[:32], given.asked[32:], bytes([number + 64]) * 12
    slot = Device(given.kind, number, 1_700_000_000, salt, handle, nonce, b"")
    wrapping_key = slots.device_key(file, slot, bytearray(given.token))
    data_key = bytearray(DATA_KEY)
    return replace(slot, sealed=keyfile.seal(file, slot, wrapping_key=wrapping_key, data_key=data_key))


def save_seals() -> None:
    SEALS.write_text(json.dumps(_seals, indent=0, sort_keys=True) + "\n")


def signed(file: KeyFile, data_key: bytes = DATA_KEY) -> KeyFile:
    return replace(file, mac=keyfile.sign(file, bytearray(data_key)))


def a_file(*given: Given, cipher: keyfile.Cipher = "sqlcipher", vault: int = 9) -> KeyFile:
    """A key file with a slot for each secret, a passphrase where none is named."""
    file = KeyFile(cipher, bytes([vault]) * 16, 1_700_000_000, (), b"")
    made = tuple(_made(file, number, one) for number, one in enumerate(given or (TYPED,), 1))
    return signed(replace(file, slots=made))


def _made(file: KeyFile, number: int, given: Given) -> AnySlot:
    if given.kind == "escrow key":
        return escrowed(file, number, PRIVATE if given.token == OFFICER else OTHER_PRIVATE)
    if given.asked:
        return a_device(file, number, given)
    return sealed(file, a_slot(number, kind=given.kind), given)


def poke(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def flip(data: bytes, at: int) -> bytes:
    return poke(data, at, bytes([data[at] ^ 1]))


def u16(number: int) -> bytes:
    return struct.pack(">H", number)


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


def u64(number: int) -> bytes:
    return struct.pack(">Q", number)
