"""Float weights <-> the blocks of a GGUF type: the same bytes on every machine.

Blocks stand in columns, shape (32, n), so that sums run along the first axis, row after row: their order, and
so their rounding, is fixed. llama.cpp's sums in C may be contracted or reordered by another compiler or
processor; numpy's elementwise float32 is the same everywhere.

`q4_0` and `iq4_nl` are also what training for a grid rounds with: `to_float(Tensor(..., q4_0(weights)))`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from scripts import gguf
from scripts.gguf import Tensor

Float = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Scale = Literal["best", "largest"]

BLOCK = 32
SCALES: tuple[Scale, ...] = get_args(Scale)
_TINY = np.float32(1e-30)


@dataclass(frozen=True, slots=True)
class Grid:
    """The 16 `values` of a 4-bit type in units of a block's scale, the first the largest by magnitude.

    `anchors`: the scales tried put a block's largest weight on each of these. `table`: the index of the
    nearest value for every half step from -128 on; no two neighbours meet inside a half step.
    """

    values: Float
    anchors: tuple[float, ...]
    table: Bytes


def _grid(values: Float, *, reach: float, step: float) -> Grid:
    halves = (np.arange(-256, 256) + 0.5) / 2
    table = np.abs(halves[:, None] - values[None, :]).argmin(axis=1).astype(np.uint8)
    shifts = np.arange(-reach, reach + step / 2, step)
    anchors = tuple(float(end + shift) for end in (values[0], values[-1]) for shift in shifts)
    return Grid(values, anchors, table)


IQ4_NL = _grid(
    # ggml-common.h, kvalues_iq4nl.
    np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32),
    reach=20,
    step=4,
)
Q4_0 = _grid(np.arange(-8, 8, dtype=np.float32), reach=1.5, step=0.25)


def iq4_nl(weights: Float, *, scale: Scale = "best", importance: Float | None = None) -> Bytes:
    """Quantize blocks in columns, shape (32, n), to the bytes of IQ4_NL, shape (n, 18).

    "best": of the scales tried, each block takes the one with the least squared error, each weight's times
    its `importance` (32, n). "largest": the largest weight lands on the grid's first value, the classic rule.
    """
    return _four_bits(weights, _scale(weights, IQ4_NL, scale=scale, importance=importance), IQ4_NL)


def q4_0(weights: Float, *, scale: Scale = "best", importance: Float | None = None) -> Bytes:
    """Quantize blocks in columns, shape (32, n), to the bytes of Q4_0, shape (n, 18), as `iq4_nl` does."""
    return _four_bits(weights, _scale(weights, Q4_0, scale=scale, importance=importance), Q4_0)


def _four_bits(weights: Float, scales: Float, grid: Grid) -> Bytes:
    scale = scales.astype(np.float16)
    codes = nearest(weights / _nonzero(scale.astype(np.float32)), grid)
    packed = np.empty((weights.shape[1], 18), np.uint8)
    packed[:, :2] = scale[:, None].view(np.uint8)
    packed[:, 2:] = (codes[:16] | codes[16:] << 4).T
    return packed


def _scale(weights: Float, grid: Grid, *, scale: Scale, importance: Float | None) -> Float:
    """Return a scale a block, shape (n,)."""
    largest: Float = np.take_along_axis(weights, np.abs(weights).argmax(axis=0)[None], axis=0)[0]
    if scale == "largest":
        plain: Float = largest / grid.values[0]
        return plain
    return _best_scale(weights, _nonzero(largest), grid, importance)


def _best_scale(weights: Float, largest: Float, grid: Grid, importance: Float | None) -> Float:
    """Return the scale of the least error of those tried.

    For given codes q and importances i the best scale is sum(ixq)/sum(iqq), and it explains
    sum(ixq)^2/sum(iqq) of the energy.
    """
    weighty = weights if importance is None else weights * importance
    best = np.zeros_like(largest)
    scale = np.zeros_like(largest)
    for anchor in grid.anchors:
        values = grid.values[nearest(weights * (np.float32(anchor) / largest), grid)]
        squares = values * values if importance is None else values * values * importance
        product, energy = (values * weighty).sum(axis=0), np.maximum(squares.sum(axis=0), _TINY)
        explained = product * product / energy
        better = explained > best
        best = np.where(better, explained, best)
        scale = np.where(better, product / energy, scale)
    return scale


def nearest(values: Float, grid: Grid) -> Bytes:
    """Return the index of the grid's value nearest to each of `values`."""
    halves = np.clip(np.floor(values * np.float32(2)), -256, 255).astype(np.int16)
    codes: Bytes = grid.table[halves + 256]
    return codes


