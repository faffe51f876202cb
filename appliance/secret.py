"""What a person gives to open a vault, in buffers that can be wiped, and its form in one wire frame."""

from __future__ import annotations

import struct
from typing import Final, Literal, Self

DeviceKind = Literal["FIDO2 key", "PKCS#11 key"]
Kind = Literal["passphrase", "key file", "recovery code", "two-factor", "escrow key"] | DeviceKind

KINDS: Final[dict[int, Kind]] = {
    1: "passphrase",
    2: "key file",
    3: "recovery code",
    4: "FIDO2 key",
    6: "PKCS#11 key",
    7: "two-factor",
    8: "escrow key",
}
"""The numbers are those of the slots that the secrets open (vault/FORMAT.md)."""
DEVICE_KINDS: Final[frozenset[Kind]] = frozenset({"FIDO2 key", "PKCS#11 key"})
DEVICE_SALT_BYTES: Final = 32
LONGEST_HANDLE: Final = 512
ANSWER_BYTES: Final = 32

_HEAD: Final = struct.Struct(">BI")


class Secret:
    """A kind, `words` that were typed (UTF-8) and the `token` a file held; either may be empty.

    A device's are public and secret: `words` say what it was asked, `token` is what it answered.

    It takes the buffers over: `wipe` zeroes them, and whoever opens a vault with it wipes it. It is never
    shown and never compared.
    """

    __slots__ = ("kind", "token", "words")

    def __init__(self, kind: Kind, *, words: bytearray, token: bytearray) -> None:
        self.kind: Kind = kind
        self.words = words
        self.token = token

    @classmethod
    def passphrase(cls, words: bytearray) -> Self:
        """Return a typed passphrase."""
        return cls("passphrase", words=words, token=bytearray())

    @classmethod
    def key_file(cls, token: bytearray) -> Self:
        """Return the contents of a key file."""
        return cls("key file", words=bytearray(), token=token)

    @classmethod
    def recovery_code(cls, words: bytearray) -> Self:
        """Return a typed recovery code."""
        return cls("recovery code", words=words, token=bytearray())

    @classmethod
    def two_factor(cls, words: bytearray, token: bytearray) -> Self:
        """Return a typed passphrase and the contents of a key file, both of which are needed."""
        return cls("two-factor", words=words, token=token)

    @classmethod
    def escrow_key(cls, token: bytearray) -> Self:
        """Return the contents of an officer's private key file."""
        return cls("escrow key", words=bytearray(), token=token)

    @classmethod
    def device(cls, kind: DeviceKind, asked: bytes, answer: bytearray) -> Self:
        """Return a device's answer; `asked` is the salt it was given, and its key's handle (FORMAT.md)."""
        return cls(kind, words=bytearray(asked), token=answer)

    @classmethod
    def unpack(cls, frame: bytearray) -> Self:
        """Undo `pack` into new buffers; the caller wipes `frame`.

        Raises:
            ValueError: it is not what `pack` returns.
        """
        if len(frame) < _HEAD.size:
            raise ValueError("not a secret")
        number, length = _HEAD.unpack_from(frame)
        if number not in KINDS or length > len(frame) - _HEAD.size:
            raise ValueError("not a secret")
        end = _HEAD.size + length
        return cls(KINDS[number], words=frame[_HEAD.size : end], token=frame[end:])

    def pack(self) -> bytearray:
        """Return kind, length of the words, words and token as one frame; the caller wipes it."""
        number = next(number for number, kind in KINDS.items() if kind == self.kind)
        size = _HEAD.size + len(self.words)
        frame = bytearray(size + len(self.token))  # of the final size at once: growing leaves copies behind
        _HEAD.pack_into(frame, 0, number, len(self.words))
        frame[_HEAD.size : size] = self.words
        frame[size:] = self.token
        return frame

    def copy(self) -> Self:
        """Return the same secret in buffers of its own, for one who has to give it twice."""
        return type(self)(self.kind, words=bytearray(self.words), token=bytearray(self.token))

    def wipe(self) -> None:
        """Overwrite both buffers with zeros."""
        wipe(self.words)
        wipe(self.token)

    def __repr__(self) -> str:
        return f"<Secret: {self.kind}>"


def wipe(buffer: bytearray) -> None:
    """Overwrite `buffer` with zeros. Copies Python made on its way are out of reach (FORMAT.md, Limits)."""
    buffer[:] = bytes(len(buffer))
