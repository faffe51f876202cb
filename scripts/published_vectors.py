"""The package `cryptography-vectors` -> whether our primitives agree with NIST, the RFCs and the drafts.

    python -m scripts.published_vectors

Beside wycheproof.py, which looks for traps: these come from a package registry, so CI always has them. The
last line is JSON; exit 1 on any disagreement. Sources: NIST CAVP (GCM), RFC 5869, 4231, 7748, 8032, 9106,
FIPS 203's known answers, draft-ietf-hpke-pq (KEM 0x647a, ML-KEM-768 with X25519).
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import sys
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scripts.wycheproof import Tally, report, tally

PACKAGE: Final = "cryptography_vectors"
_X_WING: Final = 0x647A
_AEADS: Final = {2: AEAD.AES_256_GCM, 3: AEAD.CHACHA20_POLY1305}
# The first keyed answer of the authors' test vectors (BLAKE2/testvectors/blake2b-kat.txt), typed from there.
_KEYED_BLAKE2B: Final = (
    "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786"
    "b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568"
)
Block = dict[str, str]


def run() -> Iterator[Tally]:
    """Yield the outcome of every set.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    folder = importlib.resources.files(PACKAGE)
    yield tally("AES-256-GCM, NIST", enumerate(_gcm(_blocks(folder, "ciphers/AES/GCM/gcmDecrypt256.rsp"))))
    yield tally("HKDF-SHA256, RFC 5869", enumerate(_hkdf(_blocks(folder, "KDF/rfc-5869-HKDF-SHA256.txt"))))
    yield tally("HMAC-SHA256, RFC 4231", enumerate(_hmac(_blocks(folder, "HMAC/rfc-4231-sha256.txt"))))
    yield tally("Ed25519, RFC 8032", enumerate(_ed25519(_text(folder, "asymmetric/Ed25519/sign.input"))))
    yield tally("X25519, RFC 7748", enumerate(_x25519(_blocks(folder, "asymmetric/X25519/rfc7748.txt"))))
    yield tally(
        "ML-KEM-768, FIPS 203", enumerate(_mlkem(_blocks(folder, "asymmetric/MLKEM/kat_MLKEM_768.rsp")))
    )
    yield tally("HPKE ML-KEM-768 with X25519, draft", enumerate(_hpke(folder)))
    yield tally(
        "BLAKE2b, RFC 7693 and the authors'",
        enumerate(_blake2b(_blocks(folder, "hashes/blake2/blake2b.txt"))),
    )
    yield tally("Argon2id, RFC 9106", enumerate(_argon2id(_blocks(folder, "KDF/argon2id.txt"))))


def _gcm(blocks: Iterator[Block]) -> Iterator[bool | None]:
    for each in blocks:
        if (len(each["iv"]), len(each["tag"])) != (24, 32):
            yield None
            continue
        key, nonce, body, extra, tag = _bytes(each, "key", "iv", "ct", "aad", "tag")
        try:
            opened: str | None = AESGCM(key).decrypt(nonce, body + tag, extra).hex()
        except InvalidTag:
            opened = None
        yield opened == each.get("pt")


def _hkdf(blocks: Iterator[Block]) -> Iterator[bool]:
    for each in blocks:
        secret, salt, info = _bytes(each, "ikm", "salt", "info")
        derived = HKDF(hashes.SHA256(), length=int(each["l"]), salt=salt, info=info).derive(secret)
        yield derived.hex() == each["okm"]


def _hmac(blocks: Iterator[Block]) -> Iterator[bool]:
    for each in blocks:
        key, message = _bytes(each, "key", "msg")
        mac = hmac.HMAC(key, hashes.SHA256())
        mac.update(message)
        yield mac.finalize().hex() == each["md"]


