"""A passphrase and a vault folder -> the data key, through the two copies of the key file."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from appliance import durable
from appliance.errors import IntegrityError, KeyFileError, UsageError, VaultExists, VaultMissing, WrongSecret
from appliance.types import Check
from appliance.vault import keyfile
from appliance.vault.keyfile import DEFAULT_KDF, KEY_BYTES, Cipher, Kdf, KeyFile, Label, Slot

Clock = Callable[[], datetime]

COPIES: Final = ("keys", "keys.bak")
_MAX_FILE_BYTES: Final = 4096
_PAGE_SALT_BYTES: Final = 16


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

    def opens(self, file: KeyFile) -> bool:
        """Tell whether `file` is an authentic key file of this vault."""
        try:
            keyfile.authenticate(file, self._secret)
        except KeyFileError:
            return False
        return file.vault == self._file.vault

    def wipe(self) -> None:
        """Forget the key as far as Python can."""
        keyfile.wipe(self._secret)

    def _derive(self, label: Label, length: int) -> bytearray:
        return keyfile.derive_key(self._secret, self._file, label, length=length)


def create(
    folder: Path, passphrase: bytearray, *, clock: Clock, kdf: Kdf = DEFAULT_KDF, cipher: Cipher = "sqlcipher"
) -> DataKey:
    """Make a new data key, write both copies of its key file to `folder`, wipe `passphrase`.

    Raises:
        UsageError: the passphrase is empty or not UTF-8, or `kdf` is out of bounds.
        VaultExists: there is a key file already.
    """
    if not keyfile.allowed(kdf):
        raise UsageError("The key derivation's cost is out of bounds.")
    if any((folder / name).exists() for name in COPIES):
        raise VaultExists("There is a key file in this folder already.")
    data_key = bytearray(secrets.token_bytes(KEY_BYTES))
    now = int(clock().timestamp())
    try:
        secret = _normalised(passphrase)
        if not secret:
            raise UsageError("A passphrase cannot be empty.")
        file = _new_file(secret, data_key, kdf=kdf, cipher=cipher, now=now)
    except UnicodeDecodeError:
        raise UsageError("A passphrase must be UTF-8 text.") from None
    finally:
        keyfile.wipe(passphrase)
    for name in COPIES:
        durable.replace(folder / name, keyfile.encode(file))
    return DataKey(file, data_key)


def unlock(folder: Path, passphrase: bytearray) -> DataKey:
    """Return the data key of the vault in `folder` and wipe `passphrase`.

    Either copy of the key file suffices; the second is tried only where it differs from the first.

    Raises:
        WrongSecret: the passphrase opens no slot; one message whatever the reason.
        KeyFileError: neither copy is canonical and authentic.
        VaultMissing: there is no key file.
    """
    try:
        secret = _normalised(passphrase)
    except UnicodeDecodeError:
        secret = bytearray()
    finally:
        keyfile.wipe(passphrase)
    try:
        return _unlock(_read_copies(folder), secret)
    finally:
        keyfile.wipe(secret)


def open_bytes(data: bytes, derive: keyfile.Derive) -> DataKey:
    """Return the data key in one copy of a key file, the secret being whatever `derive` knows.

    Raises:
        WrongSecret, KeyFileError: as `unlock` does.
    """
    file = keyfile.parse(data)
    return DataKey(file, keyfile.open_with(file, derive))


def argon2id(secret: bytearray, slot: Slot) -> bytearray:
    """Return the 32-byte key that seals `slot` (Argon2id, RFC 9106)."""
    key = bytearray(KEY_BYTES)
    kdf = slot.kdf
    Argon2id(
        salt=slot.salt, length=KEY_BYTES, iterations=kdf.passes, lanes=kdf.lanes, memory_cost=kdf.memory
    ).derive_into(secret, key)  # type: ignore[arg-type]  # takes any buffer; bytes could not be wiped
    return key


def check(folder: Path, key: DataKey) -> Iterator[Check]:
    """Yield for each copy of the key file whether it is authentic."""
    for name in COPIES:
        yield Check(f"key file {name}", *_judge(folder / name, key))


def _judge(path: Path, key: DataKey) -> tuple[bool, str]:
    if not path.exists():
        return False, "missing; the other copy can be copied here"
    try:
        authentic = key.opens(keyfile.parse(_read(path)))
    except KeyFileError as error:
        return False, error.message
    return authentic, "authentic" if authentic else "not authentic; the other copy can be copied here"


def _unlock(copies: list[bytes], secret: bytearray) -> DataKey:
    failures: list[IntegrityError | WrongSecret] = []
    for data in dict.fromkeys(copies):
        try:
            return open_bytes(data, lambda slot: argon2id(secret, slot))
        except (KeyFileError, WrongSecret) as error:
            failures.append(error)
    # A damaged copy beside a sound one that does not open: the secret is wrong, and that is all we say.
    raise next((error for error in failures if isinstance(error, WrongSecret)), failures[0])


def _read_copies(folder: Path) -> list[bytes]:
    copies = [_read(folder / name) for name in COPIES if (folder / name).exists()]
    if not copies:
        raise VaultMissing(f"There is no vault in {folder.name!r}.")
    return copies


def _read(path: Path) -> bytes:
    """Return one copy's bytes, none where it cannot be read: a bad sector, a folder, a pipe put there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_MAX_FILE_BYTES) or b""
    except PermissionError:
        raise  # another user's vault is not a damaged one
    except OSError:
        return b""


def _new_file(secret: bytearray, data_key: bytearray, *, kdf: Kdf, cipher: Cipher, now: int) -> KeyFile:
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    slot = Slot(number=1, created=now, kdf=kdf, salt=salt, nonce=nonce, sealed=b"")
    file = KeyFile(cipher=cipher, vault=secrets.token_bytes(16), created=now, slots=(), mac=b"")
    wrapping_key = argon2id(secret, slot)
    keyfile.wipe(secret)
    sealed = keyfile.seal(file, slot, wrapping_key=wrapping_key, data_key=data_key)
    keyfile.wipe(wrapping_key)
    file = replace(file, slots=(replace(slot, sealed=sealed),))
    return replace(file, mac=keyfile.sign(file, data_key))


def _normalised(passphrase: bytearray) -> bytearray:
    """Return a copy in Unicode's NFC, so that every keyboard's "é" is the same secret.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    if passphrase.isascii():
        return bytearray(passphrase)  # without a `str`, which nobody could wipe
    return bytearray(unicodedata.normalize("NFC", passphrase.decode("utf-8")).encode("utf-8"))
