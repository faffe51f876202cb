"""The committed key files: each is refused, or opens, for the reason it names."""

from __future__ import annotations

import pytest

from appliance.errors import KeyFileError, UsageError, WrongSecret
from appliance.secret import Secret
from appliance.vault.access import keyfile, keys, slots
from tests.vectors.keys import make, parts

FILES = sorted(make.HERE.glob("*.vector"))


@pytest.fixture(autouse=True)
def _each_derivation_once(monkeypatch):
    monkeypatch.setattr(slots, "argon2id", parts.argon2id)


def _read(path):
    head, _, data = path.read_bytes().partition(b"\n\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\n")), data


def _open(fields, data):
    asked = bytes.fromhex(fields.get("asked", ""))
    secret = Secret(
        fields.get("secret", "passphrase"),
        words=bytearray(asked or fields["passphrase"].encode()),
        token=bytearray.fromhex(fields.get("token", "")),
    )
    with slots.Opener(secret) as opener:
        return keys.open_bytes(data, opener)


def _page_key(data, data_key):
    return keyfile.derive_key(bytearray.fromhex(data_key), keyfile.parse(data), "page key", length=32)


def _never(*_):
    raise AssertionError("something was derived or decrypted that the parser can refuse")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_vector(path, monkeypatch):
    fields, data = _read(path)
    if fields["expect"] != "malformed":
        assert keyfile.encode(keyfile.parse(data)) == data
    match fields["expect"]:
        case "success":
            assert _open(fields, data).page_key() == _page_key(data, fields["data key"])
        case "no match":
            with pytest.raises(WrongSecret):
                _open(fields, data)
        case "mac failure":
            with pytest.raises(KeyFileError, match="changed after it was written"):
                _open(fields, data)
        case "malformed":
            monkeypatch.setattr(slots, "argon2id", _never)
            monkeypatch.setattr(keyfile, "unseal_by_officer", _never)
            monkeypatch.setattr(slots, "device_key", _never)
            with pytest.raises(KeyFileError):
                _open(fields, data)
        case "mistyped":
            monkeypatch.setattr(keyfile, "parse", _never)
            with pytest.raises(UsageError):
                _open(fields, data)
        case other:
            raise AssertionError(other)


def test_the_files_are_what_the_script_writes():
    assert {path.stem: path.read_bytes() for path in FILES} == {v.name: v.encode() for v in make.vectors()}


def test_the_kit_is_large_enough():
    assert len(FILES) >= 150
