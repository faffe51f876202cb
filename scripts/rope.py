"""How config.json says positions turn -> GGUF metadata and tensors.

Transformers 5 writes `rope_parameters`, before it were `rope_theta` and `rope_scaling`; both are read. A
scaling that is not listed here is refused: a model with wrong positions talks, and talks worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts import floats, gguf, values
from scripts.gguf import Tensor
from scripts.hf import BadCheckpoint, Json


@dataclass(frozen=True, slots=True)
class Rope:
    """Metadata by its key after the architecture's name, and the tensors of factors."""

    pairs: dict[str, bytes]
    tensors: tuple[Tensor, ...] = ()


def read(config: Json, *, theta: float, width: int) -> Rope:
    """Read the rotation of full attention, of `width` elements a head; `theta` is the family's default base.

    Raises:
        BadCheckpoint: the scaling is one that cannot be converted.
    """
    told = parameters(config)
    base = float(told.get("rope_theta") or theta)
    pairs = {"rope.dimension_count": gguf.number(width), "rope.freq_base": values.real(base)}
    kind = told.get("rope_type", told.get("type")) or "default"
    try:
        if kind == "default":
            return Rope(pairs)
        if kind == "linear":
            scaling = {"type": values.text("linear"), "factor": values.real(float(told["factor"]))}
            return Rope(pairs | {f"rope.scaling.{key}": value for key, value in scaling.items()})
        if kind == "llama3":
            return Rope(pairs, (_tensor("rope_freqs", _llama3(told, base, width)),))
        if kind in ("longrope", "su"):
            return _long(config, told, pairs, width)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise BadCheckpoint(f"config.json's scaling of positions ({kind}) is not complete.") from None
    raise BadCheckpoint(f"config.json scales positions by {kind!r}, which cannot be converted.")


def parameters(config: Json, layers: str = "full_attention") -> dict[str, Any]:
    """Return what is said of one sort of layers, in the newer form."""
    if "rope_parameters" not in config:
        scaling = config.get("rope_scaling") or {}
        return {"rope_theta": config.get("rope_theta")} | dict(scaling)
    found = config["rope_parameters"] or {}
    return dict(found.get(layers) or found)


def _llama3(told: Json, base: float, width: int) -> list[float]:
    """Return what each frequency is divided by: long waves by `factor`, short ones not, smoothly between.

    Source: transformers, modeling_rope_utils.
    """
    low, high, factor = (float(told[key]) for key in ("low_freq_factor", "high_freq_factor", "factor"))
    turns = [
        float(told["original_max_position_embeddings"]) / (2 * math.pi * base ** (place / width))
        for place in range(0, width, 2)
    ]
    shares = [min(max((turn - low) / (high - low), 0.0), 1.0) for turn in turns]
    return [1 / ((1 - share) / factor + share) for share in shares]


def _long(config: Json, told: Json, pairs: dict[str, bytes], width: int) -> Rope:
    original = int(told.get("original_max_position_embeddings") or config["original_max_position_embeddings"])
    longer = float(told.get("factor") or config["max_position_embeddings"] / original)
    scale = told.get("attention_factor") or (
        math.sqrt(1 + math.log(longer) / math.log(original)) if longer > 1 else 1.0
    )
    factors = [[float(each) for each in told[f"{name}_factor"]] for name in ("long", "short")]
    if any(len(each) != width // 2 for each in factors):
        raise BadCheckpoint("config.json's factors of positions do not fit its heads.")
    pairs |= {
        "rope.scaling.original_context_length": gguf.number(original),
        "rope.scaling.attn_factor": values.real(scale),
    }
    return Rope(pairs, (_tensor("rope_factors_long", factors[0]), _tensor("rope_factors_short", factors[1])))


def _tensor(name: str, numbers: list[float]) -> Tensor:
    return floats.tensor(f"{name}.weight", np.array(numbers, np.float32), gguf.F32)
