"""A trained graph without its word table, and the published body -> the whole graph again, or its weights.

    python -m scripts.graft cut .cache/reader/model.onnx models/reader-minilm-l6.onnx
    python -m scripts.graft join models/reader-minilm-l6.onnx .cache/models/minilm model.onnx
    python -m scripts.graft restore models/reader-minilm-l6.onnx .cache/models/minilm start.safetensors

The table of words is half of a reader. The training leaves it as it was published, so it need not be kept
here a second time: what is committed is what was trained. The card's hash is that of the whole. What is
restored is where a training goes on from: the weights of the graph, off by half a step of INT8 at most.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from safetensors.numpy import load_file, save

from appliance import durable
from scripts.convert import Float, quantize_rows

_TABLE: Final = "embeddings.word_embeddings.weight"
_WORDS, _SCALE = "words", "words.scale"


class GraftError(Exception):
    """The graph is not one with a word table, or the table is not the one that was cut off."""


def cut(whole: bytes) -> bytes:
    """Return the graph with the values of its word table left out.

    Raises:
        GraftError: it is no graph, or has no such table.
    """
    model = _parsed(whole)
    for tensor in _table(model):
        tensor.ClearField("raw_data")
    return bytes(model.SerializeToString(deterministic=True))


def join(part: bytes, table: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> bytes:
    """Return the graph with `table` (words, width), in INT8 per row, in its place.

    Raises:
        GraftError: it is no such graph, or the table has another shape.
    """
    model = _parsed(part)
    words, scale = _table(model)
    quantized, steps = quantize_rows(table)
    if tuple(words.dims) != quantized.shape or tuple(scale.dims) != steps.shape:
        raise GraftError(f"The graph wants a table of {tuple(words.dims)}, the body has {quantized.shape}.")
    words.raw_data, scale.raw_data = quantized.tobytes(), steps.tobytes()
    return bytes(model.SerializeToString(deterministic=True))


def restore(part: bytes, body: Mapping[str, Float]) -> dict[str, Float]:
    """Return the weights of a reader's graph under their published names; `body` has its word table.

    Raises:
        GraftError: it is no reader's graph in INT8.
    """
    stored = {tensor.name: tensor for tensor in _parsed(part).graph.initializer}

    def value(name: str) -> Float:
        if name not in stored or not stored[name].raw_data:
            raise GraftError(f"The graph has no tensor {name}.")
        return np.asarray(onnx.numpy_helper.to_array(stored[name]), np.float32)

    def weight(name: str) -> Float:
        return np.ascontiguousarray((value(f"{name}.weight") * value(f"{name}.scale")).T)

    found = {_TABLE: body[_TABLE], "embeddings.token_type_embeddings.weight": value("types")}
    found["embeddings.position_embeddings.weight"] = value("positions")
    norms = ["embeddings.LayerNorm"]
    if "encoder.layer.0.mix.scale" not in stored:
        raise GraftError("The graph is no reader in INT8.")
    layers = (f"encoder.layer.{number}." for number in itertools.count())
    for layer in itertools.takewhile(lambda name: f"{name}mix.scale" in stored, layers):
        parts = [f"{layer}attention.self.{part}" for part in ("query", "key", "value")]
        for name, rows, bias in zip(
            parts, np.split(weight(f"{layer}mix"), 3), np.split(value(f"{layer}mix.bias"), 3), strict=True
        ):
            found[f"{name}.weight"], found[f"{name}.bias"] = rows, bias
        for name in ("attention.output.dense", "intermediate.dense", "output.dense"):
            found[f"{layer}{name}.weight"] = weight(f"{layer}{name}")
            found[f"{layer}{name}.bias"] = value(f"{layer}{name}.bias")
        norms += [f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"]
    found |= {f"{name}.{end}": value(f"{name}.{end}") for name in norms for end in ("weight", "bias")}
    for head in ("span", "scores"):
        found[f"heads.{head}.weight"] = np.ascontiguousarray(value(f"{head}.weight").T)
        found[f"heads.{head}.bias"] = value(f"{head}.bias")
    return found


def _parsed(data: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise GraftError(f"This is no ONNX graph: {error}.") from None
    return model


def _table(model: onnx.ModelProto) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    if not {_WORDS, _SCALE} <= found.keys():
        raise GraftError("The graph has no INT8 word table.")
    return found[_WORDS], found[_SCALE]


def main() -> int:
    """Cut the table off GRAPH, join it with that of BODY, or restore its weights; prints one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("cut", "join", "restore"):
        command = commands.add_parser(name)
        command.add_argument("graph", type=Path)
        if name != "cut":
            command.add_argument("body", type=Path, help="the folder of its model.safetensors")
        command.add_argument("output", type=Path)
    options = parser.parse_args()
    try:
        graph = options.graph.read_bytes()
        if options.command == "cut":
            made = cut(graph)
        else:
            body = load_file(options.body / "model.safetensors")
            made = join(graph, body[_TABLE]) if options.command == "join" else save(restore(graph, body))
    except (GraftError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    durable.replace(options.output, made, mode=0o644)
    digest = hashlib.sha256(made).hexdigest()
    print(json.dumps({"file": options.output.name, "bytes": len(made), "sha256": digest}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
