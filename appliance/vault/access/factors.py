"""Secrets a person keeps -> what Argon2id is given; and the texts of those that this program makes.

FORMAT.md is the specification. No file is touched here. The texts are Crockford's base32 (no I, L, O, U) with
four bytes of checksum, so that a slip of the pen is told apart from a wrong secret. That needs no key and
tells nothing of the vault.
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Iterator
from typing import Final

from appliance.errors import UsageError
from appliance.secret import ANSWER_BYTES, DEVICE_SALT_BYTES, KINDS, LONGEST_HANDLE, Kind, Secret, wipe
from appliance.vault.access import hybrid

LEAST_KEY_FILE: Final = 32
MOST_KEY_FILE: Final = 1024 * 1024
_ALPHABET: Final = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS: Final = {**{c: n for n, c in enumerate(_ALPHABET)}, ord("O"): 0, ord("I"): 1, ord("L"): 1}
_IGNORED: Final = b"- \t\r\n"
_CODE: Final = b"appliance recovery code 1"
_KEY_FILE: Final = b"appliance key file 1"
_PRIVATE: Final = b"appliance escrow key 1, private"
_PUBLIC: Final = b"appliance escrow key 1, public"
_CODE_BYTES: Final = 16
_KEY_FILE_BYTES: Final = 36
_CHECK_BYTES: Final = 4
_LINE: Final = 64
_NOT_UTF8: Final = b"\xff"
"""No UTF-8 text holds this byte: nothing that begins with it can be typed as a passphrase."""


def kdf_input(secret: Secret) -> bytearray:
    """Return what Argon2id is given for `secret`, empty for words that are empty or not UTF-8.

    Raises:
        UsageError: the recovery code is mistyped, the key file is too short, too long or damaged.
    """
    match secret.kind:
        case "passphrase":
            return _normalised(secret.words)
        case "key file":
            return _tagged("key file", _digest(secret.token))
        case "recovery code":
            return _tagged("recovery code", read_recovery_code(secret.words))
        case "two-factor":
            words, digest = _normalised(secret.words), _digest(secret.token)
            return _tagged("two-factor", digest, words) if words else bytearray()
        case "escrow key" | "FIDO2 key" | "PKCS#11 key":
            raise UsageError("This kind of secret opens by itself; Argon2id is not for it.")


def read_answer(secret: Secret) -> tuple[bytes, bytearray]:
    """Return what a device was asked (32 bytes of salt, 1 to 512 of handle) and a copy of its 32-byte answer.

    Raises:
        UsageError: they are not of these lengths.
    """
    handle = len(secret.words) - DEVICE_SALT_BYTES
    if not 1 <= handle <= LONGEST_HANDLE:
        raise UsageError(f"A device's key has a name of 1 to {LONGEST_HANDLE} bytes; this one has {handle}.")
    if len(secret.token) != ANSWER_BYTES:
        raise UsageError(f"A device answers with {ANSWER_BYTES} bytes; this was another number of them.")
    return bytes(secret.words), bytearray(secret.token)


def generate_recovery_code() -> bytearray:
    """Return 128 new random bits as eight groups of four characters."""
    return recovery_code(bytearray(secrets.token_bytes(_CODE_BYTES)))


def recovery_code(value: bytearray) -> bytearray:
    """Return the text of a recovery code of 16 bytes, which are wiped."""
    symbols = _symbols(_checked(_CODE, value))
    return bytearray(b"-").join(symbols[at : at + 4] for at in range(0, len(symbols), 4))


def read_recovery_code(words: bytearray) -> bytearray:
    """Return the 16 bytes of a recovery code; case, spaces, dashes, O for 0 and I or L for 1 do not matter.

    Raises:
        UsageError: a character is wrong, missing or too many.
    """
    value = _unchecked(_CODE, words, size=_CODE_BYTES)
    if value is None:
        raise UsageError(
            "This is not a recovery code: a character is mistyped, missing or too many.",
            hint="It has 32 letters and digits. Compare them with the paper and type it again.",
        )
    return value


def generate_key_file() -> bytearray:
    """Return the text of a new key file, 288 random bits."""
    return key_file(bytearray(secrets.token_bytes(_KEY_FILE_BYTES)))


def key_file(value: bytearray) -> bytearray:
    """Return the text of a key file of 36 bytes, which are wiped."""
    return _armoured(_KEY_FILE, value)


def generate_officer_key() -> tuple[bytearray, bytes]:
    """Return the text of a new escrow key, for the officer alone, and that of its public half."""
    return officer_texts(hybrid.generate())


def officer_texts(private: bytearray) -> tuple[bytearray, bytes]:
    """Return the text of an escrow key of 96 bytes, which is wiped, and that of its public half."""
    public = bytearray(hybrid.public_half(private))
    return _armoured(_PRIVATE, private), bytes(_armoured(_PUBLIC, public))


def read_officer_private(text: bytearray) -> bytearray:
    """Return the 96 bytes of an officer's private key.

    Raises:
        UsageError: the file is not one, or damaged.
    """
    private = _dearmoured(_PRIVATE, text, size=hybrid.PRIVATE_BYTES)
    if private is None:
        raise UsageError("This is not an escrow key file, or it is damaged.")
    return private


def read_officer_public(text: bytes) -> bytes:
    """Return the 1216 bytes of an officer's public key.

    Raises:
        UsageError: the file is not one, or damaged; one message names the private file given by mistake.
    """
    public = _dearmoured(_PUBLIC, bytearray(text), size=hybrid.PUBLIC_BYTES)
    if public is None:
        private = text.startswith(_PRIVATE)
        raise UsageError(
            "This is the private half of an escrow key; only its public half belongs on this machine."
            if private
            else "This is not the public half of an escrow key, or it is damaged."
        )
    return bytes(public)


def fingerprint(public: bytes) -> str:
    """Return 16 hexadecimal digits that name an officer's public key."""
    return hashlib.sha256(_PUBLIC + b"\n" + public).hexdigest()[:16]


