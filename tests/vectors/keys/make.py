"""Write the key file vectors: `python -m tests.vectors.keys.make`. Deterministic; a test compares the files.

A vector is one scenario: lines `name: value`, an empty line, then the key file's bytes. The secret is of the
kind `secret`, a passphrase where that line is missing; `passphrase` is what was typed, `token` (hexadecimal)
what the file given with it holds, or a device's answer to what it was `asked` (salt and handle). `expect` is
one of
success      opens, and the data key is `data key`
no match     canonical, but no slot opens with the secret
mac failure  a slot opens, the header is not what was signed
malformed    refused before any key is derived
mistyped     the secret itself is refused, before the key file is looked at
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import replace

from appliance.vault.access import keyfile
from appliance.vault.access.keyfile import FLOOR, KeyFile
from tests.vectors.keys import devices, kinds, parts
from tests.vectors.keys.parts import (
    HERE,
    OTHER,
    PASSPHRASE,
    TYPED,
    Given,
    Vector,
    a_file,
    a_slot,
    flip,
    poke,
    sealed,
    signed,
    u16,
    u32,
    u64,
)

_SLOT_AT, _MAC_AT = 38, 140
_LAST_SECOND = parts.LAST_SECOND


def vectors() -> Iterator[Vector]:
    """Yield every scenario."""
    one, two = a_file(), a_file(Given("passphrase", OTHER), TYPED)
    yield from _successes(one, two)
    yield from _no_match(keyfile.encode(one))
    yield from _mac_failures(one, two)
    yield from _malformed(keyfile.encode(one), keyfile.encode(two))
    yield from kinds.vectors()
    yield from devices.vectors()


def _successes(one: KeyFile, two: KeyFile) -> Iterator[Vector]:
    yield Vector("one_slot", "success", "the smallest key file", keyfile.encode(one))
    yield Vector("two_slots", "success", "the second slot is the one that opens", keyfile.encode(two))
    for cipher in ("aegis", "chacha20"):
        yield Vector(
            f"cipher_{cipher}", "success", "another cipher profile", keyfile.encode(a_file(cipher=cipher))
        )
    file = KeyFile("sqlcipher", bytes([9]) * 16, _LAST_SECOND, (), b"")
    numbers = (1, 7, 65535)
    slots = tuple(sealed(file, replace(a_slot(1), number=n, created=_LAST_SECOND), TYPED) for n in numbers)
    latest = keyfile.encode(signed(replace(file, slots=slots)))
    yield Vector("bounds", "success", "the largest numbers and times; slot numbers may have gaps", latest)
    composed = keyfile.encode(a_file(Given("passphrase", unicodedata.normalize("NFC", "Zoë"))))
    yield Vector(
        "nfd_passphrase",
        "success",
        "NFC in the file, NFD typed",
        composed,
        Given("passphrase", unicodedata.normalize("NFD", "Zoë")),
    )


def _no_match(good: bytes) -> Iterator[Vector]:
    def vector(name: str, comment: str, data: bytes, passphrase: str = PASSPHRASE) -> Vector:
        return Vector(name, "no match", comment, data, Given("passphrase", passphrase))

    yield vector("wrong_passphrase", "another passphrase", good, OTHER)
    yield vector("passphrase_case", "a passphrase is not folded", good, PASSPHRASE.upper())
    yield vector("passphrase_space", "a passphrase is not trimmed", good, PASSPHRASE + " ")
    yield vector("passphrase_empty", "nothing typed", good, "")
    for name, at in (("vault", 12), ("cipher", 11), ("created", 35), ("slot_created", _SLOT_AT + 13)):
        data = poke(good, at, b"\2") if name == "cipher" else flip(good, at)
        yield vector(f"bound_{name}", f"the slot is bound to the field: {name}", data)
    yield vector("bound_number", "the slot is bound to its number", poke(good, _SLOT_AT + 4, u16(2)))
    yield vector(
        "bound_memory", "more memory, within the bounds", poke(good, _SLOT_AT + 14, u32(FLOOR.memory + 1))
    )
    yield vector("bound_passes", "more passes, within the bounds", poke(good, _SLOT_AT + 18, u32(4)))
    yield vector("bound_lanes", "more lanes, within the bounds", poke(good, _SLOT_AT + 22, u32(5)))
    for name, at in (("salt", 26), ("nonce", 42), ("sealed_key", 54), ("sealed_tag", 101)):
        yield vector(f"flip_{name}", f"one bit of: {name}", flip(good, _SLOT_AT + at))
    yield vector("sealed_zero", "the sealed key is all zeros", poke(good, _SLOT_AT + 54, bytes(48)))
    other = keyfile.encode(a_file(vault=10))
    yield vector(
        "foreign_slot", "a slot of another vault, same passphrase", poke(good, 38, other[38:_MAC_AT])
    )


def _mac_failures(one: KeyFile, two: KeyFile) -> Iterator[Vector]:
    def vector(name: str, comment: str, file: KeyFile) -> Vector:
        return Vector(name, "mac failure", comment, keyfile.encode(file))

    yield vector("mac_first_bit", "first byte of the MAC", replace(one, mac=flip(one.mac, 0)))
    yield vector("mac_last_bit", "last byte of the MAC", replace(one, mac=flip(one.mac, 31)))
    yield vector("mac_zero", "no MAC", replace(one, mac=bytes(32)))
    yield vector("mac_of_other_key", "signed with another data key", signed(one, bytes(32)))
    yield vector("mac_of_other_file", "the MAC of another file", replace(one, mac=two.mac))
    yield vector("slot_dropped", "the first of two slots taken out", replace(two, slots=two.slots[1:]))
    added = replace(one, slots=(*one.slots, replace(two.slots[0], number=2)))
    yield vector("slot_added", "a slot put in by somebody without the data key", added)
    changed = replace(one.slots[0], number=2, sealed=flip(one.slots[0].sealed, 0))
    yield vector(
        "second_slot_changed", "a slot nobody opens was put in", replace(one, slots=(*one.slots, changed))
    )
    mixed = replace(two, slots=(replace(two.slots[0], created=0), two.slots[1]))
    yield vector("other_slot_redated", "another slot's time was changed", mixed)


def _malformed(good: bytes, two: bytes) -> Iterator[Vector]:
    scenarios = {**_ends(good, two), **_headers(good), **_slots(good, two), **_costs(good)}
    for name, (comment, data) in scenarios.items():
        yield Vector(name, "malformed", comment, data)


def _ends(good: bytes, two: bytes) -> dict[str, tuple[str, bytes]]:
    cuts = {
        "magic": 8,
        "prefix": 36,
        "count": 37,
        "no_slot": 38,
        "in_slot": 90,
        "no_mac": _MAC_AT,
        "in_mac": 171,
    }
    return {
        "empty": ("no bytes", b""),
        **{f"cut_{name}": (f"cut after {at} bytes", good[:at]) for name, at in cuts.items()},
        "cut_front": ("the first byte is missing", good[1:]),
        "trailing_zero": ("one byte too many", good + b"\0"),
        "trailing_newline": ("as an editor would add", good + b"\n"),
        "trailing_mac": ("the MAC twice", good + good[_MAC_AT:]),
        "twice": ("the whole file twice", good + good),
        "gap_before_mac": ("a byte between slot and MAC", good[:_MAC_AT] + b"\0" + good[_MAC_AT:]),
        "count_too_small": ("two slots, one counted", poke(two, 36, u16(1))),
        "count_too_large": ("one slot, two counted", poke(good, 36, u16(2))),
    }


def _headers(good: bytes) -> dict[str, tuple[str, bytes]]:
    return {
        "magic_other": ("another magic", flip(good, 0)),
        "magic_case": ("magic in lower case", poke(good, 0, b"aplkeys\n")),
        "magic_crlf": ("as a text-mode copy would leave it", good.replace(b"\n", b"\r\n", 1)),
        "bom": ("a byte order mark in front", b"\xef\xbb\xbf" + good),
        **{f"version_{n}": ("an unknown version", poke(good, 8, u16(n))) for n in (0, 2, 256, 65535)},
        **{f"cipher_{n}": ("an unknown cipher", poke(good, 10, u16(n))) for n in (0, 4, 256, 65535)},
        **{f"count_{n}": ("out of bounds", poke(good, 36, u16(n))) for n in (0, 9, 256, 65535)},
        "created_year_10000": ("no calendar has it", poke(good, 28, u64(_LAST_SECOND + 1))),
        "created_negative": ("minus one as unsigned", poke(good, 28, b"\xff" * 8)),
    }


def _slots(good: bytes, two: bytes) -> dict[str, tuple[str, bytes]]:
    second = _SLOT_AT + 102
    return {
        **{f"kind_{n}": ("reserved or unknown kind", poke(good, _SLOT_AT, u16(n))) for n in (0, 5, 9, 65535)},
        **{f"length_{n}": ("wrong length", poke(good, _SLOT_AT + 2, u16(n))) for n in (0, 97, 99, 65535)},
        "slots_same_number": ("the same number twice", poke(two, second + 4, u16(1))),
        "slots_swapped": ("descending", two[:38] + two[second : second + 102] + two[38:second] + two[-32:]),
        "slot_repeated": ("the same slot twice", poke(good[:_MAC_AT] + good[38:], 36, u16(2))),
        "slot_created_late": ("no calendar has it", poke(good, _SLOT_AT + 6, u64(_LAST_SECOND + 1))),
    }


def _costs(good: bytes) -> dict[str, tuple[str, bytes]]:
    memory = {"1_mib": 1024, "under_floor": FLOOR.memory - 1, "over_ceiling": 2**20 + 1, "95_gib": 95 * 2**20}
    return {
        **{f"memory_{k}": ("out of bounds", poke(good, _SLOT_AT + 14, u32(n))) for k, n in memory.items()},
        "memory_0": ("out of bounds", poke(good, _SLOT_AT + 14, u32(0))),
        **{
            f"passes_{n}": ("out of bounds", poke(good, _SLOT_AT + 18, u32(n))) for n in (0, 2, 17, 2**32 - 1)
        },
        **{f"lanes_{n}": ("out of bounds", poke(good, _SLOT_AT + 22, u32(n))) for n in (0, 3, 17, 2**24 - 1)},
    }


def main() -> None:
    """Write all vectors, and remove those that are no more."""
    for old in HERE.glob("*.vector"):
        old.unlink()
    for vector in vectors():
        (HERE / f"{vector.name}.vector").write_bytes(vector.encode())
    parts.save_seals()


if __name__ == "__main__":
    main()
