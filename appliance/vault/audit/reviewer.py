"""A reviewer's credential: opens what the audit log sealed to it and signs checkpoints; opens no document.

Two text files: the private one stays with the reviewer, the public one goes to the vault's owner. AUDIT.md
is their specification. There is exactly one encoding of each: a reader refuses what it would not write.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import struct
import unicodedata
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from appliance.errors import AuditDamaged, UsageError, WrongSecret
from appliance.secret import wipe
from appliance.vault.access import hybrid
from appliance.vault.access.keyfile import DEFAULT_KDF, Kdf, allowed

PUBLIC_BYTES: Final = hybrid.PUBLIC_BYTES + 32
MAX_FILE_BYTES: Final = 4096
_PRIVATE_BYTES: Final = hybrid.PRIVATE_BYTES + 32
TITLE_PUBLIC: Final = b"appliance reviewer's public key 1\n"
TITLE_PRIVATE: Final = b"appliance reviewer's private key 1"
_TITLE_PLAIN: Final = TITLE_PRIVATE + b"\n"
_TITLE_LOCKED: Final = TITLE_PRIVATE + b", under a passphrase\n"
_LOCK: Final = struct.Struct(">III16s12s144s")
_LOCK_OPEN: Final = 12 + 16


@dataclass(frozen=True, slots=True)
class ReviewerPublic:
    """The public half: `raw` is ML-KEM-768 key (1184 bytes), X25519 key (32), Ed25519 key (32)."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_BYTES:
            raise AuditDamaged("A reviewer's public key has the wrong length.")

    @property
    def fingerprint(self) -> str:
        """The first 16 bytes of the key's SHA-256, in hex: what two people compare by voice."""
        return hashlib.sha256(self.raw).hexdigest()[:32]

    @property
    def verifier(self) -> bytes:
        """The 32-byte Ed25519 key that checks the reviewer's signatures."""
        return self.raw[-32:]

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Read a public key's file.

        Raises:
            AuditDamaged: it is not exactly what `generate` writes.
        """
        return cls(_unarmoured(data, TITLE_PUBLIC))

    def text(self) -> bytes:
        """Return the contents of its file."""
        return _armoured(TITLE_PUBLIC, self.raw)

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """Return `plaintext` under HPKE (RFC 9180, ML-KEM-768 with X25519), bound to `info`; +1,136 bytes.

        Raises:
            AuditDamaged: the key is none.
        """
        try:
            return hybrid.seal(self.raw[: hybrid.PUBLIC_BYTES], plaintext, info=info)
        except ValueError:
            raise AuditDamaged("A reviewer's public key is none.") from None


class Reviewer:
    """The private half, in memory. Never shown, never compared."""

    __slots__ = ("_key", "_signer", "public")

    def __init__(self, private: bytes) -> None:
        self._key = bytearray(private[: hybrid.PRIVATE_BYTES])
        self._signer = Ed25519PrivateKey.from_private_bytes(private[hybrid.PRIVATE_BYTES :])
        verifier = self._signer.public_key().public_bytes_raw()
        self.public = ReviewerPublic(hybrid.public_half(self._key) + verifier)

    @classmethod
    def load(cls, data: bytes, passphrase: bytearray | None = None) -> Self:
        """Read a private key's file and wipe `passphrase`.

        Raises:
            AuditDamaged: it is not exactly what `generate` writes.
            WrongSecret: the passphrase does not open it.
            UsageError: it needs a passphrase, or needs none.
        """
        locked = data.startswith(_TITLE_LOCKED)
        if locked != (passphrase is not None):
            raise UsageError("This credential is under a passphrase." if locked else "It has no passphrase.")
        if passphrase is None:
            private = _unarmoured(data, _TITLE_PLAIN)
            if len(private) != _PRIVATE_BYTES:
                raise AuditDamaged("The reviewer's credential has the wrong length.")
            return cls(private)
        try:
            return cls(_unlocked(_unarmoured(data, _TITLE_LOCKED), passphrase))
        finally:
            wipe(passphrase)

    def open(self, box: bytes, info: bytes) -> bytes:
        """Undo `ReviewerPublic.seal`.

        Raises:
            AuditDamaged: it was not sealed to this credential with this `info`, or was changed.
        """
        opened = hybrid.unseal(self._key, box, info=info)
        if opened is None:
            raise AuditDamaged("This was not sealed to this credential, or was changed since.")
        return bytes(opened)

    def sign(self, message: bytes) -> bytes:
        """Return the reviewer's Ed25519 signature, 64 bytes."""
        return self._signer.sign(message)

    def __repr__(self) -> str:
        return f"<Reviewer {self.public.fingerprint}>"


