"""Bytes -> bytes that one private key opens: HPKE (RFC 9180) over ML-KEM-768 and X25519 together.

Both would have to be broken, so what is sealed today stays sealed for whoever keeps it for a quantum
computer. HKDF-SHA256 and AES-256-GCM do the rest. A private key is two seeds: 64 bytes of ML-KEM-768
(FIPS 203) and 32 of X25519 (RFC 7748); a public one is 1184 and 32 bytes.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

_MLKEM_SEED: Final = 64
_MLKEM_PUBLIC: Final = 1184
PRIVATE_BYTES: Final = _MLKEM_SEED + 32
PUBLIC_BYTES: Final = _MLKEM_PUBLIC + 32
OVERHEAD_BYTES: Final = 1088 + 32 + 16
"""How much longer the sealed bytes are: ML-KEM's ciphertext, X25519's public key, GCM's tag."""
_SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def generate() -> bytearray:
    """Return a new private key, 96 bytes."""
    return bytearray(secrets.token_bytes(PRIVATE_BYTES))


def public_half(private: bytearray) -> bytes:
    """Return the 1216 bytes that others may have."""
    mlkem, x25519 = _private(private)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def seal(public: bytes, data: bytes | bytearray, *, info: bytes) -> bytes:
    """Return `data` sealed to `public` and bound to `info`; twice is never the same.

    Raises:
        ValueError: `public` is no public key.
    """
    if len(public) != PUBLIC_BYTES:
        raise ValueError("not a public key")
    mlkem = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC])
    x25519 = X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:])
    return _SUITE.encrypt(data, MLKEM768X25519PublicKey(mlkem, x25519), info=info)


def unseal(private: bytearray, sealed: bytes, *, info: bytes) -> bytearray | None:
    """Return what was sealed; None where it was not for this key, not with this `info`, or changed."""
    try:
        opened = _SUITE.decrypt(sealed, MLKEM768X25519PrivateKey(*_private(private)), info=info)
    except InvalidTag:
        return None
    return bytearray(opened)


def _private(private: bytearray) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    if len(private) != PRIVATE_BYTES:
        raise ValueError("not a private key")
    return (
        MLKEM768PrivateKey.from_seed_bytes(private[:_MLKEM_SEED]),
        X25519PrivateKey.from_private_bytes(private[_MLKEM_SEED:]),
    )
