"""A published GGUF -> the shipped 4-bit one, through float: the same bytes on every machine.

IQ4_NL, and a quantizer of our own for it. llama.cpp's sums in C may be contracted or reordered by another
compiler or processor, and then the hash on the card would hold on one kind of machine only; numpy's
elementwise float32 is the same everywhere. Ours also tries the negative scale, which halves what the
lopsided grid loses: KL to the source .15 instead of .18 (models/README.md).

The file's chat template is left out: it is a program, and the appliance has its own (CVE-2024-34359).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance import durable
from scripts import gguf
from scripts.gguf import Model, Tensor

Float = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

BLOCK = 32
# The 16 values of IQ4_NL, in units of a block's scale (ggml-common.h, kvalues_iq4nl).
GRID = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
# The scales tried: the block's largest weight lands near one end of the grid or near the other.
ANCHORS = tuple(float(end + shift) for end in (-127, 113) for shift in range(-20, 21, 4))
_TINY = np.float32(1e-30)
# Index of the grid's nearest value, for every half step from -128 on.
_HALVES = (np.arange(-256, 256) + 0.5) / 2
_NEAREST = np.abs(_HALVES[:, None] - GRID[None, :]).argmin(axis=1).astype(np.uint8)
# Blocks worked on at a time: their arrays stay in the second-level cache.
STEP = 4096
_FILE_TYPE_IQ4_NL = 25
_TABLES = frozenset({"token_embd.weight", "output.weight"})
_DROPPED = frozenset({"tokenizer.chat_template"})


def quantize(model: Model, *, threads: int) -> Model:
    """Return the model with every weight matrix in IQ4_NL and the word tables in Q8_0."""
    with ThreadPoolExecutor(threads) as pool:
        tensors = tuple(pool.map(_quantized, model.tensors))
    pairs = {key: value for key, value in model.pairs.items() if key not in _DROPPED}
    pairs["general.file_type"] = gguf.number(_FILE_TYPE_IQ4_NL)
    return Model(pairs, tensors)


def _quantized(tensor: Tensor) -> Tensor:
    if len(tensor.shape) < 2 or tensor.shape[0] % BLOCK:
        return tensor
    if tensor.name in _TABLES:
        if tensor.kind == gguf.Q8_0:
            return tensor
        return replace(tensor, kind=gguf.Q8_0, data=_by_steps(tensor, q8_0))
    return replace(tensor, kind=gguf.IQ4_NL, data=_by_steps(tensor, iq4_nl))


def _by_steps(tensor: Tensor, pack: Callable[[Float], Bytes]) -> bytes:
    weights = to_float(tensor)
    steps = range(0, weights.shape[1], STEP)
    return b"".join(pack(np.ascontiguousarray(weights[:, at : at + STEP])).tobytes() for at in steps)


def to_float(tensor: Tensor) -> Float:
    """Return the weights as blocks in columns, shape (32, blocks)."""
    return _TO_FLOAT[tensor.kind](np.frombuffer(tensor.data, np.uint8))


def iq4_nl(weights: Float) -> Bytes:
    """Quantize blocks in columns, shape (32, n), to the bytes of IQ4_NL, shape (n, 18).

    Of the scales tried, each block takes the one with the least squared error.
    """
    scale = _best_scale(weights).astype(np.float16)
    codes = nearest(weights / _nonzero(scale.astype(np.float32)))
    packed = np.empty((weights.shape[1], 18), np.uint8)
    packed[:, :2] = scale[:, None].view(np.uint8)
    packed[:, 2:] = (codes[:16] | codes[16:] << 4).T
    return packed


def _best_scale(weights: Float) -> Float:
    """Return a scale a block, shape (n,).

    For given codes q the best scale is sum(xq)/sum(qq), and it explains sum(xq)^2/sum(qq) of the energy.
    Sums run along the first axis, row after row: their order, and so their rounding, is fixed.
    """
    largest = np.take_along_axis(weights, np.abs(weights).argmax(axis=0)[None], axis=0)[0]
    largest = _nonzero(largest)
    best = np.zeros_like(largest)
    scale = np.zeros_like(largest)
    for anchor in ANCHORS:
        values = GRID[nearest(weights * (np.float32(anchor) / largest))]
        product, energy = (values * weights).sum(axis=0), np.maximum((values * values).sum(axis=0), _TINY)
        explained = product * product / energy
        better = explained > best
        best = np.where(better, explained, best)
        scale = np.where(better, product / energy, scale)
    return scale


def nearest(values: Float) -> Bytes:
    """Return the index of the grid's value nearest to each of `values`."""
    halves = np.clip(np.floor(values * np.float32(2)), -256, 255).astype(np.int16)
    codes: Bytes = _NEAREST[halves + 256]
    return codes


def q8_0(weights: Float) -> Bytes:
    """Quantize blocks in columns, shape (32, n), to the bytes of Q8_0, shape (n, 34)."""
    scale = (np.abs(weights).max(axis=0) / np.float32(127)).astype(np.float16)
    codes = np.clip(np.rint(weights / _nonzero(scale.astype(np.float32))), -127, 127).astype(np.int8)
    packed = np.empty((weights.shape[1], 34), np.uint8)
    packed[:, :2] = scale[:, None].view(np.uint8)
    packed[:, 2:] = codes.T.view(np.uint8)
    return packed


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


def from_iq4_nl(raw: Bytes) -> Float:
    """Return the weights of IQ4_NL's bytes as blocks in columns, shape (32, blocks)."""
    blocks = raw.reshape(-1, 18)
    codes = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).T
    values: Float = GRID[codes] * _half(blocks[:, :2])
    return values


def _from_bf16(raw: Bytes) -> Float:
    values: Float = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values.reshape(-1, BLOCK).T


_TO_FLOAT: Mapping[int, Callable[[Bytes], Float]] = {
    gguf.F32: lambda raw: raw.view(np.float32).reshape(-1, BLOCK).T,
    gguf.F16: lambda raw: raw.view(np.float16).astype(np.float32).reshape(-1, BLOCK).T,
    gguf.BF16: _from_bf16,
    gguf.Q4_0: _from_q4_0,
    gguf.Q4_1: _from_q4_1,
    gguf.Q8_0: _from_q8_0,
    gguf.IQ4_NL: from_iq4_nl,
}


def main() -> None:
    """Quantize SOURCE to TARGET; the last line of stdout is one JSON line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    model = quantize(gguf.parse(arguments.source.read_bytes()), threads=arguments.threads)
    made = gguf.serialize(model)
    durable.replace(arguments.target, made, mode=0o644)
    digest = hashlib.sha256(made).hexdigest()
    print(json.dumps({"file": arguments.target.name, "bytes": len(made), "sha256": digest}))


if __name__ == "__main__":
    main()
