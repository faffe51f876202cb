"""A token of SoftHSM, asked through its real PKCS#11 module: what it opens, and what it says otherwise."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pkcs11 as library
import pytest
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass

from appliance.devices import Person, pkcs11
from appliance.errors import UsageError, WrongSecret
from appliance.types import SlotInfo
from tests import softhsm

PIN = "4321"
LABEL = "vault key"


class Somebody:
    """Types a PIN when asked."""

    def __init__(self, pin=PIN):
        self.asked = 0
        self._pin = pin
        self.person = Person(self._type, lambda _: None)

    def _type(self):
        self.asked += 1
        return bytearray(self._pin.encode())


@pytest.fixture
def module(tmp_path, monkeypatch):
    """SoftHSM with one token, `card`."""
    module = softhsm.prepare(tmp_path, monkeypatch.setenv)
    softhsm.add_token("card", PIN)
    return module


def _make(module, token="card", label=LABEL, pin=PIN):
    return pkcs11.make(module, Somebody(pin).person, card=token, label=label)


def _slots(*secrets):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return [SlotInfo(n, s.kind, now, None, None, s.words.hex()) for n, s in enumerate(secrets, 1)]


def _generate(module, *, token="card", label=LABEL, kind=KeyType.GENERIC_SECRET, **template):
    """Make a key as somebody else's program would."""
    attributes = {getattr(Attribute, name.upper()): value for name, value in template.items()}
    try:
        with library.lib(str(module)).get_token(token_label=token).open(rw=True, user_pin=PIN) as session:
            session.generate_key(
                kind,
                256,
                label=label,
                store=True,
                capabilities=MechanismFlag.SIGN if kind == KeyType.GENERIC_SECRET else MechanismFlag.ENCRYPT,
                template=attributes,
            )
    finally:
        library.unload(str(module))


def test_the_key_is_made_once_never_leaves_and_answers_the_same_again(module):
    made = _make(module)
    assert bytes(made.words[32:]) == b"card\0vault key"
    assert len(made.token) == 32
    who = Somebody()
    again = pkcs11.open_with(module, who.person, _slots(made))
    assert (again.kind, again.words, again.token) == ("PKCS#11 key", made.words, made.token)
    assert who.asked == 1
    second = _make(module)
    assert second.words[32:] == made.words[32:], "the same key"
    assert second.words[:32] != made.words[:32], "another salt"
    assert second.token != made.token
    try:
        with library.lib(str(module)).get_token(token_label="card").open(user_pin=PIN) as session:
            (key,) = session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})
            assert key[Attribute.EXTRACTABLE] is False
            assert key[Attribute.NEVER_EXTRACTABLE] is True
            with pytest.raises(library.AttributeSensitive):
                key[Attribute.VALUE]
    finally:
        library.unload(str(module))


def test_the_answer_is_hmac_sha256_of_the_salt(module):
    """By a key whose value we know, put in from outside."""
    value = bytes(range(32))
    try:
        with library.lib(str(module)).get_token(token_label="card").open(rw=True, user_pin=PIN) as session:
            session.create_object(
                {
                    Attribute.CLASS: ObjectClass.SECRET_KEY,
                    Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
                    Attribute.LABEL: LABEL,
                    Attribute.TOKEN: True,
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                    Attribute.SIGN: True,
                    Attribute.VALUE: value,
                }
            )
    finally:
        library.unload(str(module))
    made = _make(module)
    assert made.token == hmac.digest(value, bytes(made.words[:32]), hashlib.sha256)


def test_of_many_slots_the_one_whose_token_and_key_are_there_is_answered(module):
    softhsm.add_token("other", PIN)
    first, second = _make(module), _make(module, label="second")
    third = _make(module, token="other")
    absent = type(first)(first.kind, words=first.words[:32] + b"gone\0vault key", token=bytearray(32))
    for slots, expected in (
        ((absent, first, second), first),
        ((absent, second, first), second),
        ((third, first), third),
    ):
        found = pkcs11.open_with(module, Somebody().person, _slots(*slots))
        assert (found.words, found.token) == (expected.words, expected.token)


