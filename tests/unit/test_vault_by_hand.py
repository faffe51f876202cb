"""The key file opened by FORMAT.md alone: none of the program's code on keys is used here."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.vectors.keys.parts import HERE

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _vector(name):
    head, _, data = (HERE / f"{name}.vector").read_bytes().partition(b"\n\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\n")), data


def _decoded(symbols):
    bits = "".join(f"{BASE32.index(symbol):05b}" for symbol in symbols if symbol in BASE32)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _kdf_input(fields):
    token = bytes.fromhex(fields.get("token", ""))
    digest, words = hashlib.sha256(token).digest(), fields["passphrase"].encode()
    match fields.get("secret", "passphrase"):
        case "passphrase":
            return words
        case "key file":
            return b"\xff\x02" + digest
        case "recovery code":
            return b"\xff\x03" + _decoded(words.decode())[:16]
        case "two-factor":
            return b"\xff\x07" + digest + words


def _header_mac(data, data_key, cipher):
    info = f"appliance vault 1 {cipher} header mac".encode()
    key = HKDF(hashes.SHA256(), 32, salt=data[12:28], info=info).derive(data_key)
    return hmac.new(key, data[:-32], "sha256").digest()


@pytest.mark.parametrize(
    "name", ["one_slot", "only_key_file", "key_file_ours", "only_recovery_code", "only_two_factor"]
)
def test_a_slot_with_a_key_derivation(name):
    fields, data = _vector(name)
    slot = data[38:140]
    memory, passes, lanes = struct.unpack(">III", slot[14:26])
    kdf = Argon2id(salt=slot[26:42], length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    wrapping_key = kdf.derive(_kdf_input(fields))
    data_key = AESGCM(wrapping_key).decrypt(slot[42:54], slot[54:], data[:36] + slot[:42])
    assert data_key.hex() == fields["data key"]
    assert data[-32:] == _header_mac(data, data_key, "sqlcipher")


@pytest.mark.parametrize(("name", "cipher"), [("only_escrow", "sqlcipher"), ("escrow_aegis", "aegis")])
def test_an_escrow_slot(name, cipher):
    fields, data = _vector(name)
    title, _, symbols = bytes.fromhex(fields["token"]).decode().partition("\n")
    private = _decoded(symbols)
    assert private[96:] == hashlib.sha256(title.encode() + b"\n" + private[:96]).digest()[:4]
    slot = data[38:-32]
    shared = _xwing(private[:96], slot[1230:2350], slot[1198:1230])
    info = b"appliance vault 1 escrow" + data[:36] + slot[:1230]
    key, nonce = _hpke_schedule(shared, info)
    data_key = AESGCM(key).decrypt(nonce, slot[2350:], b"")
    assert data_key.hex() == fields["data key"]
    assert data[-32:] == _header_mac(data, data_key, cipher)


@pytest.mark.parametrize(
    ("name", "cipher"),
    [
        ("only_fido2", "sqlcipher"),
        ("only_pkcs11", "sqlcipher"),
        ("pkcs11_aegis", "aegis"),
        ("fido2_handle_512", "sqlcipher"),
    ],
)
def test_a_device_slot(name, cipher):
    fields, data = _vector(name)
    slot, asked = data[38:-32], bytes.fromhex(fields["asked"])
    (length,) = struct.unpack(">H", slot[2:4])
    handle = length - 102
    assert asked == slot[14 : 46 + handle]
    nonce, sealed = slot[46 + handle : 58 + handle], slot[58 + handle :]
    info = b"appliance vault 1 device" + nonce
    kdf = HKDF(hashes.SHA256(), 32, salt=data[12:28], info=info)
    wrapping_key = kdf.derive(bytes.fromhex(fields["token"]))
    data_key = AESGCM(wrapping_key).decrypt(nonce, sealed, data[:36] + slot[: 46 + handle])
    assert data_key.hex() == fields["data key"]
    assert data[-32:] == _header_mac(data, data_key, cipher)


def _xwing(private, encapsulated, public):
    """draft-connolly-cfrg-xwing-kem, 5.4."""
    mlkem = MLKEM768PrivateKey.from_seed_bytes(private[:64]).decapsulate(encapsulated[:1088])
    peer = X25519PublicKey.from_public_bytes(encapsulated[1088:])
    x25519 = X25519PrivateKey.from_private_bytes(private[64:]).exchange(peer)
    return hashlib.sha3_256(mlkem + x25519 + encapsulated[1088:] + public + b"\\.//^\\").digest()


def _hpke_schedule(shared, info):
    """RFC 9180, 5.1, base mode: KEM 0x647A, KDF 1 (HKDF-SHA256), AEAD 2 (AES-256-GCM)."""
    suite = b"HPKE" + struct.pack(">HHH", 0x647A, 1, 2)

    def extract(salt, label, value):
        return hmac.new(salt, b"HPKE-v1" + suite + label + value, "sha256").digest()

    def expand(secret, label, value, length):
        labelled = struct.pack(">H", length) + b"HPKE-v1" + suite + label + value
        return hmac.new(secret, labelled + b"\1", "sha256").digest()[:length]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    return expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