def _blake2b(blocks: Iterator[Block]) -> Iterator[bool]:
    for each in blocks:
        message = _bytes(each, "msg")[0] if int(each["len"]) else b""
        yield hashlib.blake2b(message).hexdigest() == each["md"]
    yield hashlib.blake2b(b"", key=bytes(range(64))).hexdigest() == _KEYED_BLAKE2B


def _ed25519(text: str) -> Iterator[bool]:
    for line in text.split():
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        key = Ed25519PrivateKey.from_private_bytes(secret[:32])
        signature = signed[:64]
        try:
            key.public_key().verify(signature, message)
        except InvalidSignature:
            yield False
            continue
        yield key.public_key().public_bytes_raw() == public and key.sign(message) == signature


def _x25519(blocks: Iterator[Block]) -> Iterator[bool]:
    for each in blocks:
        scalar, point = _bytes(each, "input_scalar", "input_u")
        shared = X25519PrivateKey.from_private_bytes(scalar).exchange(
            X25519PublicKey.from_public_bytes(point)
        )
        yield shared.hex() == each["output_u"]


def _mlkem(blocks: Iterator[Block]) -> Iterator[bool]:
    for each in blocks:
        d, z, sealed, refused = _bytes(each, "d", "z", "ct", "ct_n")
        key = MLKEM768PrivateKey.from_seed_bytes(d + z)
        yield (
            key.public_key().public_bytes_raw().hex() == each["pk"]
            and key.decapsulate(sealed).hex() == each["ss"]
            and key.decapsulate(refused).hex() == each["ss_n"]  # implicit rejection: a secret nobody else has
        )


def _hpke(folder: Traversable) -> Iterator[bool | None]:
    """Open the first message of each vector of our hybrid KEM; the others are of other KEMs."""
    for vector in json.loads(_text(folder, "HPKE/hpke-pq-test-vectors.json")):
        ours = (int(vector["kem_id"]), int(vector["kdf_id"])) == (_X_WING, 1)
        yield _hybrid(vector) if ours else None


def _hybrid(vector: dict[str, Any]) -> bool:
    """Derive the pair from its 32-byte seed (draft-connolly-cfrg-xwing-kem, 5.2), then open."""
    seed, info, enc = _bytes(vector, "skRm", "info", "enc")
    parts = hashlib.shake_256(seed).digest(96)
    key = MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(parts[:64]), X25519PrivateKey.from_private_bytes(parts[64:])
    )
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, _AEADS[int(vector["aead_id"])])
    extra, sealed, message = _bytes(vector["encryptions"][0], "aad", "ct", "pt")
    try:
        return openssl.hpke._decrypt_with_aad(suite, enc + sealed, key, info, extra) == message
    except InvalidTag:
        return False


def _argon2id(blocks: Iterator[Block]) -> Iterator[bool]:
    for each in blocks:
        (salt,) = _bytes(each, "salt")
        password, secret, extra = (bytes.fromhex(each.get(name, "")) for name in ("pass", "secret", "ad"))
        derived = Argon2id(
            salt=salt,
            length=int(each["length"]),
            iterations=int(each["iter"]),
            lanes=int(each["lanes"]),
            memory_cost=int(each["memcost"]),
            ad=extra or None,
            secret=secret or None,
        ).derive(password)
        yield derived.hex() == each["output"]


def _blocks(folder: Traversable, name: str) -> Iterator[Block]:
    """Yield the blocks of NIST's format: lines `name = value`; a name seen again begins the next one."""
    block: Block = {}
    for line in _text(folder, name).splitlines():
        field, equals, value = (part.strip() for part in line.partition("="))
        if line.startswith(("#", "[")) or not equals:
            continue
        if field.lower() in block:
            yield block
            block = {}
        block[field.lower()] = value
    yield block


def _text(folder: Traversable, name: str) -> str:
    return folder.joinpath(name).read_text("utf-8")


def _bytes(block: Block, *names: str) -> list[bytes]:
    return [bytes.fromhex(block[name]) for name in names]


if __name__ == "__main__":
    sys.exit(report(run()))