def test_a_key_of_the_same_label_on_another_token_gives_another_answer(module):
    made = _make(module)
    softhsm.add_token("card2", PIN)
    other = _make(module, token="card2")
    asked = type(made)(made.kind, words=made.words[:32] + other.words[32:], token=bytearray(32))
    assert pkcs11.open_with(module, Somebody().person, _slots(asked)).token != made.token


def test_a_wrong_pin_is_a_wrong_secret_and_is_tried_once(module):
    made = _make(module)
    for act in (
        lambda who: pkcs11.open_with(module, who.person, _slots(made, made, made)),
        lambda who: pkcs11.make(module, who.person, card="card", label=LABEL),
    ):
        for pin in ("1234", "", "x" * 300):
            who = Somebody(pin)
            with pytest.raises(WrongSecret, match="refuses this PIN"):
                act(who)
            assert who.asked == 1


def test_an_absent_token_is_told_before_a_pin_is_asked(module):
    made = _make(module)
    shutil.rmtree(softhsm.tokens())
    softhsm.tokens().mkdir()
    who = Somebody()
    with pytest.raises(UsageError, match="token is not there"):
        pkcs11.open_with(module, who.person, _slots(made))
    with pytest.raises(UsageError, match="token is not there"):
        pkcs11.make(module, who.person, card="card", label=LABEL)
    assert who.asked == 0


def test_two_tokens_of_one_label_are_not_guessed_between(module):
    made = _make(module)
    softhsm.add_token("card", PIN)
    who = Somebody()
    with pytest.raises(UsageError, match="More than one token"):
        pkcs11.open_with(module, who.person, _slots(made))
    assert who.asked == 0


@pytest.mark.parametrize(
    "handle", [b"card\0another key", b"card\0", b"card", b"\xff\0\xff", b"card\0vault key\0"]
)
def test_a_changed_handle_names_no_key(module, handle):
    made = _make(module)
    changed = type(made)(made.kind, words=made.words[:32] + handle, token=bytearray(32))
    with pytest.raises(UsageError, match=r"not there|no key of this vault"):
        pkcs11.open_with(module, Somebody().person, _slots(changed))


def test_a_key_that_could_be_copied_off_or_makes_no_macs_is_refused(module):
    for label, template, kind, said in (
        ("copied", {"extractable": True}, KeyType.GENERIC_SECRET, "copied off"),
        ("shown", {"sensitive": False}, KeyType.GENERIC_SECRET, "copied off"),
        ("aes", {"extractable": False, "sensitive": True}, KeyType.AES, "did not do it|no MACs"),
    ):
        _generate(module, label=label, kind=kind, **template)
        with pytest.raises(UsageError, match=said):
            _make(module, label=label)


def test_two_keys_of_one_label_are_not_guessed_between(module):
    for _ in range(2):
        _generate(module, label="twice")
    with pytest.raises(UsageError, match="More than one key"):
        _make(module, label="twice")


@pytest.mark.parametrize(
    ("token", "label"), [("", "a"), ("a", ""), ("a\0b", "c"), ("a", "b\0c"), ("a", "b" * 511)]
)
def test_labels_that_cannot_name_a_key_are_refused(token, label):
    with pytest.raises(UsageError, match="cannot name a key"):
        pkcs11.make(Path("/nowhere.so"), Somebody().person, card=token, label=label)


def test_what_is_no_module_is_an_error_of_ours(tmp_path):
    text = tmp_path / "module.so"
    text.write_text("no shared library")
    for path in (text, tmp_path / "absent.so"):
        with pytest.raises(UsageError, match="did not do it"):
            pkcs11.make(path, Somebody().person, card="card", label=LABEL)


def test_where_no_slot_is_for_a_token_no_module_is_loaded():
    with pytest.raises(UsageError, match="No slot"):
        pkcs11.open_with(Path("/nowhere.so"), Somebody().person, [])


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    monkeypatch.delitem(sys.modules, "appliance.devices.pkcs11")
    with pytest.raises(UsageError) as caught:
        importlib.import_module("appliance.devices.pkcs11")
    assert "pkcs11]" in caught.value.hint
