"""A GGUF -> the same model in another type, through float; without options the shipped one, byte for byte.

    python -m scripts.quantize SOURCE TARGET [--type NAME] [--embedding TYPE] [--output TYPE]
                               [--importance FILE] [--scale best|largest] [--by ours|llama.cpp]

F32, F16, BF16, Q8_0, Q4_0 and IQ4_NL are ours (scripts/blocks.py): the same bytes on every machine, and
nearer to the source than llama.cpp's, for the scales of a 4-bit block are searched wider, the negative ones
too. Every other type llama.cpp writes itself (scripts/llamacpp.py).

The word tables take eight bits where the matrices take four. --importance (scripts/importance.py) weighs each
column's error in the 4-bit types. What became of each tensor stands on stderr, read back from the file.
The file's chat template is left out: it is a program, and the appliance has its own (CVE-2024-34359).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from appliance import durable, headers
from appliance.errors import ApplianceError, ModelMismatch, UsageError
from scripts import blocks, gguf, llamacpp, sizes
from scripts.blocks import BLOCK, Bytes, Float, Scale
from scripts.gguf import Model, Tensor

SAFE = "Nothing was written."
# Our types -> the number of the file type that is made of them (llama.h, LLAMA_FTYPE_*).
OURS = {gguf.F32: 0, gguf.F16: 1, gguf.BF16: 32, gguf.Q8_0: 7, gguf.Q4_0: 2, gguf.IQ4_NL: 25}
FOUR_BITS = {gguf.Q4_0: blocks.q4_0, gguf.IQ4_NL: blocks.iq4_nl}
_OTHERS = {gguf.F32: blocks.f32, gguf.F16: blocks.f16, gguf.BF16: blocks.bf16, gguf.Q8_0: blocks.q8_0}
# Blocks worked on at a time: their arrays stay in the second-level cache.
_STEP = 4096
_DROPPED = frozenset({"tokenizer.chat_template"})
# A column whose input was never seen counts this share of the mean one: its weights are not free.
_LEAST = np.float32(1e-3)
_MOST = np.float32(65504)  # the largest float16, which holds the scales


@dataclass(frozen=True, slots=True)
class Plan:
    """What the matrices, the word table and the output become: tensor types of `OURS`.

    `importance`: the mean square of each input column by the tensor's name, shape (width,).
    """

    matrices: int = gguf.IQ4_NL
    embedding: int = gguf.Q8_0
    output: int = gguf.Q8_0
    scale: Scale = "best"
    importance: Mapping[str, Float] = field(default_factory=dict)

    def kind(self, name: str) -> int:
        """Return what the tensor becomes."""
        return {gguf.EMBEDDING: self.embedding, gguf.OUTPUT: self.output}.get(name, self.matrices)


SHIPPED = Plan()


def quantize(model: Model, *, threads: int, plan: Plan = SHIPPED) -> Model:
    """Return the model with its weight matrices and word tables in the types of `plan`.

    Raises:
        UsageError: a tensor cannot be read, or holds what no type can.
    """
    with ThreadPoolExecutor(threads) as pool:
        tensors = tuple(pool.map(lambda tensor: quantized(tensor, plan), model.tensors))
    pairs = dict(_kept(model.pairs))
    pairs["general.file_type"] = gguf.number(OURS[plan.matrices])
    return Model(pairs, tensors)


def _kept(pairs: Mapping[str, bytes]) -> dict[str, bytes]:
    return {key: value for key, value in pairs.items() if key not in _DROPPED}


def quantized(tensor: Tensor, plan: Plan) -> Tensor:
    """Return the tensor as `plan` says; one whose rows are no whole blocks is left as it is.

    Raises:
        UsageError: it cannot be read, or holds what no type can.
    """
    kind = plan.kind(tensor.name)
    if len(tensor.shape) < 2 or tensor.shape[0] % BLOCK or tensor.kind == kind:
        return tensor
    if tensor.kind not in blocks.READS:
        name = gguf.TYPES[tensor.kind][0]
        raise UsageError(f"{tensor.name} is {name}, which only llama.cpp reads.", hint=f"{SAFE} Use F16.")
    weights = blocks.to_float(tensor)
    if not (np.abs(weights) <= _MOST).all():
        raise UsageError(f"{tensor.name} holds a weight that is no number or too large.", hint=SAFE)
    importance = _columns(plan.importance[tensor.name]) if tensor.name in plan.importance else None
    data = b"".join(
        _packed(weights[:, at : at + _STEP], kind, at=at, plan=plan, importance=importance).tobytes()
        for at in range(0, weights.shape[1], _STEP)
    )
    return replace(tensor, kind=kind, data=data)


def _columns(importance: Float) -> Float:
    """Return the importances of one row's blocks in columns, shape (32, width / 32), none of them nothing."""
    mean = importance.mean(dtype=np.float32) or np.float32(1)
    return (np.maximum(importance / mean, _LEAST)).astype(np.float32).reshape(-1, BLOCK).T


def _packed(weights: Float, kind: int, *, at: int, plan: Plan, importance: Float | None) -> Bytes:
    """Quantize the blocks from the tensor's block `at` on."""
    weights = np.ascontiguousarray(weights)
    if kind not in FOUR_BITS:
        return _OTHERS[kind](weights)
    if importance is not None:
        importance = importance[:, np.arange(at, at + weights.shape[1]) % importance.shape[1]]
    return FOUR_BITS[kind](weights, scale=plan.scale, importance=importance)


