"""A FIDO2 security key in software, asked by the real client: what it opens, and what it says otherwise."""

from __future__ import annotations

import hashlib
import importlib
import sys
from datetime import UTC, datetime

import pytest
from fido2.hid import ConnectionFailure

from appliance.devices import Person, fido2
from appliance.errors import UsageError, WrongSecret
from appliance.types import SlotInfo
from tests.authenticator import SoftwareKey

PIN = "2468"


class Somebody:
    """Types a PIN when asked, and remembers what was said."""

    def __init__(self, pin=PIN):
        self.asked, self.said = 0, []
        self._pin = pin
        self.person = Person(self._type, self.said.append)

    def _type(self):
        self.asked += 1
        return bytearray(self._pin.encode())


@pytest.fixture
def plug(monkeypatch):
    def plug(*found):
        monkeypatch.setattr(fido2, "_plugged_in", lambda: list(found))

    return plug


def _slots(*secrets):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return [SlotInfo(n, s.kind, now, None, None, s.words.hex()) for n, s in enumerate(secrets, 1)]


def _made(plug, key):
    plug(key)
    return fido2.make(Somebody().person, [])


def test_it_answers_the_same_again_and_only_to_who_knows_the_pin_and_touches_it(plug):
    key, who = SoftwareKey(), Somebody()
    made = _made(plug, key)
    assert (len(made.words), len(made.token)) == (32 + 64, 32)
    again = fido2.open_with(who.person, _slots(made))
    assert (again.kind, again.words, again.token) == ("FIDO2 key", made.words, made.token)
    assert who.asked == 1
    assert who.said == ["Touch the security key."]
    assert key.touches == 3
    assert key.closed == 2


def test_what_it_is_asked_is_webauthns_prf_of_the_slots_salt(plug):
    key = SoftwareKey()
    made = _made(plug, key)
    assert key.salts == [hashlib.sha256(b"WebAuthn PRF\0" + made.words[:32]).digest()]


def test_every_new_slot_asks_something_else_of_another_credential(plug):
    key = SoftwareKey()
    made = [_made(plug, key) for _ in range(3)]
    assert len({bytes(secret.words[:32]) for secret in made}) == 3
    assert len({bytes(secret.words[32:]) for secret in made}) == 3
    assert len({bytes(secret.token) for secret in made}) == 3


def test_of_many_slots_the_one_that_was_made_with_it_is_answered(plug):
    keys = [SoftwareKey() for _ in range(3)]
    slots = _slots(*(made := [_made(plug, key) for key in keys]))
    for key, secret in zip(keys, made, strict=True):
        plug(key)
        found = fido2.open_with(Somebody().person, slots)
        assert (found.words, found.token) == (secret.words, secret.token)


def test_a_slots_salt_that_was_changed_gets_another_answer(plug):
    made = _made(plug, SoftwareKey())
    answer = bytes(made.token)
    made.words[0] ^= 1
    assert fido2.open_with(Somebody().person, _slots(made)).token != answer


def test_a_wrong_device_a_wrong_pin_and_a_changed_handle_open_nothing(plug):
    key, other = SoftwareKey(), SoftwareKey()
    made = _made(plug, key)
    plug(other)
    with pytest.raises(WrongSecret, match="does not open the vault"):
        fido2.open_with(Somebody().person, _slots(made))
    plug(key)
    with pytest.raises(WrongSecret, match="refuses this PIN"):
        fido2.open_with(Somebody("1357").person, _slots(made))
    assert key.retries == 7
    made.words[40] ^= 1
    with pytest.raises(WrongSecret, match="does not open the vault"):
        fido2.open_with(Somebody().person, _slots(made))


def test_after_too_many_wrong_pins_it_says_that_it_is_locked(plug):
    key = SoftwareKey()
    made = _made(plug, key)
    refused = []
    for _ in range(7):
        with pytest.raises(WrongSecret) as caught:
            fido2.open_with(Somebody("1357").person, _slots(made))
        refused.append("locked itself" in caught.value.message)
        if refused[-1]:
            key.power_cycle()
    assert refused == [False, False, True, False, False, True, False], "three in a row, then it wants out"
    for pin in ("1357", PIN):
        with pytest.raises(WrongSecret, match="locked itself"):
            fido2.open_with(Somebody(pin).person, _slots(made))


@pytest.mark.parametrize("found", [(), (SoftwareKey(), SoftwareKey())])
def test_no_pin_is_asked_for_unless_there_is_exactly_one(plug, found):
    made = _made(plug, SoftwareKey())
    plug(*found)
    who = Somebody()
    for act in (lambda: fido2.make(who.person, []), lambda: fido2.open_with(who.person, _slots(made))):
        with pytest.raises(UsageError, match="plugged in"):
            act()
    assert who.asked == 0


def test_where_no_slot_is_for_a_security_key_none_is_asked(plug):
    plug()
    with pytest.raises(UsageError, match="No slot"):
        fido2.open_with(Somebody().person, [])


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (SoftwareKey(None), "has no PIN yet"),
        (SoftwareKey(extensions=()), "lacks hmac-secret"),
        (SoftwareKey(handle_bytes=513), "1 to 512 bytes"),
    ],
)
def test_one_that_cannot_guard_a_vault_is_refused(plug, key, said):
    plug(key)
    with pytest.raises(UsageError, match=said):
        fido2.make(Somebody().person, [])


def test_one_that_is_not_touched_is_told_so(plug):
    key = SoftwareKey()
    made = _made(plug, key)
    key.touched = False
    with pytest.raises(UsageError, match="not touched in time"):
        fido2.open_with(Somebody().person, _slots(made))


def test_one_that_talks_nonsense_is_an_error_of_ours(plug):
    class Broken(SoftwareKey):
        def call(self, *_):
            return b"\0\xff\xff"

    plug(Broken())
    with pytest.raises(UsageError):
        fido2.make(Somebody().person, [])


@pytest.mark.parametrize("failure", [PermissionError(13, "denied"), ConnectionFailure("Wrong channel")])
def test_one_that_cannot_be_opened_or_breaks_off_is_an_error_of_ours(monkeypatch, failure):
    def broken():
        raise failure

    monkeypatch.setattr(fido2, "_plugged_in", broken)
    with pytest.raises(UsageError, match="does not do as it should"):
        fido2.make(Somebody().person, [])


def test_one_that_has_a_slot_gets_no_second_that_would_look_like_a_spare(plug):
    key, spare = SoftwareKey(), SoftwareKey()
    made = _made(plug, key)
    with pytest.raises(UsageError, match="has a slot of this vault already"):
        fido2.make(Somebody().person, _slots(made))
    plug(spare)
    assert fido2.make(Somebody().person, _slots(made)).words != made.words


def test_no_prompt_for_a_pin_that_fails_is_swallowed(plug):
    def nobody():
        raise UsageError("No terminal to ask for the secret.")

    plug(SoftwareKey())
    with pytest.raises(UsageError, match="No terminal"):
        fido2.make(Person(nobody, lambda _: None), [])


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fido2.client", None)
    monkeypatch.delitem(sys.modules, "appliance.devices.fido2")
    with pytest.raises(UsageError) as caught:
        importlib.import_module("appliance.devices.fido2")
    assert "fido2]" in caught.value.hint
