"""The nouns <-> JSON frames on a socket: what the front ends and the worker say to each other.

A frame is a kind byte, a big-endian 32-bit length and that many bytes. Kind `J` is JSON (UTF-8), kind `S` a
secret: raw bytes that never become an immutable string on their way into the worker.
"""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Literal

from appliance import types

MAX_FRAME = 256 * 1024 * 1024
_HEADER = struct.Struct(">cI")
_TAG = "@"
_NOUNS = {name: noun for name, noun in vars(types).items() if isinstance(noun, type) and is_dataclass(noun)}

Kind = Literal[b"J", b"S"]


class Closed(Exception):
    """The other end is gone."""


def pack(value: Any) -> Any:
    """Turn nouns, tuples and datetimes into what JSON holds, each noun tagged with its name."""
    if is_dataclass(value) and not isinstance(value, type):
        packed = {item.name: pack(getattr(value, item.name)) for item in fields(value)}
        return {_TAG: type(value).__name__, **packed}
    if isinstance(value, datetime):
        return {_TAG: "datetime", "iso": value.isoformat()}
    if isinstance(value, tuple | list):
        return [pack(item) for item in value]
    if isinstance(value, dict):
        return {str(key): pack(item) for key, item in value.items()}
    return value


def unpack(data: Any) -> Any:
    """Undo `pack`; every list comes back as a tuple.

    Raises:
        ValueError: a tag that names no noun, or fields that are not that noun's.
    """
    if isinstance(data, list):
        return tuple(unpack(item) for item in data)
    if not isinstance(data, dict):
        return data
    values = {key: unpack(item) for key, item in data.items() if key != _TAG}
    if _TAG not in data:
        return values
    if data[_TAG] == "datetime":
        return datetime.fromisoformat(values["iso"])
    noun = _NOUNS.get(data[_TAG])
    if noun is None or set(values) != {item.name for item in fields(noun)}:
        raise ValueError(f"no noun {data[_TAG]!r} with these fields")
    return noun(**values)


def send(link: socket.socket, message: dict[str, Any]) -> None:
    """Send one JSON frame.

    Raises:
        Closed: the other end is gone.
    """
    _send(link, b"J", json.dumps(pack(message), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def send_secret(link: socket.socket, secret: bytearray) -> None:
    """Send one secret frame; the caller wipes `secret`."""
    _send(link, b"S", secret)


def receive(link: socket.socket) -> dict[str, Any] | bytearray:
    """Receive one frame: a JSON object, or a secret's bytes.

    Raises:
        Closed: the other end is gone.
        ValueError: the frame is not one of ours.
    """
    kind, length = _HEADER.unpack(_read(link, _HEADER.size))
    if length > MAX_FRAME:
        raise ValueError("a frame over the limit")
    body = _read(link, length)
    if kind == b"S":
        return body
    message = unpack(json.loads(body.decode("utf-8", "surrogatepass")))
    if kind != b"J" or not isinstance(message, dict):
        raise ValueError("not a frame of ours")
    return message


def _send(link: socket.socket, kind: Kind, body: bytes | bytearray) -> None:
    header = _HEADER.pack(kind, len(body))
    try:
        # In one call: a frame that another thread sends meanwhile must not fall between the two.
        sent = link.sendmsg([header, body])
        if sent < len(header) + len(body):
            link.sendall(header[sent:])
            link.sendall(memoryview(body)[max(sent - len(header), 0) :])
    except OSError as error:
        raise Closed from error


def _read(link: socket.socket, length: int) -> bytearray:
    buffer = bytearray(length)
    view = memoryview(buffer)
    filled = 0
    while filled < length:
        try:
            got = link.recv_into(view[filled:])
        except OSError as error:
            raise Closed from error
        if not got:
            raise Closed
        filled += got
    return buffer
