"""A slot is added or removed, and the process killed at any call on the way: no promise is lost.

What was promised opens from either copy alone; what was removed opens from neither once `keys` is without it.
"""

from __future__ import annotations

import shutil

import pytest

from appliance.errors import KeyFileError, WrongSecret
from appliance.vault.access import keyfile, keys, slots
from appliance.vault.access.keyfile import FLOOR
from tests import mutations
from tests.stores import noon
from tests.vectors.keys import parts
from tests.victims import killed_after

ADDING = [*range(1, 500, 3), 100_000]
REMOVING = [*range(1, 330, 2), 100_000]
"""Beyond the last call of each: the tail is killed too."""


@pytest.fixture(autouse=True)
def _cheap_derivation(monkeypatch):
    monkeypatch.setattr(slots, "argon2id", mutations.cheap)


def _given(name):
    return parts.SECRETS[name].secret()


def _opens(folder, name) -> bool:
    try:
        keys.unlock(folder, _given(name))
    except (WrongSecret, KeyFileError):
        return False
    return True


def _alone(folder, copy):
    """The vault with the other copy lost."""
    alone = folder.with_name(f"only {copy}")
    shutil.rmtree(alone, ignore_errors=True)
    alone.mkdir()
    shutil.copy(folder / copy, alone / copy)
    return alone


def _numbers(folder, copy):
    return [slot.number for slot in keyfile.parse((folder / copy).read_bytes()).slots]


@pytest.fixture
def vault(tmp_path):
    folder = tmp_path / "vault"
    folder.mkdir()
    key = keys.create(folder, _given("passphrase"), clock=noon, kdf=FLOOR)
    return folder, key


@pytest.mark.parametrize("name", ["recovery_code", "escrow"])
def test_an_add_killed_anywhere_keeps_the_old_secret_in_both_copies(vault, name):
    folder, key = vault
    public = parts.hybrid.public_half(bytearray(parts.PRIVATE))
    before = (folder / "keys").read_bytes()
    kills = 0
    for calls in ADDING:
        for copy in keys.COPIES:
            (folder / copy).write_bytes(before)
        secret = public if name == "escrow" else _given(name)
        killed = killed_after(
            calls,
            lambda secret=secret: keys.add_slot(folder, key, secret, kdf=FLOOR, clock=noon),
            within=("/vault/", "/durable.py"),
        )
        kills += killed
        added = [2 in _numbers(folder, copy) for copy in keys.COPIES]
        for copy, has in zip(keys.COPIES, added, strict=True):
            assert _opens(_alone(folder, copy), "passphrase")
            assert _opens(_alone(folder, copy), name) == has
        assert _opens(folder, name) == added[0]
        assert _opens(folder, "passphrase")
        assert (folder / "keys").read_bytes() == (folder / "keys.bak").read_bytes()
        assert killed or added == [True, True]
    assert kills > 100


def test_a_removal_killed_anywhere_never_lets_the_slot_live_on_in_one_copy(vault):
    folder, key = vault
    keys.add_slot(folder, key, _given("key_file"), kdf=FLOOR, clock=noon)
    before = (folder / "keys").read_bytes()
    kills = 0
    for calls in REMOVING:
        for copy in keys.COPIES:
            (folder / copy).write_bytes(before)
        killed = killed_after(
            calls, lambda: keys.remove_slot(folder, key, 2), within=("/vault/", "/durable.py")
        )
        kills += killed
        there = [2 in _numbers(folder, copy) for copy in keys.COPIES]
        assert there != [False, True], "gone from `keys`, alive in `keys.bak`"
        for copy in keys.COPIES:
            assert _opens(_alone(folder, copy), "passphrase")
        assert _opens(folder, "key_file") == there[0]
        assert _opens(folder, "passphrase")
        assert (folder / "keys").read_bytes() == (folder / "keys.bak").read_bytes()
        assert killed or there == [False, False]
    assert kills > 100
