"""Python values <-> GGUF metadata values, type first. Source: GGUF specification (ggml, docs/gguf.md)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9


def real(value: float) -> bytes:
    """Encode a float32."""
    return struct.pack("<If", _FLOAT32, value)


def flag(value: object) -> bytes:
    """Encode whether `value` is true."""
    return struct.pack("<I?", _BOOL, bool(value))


def text(value: str) -> bytes:
    """Encode a string."""
    return struct.pack("<I", _STRING) + _string(value)


def texts(values: Sequence[str]) -> bytes:
    """Encode an array of strings."""
    return struct.pack("<IIQ", _ARRAY, _STRING, len(values)) + b"".join(map(_string, values))


def reals(values: Sequence[float]) -> bytes:
    """Encode an array of float32."""
    return struct.pack(f"<IIQ{len(values)}f", _ARRAY, _FLOAT32, len(values), *values)


def integers(values: Sequence[int]) -> bytes:
    """Encode an array of int32."""
    return struct.pack(f"<IIQ{len(values)}i", _ARRAY, _INT32, len(values), *values)


def read_text(raw: bytes) -> str:
    """Decode a string.

    Raises:
        ValueError: it is something else.
    """
    if raw[:4] != struct.pack("<I", _STRING):
        raise ValueError("a metadata value is no string")
    return raw[12:].decode()


def read_number(raw: bytes) -> int:
    """Decode a uint32.

    Raises:
        ValueError: it is something else.
    """
    if raw[:4] != struct.pack("<I", _UINT32):
        raise ValueError("a metadata value is no uint32")
    return int.from_bytes(raw[4:], "little")


def read_real(raw: bytes) -> float:
    """Decode a float32.

    Raises:
        ValueError: it is something else.
    """
    kind, value = struct.unpack("<If", raw) if len(raw) == 8 else (None, 0.0)
    if kind != _FLOAT32:
        raise ValueError("a metadata value is no float32")
    return float(value)


def read_flag(raw: bytes) -> bool:
    """Decode whether something is true.

    Raises:
        ValueError: it is something else.
    """
    if raw[:4] != struct.pack("<I", _BOOL):
        raise ValueError("a metadata value is neither true nor false")
    return raw[4:] != b"\0"


def read_texts(raw: bytes) -> list[str]:
    """Decode an array of strings.

    Raises:
        ValueError: it is something else.
    """
    found, at = list[str](), 16
    for _ in range(_count(raw, _STRING, "strings")):
        size = int.from_bytes(raw[at : at + 8], "little")
        found.append(raw[at + 8 : at + 8 + size].decode())
        at += 8 + size
    return found


def read_integers(raw: bytes) -> list[int]:
    """Decode an array of int32.

    Raises:
        ValueError: it is something else.
    """
    return list(struct.unpack_from(f"<{_count(raw, _INT32, 'int32')}i", raw, 16))


def _count(raw: bytes, inner: int, what: str) -> int:
    """Return the entries of an array, of which the whole value is there: `gguf.parse` found its end."""
    if raw[:8] != struct.pack("<II", _ARRAY, inner):
        raise ValueError(f"a metadata value is no array of {what}")
    return int.from_bytes(raw[8:16], "little")


def _string(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw
