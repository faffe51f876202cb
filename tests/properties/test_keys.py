"""No changed key file opens, and there is one encoding of each. The key derivation is a cheap stand-in."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.errors import KeyFileError, UsageError
from appliance.secret import Secret
from appliance.vault.access import factors, keyfile, slots
from appliance.vault.access.keyfile import CEILING, FLOOR, Device, Escrow, Kdf, KeyFile, Slot
from tests import mutations
from tests.vectors.keys import parts

MUTATIONS = 20_000


@pytest.fixture(autouse=True, scope="module")
def _cheap_derivation():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "argon2id", mutations.cheap)
        yield


@pytest.fixture
def known():
    return mutations.openers()


def test_the_unchanged_files_open(known):
    assert [mutations.outcome(data, known) for data in mutations.sources()] == ["accepted"] * 5


@pytest.mark.parametrize(
    "names", [("passphrase",), ("two_factor", "recovery_code"), ("key_file", "escrow"), ("fido2", "pkcs11")]
)
def test_every_single_bit_flip_is_refused(names, known):
    good = mutations.a_file(*names)
    for bit in range(0, len(good) * 8, 1 if len(good) < 500 else 7):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        assert mutations.outcome(bytes(data), known) in ("malformed", "no match", "mac failure"), f"bit {bit}"


def test_twenty_thousand_mutations_are_refused():
    seen = mutations.run(MUTATIONS)
    assert set(seen) == {"malformed", "no match", "mac failure"}
    assert min(seen.values()) > 50, "one of the three checks was hardly ever reached"


_TIMES = st.integers(0, 253402300799)
_NUMBERS = st.integers(0, 65535)
_DERIVED = st.builds(
    Slot,
    kind=st.sampled_from(["passphrase", "key file", "recovery code", "two-factor"]),
    number=_NUMBERS,
    created=_TIMES,
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
_OFFICERS = st.builds(
    Escrow,
    number=_NUMBERS,
    created=_TIMES,
    public=st.binary(min_size=1216, max_size=1216),
    sealed=st.binary(min_size=1168, max_size=1168),
)
_DEVICES = st.builds(
    Device,
    kind=st.sampled_from(["FIDO2 key", "PKCS#11 key"]),
    number=_NUMBERS,
    created=_TIMES,
    salt=st.binary(min_size=32, max_size=32),
    handle=st.binary(min_size=1, max_size=512),
    nonce=st.binary(min_size=12, max_size=12),
    sealed=st.binary(min_size=48, max_size=48),
)
_SLOTS = _DERIVED | _DERIVED | _OFFICERS | _DEVICES
_FILES = st.builds(
    KeyFile,
    cipher=st.sampled_from(["sqlcipher", "aegis", "chacha20"]),
    vault=st.binary(min_size=16, max_size=16),
    created=_TIMES,
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


_CODES = st.binary(min_size=16, max_size=16)


@given(_CODES, st.data())
def test_a_recovery_code_is_read_however_it_is_typed(value, data):
    code = factors.recovery_code(bytearray(value)).decode()
    typed = [data.draw(st.sampled_from(_SPELLINGS.get(symbol, symbol + symbol.lower()))) for symbol in code]
    gaps = data.draw(
        st.lists(st.sampled_from(["", " ", "-", "\t"]), min_size=len(typed), max_size=len(typed))
    )
    spelled = "".join(a + b for a, b in zip(typed, gaps, strict=True))
    assert factors.read_recovery_code(bytearray(spelled.encode())) == value


_SPELLINGS = {"0": "0Oo", "1": "1IiLl", "-": "- "}


@given(_CODES, st.integers(0, 38), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_a_wrong_character_in_a_recovery_code_is_told_before_anything_is_derived(value, at, other):
    code = factors.recovery_code(bytearray(value)).decode()
    if code[at] in ("-", other):
        return
    with pytest.raises(UsageError, match="mistyped"):
        factors.kdf_input(Secret.recovery_code(bytearray((code[:at] + other + code[at + 1 :]).encode())))


@given(st.text(max_size=20), st.text(max_size=20), st.binary(min_size=32, max_size=40))
@example("", "", b"\xff" * 32)
def test_no_two_different_secrets_give_argon2id_the_same(one, other, token):
    words = [bytearray(text.encode("utf-8", "surrogatepass")) for text in (one, other)]
    given_ = (
        Secret.passphrase(words[0]),
        Secret.key_file(bytearray(token)),
        Secret.two_factor(words[1], bytearray(token)),
        Secret.recovery_code(factors.recovery_code(bytearray(token[:16]))),
    )
    usable = [made for secret in given_ if (made := bytes(factors.kdf_input(secret)))]
    assert len(usable) == len(set(usable)) >= 2


def test_a_passphrase_cannot_be_typed_that_equals_another_kinds_input():
    for given_ in (parts.SECRETS["key_file"], parts.SECRETS["two_factor"], parts.SECRETS["recovery_code"]):
        inside = factors.kdf_input(given_.secret())
        assert factors.kdf_input(Secret.passphrase(bytearray(inside))) == b""
