"""A trained graph without its word table, and the published body -> the whole graph, byte for byte.

    python -m scripts.graft cut .cache/reader/model.onnx models/reader-minilm-l6.onnx
    python -m scripts.graft join models/reader-minilm-l6.onnx .cache/models/minilm model.onnx

The table of words is half of a reader. The training leaves it as it was published, so it need not be kept
here a second time: what is committed is what was trained. The card's hash is that of the whole.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from safetensors.numpy import load_file

from appliance import durable
from scripts.convert import quantize_rows

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
    """Cut the table off GRAPH, or join GRAPH with the table of BODY; prints one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("cut", "join"):
        command = commands.add_parser(name)
        command.add_argument("graph", type=Path)
        if name == "join":
            command.add_argument("body", type=Path, help="the folder of its model.safetensors")
        command.add_argument("output", type=Path)
    options = parser.parse_args()
    try:
        graph = options.graph.read_bytes()
        if options.command == "cut":
            made = cut(graph)
        else:
            made = join(graph, load_file(options.body / "model.safetensors")[_TABLE])
    except (GraftError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    durable.replace(options.output, made, mode=0o644)
    digest = hashlib.sha256(made).hexdigest()
    print(json.dumps({"file": options.output.name, "bytes": len(made), "sha256": digest}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
