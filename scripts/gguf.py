"""GGUF bytes <-> metadata and tensors, as much of the format as the factory needs.

It reads only files whose hash is pinned; what the appliance loads is checked by `appliance.headers`.
Source: GGUF specification (ggml, docs/gguf.md).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
F32, F16, Q4_0, Q4_1, Q8_0, IQ4_NL, BF16 = 0, 1, 2, 3, 8, 20, 30
# type -> (elements in a block, bytes of a block).
BLOCKS = {
    F32: (1, 4),
    F16: (1, 2),
    Q4_0: (32, 18),
    Q4_1: (32, 20),
    Q8_0: (32, 34),
    IQ4_NL: (32, 18),
    BF16: (1, 2),
}
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: `shape` with the fastest axis first, `data` in blocks of `kind`."""

    name: str
    shape: tuple[int, ...]
    kind: int
    data: memoryview | bytes


@dataclass(frozen=True, slots=True)
class Model:
    """A whole file: `pairs` maps each metadata key to its value as it is encoded, type first."""

    pairs: dict[str, bytes]
    tensors: tuple[Tensor, ...]


def number(value: int) -> bytes:
    """Encode a metadata value of type uint32."""
    return struct.pack("<II", 4, value)


def parse(data: bytes) -> Model:
    """Read a file.

    Raises:
        ValueError: it is no GGUF file of version 3, or has a tensor type this factory does not know.
    """
    magic, version, tensors, pairs = struct.unpack_from("<4sIQQ", data)
    if (magic, version) != (MAGIC, VERSION):
        raise ValueError("This is no GGUF file of version 3.")
    at, found = 24, dict[str, bytes]()
    for _ in range(pairs):
        key, at = _string(data, at)
        end = _value_end(data, at)
        found[key] = data[at:end]
        at = end
    entries = []
    for _ in range(tensors):
        entry, at = _entry(data, at)
        entries.append(entry)
    view = memoryview(data)[_aligned(at) :]
    return Model(found, tuple(_tensor(view, *entry) for entry in entries))


def serialize(model: Model) -> bytes:
    """Write a file, tensors in their order."""
    parts = [struct.pack("<4sIQQ", MAGIC, VERSION, len(model.tensors), len(model.pairs))]
    parts += [_encoded(key) + value for key, value in model.pairs.items()]
    offset = 0
    for tensor in model.tensors:
        parts.append(_encoded(tensor.name) + struct.pack("<I", len(tensor.shape)))
        parts.append(struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.kind, offset))
        offset = _aligned(offset + len(tensor.data))
    return _padded([b"".join(parts), *(bytes(tensor.data) for tensor in model.tensors)])


def _padded(parts: Sequence[bytes]) -> bytes:
    return b"".join(part + bytes(_aligned(len(part)) - len(part)) for part in parts)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _encoded(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = _string_end(data, at)
    return data[at + 8 : end].decode(), end


def _string_end(data: bytes, at: int) -> int:
    return at + 8 + int(struct.unpack_from("<Q", data, at)[0])


def _value_end(data: bytes, at: int) -> int:
    (kind,) = struct.unpack_from("<I", data, at)
    if kind == _STRING:
        return _string_end(data, at + 4)
    if kind != _ARRAY:
        return at + 4 + _VALUE_BYTES[kind]
    inner, count = struct.unpack_from("<IQ", data, at + 4)
    at += 16
    if inner != _STRING:
        return int(at + count * _VALUE_BYTES[inner])
    for _ in range(count):
        at = _string_end(data, at)
    return at


def _entry(data: bytes, at: int) -> tuple[tuple[str, tuple[int, ...], int, int], int]:
    name, at = _string(data, at)
    (axes,) = struct.unpack_from("<I", data, at)
    *shape, kind, offset = struct.unpack_from(f"<{axes}QIQ", data, at + 4)
    return (name, tuple(shape), kind, offset), at + 16 + 8 * axes


def _tensor(view: memoryview, name: str, shape: tuple[int, ...], kind: int, offset: int) -> Tensor:
    if kind not in BLOCKS:
        raise ValueError(f"The tensor {name} is of type {kind}, which this factory does not know.")
    block, size = BLOCKS[kind]
    return Tensor(name, shape, kind, view[offset : offset + math.prod(shape) // block * size])
