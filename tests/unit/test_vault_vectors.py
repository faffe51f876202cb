"""The committed key files: each is refused, or opens, for the reason it names."""

from __future__ import annotations

import unicodedata
from functools import cache

import pytest

from appliance.errors import KeyFileError, WrongSecret
from appliance.vault import keyfile, keys
from tests.vectors.keys import make

FILES = sorted(make.HERE.glob("*.vector"))


@cache
def _argon2id(secret: bytes, slot_salt: bytes, kdf: keyfile.Kdf) -> bytes:
    return bytes(keys.argon2id(bytearray(secret), keyfile.Slot(1, 0, kdf, slot_salt, b"", b"")))


def _read(path):
    head, _, data = path.read_bytes().partition(b"\n\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\n")), data


def _open(data, passphrase):
    secret = unicodedata.normalize("NFC", passphrase).encode()
    return keys.open_bytes(data, lambda slot: bytearray(_argon2id(secret, slot.salt, slot.kdf)))


def _page_key(data, data_key):
    return keyfile.derive_key(bytearray.fromhex(data_key), keyfile.parse(data), "page key", length=32)


def _never(slot):
    raise AssertionError("a key was derived for a file that the parser can refuse")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_vector(path):
    fields, data = _read(path)
    match fields["expect"]:
        case "success":
            assert keyfile.encode(keyfile.parse(data)) == data
            assert _open(data, fields["passphrase"]).page_key() == _page_key(data, fields["data key"])
        case "no match":
            with pytest.raises(WrongSecret):
                _open(data, fields["passphrase"])
        case "mac failure":
            with pytest.raises(KeyFileError, match="changed after it was written"):
                _open(data, fields["passphrase"])
        case "malformed":
            with pytest.raises(KeyFileError):
                keys.open_bytes(data, _never)
        case other:
            raise AssertionError(other)


def test_the_files_are_what_the_script_writes():
    assert {path.stem: path.read_bytes() for path in FILES} == {v.name: v.encode() for v in make.vectors()}


def test_the_kit_is_not_empty():
    assert len(FILES) >= 80