def q8_0(weights: Float) -> Bytes:
    """Quantize blocks in columns, shape (32, n), to the bytes of Q8_0, shape (n, 34)."""
    scale = (np.abs(weights).max(axis=0) / np.float32(127)).astype(np.float16)
    codes = np.clip(np.rint(weights / _nonzero(scale.astype(np.float32))), -127, 127).astype(np.int8)
    packed = np.empty((weights.shape[1], 34), np.uint8)
    packed[:, :2] = scale[:, None].view(np.uint8)
    packed[:, 2:] = codes.T.view(np.uint8)
    return packed


def f32(weights: Float) -> Bytes:
    """Write blocks in columns, shape (32, n), as float32, shape (n, 128) of bytes."""
    return np.ascontiguousarray(weights.T).view(np.uint8)


def f16(weights: Float) -> Bytes:
    """Round blocks in columns, shape (32, n), to float16, shape (n, 64) of bytes."""
    return np.ascontiguousarray(weights.T.astype(np.float16)).view(np.uint8)


def bf16(weights: Float) -> Bytes:
    """Round blocks in columns, shape (32, n), to bfloat16, half to even, shape (n, 64) of bytes."""
    bits = np.ascontiguousarray(weights.T).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).view(np.uint8)


def to_float(tensor: Tensor) -> Float:
    """Return the weights as blocks in columns, shape (32, blocks), of a type in `READS`."""
    return READS[tensor.kind](np.frombuffer(tensor.data, np.uint8))


def _nonzero(values: Float) -> Float:
    return np.where(np.abs(values) < _TINY, np.float32(1), values)


def _half(raw: Bytes) -> Float:
    """Read one float16 a block from bytes of shape (n, 2)."""
    scales: Float = np.ascontiguousarray(raw).view(np.float16).astype(np.float32)[:, 0]
    return scales


def _nibbles(raw: Bytes) -> Float:
    return np.concatenate([raw & 15, raw >> 4], axis=1).T.astype(np.float32)


def _from_q4_0(raw: Bytes) -> Float:
    blocks = raw.reshape(-1, 18)
    return (_nibbles(blocks[:, 2:]) - np.float32(8)) * _half(blocks[:, :2])


def _from_q4_1(raw: Bytes) -> Float:
    blocks = raw.reshape(-1, 20)
    return _nibbles(blocks[:, 4:]) * _half(blocks[:, :2]) + _half(blocks[:, 2:4])


def _from_q8_0(raw: Bytes) -> Float:
    blocks = raw.reshape(-1, 34)
    return blocks[:, 2:].view(np.int8).T.astype(np.float32) * _half(blocks[:, :2])


def _from_iq4_nl(raw: Bytes) -> Float:
    blocks = raw.reshape(-1, 18)
    codes = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).T
    values: Float = IQ4_NL.values[codes] * _half(blocks[:, :2])
    return values


def _from_bf16(raw: Bytes) -> Float:
    values: Float = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values.reshape(-1, BLOCK).T


READS: Mapping[int, Callable[[Bytes], Float]] = {
    gguf.F32: lambda raw: raw.view(np.float32).reshape(-1, BLOCK).T,
    gguf.F16: lambda raw: raw.view(np.float16).astype(np.float32).reshape(-1, BLOCK).T,
    gguf.BF16: _from_bf16,
    gguf.Q4_0: _from_q4_0,
    gguf.Q4_1: _from_q4_1,
    gguf.Q8_0: _from_q8_0,
    gguf.IQ4_NL: _from_iq4_nl,
}