def read_importance(path: Path, widths: Mapping[str, int]) -> dict[str, Float]:
    """Read what scripts/importance.py wrote, and hold it against the model, its columns by matrix.

    Raises:
        UsageError: it is no such file, or of another model.
    """
    try:
        found = {name: np.ascontiguousarray(values, np.float32) for name, values in load_file(path).items()}
    except (OSError, SafetensorError, ValueError) as error:
        raise UsageError(f"{path.name} is no importance matrix: {error}", hint=SAFE) from error
    for name, values in found.items():
        if values.shape != (widths.get(name),) or not np.isfinite(values).all() or (values < 0).any():
            raise UsageError(
                f"The importance of {name} has shape {values.shape}, the model's {widths.get(name)} columns;"
                " every entry must be a number from 0 up.",
                hint=f"{SAFE} Make the file from this model: python -m scripts.importance.",
            )
    return found


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for: names of types as typed, upper case."""

    type: str
    embedding: str | None = None
    output: str | None = None
    scale: Scale = "best"
    by: Literal["ours", "llama.cpp"] | None = None
    importance: Path | None = None

    @property
    def ours(self) -> bool:
        """Tell whether our own quantizers do it: where they can, unless the order says otherwise."""
        names = {self.type, self.embedding or self.type, self.output or self.type}
        can = names <= {gguf.TYPES[kind][0] for kind in OURS}
        if self.by == "ours" and not can:
            raise UsageError(f"Ours are only {', '.join(gguf.TYPES[kind][0] for kind in OURS)}.", hint=SAFE)
        return can and self.by != "llama.cpp"


def check(order: Order, model: Model) -> None:
    """Refuse what no quantizer can do.

    Raises:
        UsageError: a name is unknown, or there is no output of its own; the message lists the names.
    """
    if order.type not in {*llamacpp.file_types(), "F32"}:
        raise UsageError(f"There is no type {order.type}; {_known_files()}", hint=SAFE)
    for name in (order.embedding, order.output):
        if name is not None and name not in gguf.BY_NAME:
            raise UsageError(
                f"There is no tensor type {name}; there are: {', '.join(gguf.BY_NAME)}.", hint=SAFE
            )
    if order.output and gguf.OUTPUT not in {tensor.name for tensor in model.tensors}:
        raise UsageError(
            "This model has no output.weight: its word table is also its output.",
            hint=f"{SAFE} Choose the type of both with --embedding.",
        )


def _known_files() -> str:
    return f"there are: F32, {', '.join(llamacpp.file_types())}."


def make(source: Path, folder: Path, order: Order, *, threads: int) -> bytes:
    """Return the bytes of the file that was ordered; `folder` is where llama.cpp may write meanwhile.

    Raises:
        UsageError: source, importance or order will not do.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} to write to.", hint=SAFE)
    model = gguf.read(source)
    check(order, model)
    widths = {tensor.name: tensor.shape[0] for tensor in model.tensors}
    importance = read_importance(order.importance, widths) if order.importance else {}
    if order.ours:
        return gguf.serialize(quantize(model, threads=threads, plan=_plan(order, importance)))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".quantize-") as scratch:
        made = Path(scratch) / "made.gguf"
        llamacpp.quantize(
            source,
            made,
            file_type=(llamacpp.file_types() | {"F32": 0})[order.type],
            threads=threads,
            embedding=gguf.BY_NAME[order.embedding] if order.embedding else None,
            output=gguf.BY_NAME[order.output] if order.output else None,
            importance=importance,
        )
        written = gguf.read(made)
        return gguf.serialize(replace(written, pairs=_kept(written.pairs)))


def _plan(order: Order, importance: Mapping[str, Float]) -> Plan:
    matrices = gguf.BY_NAME[order.type]
    table = gguf.Q8_0 if matrices in FOUR_BITS else matrices
    return Plan(
        matrices,
        gguf.BY_NAME[order.embedding] if order.embedding else table,
        gguf.BY_NAME[order.output] if order.output else table,
        order.scale,
        importance,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--type", type=str.upper, default="IQ4_NL", help=_known_files())
    parser.add_argument("--embedding", type=str.upper, help="tensor type of the word table")
    parser.add_argument("--output", type=str.upper, help="tensor type of output.weight")
    parser.add_argument("--importance", type=Path, help="what scripts/importance.py wrote")
    parser.add_argument(
        "--scale", choices=blocks.SCALES, default="best", help="of a block, in our 4-bit types"
    )
    parser.add_argument("--by", choices=("ours", "llama.cpp"), help="ours where we have one, if left out")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser


def main() -> int:
    """Quantize SOURCE to TARGET; the last line of stdout is one JSON line."""
    options = vars(_parser().parse_args())
    source, target, threads = (options.pop(name) for name in ("source", "target", "threads"))
    order = Order(**options)
    try:
        made = make(source, target.parent, order, threads=threads)
        durable.replace(target, made, mode=0o644)
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    _report(target.name, made, order)
    return 0


def _report(name: str, made: bytes, order: Order) -> None:
    """Say what became of the tensors and what to know of it; print the one JSON line."""
    tensors = gguf.parse(made).tensors
    by = "ours" if order.ours else "llama.cpp"
    print(sizes.report(tensors, order.type, by=by), file=sys.stderr)
    if order.importance and order.ours and gguf.BY_NAME[order.type] not in FOUR_BITS:
        print(f"--importance changes nothing here: {order.type} has no scale to choose.", file=sys.stderr)
    try:
        headers.check_gguf(memoryview(made))
    except ModelMismatch as error:
        print(f"The appliance will not load this file: {error.message}", file=sys.stderr)
    digest = hashlib.sha256(made).hexdigest()
    figures = {"file": name, "bytes": len(made), "sha256": digest, "type": order.type, "by": by}
    print(json.dumps(figures | {"types": sizes.by_type(tensors)}))


if __name__ == "__main__":
    sys.exit(main())
