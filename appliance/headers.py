"""The head of a model file -> nothing, or a refusal, before an engine's C++ parses a byte of it.

Both engines have had a series of memory errors in their loaders, most of them sizes that overflow or point
outside the file (security notes, "Known weaknesses of the model runtime"). These checks are the cheap part of
the answer, in a language without pointers; the hash on the card is the other.

Sources: GGUF specification (ggml, docs/gguf.md); onnx.proto3 and the protobuf wire format.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from appliance.errors import ModelMismatch

ARCHITECTURES = frozenset(
    {"llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi2", "phi3", "smollm3"}
)  # fmt: skip
MOST_TENSORS = 65_536
MOST_PAIRS = 4_096
MOST_ALIGNMENT = 1 << 20
MOST_STRING = 1 << 20
MOST_ELEMENTS = 1 << 24
MOST_NODES = 1 << 20
DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})

# Bytes of a GGUF value type; 8 is a string, 9 an array.
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
# ggml_type -> (elements in a block, bytes of a block).
_TENSOR_TYPES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 23: (256, 136), 30: (1, 2),
}  # fmt: skip
# onnx TensorProto.DataType -> bytes of an element.
_ONNX_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}


@dataclass(slots=True)
class _Reader:
    """A cursor over GGUF bytes that never leaves them."""

    data: memoryview
    at: int = 0

    def take(self, size: int) -> memoryview:
        if size < 0 or size > len(self.data) - self.at:
            raise ModelMismatch("The GGUF header points outside its file.")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, code: str) -> int:
        return int(struct.unpack(f"<{code}", self.take(struct.calcsize(code)))[0])

    def string(self) -> bytes:
        size = self.number("Q")
        _refuse(size > MOST_STRING, "a GGUF string is too long")
        return bytes(self.take(size))

    def skip_strings(self, count: int) -> None:
        """Step over a vocabulary, 100,000 strings in a real model: without a slice for each."""
        at, end, length = self.at, len(self.data), struct.Struct("<Q").unpack_from
        for _ in range(count):
            _refuse(at + 8 > end, "the header points outside its file")
            (size,) = length(self.data, at)
            _refuse(size > MOST_STRING, "a GGUF string is too long")
            at += 8 + size
        self.at = at
        self.take(0)


def check_gguf(data: memoryview) -> None:
    """Walk the whole header of a GGUF file: counts, types, alignment, and every tensor inside the file.

    Raises:
        ModelMismatch: it is not a model that this program will load.
    """
    reader = _Reader(data)
    _refuse(bytes(reader.take(4)) != b"GGUF", "this is no GGUF file")
    _refuse(reader.number("I") not in (2, 3), "this GGUF version is unknown")
    tensors, pairs = reader.number("Q"), reader.number("Q")
    _refuse(not 0 < tensors <= MOST_TENSORS or pairs > MOST_PAIRS, "a GGUF count is out of range")
    alignment = _pairs(reader, pairs)
    ends = [_tensor(reader, alignment) for _ in range(tensors)]
    start = -(-reader.at // alignment) * alignment
    _refuse(start + max(end for _, end in ends) > len(data), "a tensor lies outside its GGUF file")
    ends.sort()
    overlap = any(after[0] < before[1] for before, after in pairwise(ends))
    _refuse(overlap, "two GGUF tensors overlap")


def _pairs(reader: _Reader, count: int) -> int:
    """Walk the metadata; return the alignment of the tensor data."""
    alignment, architecture, seen = 32, b"", set[bytes]()
    for _ in range(count):
        key, kind = reader.string(), reader.number("I")
        _refuse(key in seen, "a GGUF key occurs twice")
        seen.add(key)
        if key == b"general.alignment":
            _refuse(kind != 4, "the GGUF alignment is of a wrong type")
            alignment = reader.number("I")
        elif key == b"general.architecture":
            _refuse(kind != _STRING, "the GGUF architecture is of a wrong type")
            architecture = reader.string()
        else:
            _skip(reader, kind)
    # Without an upper bound on the alignment, padding sums wrap around in the loader (llama.cpp PR 24997).
    _refuse(
        not 8 <= alignment <= MOST_ALIGNMENT or alignment & (alignment - 1) != 0,
        "the GGUF alignment is out of range",
    )
    _refuse(architecture.decode("ascii", "replace") not in ARCHITECTURES, "this architecture is not allowed")
    return alignment


def _skip(reader: _Reader, kind: int) -> None:
    if kind == _STRING:
        reader.string()
    elif kind == _ARRAY:
        inner, count = reader.number("I"), reader.number("Q")
        _refuse(count > MOST_ELEMENTS, "a GGUF array is too long")
        # An array of arrays has no bound on its depth and no use in a model.
        _refuse(inner != _STRING and inner not in _VALUE_BYTES, "a GGUF array is of a wrong type")
        if inner == _STRING:
            reader.skip_strings(count)
        else:
            reader.take(count * _VALUE_BYTES[inner])
    else:
        _refuse(kind not in _VALUE_BYTES, "a GGUF value is of an unknown type")
        reader.take(_VALUE_BYTES[kind])


def _tensor(reader: _Reader, alignment: int) -> tuple[int, int]:
    """Read one tensor's entry; return where it starts and ends, from the start of the data."""
    _refuse(len(reader.string()) > 63, "a GGUF tensor's name is too long")
    axes = reader.number("I")
    _refuse(not 1 <= axes <= 4, "a GGUF tensor has a wrong number of axes")
    shape = [reader.number("Q") for _ in range(axes)]
    kind, offset = reader.number("I"), reader.number("Q")
    _refuse(kind not in _TENSOR_TYPES, "a GGUF tensor is of an unknown type")
    block, size = _TENSOR_TYPES[kind]
    _refuse(
        any(not 0 < axis < 1 << 32 for axis in shape) or shape[0] % block != 0,
        "a GGUF tensor's shape is wrong",
    )
    _refuse(offset % alignment != 0, "a GGUF tensor is not aligned")
    return offset, offset + math.prod(shape) // block * size


