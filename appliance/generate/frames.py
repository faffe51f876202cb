"""Messages <-> length-limited JSON frames on the pipe between the key's holder and the generator's cell.

A frame is a big-endian 32-bit length and that many bytes of JSON. Whoever reads says how long a frame may be:
neither side believes the other. JSON only, so that nothing a cell sends becomes an object of any other kind.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any

_LENGTH = struct.Struct(">I")
MOST_ASKED = 1 << 24
"""Bytes of a frame to the cell: a prompt."""
MOST_ANSWERED = 1 << 16
"""Bytes of a frame from the cell: a piece of text or a few numbers."""


class Gone(Exception):
    """The other side has ended."""


def encode(message: Mapping[str, Any], *, most: int) -> bytes:
    """Return the frame of `message`.

    Raises:
        ValueError: it is longer than the other side will read.
    """
    body = json.dumps(message).encode("ascii")
    if len(body) > most:
        raise ValueError("a frame over the limit")
    return _LENGTH.pack(len(body)) + body


def send(pipe: int, frame: bytes) -> None:
    """Write a whole frame.

    Raises:
        Gone: nobody reads it.
    """
    view = memoryview(frame)
    try:
        while view:
            view = view[os.write(pipe, view) :]
    except OSError as error:
        raise Gone from error


def receive(pipe: int, *, most: int, wait: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Read one frame; `wait` is called before each read and returns when there is something to read.

    Raises:
        Gone: the other side has ended.
        ValueError: it is too long, or no JSON object.
    """
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size, wait))
    if length > most:
        raise ValueError("a frame over the limit")
    try:
        message = json.loads(_read(pipe, length, wait))
    except RecursionError as error:
        raise ValueError("a frame nested too deeply") from error
    if not isinstance(message, dict):
        raise ValueError("not a message")  # noqa: TRY004  (it came off a pipe: a bad value, not a bad call)
    return message


def _read(pipe: int, length: int, wait: Callable[[], None]) -> bytes:
    data = bytearray()
    while len(data) < length:
        wait()
        try:
            piece = os.read(pipe, length - len(data))
        except OSError as error:
            raise Gone from error
        if not piece:
            raise Gone
        data += piece
    return bytes(data)
