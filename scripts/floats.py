"""Weights in float32 <-> GGUF tensors: F32, F16 or BF16 out, any type the factory knows in.

Elementwise integer and IEEE operations only, so the bytes are the same on every machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from appliance.errors import UsageError
from scripts import gguf
from scripts.blocks import to_float
from scripts.gguf import Tensor

Float = npt.NDArray[np.float32]

TYPES = {"f32": gguf.F32, "f16": gguf.F16, "bf16": gguf.BF16}
# llama.cpp's numbers for what most of a file is (llama.h, LLAMA_FTYPE_*).
FILE_TYPES = {gguf.F32: 0, gguf.F16: 1, gguf.BF16: 32}
_LARGEST = {gguf.F32: np.inf, gguf.F16: 65504.0, gguf.BF16: float.fromhex("0x1.fep127")}


def tensor(name: str, values: Float, kind: int) -> Tensor:
    """Return the tensor of `values`, slowest axis first; of vectors in F32, which llama.cpp wants.

    Raises:
        UsageError: a weight is too large for the type.
    """
    kind = kind if values.ndim > 1 else gguf.F32
    return Tensor(name, values.shape[::-1], kind, _packed(name, values, kind))


def _packed(name: str, values: Float, kind: int) -> bytes:
    if np.abs(values).max() > _LARGEST[kind]:
        raise UsageError(
            f"The tensor {name} holds a weight that this type cannot.",
            hint="Nothing was written. Use --type bf16, or f32.",
        )
    if kind == gguf.F32:
        return values.astype("<f4").tobytes()
    if kind == gguf.BF16:
        bits = np.ascontiguousarray(values).view(np.uint32)
        # To the nearest, ties to even: half a step less one, and one more where the last bit kept is set.
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
    return values.astype("<f2").tobytes()


def unpack(found: Tensor) -> Float:
    """Return a tensor's weights, slowest axis first."""
    raw = np.frombuffer(found.data, np.uint8)
    shape = found.shape[::-1]
    if found.kind == gguf.F32:
        return raw.view("<f4").reshape(shape)
    if found.kind == gguf.F16:
        return raw.view("<f2").astype(np.float32).reshape(shape)
    if found.kind == gguf.BF16:
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    # Blocks lie in columns there, and rows are made of whole blocks.
    return np.ascontiguousarray(to_float(found).T).reshape(shape)
