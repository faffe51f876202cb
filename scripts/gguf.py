"""GGUF bytes <-> metadata and tensors, as much of the format as the factory needs.

It reads only files whose hash is pinned; what the appliance loads is checked by `appliance.headers`.
Source: GGUF specification (ggml, docs/gguf.md).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import UsageError

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
F32, F16, Q4_0, Q4_1, Q8_0, IQ4_NL, BF16 = 0, 1, 2, 3, 8, 20, 30
# type -> (name, elements in a block, bytes of a block), as ggml_get_type_traits tells them.
TYPES = {
    F32: ("F32", 1, 4), F16: ("F16", 1, 2), BF16: ("BF16", 1, 2),
    Q4_0: ("Q4_0", 32, 18), Q4_1: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    Q8_0: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), IQ4_NL: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}  # fmt: skip
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
TABLES = frozenset({EMBEDDING, OUTPUT})
BY_NAME = {name: kind for kind, (name, _, _) in TYPES.items()}
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_SAFE = "Nothing was written."


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


def size_of(shape: Sequence[int], kind: int) -> int:
    """Return the bytes of a tensor of that shape and type."""
    _, block, size = TYPES[kind]
    return math.prod(shape) // block * size


def number(value: int) -> bytes:
    """Encode a metadata value of type uint32."""
    return struct.pack("<II", 4, value)


def parse(data: bytes) -> Model:
    """Read a file.

    Raises:
        ValueError: it is no GGUF file of version 3, is cut short, or has a tensor of an unknown type.
        struct.error: it ends inside its header.
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


def read(path: Path) -> Model:
    """Read the file at `path`.

    Raises:
        UsageError: it is not there, no GGUF file, or one that this factory does not know.
    """
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}.", hint=_SAFE) from error
    except (ValueError, KeyError, struct.error) as error:
        reason = str(error) if type(error) is ValueError else "This is no whole GGUF file of version 3."
        raise UsageError(f"{path.name}: {reason}", hint=f"{_SAFE} Give a file ending in .gguf.") from error


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
    if kind not in TYPES:
        raise ValueError(f"The tensor {name} is of type {kind}, which this factory does not know.")
    size = size_of(shape, kind)
    if offset + size > len(view):
        raise ValueError(f"The tensor {name} ends after the end of the file.")
    return Tensor(name, shape, kind, view[offset : offset + size])
