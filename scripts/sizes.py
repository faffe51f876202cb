"""A written GGUF's tensors -> which types they have, what these weigh, and why they are not what was asked.

Types with blocks of 256 need rows of a multiple of 256; to other rows llama.cpp quietly gives the next larger
type with blocks of 32.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from scripts import gguf
from scripts.gguf import Tensor

# File types named otherwise than the tensor type most of their matrices get (llama.cpp, llama-quant.cpp).
_MIXTURES = {"IQ2_M": "IQ2_S", "IQ3_M": "IQ3_S", "IQ3_XS": "IQ3_S", "MXFP4_MOE": "MXFP4"}
_MB = 1e6
_INSTEAD = "IQ4_NL"


def by_type(tensors: Sequence[Tensor]) -> dict[str, dict[str, int]]:
    """Return how many tensors each type has and their bytes, the heaviest type first."""
    count, size = Counter[str](), Counter[str]()
    for tensor in tensors:
        name = gguf.TYPES[tensor.kind][0]
        count[name] += 1
        size[name] += len(tensor.data)
    return {name: {"tensors": count[name], "bytes": heavy} for name, heavy in size.most_common()}


def label(tensors: Sequence[Tensor]) -> str:
    """Name the types that make up at least a hundredth of the bytes: "IQ4_NL + Q8_0"."""
    found = by_type(tensors)
    total = sum(entry["bytes"] for entry in found.values())
    return " + ".join(name for name, entry in found.items() if entry["bytes"] * 100 >= total)


def report(tensors: Sequence[Tensor], wanted: str, *, by: str) -> str:
    """Return the table of types, and a paragraph where matrices did not get the type `wanted`."""
    rows = [f"{wanted}, by {by}:", f"  {'type':8} {'tensors':>8} {'MB':>9}"]
    rows += [
        f"  {name:8} {entry['tensors']:8} {entry['bytes'] / _MB:9.2f}"
        for name, entry in by_type(tensors).items()
    ]
    return "\n".join([*rows, *_explained(tensors, main_type(wanted))])


def main_type(wanted: str) -> str:
    """Return the tensor type that the mixture `wanted` is named for: Q4_K of Q4_K_M."""
    name = _MIXTURES.get(wanted, wanted)
    return name if name in gguf.BY_NAME else name.rsplit("_", 1)[0]


def _explained(tensors: Sequence[Tensor], wanted: str) -> list[str]:
    """Say which matrices have rows that `wanted` cannot hold; the word tables' types are chosen apart."""
    block = max(gguf.TYPES[gguf.BY_NAME[wanted]][1], 32)
    matrices = [tensor for tensor in tensors if len(tensor.shape) > 1 and tensor.name not in gguf.TABLES]
    odd = [tensor for tensor in matrices if tensor.shape[0] % block]
    if not odd:
        return []
    widths = ", ".join(map(str, sorted({tensor.shape[0] for tensor in odd})))
    became = ", ".join(f"{name} ({entry['tensors']})" for name, entry in by_type(odd).items())
    return [
        f"Rows of {widths} weights are no multiple of {block}, as {wanted} needs:"
        f" {len(odd)} of {len(matrices)} matrices are in another type, {became}.",
        *_cost(odd, wanted),
    ]


def _cost(odd: Sequence[Tensor], wanted: str) -> list[str]:
    """Say what the other type costs, and whether another 4-bit type would be smaller than what it became."""
    takes = sum(len(tensor.data) for tensor in odd)
    weights = sum(math.prod(tensor.shape) for tensor in odd)
    hoped, instead = (weights * bits(name) / 8 for name in (wanted, _INSTEAD))
    line = f"They take {takes / _MB:.2f} MB where {wanted} would have taken {hoped / _MB:.2f}"
    if hoped < takes and instead < takes:
        line += f" and {_INSTEAD}, whose blocks are of 32, takes {instead / _MB:.2f}"
    return [f"{line}."]


def bits(name: str) -> float:
    """Return the bits a weight of a tensor type takes, scales included."""
    _, block, size = gguf.TYPES[gguf.BY_NAME[name]]
    return 8 * size / block
