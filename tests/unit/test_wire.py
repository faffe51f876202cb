"""What one end of the pipe packs, the other unpacks, and nothing else."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from appliance import wire
from appliance.types import Answered, Check, Document, Report
from tests.samples import an_answer


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def test_nouns_inside_nouns_come_back_equal() -> None:
    event = Answered(an_answer())
    assert wire.unpack(wire.pack(event)) == event


def test_moments_keep_their_zone() -> None:
    stored = Document(1, "a", "A", "/a", "0", 3, None, 1, datetime(2026, 1, 2, tzinfo=UTC))
    assert wire.unpack(wire.pack(stored)) == stored


def test_an_unknown_noun_is_refused() -> None:
    with pytest.raises(ValueError, match="no noun"):
        wire.unpack({"@": "Config", "home": "/"})


def test_a_noun_with_other_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="no noun"):
        wire.unpack({"@": "Check", "name": "x", "ok": True, "detail": "", "more": 1})


def test_a_message_crosses_the_pipe() -> None:
    left, right = pair()
    with left, right:
        wire.send(left, {"result": Report((Check("a", ok=True, detail="\x1b[31m é"),))})
        assert wire.receive(right) == {"result": Report((Check("a", ok=True, detail="\x1b[31m é"),))}


def test_lone_surrogates_from_file_names_survive() -> None:
    left, right = pair()
    with left, right:
        wire.send(left, {"path": "\udce9.txt"})
        assert wire.receive(right) == {"path": "\udce9.txt"}


def test_a_secret_arrives_as_a_buffer_that_can_be_wiped() -> None:
    left, right = pair()
    with left, right:
        wire.send_secret(left, bytearray(b"open sesame"))
        secret = wire.receive(right)
        assert isinstance(secret, bytearray)
        assert secret == b"open sesame"


def test_the_end_of_the_other_side_is_noticed() -> None:
    left, right = pair()
    left.close()
    with right, pytest.raises(wire.Closed):
        wire.receive(right)


def test_half_a_frame_is_not_a_message() -> None:
    left, right = pair()
    left.sendall(b"J\x00\x00\x00\x10{")
    left.close()
    with right, pytest.raises(wire.Closed):
        wire.receive(right)


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    left, right = pair()
    with left, right:
        left.sendall(b"J\xff\xff\xff\xff")
        with pytest.raises(ValueError, match="limit"):
            wire.receive(right)


def test_json_that_is_no_object_is_refused() -> None:
    left, right = pair()
    with left, right:
        left.sendall(b"J\x00\x00\x00\x02[]")
        with pytest.raises(ValueError, match="frame"):
            wire.receive(right)


@pytest.mark.parametrize("first", [0, 3, 5, 9, 14])
def test_a_frame_of_which_a_signal_cuts_off_the_end_is_sent_to_its_end(first: int) -> None:
    class Cut:
        """Takes so many bytes at first, as a socket does when a signal comes."""

        def __init__(self) -> None:
            self.taken = b""

        def sendmsg(self, parts: list[bytes]) -> int:
            self.taken += b"".join(bytes(part) for part in parts)[:first]
            return first

        def sendall(self, data: bytes) -> None:
            self.taken += bytes(data)

    link = Cut()
    wire.send_secret(link, bytearray(b"open sesame"))
    assert link.taken == b"S\x00\x00\x00\x0bopen sesame"
