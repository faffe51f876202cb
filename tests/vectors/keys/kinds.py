"""The scenarios of the other secrets: key file, recovery code, two factors, an officer's escrow key."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

from appliance.secret import KINDS
from appliance.vault.access import factors, keyfile
from appliance.vault.access.keyfile import FLOOR, KeyFile
from tests.vectors.keys.parts import (
    CODE,
    LAST_SECOND,
    OFFICER,
    OFFICER_PUBLIC,
    OFFICER_SLOT,
    OTHER,
    OTHER_OFFICER,
    OTHER_PRIVATE,
    OUR_KEY_FILE,
    PASSPHRASE,
    PHOTO,
    PRIVATE,
    SECRETS,
    SLOT_AT,
    TYPED,
    Given,
    Vector,
    a_file,
    escrowed,
    flip,
    poke,
    signed,
    u16,
    u32,
    u64,
)

_NUMBERS = {kind: number for number, kind in KINDS.items()}
_DERIVED = {name: given for name, given in SECRETS.items() if name != "escrow"}
_PUBLIC_AT, _ENC_AT = SLOT_AT + 14, SLOT_AT + 14 + 1216
_X25519_AT, _SEALED_AT = _ENC_AT + 1088, _ENC_AT + 1120


def vectors() -> Iterator[Vector]:
    """Yield every scenario."""
    every = keyfile.encode(a_file(*SECRETS.values()))
    files = {name: keyfile.encode(a_file(given)) for name, given in SECRETS.items()}
    yield from _successes(every, files)
    yield from _wrong_secrets(files)
    yield from _wrong_kinds(files)
    yield from _escrow_changed(files["escrow"])
    yield from _mac_failures()
    yield from _malformed(files)
    yield from _mistyped(files)


def _successes(every: bytes, files: dict[str, bytes]) -> Iterator[Vector]:
    def vector(name: str, comment: str, data: bytes, given: Given) -> Vector:
        return Vector(name, "success", comment, data, given)

    for name, given in SECRETS.items():
        yield vector(f"of_five_{name}", "a slot of each kind", every, given)
        if name != "passphrase":
            yield vector(f"only_{name}", "one slot", files[name], given)
    ours = keyfile.encode(a_file(Given("key file", token=OUR_KEY_FILE)))
    texts = {
        "key_file_ours": ("a key file this program made", OUR_KEY_FILE),
        "key_file_ours_crlf": ("a text-mode copy of it", OUR_KEY_FILE.replace(b"\n", b"\r\n")),
        "key_file_ours_trimmed": ("without its last line end", OUR_KEY_FILE.rstrip()),
    }
    for name, (comment, token) in texts.items():
        yield vector(name, comment, ours, Given("key file", token=token))
    codes = {
        "recovery_code_lower": ("in lower case", CODE.lower()),
        "recovery_code_bare": ("without dashes", CODE.replace("-", "")),
        "recovery_code_spaced": ("spaces for dashes, and around it", f" {CODE.replace('-', '  ')} "),
        "recovery_code_letters": ("O for 0 and l for 1", CODE.replace("0", "O").replace("1", "l")),
        "recovery_code_eye": ("i for 1", CODE.replace("1", "i")),
    }
    for name, (comment, code) in codes.items():
        yield vector(name, comment, files["recovery_code"], Given("recovery code", code))
    composed, typed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    both = keyfile.encode(a_file(Given("two-factor", composed, PHOTO)))
    yield vector("two_factor_nfd", "NFC in the file, NFD typed", both, Given("two-factor", typed, PHOTO))
    eight = keyfile.encode(_officers(8))
    yield vector("escrow_eight", "the largest key file there can be", eight, SECRETS["escrow"])
    for cipher in ("aegis", "chacha20"):
        data = keyfile.encode(a_file(SECRETS["escrow"], cipher=cipher))
        yield vector(f"escrow_{cipher}", "another cipher profile", data, SECRETS["escrow"])


def _officers(count: int) -> KeyFile:
    file = KeyFile("sqlcipher", bytes([9]) * 16, 1_700_000_000, (), b"")
    return signed(replace(file, slots=tuple(escrowed(file, number) for number in range(1, count + 1))))


def _wrong_secrets(files: dict[str, bytes]) -> Iterator[Vector]:
    other_code = factors.recovery_code(bytearray(range(1, 17))).decode()
    scenarios: dict[str, tuple[str, str, Given]] = {
        "key_file_flipped": ("one bit of it", "key_file", Given("key file", token=flip(PHOTO, 0))),
        "key_file_longer": ("a line end was added", "key_file", Given("key file", token=PHOTO + b"\n")),
        "key_file_shorter": ("the last byte is missing", "key_file", Given("key file", token=PHOTO[:-1])),
        "key_file_other": ("another of ours", "key_file", Given("key file", token=OUR_KEY_FILE)),
        "recovery_code_other": ("well-formed", "recovery_code", Given("recovery code", other_code)),
        "two_factor_words": ("right file", "two_factor", Given("two-factor", OTHER, PHOTO)),
        "two_factor_file": ("right words", "two_factor", Given("two-factor", PASSPHRASE, flip(PHOTO, 63))),
        "two_factor_no_words": ("right file, nothing typed", "two_factor", Given("two-factor", "", PHOTO)),
        "escrow_other": ("another officer's key", "escrow", Given("escrow key", token=OTHER_OFFICER)),
    }
    for name, (comment, file, given) in scenarios.items():
        yield Vector(name, "no match", comment, files[file], given)


def _wrong_kinds(files: dict[str, bytes]) -> Iterator[Vector]:
    for name, other in permutations(SECRETS, 2):
        comment = f"only a {other} slot; it is not tried"
        yield Vector(f"{name}_for_{other}", "no match", comment, files[other], SECRETS[name])
    for name, other in permutations(_DERIVED, 2):
        data = poke(files[name], SLOT_AT, u16(_NUMBERS[SECRETS[other].kind]))
        comment = f"a {name} slot that says it is a {other} slot"
        yield Vector(f"{name}_relabelled_{other}", "no match", comment, data, SECRETS[other])
    for number, name in ((2, "key_file"), (7, "two_factor")):
        # As if the kind were not among what Argon2id is given: the bare digest, the bare words.
        inside = a_file(TYPED)
        slot = replace(inside.slots[0], kind=SECRETS[name].kind)
        data = keyfile.encode(signed(replace(inside, slots=(slot,))))
        yield Vector(f"signed_as_{number}", "no match", "relabelled and signed anew", data, SECRETS[name])


def _escrow_changed(good: bytes) -> Iterator[Vector]:
    changes = {
        "bound_vault": ("bound to the vault", flip(good, 12)),
        "bound_cipher": ("bound to the cipher profile", poke(good, 11, b"\2")),
        "bound_created": ("bound to the vault's time", flip(good, 35)),
        "bound_number": ("bound to the slot's number", poke(good, SLOT_AT + 4, u16(2))),
        "bound_slot_created": ("bound to the slot's time", flip(good, SLOT_AT + 13)),
        "public_flipped": ("not this officer's any more", flip(good, _PUBLIC_AT)),
        "mlkem_flipped": ("one bit of ML-KEM's ciphertext", flip(good, _ENC_AT)),
        "mlkem_last": ("one bit at its end", flip(good, _X25519_AT - 1)),
        "mlkem_zero": ("no ML-KEM ciphertext: half a hybrid is none", poke(good, _ENC_AT, bytes(1088))),
        "x25519_flipped": ("one bit of X25519's public key", flip(good, _X25519_AT)),
        "x25519_zero": ("a point of low order", poke(good, _X25519_AT, bytes(32))),
        "x25519_one": ("another point of low order", poke(good, _X25519_AT, b"\1" + bytes(31))),
        "x25519_high_bit": ("the same point by RFC 7748, other bytes", flip_high(good, _SEALED_AT - 1)),
        "sealed_flipped": ("one bit of the sealed key", flip(good, _SEALED_AT)),
        "tag_flipped": ("one bit of the tag", flip(good, _SEALED_AT + 47)),
        "sealed_zero": ("all of the seal", poke(good, _ENC_AT, bytes(1168))),
    }
    for name, (comment, data) in changes.items():
        yield Vector(f"escrow_{name}", "no match", comment, data, SECRETS["escrow"])
    file = a_file(SECRETS["escrow"])
    other = escrowed(file, 1, OTHER_PRIVATE)
    mixed = replace(file.slots[0], public=other.public)
    data = keyfile.encode(signed(replace(file, slots=(mixed,))))
    given = Given("escrow key", token=OTHER_OFFICER)
    yield Vector("escrow_readdressed", "no match", "another's public key put in, signed anew", data, given)
    foreign = a_file(SECRETS["escrow"], vault=10).slots[0]
    data = keyfile.encode(signed(replace(file, slots=(foreign,))))
    yield Vector("escrow_foreign", "no match", "the slot of another vault", data, SECRETS["escrow"])


def flip_high(data: bytes, at: int) -> bytes:
    return poke(data, at, bytes([data[at] ^ 0x80]))


def _mac_failures() -> Iterator[Vector]:
    def vector(name: str, comment: str, file: KeyFile, given: Given = TYPED) -> Vector:
        return Vector(name, "mac failure", comment, keyfile.encode(file), given)

    one, five = a_file(), a_file(*SECRETS.values())
    added = replace(one, slots=(*one.slots, escrowed(one, 2)))
    yield vector("escrow_added", "an escrow slot put in by somebody without the data key", added)
    yield vector("escrow_added_opened", "the same, by its officer", added, SECRETS["escrow"])
    for name, given in SECRETS.items():
        others = tuple(slot for slot in five.slots if getattr(slot, "kind", "escrow key") == given.kind)
        yield vector(f"left_alone_{name}", "the other slots taken out", replace(five, slots=others), given)
    slots = five.slots
    for at, kind in ((0, "two-factor"), (1, "recovery code"), (2, "passphrase"), (3, "key file")):
        relabelled = (*slots[:at], replace(slots[at], kind=kind), *slots[at + 1 :])
        yield vector(
            f"other_slot_now_{kind.replace(' ', '_').replace('-', '_')}",
            "another slot's kind was changed",
            replace(five, slots=relabelled),
            SECRETS["escrow"],
        )
    redated = (*slots[:-1], replace(slots[-1], created=0))
    yield vector("escrow_redated", "the escrow slot's time was changed", replace(five, slots=redated))


def _malformed(files: dict[str, bytes]) -> Iterator[Vector]:
    def vector(name: str, comment: str, data: bytes, given: Given) -> Vector:
        return Vector(name, "malformed", comment, data, given)

    for name, given in _DERIVED.items():
        if name == "passphrase":
            continue
        good = files[name]
        bombs = {"1_mib": 1024, "under_floor": FLOOR.memory - 1, "95_gib": 95 * 2**20, "4_tib": 2**32 - 1}
        for size, memory in bombs.items():
            data = poke(good, SLOT_AT + 14, u32(memory))
            yield vector(f"{name}_memory_{size}", "out of bounds for every kind", data, given)
        yield vector(f"{name}_passes_2", "out of bounds", poke(good, SLOT_AT + 18, u32(2)), given)
        yield vector(f"{name}_lanes_0", "out of bounds", poke(good, SLOT_AT + 22, u32(0)), given)
        for length in (97, 2394):
            data = poke(good, SLOT_AT + 2, u16(length))
            yield vector(f"{name}_length_{length}", "wrong length for its kind", data, given)
        as_escrow = poke(good, SLOT_AT, u16(8) + u16(2394))
        yield vector(f"{name}_as_escrow", "too few bytes for what it says it is", as_escrow, given)
    yield from (vector(*one, SECRETS["escrow"]) for one in _escrow_malformed(files["escrow"]))


def _escrow_malformed(good: bytes) -> Iterator[tuple[str, str, bytes]]:
    end = SLOT_AT + OFFICER_SLOT
    for name, at in {"head": SLOT_AT + 13, "public": _ENC_AT - 1, "seal": end - 1, "mac": end + 31}.items():
        yield f"escrow_cut_{name}", f"cut after {at} bytes", good[:at]
    for length in (0, 98, 2393, 2395, 65535):
        yield f"escrow_length_{length}", "wrong length for its kind", poke(good, SLOT_AT + 2, u16(length))
    shorter = poke(good[: end - 1] + good[end:], SLOT_AT + 2, u16(2393))
    yield "escrow_short", "a byte less, and the length says so", shorter
    longer = poke(good[:end] + b"\0" + good[end:], SLOT_AT + 2, u16(2395))
    yield "escrow_long", "a byte more, and the length says so", longer
    for kind in (1, 2, 3, 7):
        yield f"escrow_as_{kind}", "an escrow slot of another kind", poke(good, SLOT_AT, u16(kind))
        data = poke(good, SLOT_AT, u16(kind) + u16(98))
        yield f"escrow_as_{kind}_98", "and of that kind's length", data
    yield "escrow_trailing", "one byte too many", good + b"\0"
    late = poke(good, SLOT_AT + 6, u64(LAST_SECOND + 1))
    yield "escrow_created_late", "no calendar has it", late
    yield "escrow_repeated", "the same slot twice", poke(good[:end] + good[SLOT_AT:], 36, u16(2))
    nine = poke(good[:SLOT_AT] + good[SLOT_AT:end] * 9 + good[end:], 36, u16(9))
    yield "escrow_nine", "more slots than there may be", nine
    yield "escrow_counted_twice", "one slot, two counted", poke(good, 36, u16(2))


def _mistyped(files: dict[str, bytes]) -> Iterator[Vector]:
    first = "1" if CODE[0] == "0" else "0"
    codes = {
        "first": ("its first character is another", first + CODE[1:]),
        "last": ("its last character is another", CODE[:-1] + ("V" if CODE[-1] != "V" else "W")),
        "transposed": ("two neighbours change places", CODE[:10] + CODE[11] + CODE[10] + CODE[12:]),
        "missing": ("a character is missing", CODE[1:]),
        "extra": ("a character too many", CODE + "0"),
        "twice": ("typed twice", CODE + CODE),
        "group_missing": ("a group is missing", CODE[5:]),
        "unknown_letter": ("U is no character of it", CODE.replace("0", "U", 1)),
        "accent": ("nor is one with an accent", CODE.replace("0", "Ö", 1)),
        "nothing": ("nothing typed", ""),
        "a_passphrase": ("a passphrase instead", PASSPHRASE),
    }
    for name, (comment, code) in codes.items():
        yield _slip(f"code_{name}", comment, files["recovery_code"], Given("recovery code", code))
    tokens = {
        "empty": ("an empty file", b""),
        "31_bytes": ("too short", PHOTO[:31]),
        "ours_flipped": ("one of ours with a character changed", _changed(OUR_KEY_FILE)),
        "ours_cut": ("one of ours cut short", OUR_KEY_FILE[:-9]),
    }
    for name, (comment, token) in tokens.items():
        yield _slip(f"key_file_{name}", comment, files["key_file"], Given("key file", token=token))
    both = Given("two-factor", PASSPHRASE, PHOTO[:31])
    yield _slip("two_factor_31_bytes", "the file is too short", files["two_factor"], both)
    officers = {
        "public_half": ("the public half", OFFICER_PUBLIC),
        "flipped": ("a character changed", _changed(OFFICER)),
        "cut": ("cut short", OFFICER[:-9]),
        "raw": ("the bytes without the text", PRIVATE),
        "key_file": ("a key file instead", OUR_KEY_FILE),
    }
    for name, (comment, token) in officers.items():
        yield _slip(f"escrow_{name}", comment, files["escrow"], Given("escrow key", token=token))


def _slip(name: str, comment: str, data: bytes, given: Given) -> Vector:
    return Vector(name, "mistyped", comment, data, given)


def _changed(text: bytes) -> bytes:
    """The character after the first line's end becomes another one."""
    at = text.index(b"\n") + 1
    return poke(text, at, b"Z" if text[at : at + 1] != b"Z" else b"Y")