def generate(passphrase: bytearray | None = None, *, kdf: Kdf = DEFAULT_KDF) -> tuple[bytes, bytes]:
    """Return the contents of a new credential's private and public file; wipe `passphrase`.

    Raises:
        UsageError: the passphrase is empty or not UTF-8, or `kdf` is out of bounds.
    """
    private = bytearray(secrets.token_bytes(_PRIVATE_BYTES))
    try:
        public = Reviewer(bytes(private)).public.text()
        if passphrase is None:
            return _armoured(_TITLE_PLAIN, bytes(private)), public
        return _armoured(_TITLE_LOCKED, _locked(private, passphrase, kdf)), public
    finally:
        wipe(private)
        wipe(passphrase if passphrase is not None else bytearray())


def _locked(private: bytearray, passphrase: bytearray, kdf: Kdf) -> bytes:
    if not allowed(kdf) or not passphrase:
        raise UsageError("The passphrase is empty, or the key derivation's cost out of bounds.")
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    try:
        key = _derived(passphrase, salt, kdf)
    except UnicodeDecodeError:
        raise UsageError("A passphrase must be UTF-8 text.") from None
    head = _LOCK.pack(kdf.memory, kdf.passes, kdf.lanes, salt, nonce, b"")[:_LOCK_OPEN]
    sealed = AESGCM(key).encrypt(nonce, private, _TITLE_LOCKED + head)
    wipe(key)
    return head + nonce + sealed


def _unlocked(data: bytes, passphrase: bytearray) -> bytes:
    if len(data) != _LOCK.size:
        raise AuditDamaged("The reviewer's credential has the wrong length.")
    memory, passes, lanes, salt, nonce, sealed = _LOCK.unpack(data)
    kdf = Kdf(memory, passes, lanes)
    if not allowed(kdf):  # before it is run: a file can be made to eat the machine
        raise AuditDamaged("The reviewer's credential asks for a key derivation out of bounds.")
    try:
        key = _derived(passphrase, salt, kdf)
        return AESGCM(key).decrypt(nonce, sealed, _TITLE_LOCKED + data[:_LOCK_OPEN])
    except (InvalidTag, UnicodeDecodeError):
        raise WrongSecret("This passphrase does not open the credential.") from None


def _derived(passphrase: bytearray, salt: bytes, kdf: Kdf) -> bytearray:
    """Return 32 bytes by Argon2id of the passphrase in Unicode's NFC, as for a vault's."""
    words = passphrase
    if not passphrase.isascii():
        words = bytearray(unicodedata.normalize("NFC", passphrase.decode("utf-8")).encode("utf-8"))
    key = bytearray(32)
    Argon2id(
        salt=salt, length=32, iterations=kdf.passes, lanes=kdf.lanes, memory_cost=kdf.memory
    ).derive_into(words, key)  # type: ignore[arg-type]  # takes any buffer; bytes could not be wiped
    return key


def _armoured(title: bytes, data: bytes) -> bytes:
    text = title + base64.encodebytes(data)
    return text + b"sha256 " + hashlib.sha256(text).hexdigest().encode() + b"\n"


def _unarmoured(data: bytes, title: bytes) -> bytes:
    if len(data) > MAX_FILE_BYTES or not data.startswith(title):
        raise AuditDamaged(f"This is no {title.decode().strip()}.")
    body, _, _ = data.removeprefix(title).rpartition(b"sha256 ")
    try:
        raw = base64.b64decode(body.replace(b"\n", b""), validate=True)
    except binascii.Error:
        raw = b""
    if _armoured(title, raw) != data:  # one encoding only; a typing or copying error is found here
        raise AuditDamaged("The file of the reviewer's key is damaged.")
    return raw
