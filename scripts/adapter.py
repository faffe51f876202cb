"""A PEFT LoRA folder and the GGUF model it is for -> a GGUF adapter, or the model with it merged in.

    W' = W + alpha / r * B A

The adapter is checked against the very model it will be laid on: architecture, names and shapes. PEFT knows
the rows of a head as transformers orders them; where llama.cpp orders them otherwise, B's rows move too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts import families, floats, gguf, hf, to_gguf, values
from scripts.families import Family
from scripts.floats import Float
from scripts.gguf import Model, Tensor
from scripts.hf import BadCheckpoint, Json, Stored

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_MODULE = re.compile(r"(?:.*\.)?layers\.(\d+)\.([a-z_.]+)")
# Each changes what is computed in a way that A and B alone do not tell.
_REFUSED = (
    "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication",
    "trainable_token_indices", "lora_bias", "alora_invocation_tokens", "use_qalora", "use_bdlora",
    "target_parameters",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's change, B A: `down` is A (rank, in), `up` is B (out, rank), rows in llama.cpp's order."""

    down: Float
    up: Float


@dataclass(frozen=True, slots=True)
class Lora:
    """A change of a model: `pairs` by the GGUF name of the weight, all of them times `scale`."""

    arch: str
    rank: int
    scale: float
    pairs: Mapping[str, Pair]


def read(folder: Path, base: Model) -> Lora:
    """Read an adapter and check that it fits `base`.

    Raises:
        BadCheckpoint: it is damaged, no plain LoRA, or made for another model.
    """
    rank, scale = strength(hf.read_json(folder / CONFIG))
    arch = _architecture(base)
    family = families.BY_ARCH[arch]
    stored = hf.read_safetensors(folder / WEIGHTS)
    halves = sides_by_weight(stored, lambda module: gguf_name(module, family), "family")
    shapes = {each.name: each.shape for each in base.tensors}
    pairs = {name: pair_of(name, sides, rank, shapes) for name, sides in sorted(halves.items())}
    if family.halves:
        heads = tuple(_count(base, f"{arch}.attention.{key}") for key in ("head_count", "head_count_kv"))
        pairs = {name: _turned(name, pair, *heads) for name, pair in pairs.items()}
    return Lora(arch, rank, scale, pairs)


def as_gguf(lora: Lora) -> Model:
    """Return the adapter as llama.cpp loads it, in F32; it divides alpha by the rank itself."""
    pairs = {
        "general.architecture": values.text(lora.arch),
        "general.type": values.text("adapter"),
        "adapter.type": values.text("lora"),
        "adapter.lora.alpha": values.real(lora.scale * lora.rank),
    }
    tensors = [
        floats.tensor(f"{name}.lora_{side}", weights, gguf.F32)
        for name, pair in lora.pairs.items()
        for side, weights in (("a", pair.down), ("b", pair.up))
    ]
    return Model(pairs, tuple(tensors))


def merge(base: Model, lora: Lora, kind: int) -> Model:
    """Return `base` with the change added to its weights, all in the float type `kind`."""
    tensors = tuple(_merged(tensor, lora, kind) for tensor in base.tensors)
    return Model(to_gguf.metadata_of(base, kind), tensors)


def _merged(tensor: Tensor, lora: Lora, kind: int) -> Tensor:
    weights, pair = floats.unpack(tensor), lora.pairs.get(tensor.name)
    if pair is not None:
        weights = changed(weights, pair, lora.scale)
    return floats.tensor(tensor.name, weights, kind)


def changed(weights: Float, pair: Pair, scale: float) -> Float:
    """Return W + scale B A."""
    return weights + np.float32(scale) * product(pair)


def product(pair: Pair) -> Float:
    """Return B A, summed rank after rank.

    Not by a matrix product: a BLAS sums in an order of its own, and the bytes would differ between machines.
    """
    total = np.zeros((len(pair.up), pair.down.shape[1]), np.float32)
    for column, row in zip(pair.up.T, pair.down, strict=True):
        total += column[:, None] * row
    return total


def strength(config: Json) -> tuple[int, float]:
    """Return the rank and what B A is multiplied by.

    Raises:
        BadCheckpoint: the configuration says more than that of a plain LoRA.
    """
    if config.get("peft_type") != "LORA":
        raise BadCheckpoint(f"{CONFIG} is of a {config.get('peft_type')}; only a LORA can be converted.")
    if used := [key for key in _REFUSED if config.get(key)]:
        raise BadCheckpoint(f"{CONFIG} uses {used[0]}, which cannot be converted.")
    if config.get("bias", "none") != "none":
        raise BadCheckpoint(f"{CONFIG} says that biases were trained; they cannot be converted.")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or type(alpha) not in (int, float) or not 0 < rank < 1 << 16:
        raise BadCheckpoint(f"{CONFIG} has no r and lora_alpha that make sense.")
    return rank, float(alpha or 0) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _architecture(base: Model) -> str:
    try:
        arch = values.read_text(base.pairs["general.architecture"])
    except (KeyError, ValueError):
        raise BadCheckpoint("The model for the adapter has no architecture.") from None
    if arch not in families.BY_ARCH:
        raise BadCheckpoint(f"The model for the adapter is a {arch}, which is no family that is known.")
    return arch


def _count(base: Model, key: str) -> int:
    try:
        return values.read_number(base.pairs[key])
    except (KeyError, ValueError):
        raise BadCheckpoint(f"The model for the adapter has no {key}.") from None


def gguf_name(module: str, family: Family) -> str | None:
    """Return the GGUF name of the weight of a module of a layer, None where it has none."""
    parts = _MODULE.fullmatch(module)
    place = family.layer.get(f"{parts[2]}.weight") if parts else None
    return f"blk.{int(parts[1])}.{place[0]}" if parts and place else None


def sides_by_weight(
    stored: Mapping[str, Stored], weight_of: Callable[[str], str | None], model: str
) -> dict[str, dict[str, Stored]]:
    """Return the two sides, A and B, of every module by the name of its weight in the `model`.

    Raises:
        BadCheckpoint: a module has no weight there, or nothing is changed.
    """
    found = dict[str, dict[str, Stored]]()
    for name, each in stored.items():
        parts = _NAME.fullmatch(name)
        weight = weight_of(parts[1]) if parts else None
        if parts is None or weight is None:
            raise BadCheckpoint(f"The adapter's tensor {name} has no place in this {model}.")
        found.setdefault(weight, {})[parts[2]] = each
    if not found:
        raise BadCheckpoint("The adapter changes nothing.")
    return found


def pair_of(name: str, sides: Mapping[str, Stored], rank: int, shapes: Mapping[str, tuple[int, ...]]) -> Pair:
    """Return one module's change; `shapes` are those of the weights as GGUF has them, inside first.

    Raises:
        BadCheckpoint: it is not whole, or of another shape than the weight.
    """
    if name not in shapes or len(shapes[name]) != 2:
        raise BadCheckpoint(f"The adapter changes {name}, which the model has not.")
    inside, outside = shapes[name]
    fits = {"A": (rank, inside), "B": (outside, rank)}
    if {side: each.shape for side, each in sides.items()} != fits:
        raise BadCheckpoint(
            f"The adapter's change of {name} is not whole, or of another shape than the weight."
        )
    return Pair(sides["A"].values(), sides["B"].values())


def _turned(name: str, pair: Pair, heads: int, key_heads: int) -> Pair:
    count = to_gguf.heads_of(name, heads, key_heads)
    return pair if count is None else Pair(pair.down, to_gguf.turn_halves(pair.up, count))
