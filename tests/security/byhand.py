"""A vault's folder and passphrase -> its rows, by the format's description alone, without the product's code.

Key file and derived keys as in appliance/vault/FORMAT.md; pages as in the SQLCipher 4 format: AES-256-CBC,
then HMAC-SHA-512 over ciphertext, IV and page number.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
import struct
import unicodedata
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PAGE, RESERVED, IV = 4096, 80, 16


def page_keys(folder: Path, passphrase: bytes) -> tuple[bytes, bytes]:
    """Return the page key and the page salt from the first slot that the passphrase opens."""
    data = (folder / "keys").read_bytes()
    vault = data[12:28]
    words = unicodedata.normalize("NFC", passphrase.decode()).encode()
    at, data_key = 38, b""
    for _ in range(struct.unpack_from(">H", data, 36)[0]):
        kind, length = struct.unpack_from(">HH", data, at)
        slot = data[at : at + 4 + length]
        if kind == 1:
            memory, passes, lanes = struct.unpack_from(">III", slot, 14)
            key = Argon2id(salt=slot[26:42], length=32, iterations=passes, lanes=lanes, memory_cost=memory)
            data_key = AESGCM(key.derive(words)).decrypt(slot[42:54], slot[54:], data[:36] + slot[:42])
            break
        at += 4 + length

    def derived(label: str, length: int) -> bytes:
        info = f"appliance vault 1 sqlcipher {label}".encode()
        return HKDF(hashes.SHA256(), length, salt=vault, info=info).derive(data_key)

    if not hmac.compare_digest(hmac.digest(derived("header mac", 32), data[:-32], "sha256"), data[-32:]):
        raise ValueError("the key file's MAC is wrong")
    return derived("page key", 32), derived("page salt", 16)


def decrypted(store: Path, key: bytes, salt: bytes) -> bytes:
    """Return the plain database; every page's MAC is checked."""
    data, plain = store.read_bytes(), bytearray()
    if data[:16] != salt:
        raise ValueError("the store does not begin with the page salt")
    mac_key = hashlib.pbkdf2_hmac("sha512", key, bytes(byte ^ 0x3A for byte in salt), 2, 32)
    for number in range(len(data) // PAGE):
        page = data[number * PAGE : (number + 1) * PAGE]
        body, iv, mac = (
            page[16 * (number == 0) : -RESERVED],
            page[-RESERVED : IV - RESERVED],
            page[IV - RESERVED :],
        )
        made = hmac.digest(mac_key, body + iv + struct.pack("<I", number + 1), "sha512")
        if not hmac.compare_digest(made, mac):
            raise ValueError(f"page {number + 1} is not authentic")
        decryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).decryptor()
        opened = decryptor.update(body) + decryptor.finalize()
        plain += (b"SQLite format 3\0" if number == 0 else b"") + opened + bytes(RESERVED)
    return bytes(plain)


def documents(plain: bytes) -> dict[str, tuple[str, list[str]]]:
    """Return each document's name, text and chunks, read by the standard library's SQLite."""
    database = sqlite3.connect(":memory:")
    changed = bytearray(plain)
    changed[18:20] = b"\1\1"  # in memory there is no write-ahead log to look for
    database.deserialize(bytes(changed))
    found = {}
    for number, name, text in database.execute("SELECT id, name, text FROM document"):
        chunks = database.execute("SELECT text FROM chunk WHERE document = ? ORDER BY ordinal", (number,))
        found[name] = (text, [chunk for (chunk,) in chunks])
    database.close()
    return found
