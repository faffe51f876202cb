"""No changed key file opens. The key derivation is a cheap stand-in, a parameter; all else is real."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import KeyFileError, WrongSecret
from appliance.vault import keyfile, keys
from appliance.vault.keyfile import CEILING, FLOOR, Kdf, KeyFile, Slot

MUTATIONS = 20_000
DATA_KEY = bytes(range(32))


def _derive(slot):
    return bytearray(hashlib.sha256(b"secret" + slot.salt + repr(slot.kdf).encode()).digest())


def _file(slots: int) -> bytes:
    file = KeyFile("sqlcipher", bytes(range(16)), 1_700_000_000, (), b"")
    made = []
    for number in range(1, slots + 1):
        slot = Slot(number, 1_700_000_000, FLOOR, bytes([number]) * 16, bytes([number]) * 12, b"")
        sealed = keyfile.seal(file, slot, wrapping_key=_derive(slot), data_key=bytearray(DATA_KEY))
        made.append(replace(slot, sealed=sealed))
    file = replace(file, slots=tuple(made))
    return keyfile.encode(replace(file, mac=keyfile.sign(file, bytearray(DATA_KEY))))


def _refused(data: bytes) -> bool:
    try:
        keys.open_bytes(data, _derive)
    except (KeyFileError, WrongSecret):
        return True
    return False


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_the_unchanged_file_opens(slots):
    assert not _refused(_file(slots))


@pytest.mark.parametrize("slots", [1, 2])
def test_every_single_bit_flip_is_refused(slots):
    good = _file(slots)
    for bit in range(len(good) * 8):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        assert _refused(bytes(data)), f"bit {bit}"


def test_twenty_thousand_mutations_are_refused():
    rng = np.random.default_rng(2026)
    sources = [_file(1), _file(2), _file(8)]
    tried = 0
    while tried < MUTATIONS:
        source = sources[tried % 3]
        data = _mutated(source, sources[int(rng.integers(3))], rng)
        if data not in sources:
            assert _refused(data), data.hex()
            tried += 1


def _mutated(data: bytes, other: bytes, rng) -> bytes:
    a, b = sorted(int(n) for n in rng.integers(0, len(data) + 1, size=2))
    noise = rng.bytes(int(rng.integers(1, 9)))
    match int(rng.integers(7)):
        case 0:
            return data[:a] + noise + data[a + len(noise) :]
        case 1:
            return data[:a] + noise + data[a:]
        case 2:
            return data[:a] + data[b:]
        case 3:
            return data[:b] + data[a:]
        case 4:
            return data[:a]
        case 5:
            return data[:a] + bytes(b - a) + data[b:]
        case _:
            return data[:a] + other[a:]


_SLOTS = st.builds(
    Slot,
    number=st.integers(0, 65535),
    created=st.integers(0, 253402300799),
    kdf=st.builds(
        Kdf,
        memory=st.integers(FLOOR.memory, CEILING.memory),
        passes=st.integers(FLOOR.passes, CEILING.passes),
        lanes=st.integers(FLOOR.lanes, CEILING.lanes),
    ),
    salt=st.binary(min_size=16, max_size=16),
    nonce=st.binary(min_size=12, max_size=12),
    sealed=st.binary(min_size=48, max_size=48),
)
_FILES = st.builds(
    KeyFile,
    cipher=st.sampled_from(["sqlcipher", "aegis", "chacha20"]),
    vault=st.binary(min_size=16, max_size=16),
    created=st.integers(0, 253402300799),
    slots=st.lists(_SLOTS, min_size=1, max_size=8, unique_by=lambda slot: slot.number).map(
        lambda slots: tuple(sorted(slots, key=lambda slot: slot.number))
    ),
    mac=st.binary(min_size=32, max_size=32),
)


@given(_FILES)
def test_what_is_encoded_parses_to_itself(file):
    assert keyfile.parse(keyfile.encode(file)) == file


@given(_FILES, st.data())
def test_whatever_parses_has_one_encoding(file, data):
    good = keyfile.encode(file)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = good[:at] + data.draw(st.binary(min_size=1, max_size=4)) + good[at + 1 :]
    try:
        parsed = keyfile.parse(changed)
    except KeyFileError:
        return
    assert keyfile.encode(parsed) == changed


@given(st.binary(max_size=400))
def test_noise_is_refused(data):
    with pytest.raises(KeyFileError):
        keyfile.parse(b"APLKEYS\n" + data)
