"""A Hugging Face folder -> its config and where each tensor lies, or a refusal before anything is written.

The folder is untrusted: every size and offset is checked against the files before a weight is read, and no
name in it leads outside. The parser is ours because the safetensors package raises on the first of these with
its own words, and reads no index of shards.

Source: safetensors format (README of huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.errors import UsageError

Float = npt.NDArray[np.float32]
Json = Mapping[str, Any]

INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"
MOST_JSON = 256 << 20
MOST_HEADER = 100 << 20
MOST_AXES = 4
# dtype -> how numpy reads it; numpy has no bfloat16.
_STORED_AS: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
# dtype -> bytes of an element; what is no float may lie beside the weights.
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


class BadCheckpoint(UsageError):
    """The folder is not what can be converted."""

    hint = "Nothing was written. Compare the folder with its source, or fetch it again."


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor in a file: `shape` with the slowest axis first, `start` in bytes from the file's start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int

    def values(self) -> Float:
        """Read the weights.

        Raises:
            BadCheckpoint: they are of another type than F32, F16 or BF16, or one is no number.
        """
        if self.dtype not in _STORED_AS:
            known = ", ".join(_STORED_AS)
            raise BadCheckpoint(f"The tensor {self.name} is of type {self.dtype}; known are {known}.")
        kind = _STORED_AS[self.dtype]
        raw = np.fromfile(self.file, kind, math.prod(self.shape), offset=self.start)
        wide = raw.astype(np.uint32) << 16 if self.dtype == "BF16" else raw.astype(np.float32)
        values: Float = wide.view(np.float32).reshape(self.shape)
        if not np.isfinite(values).all():
            raise BadCheckpoint(f"The tensor {self.name} holds an infinity or what is no number.")
        return values


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object whose keys occur once.

    Raises:
        BadCheckpoint: it is missing, too large, or something else.
    """
    try:
        if path.stat().st_size > MOST_JSON:
            raise BadCheckpoint(f"{path.name} is too large to be what it should be.")
        return _object(path.read_bytes(), path.name)
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror}.") from None


def read_tensors(folder: Path) -> dict[str, Stored]:
    """Find every tensor of a checkpoint, in one file or in the shards of its index.

    Raises:
        BadCheckpoint: a file is missing, cut short or not well formed, or the shards are not those listed.
    """
    if not (folder / INDEX).exists():
        return read_safetensors(folder / WHOLE)
    placed = read_json(folder / INDEX).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise BadCheckpoint(f"{INDEX} has no weight_map.")
    shards = {_plain(shard) for shard in placed.values()}
    found = dict[str, Stored]()
    for shard in sorted(shards):
        inside = read_safetensors(folder / shard)
        listed = {name for name, place in placed.items() if place == shard}
        if inside.keys() != listed:
            raise BadCheckpoint(f"{shard} differs from {INDEX} in {_some(inside.keys() ^ listed)}.")
        found |= inside
    return found


def read_safetensors(path: Path) -> dict[str, Stored]:
    """Read the header of one file.

    Raises:
        BadCheckpoint: it is missing, cut short, or its tensors do not fill it exactly.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
            if length > min(MOST_HEADER, size - 8):
                raise BadCheckpoint(f"{path.name} is cut short, or its header lies about its length.")
            header = _object(file.read(length), path.name)
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror}.") from None
    header.pop("__metadata__", None)
    entries = sorted((_entry(path, name, entry) for name, entry in header.items()), key=lambda each: each[1])
    _check_filled(path.name, entries, size - 8 - length)
    return {
        name: Stored(name, dtype, shape, path, 8 + length + start)
        for name, (start, _), dtype, shape in entries
    }


_Entry = tuple[str, tuple[int, int], str, tuple[int, ...]]


def _entry(path: Path, name: str, entry: object) -> _Entry:
    """Check one tensor's entry by itself; return its name, span, dtype and shape."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise BadCheckpoint(f"{path.name} describes the tensor {name} in an unknown way.")
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise BadCheckpoint(f"{path.name} gives the tensor {name} a type that is not known.")
    if not _numbers(shape) or not 1 <= len(shape) <= MOST_AXES or 0 in shape:
        raise BadCheckpoint(f"{path.name} gives the tensor {name} a shape that none can have.")
    size = math.prod(shape) * _BYTES[dtype]
    if not _numbers(span) or len(span) != 2 or span[1] - span[0] != size:
        raise BadCheckpoint(f"{path.name} gives the tensor {name} more or fewer bytes than its shape takes.")
    return name, (span[0], span[1]), dtype, tuple(shape)


def _check_filled(file: str, entries: list[_Entry], size: int) -> None:
    """Check that the tensors, in their order, fill the data without a gap or an overlap."""
    end = 0
    for name, (start, stop), _, _ in entries:
        if start != end:
            raise BadCheckpoint(f"{file} has a gap or an overlap before the tensor {name}.")
        end = stop
    if end != size:
        raise BadCheckpoint(f"{file} has {size} bytes of weights, its header speaks of {end}.")


def _numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 1 << 48 for each in value)


def _plain(shard: object) -> str:
    """Return a shard's file name if it is no more than that: a path could lead outside the folder."""
    if not isinstance(shard, str) or not shard.endswith(".safetensors") or set(shard) & set("/\\\0"):
        raise BadCheckpoint(f"{INDEX} names a shard that is no plain file name.")
    return shard


def _object(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadCheckpoint(f"{name} is not well formed: {error}.") from None
    if not isinstance(found, dict):
        raise BadCheckpoint(f"{name} is not well formed: it is no object.")
    return found


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found = dict[str, Any]()
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key[:80]!r} occurs twice")
        found[key] = value
    return found


def _some(names: Iterable[str]) -> str:
    first, *rest = sorted(names)
    return f"{first} and {len(rest)} more" if rest else first