def _tagged(kind: Kind, *parts: bytearray) -> bytearray:
    """Join the parts behind their kind, and wipe them; all but the last are of a fixed length."""
    number = next(number for number, name in KINDS.items() if name == kind)
    tagged = bytearray().join([_NOT_UTF8, bytes([number]), *parts])
    for part in parts:
        wipe(part)
    return tagged


def _digest(token: bytearray) -> bytearray:
    """Return the SHA-256 of a key file; one of ours is first brought back to the text it was made with.

    An editor or a text-mode copy that changed its line ends has not changed the secret.
    """
    if not LEAST_KEY_FILE <= len(token) <= MOST_KEY_FILE:
        raise UsageError(f"A key file has {LEAST_KEY_FILE} to {MOST_KEY_FILE} bytes.")
    if not token.startswith(_KEY_FILE):
        return bytearray(hashlib.sha256(token).digest())
    value = _dearmoured(_KEY_FILE, token, size=_KEY_FILE_BYTES)
    if value is None:
        raise UsageError("This key file is damaged.", hint="Use another copy of it. Nothing was changed.")
    text = key_file(value)
    digest = bytearray(hashlib.sha256(text).digest())
    wipe(text)
    return digest


def _normalised(words: bytearray) -> bytearray:
    """Return a copy in Unicode's NFC, so that every keyboard's "é" is the same secret; empty if not UTF-8."""
    if words.isascii():
        return bytearray(words)  # without a `str`, which nobody could wipe
    try:
        return bytearray(unicodedata.normalize("NFC", words.decode("utf-8")).encode("utf-8"))
    except UnicodeDecodeError:
        return bytearray()


def _armoured(title: bytes, value: bytearray) -> bytearray:
    """Return `title`, and `value` with its checksum in lines of 64 symbols; wipe `value`."""
    symbols = _symbols(_checked(title, value))
    lines = [symbols[at : at + _LINE] for at in range(0, len(symbols), _LINE)]
    return bytearray(b"\n").join([title, *lines, b""])


def _dearmoured(title: bytes, text: bytearray, *, size: int) -> bytearray | None:
    if not text.startswith(title):
        return None
    return _unchecked(title, text[len(title) :], size=size)


def _checked(title: bytes, value: bytearray) -> bytearray:
    whole = value + hashlib.sha256(title + b"\n" + value).digest()[:_CHECK_BYTES]
    wipe(value)
    return whole


def _unchecked(title: bytes, text: bytearray, *, size: int) -> bytearray | None:
    whole = _bytes(text)
    if whole is None or len(whole) != size + _CHECK_BYTES:
        return None
    value, check = whole[:size], whole[size:]
    return value if check == hashlib.sha256(title + b"\n" + value).digest()[:_CHECK_BYTES] else None


def _symbols(data: bytearray) -> bytearray:
    """Return base32 of a multiple of five bytes."""
    return bytearray(_ALPHABET[five] for five in _regrouped(data, 8, 5))


def _bytes(text: bytearray) -> bytearray | None:
    """Undo `_symbols`, leniently; None where a character is no symbol or bits are left over."""
    symbols = text.upper().translate(None, _IGNORED)
    if len(symbols) % 8 or any(symbol not in _READ_AS for symbol in symbols):
        return None
    return bytearray(_regrouped((_READ_AS[symbol] for symbol in symbols), 5, 8))


def _regrouped(numbers: Iterator[int] | bytearray, width: int, wanted: int) -> Iterator[int]:
    """Yield the same bits, most significant first, `wanted` at a time instead of `width`."""
    held = bits = 0
    for number in numbers:
        held = held << width | number
        bits += width
        while bits >= wanted:
            bits -= wanted
            yield held >> bits
            held &= (1 << bits) - 1
