"""A device's slot keeps the slots' law: its device alone opens it, whatever is moved or changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from appliance.errors import KeyFileError, UsageError, WrongSecret
from appliance.secret import Secret
from appliance.vault.access import factors, keyfile, keys, slots
from appliance.vault.access.keyfile import FLOOR, Device
from tests import mutations
from tests.stores import noon
from tests.vectors.keys import parts

PUBLIC = factors.read_officer_public(parts.OFFICER_PUBLIC)
BOTH = list(parts.DEVICES)


@pytest.fixture(autouse=True)
def _cheap_derivation(monkeypatch):
    monkeypatch.setattr(slots, "argon2id", mutations.cheap)


def _given(name):
    return parts.EVERY[name].secret()


def _add(folder, key, name):
    secret = PUBLIC if name == "escrow" else _given(name)
    return keys.add_slot(folder, key, secret, kdf=FLOOR, clock=noon)


@pytest.fixture
def made(tmp_path):
    return keys.create(tmp_path, _given("passphrase"), clock=noon, kdf=FLOOR)


@pytest.fixture
def both(tmp_path, made):
    for name in BOTH:
        _add(tmp_path, made, name)
    return made


@pytest.mark.parametrize("damaged", [None, *keys.COPIES])
@pytest.mark.parametrize("name", BOTH)
def test_a_devices_answer_opens_from_either_copy_and_is_wiped(tmp_path, both, name, damaged):
    if damaged:
        (tmp_path / damaged).write_bytes(b"damage")
    secret = _given(name)
    assert keys.unlock(tmp_path, secret).page_key() == both.page_key()
    assert not any(secret.words + secret.token)


@pytest.mark.parametrize("name", BOTH)
def test_a_device_costs_no_derivation_and_none_is_spent_on_its_slot(tmp_path, both, name, monkeypatch):
    tried = []
    monkeypatch.setattr(slots, "argon2id", lambda *a: tried.append(a[2]) or mutations.cheap(*a))
    keys.unlock(tmp_path, _given(name))
    assert tried == []
    keys.unlock(tmp_path, _given("passphrase"))
    assert len(tried) == 1


def test_what_a_device_is_asked_is_listed_without_a_secret_and_no_answer_is(tmp_path, both):
    listed = keys.slots(tmp_path)
    assert [slot.kind for slot in listed] == ["passphrase", "FIDO2 key", "PKCS#11 key"]
    assert [slot.device for slot in listed[1:]] == [parts.DEVICES[name].asked.hex() for name in BOTH]
    assert [slot.kdf for slot in listed[1:]] == [None, None]
    for name in BOTH:
        assert parts.DEVICES[name].token not in (tmp_path / "keys").read_bytes()


@pytest.mark.parametrize("name", BOTH)
def test_a_wrong_device_gets_the_message_of_every_wrong_secret(tmp_path, both, name):
    good, said = parts.DEVICES[name], set()
    with pytest.raises(WrongSecret) as caught:
        keys.unlock(tmp_path, Secret.passphrase(bytearray(b"wrong")))
    said.add((caught.value.message, caught.value.hint))
    other = parts.DEVICES[BOTH[1 - BOTH.index(name)]]
    for wrong in (
        replace(good, token=bytes(32)),
        replace(good, token=parts.flip(good.token, 31)),
        replace(good, asked=parts.flip(good.asked, 0)),
        replace(good, asked=good.asked + b"x"),
        replace(good, kind=other.kind),
        replace(good, token=other.token),
    ):
        secret = wrong.secret()
        with pytest.raises(WrongSecret) as caught:
            keys.unlock(tmp_path, secret)
        said.add((caught.value.message, caught.value.hint))
        assert not any(secret.words + secret.token)
    assert len(said) == 1


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("asked", "answer"), [(31, 32), (32, 32), (545, 32), (40, 31), (40, 33), (40, 0)])
def test_what_no_device_answers_is_no_secret_and_makes_no_slot(tmp_path, made, name, asked, answer):
    before = (tmp_path / "keys").read_bytes()
    kind = parts.DEVICES[name].kind
    for act in (
        lambda secret: keys.add_slot(tmp_path, made, secret, kdf=FLOOR, clock=noon),
        lambda secret: keys.unlock(tmp_path, secret),
    ):
        secret = Secret(kind, words=bytearray(b"a" * asked), token=bytearray(b"b" * answer))
        with pytest.raises(UsageError):
            act(secret)
        assert not any(secret.words + secret.token)
    assert (tmp_path / "keys").read_bytes() == before


@pytest.mark.parametrize("name", BOTH)
def test_a_device_may_be_the_only_way_in_and_an_officer_beside_it_is_none(tmp_path, made, name):
    _add(tmp_path, made, "escrow")
    number = _add(tmp_path, made, name)
    keys.remove_slot(tmp_path, made, 1)
    with pytest.raises(UsageError, match="last slot"):
        keys.remove_slot(tmp_path, made, number)
    assert keys.unlock(tmp_path, _given(name)).page_key() == made.page_key()


@pytest.mark.parametrize("name", BOTH)
def test_a_removed_device_opens_no_more_unless_the_old_file_comes_back(tmp_path, both, name):
    old = (tmp_path / "keys").read_bytes()
    keys.remove_slot(tmp_path, both, 2 + BOTH.index(name))
    with pytest.raises(WrongSecret):
        keys.unlock(tmp_path, _given(name))
    for copy in keys.COPIES:
        (tmp_path / copy).write_bytes(old)
    assert keys.unlock(tmp_path, _given(name)).page_key() == both.page_key()


@pytest.mark.parametrize("name", BOTH)
def test_a_rewrite_keeps_the_device_without_asking_it_again_and_seals_under_another_key(tmp_path, both, name):
    _add(tmp_path, both, "escrow")
    old = keys.current(tmp_path, both)
    number = 2 + BOTH.index(name)
    secret = _given(name)
    later = datetime(2027, 1, 1, tzinfo=UTC)
    file, key, dropped = keys.renew(old, secret, cipher="aegis", kdf=FLOOR, clock=lambda: later)
    assert not any(secret.words + secret.token)
    assert [slot.number for slot in file.slots] == [number, 4]
    assert sorted(slot.number for slot in dropped) == sorted({1, 2, 3} - {number})
    before = next(slot for slot in old.slots if slot.number == number)
    after = file.slots[0]
    assert isinstance(before, Device)
    assert isinstance(after, Device)
    assert (after.salt, after.handle) == (before.salt, before.handle)
    assert after.nonce != before.nonce
    answer = bytearray(parts.DEVICES[name].token)
    assert slots.device_key(file, after, answer) != slots.device_key(old, before, answer)
    assert key.page_key() != both.page_key()
    with slots.Opener(_given(name)) as opener:
        assert keys.open_bytes(keyfile.encode(file), opener).page_key() == key.page_key()
    with slots.Opener(_given(BOTH[1 - BOTH.index(name)])) as opener, pytest.raises(WrongSecret):
        keys.open_bytes(keyfile.encode(file), opener)


def test_twenty_rewrites_never_seal_under_one_key_twice(tmp_path):
    keys.create(tmp_path, _given("fido2"), clock=noon, kdf=FLOOR)
    file, used = keyfile.parse((tmp_path / "keys").read_bytes()), set()
    for _ in range(20):
        used.add(bytes(slots.device_key(file, file.slots[0], bytearray(parts.DEVICES["fido2"].token))))
        file, _, _ = keys.renew(file, _given("fido2"), cipher="sqlcipher", kdf=FLOOR, clock=noon)
    assert len(used) == 20


@pytest.mark.parametrize("name", BOTH)
def test_a_handle_changed_by_somebody_else_is_noticed_whoever_opens(tmp_path, both, name):
    """By its device no slot opens; by another secret the header says that the file was changed."""
    file = keys.current(tmp_path, both)
    number = 2 + BOTH.index(name)
    given = parts.DEVICES[name]
    for asked in (
        parts.flip(given.asked, 0),
        parts.flip(given.asked, 40),
        given.asked[:-1],
        given.asked + b"x",
    ):
        changed = tuple(
            replace(slot, salt=asked[:32], handle=asked[32:]) if slot.number == number else slot
            for slot in file.slots
        )
        for copy in keys.COPIES:
            (tmp_path / copy).write_bytes(keyfile.encode(replace(file, slots=changed)))
        for tried in (
            given,
            replace(given, asked=asked),
        ):  # as it was added; as the changed slot makes it ask
            with pytest.raises(WrongSecret):
                keys.unlock(tmp_path, tried.secret())
        with pytest.raises(KeyFileError, match="changed"):
            keys.unlock(tmp_path, _given("passphrase"))


def test_two_security_keys_each_open_their_own_slot(tmp_path, made):
    spare = replace(parts.DEVICES["fido2"], asked=bytes(32) + b"spare", token=bytes(range(32)))
    for given in (parts.DEVICES["fido2"], spare):
        keys.add_slot(tmp_path, made, given.secret(), kdf=FLOOR, clock=noon)
    for given in (parts.DEVICES["fido2"], spare):
        assert keys.unlock(tmp_path, given.secret()).page_key() == made.page_key()
    with pytest.raises(WrongSecret):
        keys.unlock(tmp_path, replace(spare, token=parts.DEVICES["fido2"].token).secret())


def test_no_handle_but_the_longest_one_is_too_long(tmp_path, made):
    longest = replace(parts.DEVICES["pkcs11"], asked=bytes(32) + b"h" * 512)
    keys.add_slot(tmp_path, made, longest.secret(), kdf=FLOOR, clock=noon)
    assert keys.unlock(tmp_path, longest.secret()).page_key() == made.page_key()
