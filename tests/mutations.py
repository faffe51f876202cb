"""Changed key files, as many as wanted, against every kind of secret: none may open, none may crash.

`python -m tests.mutations 1000000` prints one JSON line. The key derivation is a cheap stand-in; all else is
real. It cannot help a changed file: whatever it gives, the seals and the header MAC must refuse.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np

from appliance.errors import KeyFileError, WrongSecret
from appliance.vault.access import keyfile, keys, slots
from appliance.vault.access.keyfile import FLOOR, KeyFile, Slot
from tests.vectors.keys import parts

DATA_KEY = bytes(range(32))


def cheap(secret, kdf, salt):
    """Stand in for Argon2id: as dependent on all it is given, a thousand times faster."""
    return bytearray(hashlib.sha256(bytes(secret) + salt + repr(kdf).encode()).digest())


def a_file(*names: str) -> bytes:
    """A key file with a slot for each named secret of `parts.EVERY`, under the cheap derivation."""
    file = KeyFile("sqlcipher", bytes(range(16)), 1_700_000_000, (), b"")
    for number, name in enumerate(names, 1):
        given = parts.EVERY[name]
        file = replace(file, slots=(*file.slots, _slot(file, number, given)))
    return keyfile.encode(replace(file, mac=keyfile.sign(file, bytearray(DATA_KEY))))


def _slot(file, number, given):
    if given.kind == "escrow key":
        return parts.escrowed(file, number)
    if given.asked:
        return parts.a_device(file, number, given)
    salt, nonce = bytes([number]) * 16, bytes([number]) * 12
    slot = Slot(given.kind, number, 1_700_000_000, FLOOR, salt, nonce, b"")
    wrapping_key = cheap(slots.factors.kdf_input(given.secret()), FLOOR, slot.salt)
    sealed = keyfile.seal(file, slot, wrapping_key=wrapping_key, data_key=bytearray(DATA_KEY))
    return replace(slot, sealed=sealed)


def sources() -> list[bytes]:
    """Key files of one slot, two, devices, one of each kind, and eight."""
    four = ("passphrase", "key_file", "recovery_code", "two_factor")
    return [
        a_file("passphrase"),
        a_file("two_factor", "escrow"),
        a_file(*parts.DEVICES),
        a_file(*parts.EVERY),
        a_file(*four * 2),
    ]


def openers() -> list[slots.Opener]:
    """One for each kind of secret."""
    return [slots.Opener(given.secret()) for given in parts.EVERY.values()]


def outcome(data: bytes, known: list[slots.Opener]) -> str:
    """Say what becomes of `data`: "malformed", "no match", "mac failure", or what must never be."""
    try:
        parsed = keyfile.parse(data)
    except KeyFileError:
        return "malformed"
    if keyfile.encode(parsed) != data:
        return "not canonical"
    found = {_opened(data, opener) for opener in known}
    return next(name for name in ("accepted", "mac failure", "no match") if name in found)


def _opened(data: bytes, opener: slots.Opener) -> str:
    try:
        keys.open_bytes(data, opener)
    except WrongSecret:
        return "no match"
    except KeyFileError:
        return "mac failure"
    return "accepted"


def run(count: int, *, seed: int = 2026) -> Counter[str]:
    """Try `count` mutations and count the outcomes; a crash counts as "unclean"."""
    rng = np.random.default_rng(seed)
    good, known = sources(), openers()
    genuine, seen = frozenset(good), Counter[str]()
    while seen.total() < count:
        data = mutated(good[seen.total() % len(good)], good[int(rng.integers(len(good)))], rng)
        if data in genuine:
            continue
        try:
            seen[outcome(data, known)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            seen[f"unclean {type(error).__name__}"] += 1
    return seen


def mutated(data: bytes, other: bytes, rng) -> bytes:
    """Return `data` with noise over or in it, or a part cut out, doubled, zeroed or taken from `other`."""
    a, b = sorted(int(n) for n in rng.integers(0, len(data) + 1, size=2))
    noise = rng.bytes(int(rng.integers(1, 9)))
    match int(rng.integers(8)):
        case 0 | 1:
            return data[:a] + noise + data[a + len(noise) :]
        case 2:
            return data[:a] + noise + data[a:]
        case 3:
            return data[:a] + data[b:]
        case 4:
            return data[:b] + data[a:]
        case 5:
            return data[:a]
        case 6:
            return data[:a] + bytes(b - a) + data[b:]
        case _:
            return data[:a] + other[a:]


def main() -> None:
    """Try as many as the first argument says."""
    slots.argon2id = cheap
    began = time.perf_counter()
    seen = run(int(sys.argv[1]))
    refused = seen["malformed"] + seen["no match"] + seen["mac failure"]
    seconds = round(time.perf_counter() - began, 1)
    print(json.dumps({"tried": seen.total(), "refused": refused, "seconds": seconds, **seen}))
    sys.exit(refused != seen.total())


if __name__ == "__main__":
    main()