Field = tuple[int, int | memoryview]


def check_onnx(data: memoryview) -> None:
    """Walk an ONNX model: known operator domains, no file beside it, no subgraph, tensors of their size.

    Raises:
        ModelMismatch: it is not a model that this program will load.
    """
    graphs = 0
    for number, value in _fields(data):
        if number == 7:
            graphs += 1
            _graph(_bytes(value))
        elif number == 8:
            _domain(dict(_fields(_bytes(value))).get(1, memoryview(b"")))
        # 20 is training information, 25 functions: code beside the graph that inference never needs.
        _refuse(number in (20, 25), "an ONNX model with functions or training steps is not allowed")
    _refuse(graphs != 1, "this is no ONNX model")


def _graph(data: memoryview) -> None:
    readers: dict[int, Callable[[memoryview], None]] = {1: _node, 5: _initializer}
    nodes = 0
    for number, value in _fields(data):
        _refuse(number == 15, "a sparse ONNX tensor is not allowed")
        if number in readers:
            nodes += 1
            readers[number](_bytes(value))
    _refuse(nodes > MOST_NODES, "an ONNX graph has too many nodes")


def _node(data: memoryview) -> None:
    for number, value in _fields(data):
        if number == 7:
            _domain(value)
        elif number == 5:
            for inner, content in _fields(_bytes(value)):
                # A graph inside an attribute is a loop or a branch: unbounded work, and no encoder has one.
                _refuse(inner in (6, 11), "an ONNX subgraph is not allowed")
                if inner == 5:
                    _initializer(_bytes(content))


def _initializer(data: memoryview) -> None:
    count, kind, raw = 1, 0, None
    for number, value in _fields(data):
        if number == 1:
            for axis in _packed(value):
                _refuse(axis >= 1 << 32, "an ONNX tensor's shape is wrong")
                count *= axis
        elif number == 2:
            kind = _number(value)
        elif number == 9:
            raw = _bytes(value)
        # 13 and 14 name another file to read the weights from: a way out of what was hashed.
        _refuse(number == 13 or (number == 14 and value != 0), "ONNX weights in another file are not allowed")
    _refuse(kind not in _ONNX_BYTES, "an ONNX tensor is of an unknown type")
    fits = count <= len(data) if raw is None else len(raw) == count * _ONNX_BYTES[kind]
    _refuse(not fits, "an ONNX tensor is not of the size its shape says")


def _domain(value: int | memoryview) -> None:
    name = bytes(_bytes(value)).decode("utf-8", "replace")
    _refuse(name not in DOMAINS, "an ONNX operator domain is not allowed")


def _fields(data: memoryview) -> Iterator[Field]:
    """Yield (field number, varint or bytes) of one protobuf message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        else:
            _refuse(wire not in (1, 5), "the ONNX file is not well formed")
            size = 8 if wire == 1 else 4
        _refuse(number == 0 or size > len(data) - at, "the ONNX file is not well formed")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        _refuse(at >= len(data), "the ONNX file is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ModelMismatch("The model was refused: the ONNX file is not well formed.")


def _packed(value: int | memoryview) -> Iterator[int]:
    if isinstance(value, int):
        yield value
        return
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        yield number


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ModelMismatch("The model was refused: the ONNX file is not well formed.")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ModelMismatch("The model was refused: the ONNX file is not well formed.")
    return value


def _refuse(bad: bool, why: str) -> None:  # noqa: FBT001 - reads as "refuse if ..., because ..."
    if bad:
        raise ModelMismatch(f"The model was refused: {why}.")
