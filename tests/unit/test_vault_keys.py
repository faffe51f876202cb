from __future__ import annotations

import os
import unicodedata

import pytest

from appliance.errors import KeyFileError, UsageError, VaultExists, VaultMissing, WrongSecret
from appliance.secret import Secret
from appliance.vault.access import keyfile, keys
from appliance.vault.access.keyfile import CEILING, FLOOR, Kdf
from tests.stores import a_key, noon

SECRET = "a passphrase for tests"


def _secret(text=SECRET):
    return Secret.passphrase(bytearray(text.encode()))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    key = keys.create(folder, _secret(), clock=noon, kdf=FLOOR)
    return {name: (folder / name).read_bytes() for name in keys.COPIES}, bytes(key.page_key())


@pytest.fixture
def vault(made, tmp_path):
    for name, data in made[0].items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_unlock_gives_the_key_that_create_made_and_both_wipe_the_passphrase(tmp_path):
    for act in (
        lambda p: keys.create(tmp_path, p, clock=noon, kdf=FLOOR),
        lambda p: keys.unlock(tmp_path, p),
    ):
        passphrase = _secret()
        key = act(passphrase)
        assert not any(passphrase.words)
        assert key.cipher == "sqlcipher"
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        keys.COPIES, 0o600
    )
    assert (tmp_path / "keys").read_bytes() == (tmp_path / "keys.bak").read_bytes()


def test_two_vaults_share_no_key_salt_or_nonce(made, tmp_path):
    keys.create(tmp_path, _secret(), clock=noon, kdf=FLOOR)
    one, two = keyfile.parse(made[0]["keys"]), keyfile.parse((tmp_path / "keys").read_bytes())
    assert one.vault != two.vault
    assert one.slots[0].salt != two.slots[0].salt
    assert one.slots[0].nonce != two.slots[0].nonce


def test_every_wrong_secret_gets_the_same_message_and_is_wiped(vault):
    messages = set()
    for text in ("", "A passphrase for tests", SECRET + "\n", "é", "x" * 10_000):
        passphrase = _secret(text)
        with pytest.raises(WrongSecret) as caught:
            keys.unlock(vault, passphrase)
        messages.add((caught.value.message, caught.value.hint))
        assert not any(passphrase.words)
    with pytest.raises(WrongSecret) as caught:
        keys.unlock(vault, Secret.passphrase(bytearray(b"\xff\xfe")))
    assert {(caught.value.message, caught.value.hint)} == messages


def test_a_passphrase_is_the_same_however_its_accents_were_typed(tmp_path):
    made = keys.create(tmp_path, _secret(unicodedata.normalize("NFD", "Zoë")), clock=noon, kdf=FLOOR)
    opened = keys.unlock(tmp_path, _secret(unicodedata.normalize("NFC", "Zoë")))
    assert made.page_key() == opened.page_key()


@pytest.mark.parametrize("passphrase", [b"", b"\xff\xfe"])
def test_a_passphrase_that_nobody_could_type_again_is_refused_and_nothing_written(tmp_path, passphrase):
    with pytest.raises(UsageError):
        keys.create(tmp_path, Secret.passphrase(bytearray(passphrase)), clock=noon, kdf=FLOOR)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "kdf",
    [
        Kdf(FLOOR.memory - 1, 3, 4),
        Kdf(FLOOR.memory, 2, 4),
        Kdf(FLOOR.memory, 3, 3),
        Kdf(CEILING.memory + 1, 3, 4),
    ],
)
def test_a_cost_out_of_bounds_is_refused(tmp_path, kdf):
    with pytest.raises(UsageError):
        keys.create(tmp_path, _secret(), clock=noon, kdf=kdf)
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_is_never_overwritten(vault):
    before = (vault / "keys").read_bytes()
    (vault / "keys.bak").unlink()
    with pytest.raises(VaultExists):
        keys.create(vault, _secret(), clock=noon, kdf=FLOOR)
    assert (vault / "keys").read_bytes() == before


def test_without_a_key_file_there_is_no_vault(tmp_path):
    with pytest.raises(VaultMissing):
        keys.unlock(tmp_path, _secret())


@pytest.mark.parametrize("name", keys.COPIES)
@pytest.mark.parametrize("damage", ["missing", "cut", "sealed", "mac", "folder", "pipe"])
def test_either_copy_suffices_and_the_check_names_the_bad_one(vault, made, name, damage):
    path = vault / name
    data = bytearray(path.read_bytes())
    if damage in ("missing", "folder", "pipe"):
        path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)  # nobody writes to it: an open that waits would wait for ever
    elif damage != "missing":
        data[{"cut": 0, "sealed": 100, "mac": -1}[damage]] ^= 1
        path.write_bytes(data[:90] if damage == "cut" else data)
    key = keys.unlock(vault, _secret())
    assert bytes(key.page_key()) == made[1]
    assert [check.name for check in keys.check(vault, key) if not check.ok] == [f"key file {name}"]
    with pytest.raises(WrongSecret):
        keys.unlock(vault, _secret("another"))


def test_two_damaged_copies_are_damage(vault):
    for name in keys.COPIES:
        (vault / name).write_bytes(b"APLKEYS\n")
    with pytest.raises(KeyFileError):
        keys.unlock(vault, _secret())


def test_a_changed_header_is_damage_even_with_the_right_passphrase(vault):
    for name in keys.COPIES:
        data = bytearray((vault / name).read_bytes())
        data[-1] ^= 1
        (vault / name).write_bytes(data)
    with pytest.raises(KeyFileError):
        keys.unlock(vault, _secret())


def test_derived_keys_differ_by_purpose_cipher_and_data_key():
    derived = [bytes(a_key(cipher).page_key()) for cipher in ("sqlcipher", "aegis", "chacha20")]
    derived += [bytes(a_key(secret=8).page_key()), bytes(a_key().page_salt())]
    assert len({key[:16] for key in derived}) == 5
    assert [len(key) for key in derived] == [32, 32, 32, 32, 16]


def test_a_key_shows_nothing_of_itself_and_can_be_wiped():
    key = a_key()
    before = key.page_key()
    assert "0707" not in repr(key)
    key.wipe()
    assert key.page_key() != before
