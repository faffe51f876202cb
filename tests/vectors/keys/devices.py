"""The scenarios of devices: a FIDO2 security key (kind 4), a key on a PKCS#11 token (kind 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from appliance.vault.access import keyfile
from appliance.vault.access.keyfile import KeyFile
from tests.vectors.keys.parts import (
    DEVICES,
    LAST_SECOND,
    PHOTO,
    SECRETS,
    SLOT_AT,
    TYPED,
    Given,
    Vector,
    a_device,
    a_file,
    flip,
    poke,
    signed,
    u16,
    u64,
)

_SALT_AT, _HANDLE_AT = SLOT_AT + 14, SLOT_AT + 46
_KINDS = {"fido2": 4, "pkcs11": 6}
_FIXED = 102


def vectors() -> Iterator[Vector]:
    """Yield every scenario."""
    every = keyfile.encode(a_file(*SECRETS.values(), *DEVICES.values()))
    for name, given in DEVICES.items():
        other = DEVICES["pkcs11" if name == "fido2" else "fido2"]
        file = a_file(given)
        good = keyfile.encode(file)
        yield Vector(f"{name}_of_seven", "success", "a slot of each kind", every, given)
        yield from _successes(name, given, file)
        yield from _no_match(name, given, file, other)
        yield from _mac_failures(name, given, file)
        for case, (comment, data) in (_lengths(name, good) | _malformed(good)).items():
            yield Vector(f"{name}_{case}", "malformed", comment, data, given)
        for case, (comment, slip) in _slips(given).items():
            yield Vector(f"{name}_{case}", "mistyped", comment, good, slip)


def _successes(name: str, given: Given, file: KeyFile) -> Iterator[Vector]:
    yield Vector(f"only_{name}", "success", "one slot", keyfile.encode(file), given)
    for cipher in ("aegis", "chacha20"):
        data = keyfile.encode(a_file(given, cipher=cipher))
        yield Vector(f"{name}_{cipher}", "success", "another cipher profile", data, given)
    for size in (1, 512):
        one = replace(given, asked=given.asked[:32] + b"h" * size)
        data = keyfile.encode(a_file(one))
        yield Vector(f"{name}_handle_{size}", "success", "as short or long as a handle can be", data, one)
    two = a_file(replace(given, asked=given.asked[:-1] + b"?", token=bytes(32)), given)
    yield Vector(f"{name}_two", "success", "two devices; the second is at hand", keyfile.encode(two), given)


def _no_match(name: str, given: Given, file: KeyFile, other: Given) -> Iterator[Vector]:
    good, handle = keyfile.encode(file), len(given.asked) - 32
    nonce_at = _HANDLE_AT + handle
    changes = {
        "bound_vault": ("bound to the vault", flip(good, 12)),
        "bound_cipher": ("bound to the cipher profile", poke(good, 11, b"\2")),
        "bound_created": ("bound to the vault's time", flip(good, 35)),
        "bound_number": ("bound to the slot's number", poke(good, SLOT_AT + 4, u16(2))),
        "bound_slot_created": ("bound to the slot's time", flip(good, SLOT_AT + 13)),
        "salt_flipped": ("it asks something else", flip(good, _SALT_AT)),
        "handle_flipped": ("it asks another key", flip(good, _HANDLE_AT)),
        "handle_end_flipped": ("its last byte", flip(good, nonce_at - 1)),
        "nonce_flipped": ("one bit of the nonce", flip(good, nonce_at)),
        "sealed_flipped": ("one bit of the sealed key", flip(good, nonce_at + 12)),
        "tag_flipped": ("one bit of the tag", flip(good, nonce_at + 59)),
        "sealed_zero": ("the sealed key is all zeros", poke(good, nonce_at + 12, bytes(48))),
    }
    for case, (comment, data) in changes.items():
        yield Vector(f"{name}_{case}", "no match", comment, data, given)
    for case, at in (("salt", 0), ("handle", 32)):
        # The device was asked what the changed slot says and answers the same; the seal is for another slot.
        data = keyfile.encode(signed(replace(file, slots=(_readdressed(file, flip(given.asked, at)),))))
        asked = replace(given, asked=flip(given.asked, at))
        yield Vector(f"{name}_other_{case}", "no match", f"another {case} put in, signed anew", data, asked)
    answers = {
        "wrong_device": ("another device's answer", flip(given.token, 0)),
        "zero_answer": ("a device that answers nothing", bytes(32)),
    }
    for case, (comment, answer) in answers.items():
        yield Vector(f"{name}_{case}", "no match", comment, good, replace(given, token=answer))
    yield Vector(f"{name}_for_other_slot", "no match", "the slot of the other kind", good, other)
    relabelled = replace(given, kind=other.kind)
    data = poke(good, SLOT_AT, u16(_KINDS["pkcs11" if name == "fido2" else "fido2"]))
    yield Vector(f"{name}_relabelled", "no match", "says it is of the other kind", data, relabelled)
    foreign = a_file(given, vault=10).slots
    data = keyfile.encode(signed(replace(file, slots=foreign)))
    yield Vector(f"{name}_foreign", "no match", "the slot of another vault, same device", data, given)
    yield Vector(f"{name}_passphrase", "no match", "a passphrase is not tried on it", good, TYPED)


def _readdressed(file: KeyFile, asked: bytes) -> keyfile.Device:
    slot = file.slots[0]
    assert isinstance(slot, keyfile.Device)
    return replace(slot, salt=asked[:32], handle=asked[32:])


def _mac_failures(name: str, given: Given, file: KeyFile) -> Iterator[Vector]:
    def vector(case: str, comment: str, changed: KeyFile, opener: Given) -> Vector:
        return Vector(f"{name}_{case}", "mac failure", comment, keyfile.encode(changed), opener)

    one = a_file()
    added = replace(one, slots=(*one.slots, a_device(one, 2, given)))
    yield vector("added", "put in by somebody without the data key", added, TYPED)
    yield vector("added_opened", "the same, by its device", added, given)
    two = a_file(TYPED, given)
    yield vector("left_alone", "the other slot taken out", replace(two, slots=two.slots[1:]), given)
    mutated = (two.slots[0], _readdressed(replace(two, slots=two.slots[1:]), flip(given.asked, 32)))
    yield vector("handle_mutated", "its handle changed, opened otherwise", replace(two, slots=mutated), TYPED)
    mutated = (two.slots[0], _readdressed(replace(two, slots=two.slots[1:]), given.asked[:-1]))
    yield vector("handle_shortened", "a byte less of it, well-formed", replace(two, slots=mutated), TYPED)
    yield vector("mac_flipped", "one bit of the MAC", replace(file, mac=flip(file.mac, 9)), given)


def _lengths(name: str, good: bytes) -> dict[str, tuple[str, bytes]]:
    end = len(good) - 32
    length = end - SLOT_AT - 4

    def resized(handle: bytes) -> bytes:
        slot = good[SLOT_AT : SLOT_AT + 46] + handle + good[end - 60 : end]
        return good[:SLOT_AT] + poke(slot, 2, u16(len(slot) - 4)) + good[end:]

    return {
        "no_handle": ("a handle has at least one byte", resized(b"")),
        "handle_513": ("a handle too long", resized(b"h" * 513)),
        "handle_65433": ("the longest that a length can say", resized(b"h" * 65433)),
        **{
            f"length_{size}": ("wrong length for its kind", poke(good, SLOT_AT + 2, u16(size)))
            for size in (0, 98, _FIXED, 615, 2394, 65535)
        },
        "length_less": ("one less than there is", poke(good, SLOT_AT + 2, u16(length - 1))),
        "length_more": ("one more than there is", poke(good, SLOT_AT + 2, u16(length + 1))),
        "as_passphrase": ("a device slot of another kind", poke(good, SLOT_AT, u16(1))),
        "as_tpm": ("a reserved kind", poke(good, SLOT_AT, u16(5))),
        "as_escrow": ("a device slot of another kind", poke(good, SLOT_AT, u16(8))),
    }


def _malformed(good: bytes) -> dict[str, tuple[str, bytes]]:
    end = len(good) - 32
    cuts = {
        "head": SLOT_AT + 13,
        "salt": _HANDLE_AT - 1,
        "handle": end - 61,
        "seal": end - 1,
        "mac": end + 31,
    }
    return {
        **{f"cut_{part}": (f"cut after {at} bytes", good[:at]) for part, at in cuts.items()},
        "trailing": ("one byte too many", good + b"\0"),
        "repeated": ("the same slot twice", poke(good[:end] + good[SLOT_AT:], 36, u16(2))),
        "created_late": ("no calendar has it", poke(good, SLOT_AT + 6, u64(LAST_SECOND + 1))),
        "counted_twice": ("one slot, two counted", poke(good, 36, u16(2))),
    }


def _slips(given: Given) -> dict[str, tuple[str, Given]]:
    return {
        "answer_31_bytes": ("too short an answer", replace(given, token=given.token[:31])),
        "answer_long": ("too long a one", replace(given, token=PHOTO)),
        "asked_no_handle": ("no handle with it", replace(given, asked=given.asked[:32])),
        "asked_no_salt": ("half a salt", replace(given, asked=given.asked[:16])),
        "asked_long": ("too long a handle", replace(given, asked=given.asked[:32] + b"h" * 513)),
    }
