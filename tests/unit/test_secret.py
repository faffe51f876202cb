"""A secret crosses the wire whole, and nothing shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.secret import KINDS, Secret

_KINDS = st.sampled_from(sorted(KINDS.values()))


@given(_KINDS, st.binary(max_size=99), st.binary(max_size=99))
def test_a_secret_is_unpacked_as_it_was_packed_and_wiped(kind, words, token):
    packed = Secret(kind, words=bytearray(words), token=bytearray(token)).pack()
    secret = Secret.unpack(packed)
    assert (secret.kind, secret.words, secret.token) == (kind, words, token)
    secret.wipe()
    assert secret.words == bytes(len(words))
    assert secret.token == bytes(len(token))


@given(st.binary(max_size=40))
def test_noise_is_refused_or_has_one_encoding(frame):
    try:
        secret = Secret.unpack(bytearray(frame))
    except ValueError:
        return
    assert secret.pack() == frame


@pytest.mark.parametrize(
    "frame", [b"", b"\1", b"\5\0\0\0\0", b"\0\0\0\0\0", b"\1\0\0\0\1", b"\1\xff\xff\xff\xff"]
)
def test_a_frame_of_no_known_kind_or_cut_short_is_refused(frame):
    with pytest.raises(ValueError, match="not a secret"):
        Secret.unpack(bytearray(frame))


def test_a_secret_shows_its_kind_and_nothing_else():
    secret = Secret.two_factor(bytearray(b"canary"), bytearray(b"canary"))
    assert repr(secret) == "<Secret: two-factor>"
    assert "canary" not in str([secret])
