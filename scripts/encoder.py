"""A folder of a BERT encoder or a reader -> its weights, complete and of the shapes of its config.json.

A PEFT LoRA folder is laid on them: W' = W + alpha / r B A.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts import adapter, hf
from scripts.hf import BadCheckpoint, Float, Json

# Stored beside the encoder, and not part of what is computed here.
_ASIDE = ("pooler.", "embeddings.position_ids", "cls.")
# A layer's linear maps -> their shape, out and in.
_LAYER = {
    "attention.self.query": ("hidden_size", "hidden_size"),
    "attention.self.key": ("hidden_size", "hidden_size"),
    "attention.self.value": ("hidden_size", "hidden_size"),
    "attention.output.dense": ("hidden_size", "hidden_size"),
    "intermediate.dense": ("intermediate_size", "hidden_size"),
    "output.dense": ("hidden_size", "intermediate_size"),
}
_TABLES = {
    "word_embeddings": "vocab_size",
    "position_embeddings": "max_position_embeddings",
    "token_type_embeddings": "type_vocab_size",
}
_HEADS = ("heads.span", "heads.scores")


def read(folder: Path, *, heads: bool) -> dict[str, Float]:
    """Read the weights, a reader's with its two heads.

    Raises:
        BadCheckpoint: the folder is damaged, or a tensor is missing, too many or of a wrong shape.
    """
    try:
        wanted = dict(_expected(hf.read_json(folder / "config.json"), heads=heads))
    except (KeyError, TypeError) as error:
        raise BadCheckpoint(f"config.json says nothing that makes sense of {error}.") from None
    stored = {n: each for n, each in hf.read_tensors(folder).items() if not n.startswith(_ASIDE)}
    if missing := sorted(wanted.keys() - stored.keys()):
        raise BadCheckpoint(f"The tensor {missing[0]} is missing ({len(missing)} in all).")
    if extra := sorted(stored.keys() - wanted.keys()):
        raise BadCheckpoint(f"The tensor {extra[0]} has no place in a BERT encoder ({len(extra)} in all).")
    for name, shape in wanted.items():
        if stored[name].shape != shape:
            raise BadCheckpoint(f"The tensor {name} has not the shape that config.json says: {shape}.")
    return {name: stored[name].values() for name in wanted}


def adapted(weights: Mapping[str, Float], folder: Path) -> dict[str, Float]:
    """Return the weights with the adapter of `folder` laid on them.

    Raises:
        BadCheckpoint: it is damaged, no plain LoRA, or made for another encoder.
    """
    rank, scale = adapter.strength(hf.read_json(folder / adapter.CONFIG))
    stored = hf.read_safetensors(folder / adapter.WEIGHTS)
    shapes = {name: weight.shape[::-1] for name, weight in weights.items()}
    halves = adapter.sides_by_weight(
        stored, lambda module: f"{module}.weight" if f"{module}.weight" in weights else None, "encoder"
    )
    pairs = {name: adapter.pair_of(name, sides, rank, shapes) for name, sides in halves.items()}
    laid = {name: adapter.changed(weights[name], pair, scale) for name, pair in pairs.items()}
    return dict(weights) | laid


def _expected(config: Json, *, heads: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = config["hidden_size"]
    for table, rows in _TABLES.items():
        yield f"embeddings.{table}.weight", (config[rows], width)
    yield from _norm("embeddings.LayerNorm", width)
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}."
        for name, (outside, inside) in _LAYER.items():
            yield from _linear(layer + name, config[outside], config[inside])
        yield from _norm(f"{layer}attention.output.LayerNorm", width)
        yield from _norm(f"{layer}output.LayerNorm", width)
    for name in _HEADS if heads else ():
        yield from _linear(name, 2, width)


def _linear(name: str, outside: int, inside: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outside, inside)
    yield f"{name}.bias", (outside,)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)
