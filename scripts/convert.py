"""A published checkpoint -> what an engine here can load, without torch: the same bytes on every machine.

Here is the way of encoders to ONNX, in float or in INT8; that of generators to GGUF is in `scripts.to_gguf`.

An encoder's graph ends in masked mean pooling and L2 normalisation, so its output is rows of unit vectors; a
reader's takes two texts in one row and ends in its heads. The INT8
one quantizes every weight matrix per output channel and every activation row by itself at run time:

    x -> u8 row, row scale -> integer product -> float x row scale x channel scale + bias

One scale per row, not per tensor as ONNX Runtime's own dynamic quantization has it: a text's vector then
depends on no other text in its batch (cosine to the same text alone .98 -> 1), at the same speed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from appliance import durable
from appliance.errors import ApplianceError
from scripts import adapter, encoder, floats, gguf, to_gguf

Float = npt.NDArray[np.float32]
Weights = Mapping[str, Float]

MICROSOFT = "com.microsoft"
# Fixed, so that the bytes depend on this file and the pinned onnx only.
OPSET, MICROSOFT_OPSET, IR_VERSION = 18, 1, 9

# Activations are scaled into [-1, 1] and stored as u8 around 128.
SYMMETRIC = (127, 128)
# GELU never goes below -0.17: nearly all of the u8 range is given to the positive side.
AFTER_GELU = (239, 16)
GELU_FLOOR = 0.17


@dataclass(frozen=True, slots=True)
class Shape:
    """What config.json says of a BERT encoder."""

    layers: int
    heads: int
    width: int
    epsilon: float


@dataclass(slots=True)
class Graph:
    """An ONNX graph under construction: `op` appends a node and returns the name of its output."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Store `value` once under `name`."""
        self.constants.setdefault(name, numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def op(self, kind: str, inputs: Sequence[str], **attributes: int | float) -> str:
        """Append a node with one output."""
        return self._append(kind, inputs, 1, "", attributes)[0]

    def fused(self, kind: str, inputs: Sequence[str], **attributes: int | float) -> str:
        """Append one of ONNX Runtime's own fused operators, with one output."""
        return self._append(kind, inputs, 1, MICROSOFT, attributes)[0]

    def split3(self, source: str) -> list[str]:
        """Cut the last axis in three equal parts."""
        return self._append("Split", [source], 3, "", {"axis": -1, "num_outputs": 3})

    def _append(
        self,
        kind: str,
        inputs: Sequence[str],
        outputs: int,
        domain: str,
        attributes: Mapping[str, int | float],
    ) -> list[str]:
        names = [f"{kind}_{len(self.nodes)}_{index}" for index in range(outputs)]
        node = helper.make_node(kind, list(inputs), names, name=names[0], domain=domain, **attributes)
        self.nodes.append(node)
        return names


def quantize_channels(weight: Float) -> tuple[npt.NDArray[np.int8], Float]:
    """Quantize a (k, n) matrix to int8 with one scale per output channel: `weight ~ q * scale`.

    Beside |q| <= 127, two weights that are neighbours in a channel sum to at most 128. Processors without
    VNNI add two u8 x s8 products in 16 bits and clip: 255 x 128 fits, so the product is exact everywhere.
    """
    largest = np.abs(weight).max(axis=0) / np.float32(127)
    pairs = (np.abs(weight[0::2]) + np.abs(weight[1::2])).max(axis=0) / np.float32(127)
    scale = np.maximum(np.maximum(largest, pairs), np.float32(1e-12)).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def quantize_rows(table: Float) -> tuple[npt.NDArray[np.int8], Float]:
    """Quantize an embedding table (rows, d) to int8 with one scale per row, shape (rows, 1)."""
    scale = np.maximum(np.abs(table).max(axis=1, keepdims=True) / np.float32(127), np.float32(1e-12))
    return np.rint(table / scale).astype(np.int8), scale.astype(np.float32)


class Linear:
    """x @ weight + bias in float."""

    def table(self, graph: Graph, name: str, table: Float) -> str:
        """Look up the rows `input_ids` of an embedding table."""
        return graph.op("Gather", [graph.constant(name, table), "input_ids"])

    def product(
        self, graph: Graph, source: str, name: str, weight: Float, *, floor: float | None = None
    ) -> str:
        """Multiply by a (k, n) weight. `floor` is the least value `source` can have, None where unknown."""
        del floor
        return graph.op("MatMul", [source, graph.constant(f"{name}.weight", weight)])


class IntegerLinear(Linear):
    """x @ weight + bias with int8 weights per channel and u8 activations per row."""

    def table(self, graph: Graph, name: str, table: Float) -> str:
        """Look up the rows `input_ids` of an int8 embedding table."""
        quantized, scale = quantize_rows(table)
        rows = graph.op("Gather", [graph.constant(name, quantized), "input_ids"])
        scales = graph.op("Gather", [graph.constant(f"{name}.scale", scale), "input_ids"])
        return graph.op("Mul", [graph.op("Cast", [rows], to=TensorProto.FLOAT), scales])

    def product(
        self, graph: Graph, source: str, name: str, weight: Float, *, floor: float | None = None
    ) -> str:
        """Multiply by an int8 (k, n) weight."""
        levels, zero = SYMMETRIC if floor is None else AFTER_GELU
        largest = self._row_scale(graph, source, floor)
        unit = graph.op("Div", [source, largest])
        step = graph.constant(f"step.{levels}", np.float32(1 / levels))
        offset = graph.constant(f"zero.{zero}", np.uint8(zero))
        quantized, scale = quantize_channels(weight)
        product = graph.fused(
            "MatMulIntegerToFloat",
            [
                graph.op("QuantizeLinear", [unit, step, offset]),
                graph.constant(f"{name}.weight", quantized),
                step,
                graph.constant(f"{name}.scale", scale),
                offset,
                graph.constant(f"zeros.{scale.size}", np.zeros(scale.size, np.int8)),
            ],
        )
        return graph.op("Mul", [product, largest])

    def _row_scale(self, graph: Graph, source: str, floor: float | None) -> str:
        magnitude = graph.op("Abs", [source]) if floor is None else source
        last = graph.constant("last", np.array([-1], np.int64))
        # The least scale keeps a row of zeros from dividing by nothing, and `floor` above the u8 zero.
        least = 1e-6 if floor is None else floor * AFTER_GELU[0] / AFTER_GELU[1]
        smallest = graph.constant("least" if floor is None else "least.gelu", np.float32(least))
        return graph.op("Max", [graph.op("ReduceMax", [magnitude, last], keepdims=1), smallest])


def build(weights: Weights, shape: Shape, linear: Linear) -> bytes:
    """Build the encoder (input_ids, attention_mask: int64 (n, s)) -> embedding float32 (n, width).

    Source: Devlin et al. 2018 for the encoder, Reimers and Gurevych 2019 for the pooling.
    """
    graph = Graph()
    first = _normalized(graph, weights, shape, "embeddings.LayerNorm", _summed(graph, weights, linear))
    _pool(graph, _layers(graph, weights, shape, linear, first))
    return _serialize(graph, ("input_ids", "attention_mask"), {"embedding": ["texts", shape.width]})


def build_reader(weights: Weights, shape: Shape, linear: Linear) -> bytes:
    """Build the cross-encoder (input_ids, attention_mask, token_type_ids: int64 (n, s)) -> spans, scores.

    spans: float32 (n, s, 2), logits of start and end; scores: float32 (n, 2), logits of relevance and
    answerability, from the first token. The heads stay in float: they are a thousandth of the work.
    """
    graph = Graph()
    # What a token's type 1 adds to type 0, which `_summed` has.
    types = weights["embeddings.token_type_embeddings.weight"]
    rows = graph.op("Gather", [graph.constant("types", types - types[0]), "token_type_ids"])
    summed = graph.op("Add", [_summed(graph, weights, linear), rows])
    first = _normalized(graph, weights, shape, "embeddings.LayerNorm", summed)
    state = _layers(graph, weights, shape, linear, first)
    zero = graph.constant("zero", np.array(0, np.int64))
    _head(graph, weights, "span", state, "spans")
    _head(graph, weights, "scores", graph.op("Gather", [state, zero], axis=1), "scores")
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    return _serialize(graph, inputs, {"spans": ["texts", "tokens", 2], "scores": ["texts", 2]})


def _head(graph: Graph, weights: Weights, name: str, source: str, output: str) -> None:
    weight = graph.constant(f"{name}.weight", weights[f"heads.{name}.weight"].T)
    product = graph.op("MatMul", [source, weight])
    logits = graph.op("Add", [product, graph.constant(f"{name}.bias", weights[f"heads.{name}.bias"])])
    graph.nodes.append(helper.make_node("Identity", [logits], [output], name=output))


def _layers(graph: Graph, weights: Weights, shape: Shape, linear: Linear, state: str) -> str:
    mask = graph.op("Cast", ["attention_mask"], to=TensorProto.INT32)
    for number in range(shape.layers):
        state = _attention(graph, weights, shape, linear, f"encoder.layer.{number}.", state, mask)
        state = _feed_forward(graph, weights, shape, linear, f"encoder.layer.{number}.", state)
    return state


def _summed(graph: Graph, weights: Weights, linear: Linear) -> str:
    words = linear.table(graph, "words", weights["embeddings.word_embeddings.weight"])
    # Of one text alone the token type is always 0, so that row joins the positions.
    places = (
        weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    length = graph.op("Shape", ["input_ids"], start=1, end=2)
    start = graph.constant("start", np.array([0], np.int64))
    positions = graph.op("Slice", [graph.constant("positions", places), start, length])
    return graph.op("Add", [words, positions])


def _attention(
    graph: Graph, weights: Weights, shape: Shape, linear: Linear, layer: str, state: str, mask: str
) -> str:
    parts = [f"{layer}attention.self.{part}" for part in ("query", "key", "value")]
    weight = np.concatenate([weights[f"{part}.weight"] for part in parts]).T
    bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
    mixed = graph.split3(linear.product(graph, state, f"{layer}mix", weight))
    inputs = [*mixed, graph.constant(f"{layer}mix.bias", bias), mask]
    heads = graph.fused("MultiHeadAttention", inputs, num_heads=shape.heads)
    return _joined(graph, weights, shape, linear, f"{layer}attention.output", heads, state)


def _feed_forward(
    graph: Graph, weights: Weights, shape: Shape, linear: Linear, layer: str, state: str
) -> str:
    name = f"{layer}intermediate.dense"
    wide = linear.product(graph, state, name, weights[f"{name}.weight"].T)
    active = graph.fused("BiasGelu", [wide, graph.constant(f"{name}.bias", weights[f"{name}.bias"])])
    return _joined(graph, weights, shape, linear, f"{layer}output", active, state, floor=GELU_FLOOR)


def _joined(
    graph: Graph,
    weights: Weights,
    shape: Shape,
    linear: Linear,
    name: str,
    source: str,
    state: str,
    *,
    floor: float | None = None,
) -> str:
    dense = f"{name}.dense"
    product = linear.product(graph, source, dense, weights[f"{dense}.weight"].T, floor=floor)
    biased = graph.op("Add", [product, graph.constant(f"{dense}.bias", weights[f"{dense}.bias"])])
    return _normalized(graph, weights, shape, f"{name}.LayerNorm", graph.op("Add", [biased, state]))


def _normalized(graph: Graph, weights: Weights, shape: Shape, name: str, source: str) -> str:
    gain = graph.constant(f"{name}.weight", weights[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"])
    # Not SkipLayerNormalization: measured, the fused one is scalar and takes seven times the time.
    return graph.op("LayerNormalization", [source, gain, bias], axis=-1, epsilon=shape.epsilon)


def _pool(graph: Graph, state: str) -> None:
    # The mean's divisor would cancel in the normalisation, so the masked sum is enough.
    second = graph.constant("second", np.array([1], np.int64))
    weights = graph.op("Unsqueeze", [graph.op("Cast", ["attention_mask"], to=TensorProto.FLOAT), second])
    total = graph.op("Squeeze", [graph.op("MatMul", [weights, state]), second])
    unit = graph.op("LpNormalization", [total], axis=-1, p=2)
    graph.nodes.append(helper.make_node("Identity", [unit], ["embedding"], name="embedding"))


def _serialize(graph: Graph, inputs: Sequence[str], outputs: Mapping[str, list[str | int]]) -> bytes:
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"]) for name in inputs]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in outputs.items()]
    body = helper.make_graph(graph.nodes, "encoder", given, made, list(graph.constants.values()))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, MICROSOFT_OPSET)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION, producer_name="appliance")
    return bytes(model.SerializeToString(deterministic=True))


def read_shape(config: bytes) -> Shape:
    """Read the shape from a Hugging Face config.json.

    Raises:
        ValueError: it is not a BERT encoder with exact GELU.
    """
    values = json.loads(config)
    if (values.get("model_type"), values.get("hidden_act")) != ("bert", "gelu"):
        raise ValueError("Only BERT encoders with exact GELU can be converted.")
    return Shape(
        layers=values["num_hidden_layers"],
        heads=values["num_attention_heads"],
        width=values["hidden_size"],
        epsilon=values["layer_norm_eps"],
    )


def check_pooling(config: bytes) -> None:
    """Check that a sentence-transformers pooling config asks for the mean alone, which this graph computes.

    Raises:
        ValueError: it asks for something else; the vectors would be wrong without a word.
    """
    wanted = {name for name, value in json.loads(config).items() if value is True and "pooling_mode" in name}
    if wanted != {"pooling_mode_mean_tokens"}:
        raise ValueError("Only encoders that pool by the mean of their tokens can be converted.")


_FLOATS = ("f16", "bf16", "f32")
# What is made -> the types it can have, the usual one first.
_TYPES = {
    "embedding": ("int8", "float"),
    "reader": ("int8", "float"),
    "generator": _FLOATS,
    "adapter": ("f32",),
    "merged": ("f32", "f16", "bf16"),
}


def main() -> int:
    """Convert SOURCE to OUTPUT; prints one JSON line.

    embedding, reader: a BERT folder (config.json, model.safetensors, an embedding's pooling.json) to ONNX.
    With --base that folder, SOURCE is a PEFT LoRA folder for an embedding, laid on it first.
    generator: a Hugging Face folder, or a GGUF file, to a GGUF model in a float type. adapter: a PEFT LoRA
    folder for the model --base to a GGUF adapter; merged: to that model with the adapter in it.
    """
    parser = argparse.ArgumentParser(
        description=main.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--kind", choices=tuple(_TYPES), default="embedding")
    parser.add_argument("--type", choices=("int8", "float", *_FLOATS))
    parser.add_argument("--base", type=Path, help="the GGUF model or BERT folder that an adapter is for")
    options = parser.parse_args()
    options.type = options.type or _TYPES[options.kind][0]
    if options.type not in _TYPES[options.kind]:
        parser.error(f"--kind {options.kind} has the types {', '.join(_TYPES[options.kind])}")
    if options.base is None and options.kind in ("adapter", "merged"):
        parser.error(f"--kind {options.kind} needs the model it is for: --base")
    if options.base is not None and options.kind in ("reader", "generator"):
        parser.error(f"--kind {options.kind} has no --base")
    try:
        made = _encoder(options) if options.kind in ("embedding", "reader") else _gguf(options)
        durable.replace(options.output, made, mode=0o644)
    except ApplianceError as error:
        print(error, error.hint, file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"{error} Nothing was written.", file=sys.stderr)
        return 2
    digest = hashlib.sha256(made).hexdigest()
    print(json.dumps({"file": options.output.name, "bytes": len(made), "sha256": digest}))
    return 0


def _encoder(options: argparse.Namespace) -> bytes:
    """Make the ONNX graph of a BERT folder, or of one with an adapter laid on it."""
    folder = options.base or options.source
    shape = read_shape((folder / "config.json").read_bytes())
    if options.kind == "embedding":
        check_pooling((folder / "pooling.json").read_bytes())
    linear = IntegerLinear() if options.type == "int8" else Linear()
    make = build if options.kind == "embedding" else build_reader
    weights = encoder.read(folder, heads=options.kind == "reader")
    if options.base:
        weights = encoder.adapted(weights, options.source)
    return make(weights, shape, linear)


def _gguf(options: argparse.Namespace) -> bytes:
    """Make a GGUF file, and say on stderr what the conversion cannot keep."""
    kind, notes = floats.TYPES[options.type], tuple[str, ...]()
    if options.base:
        base = to_gguf.read(options.base)
        lora = adapter.read(options.source, base)
        model = adapter.merge(base, lora, kind) if options.kind == "merged" else adapter.as_gguf(lora)
    elif options.source.is_dir():
        model, notes = to_gguf.from_folder(options.source, kind)
    else:
        model, notes = to_gguf.from_gguf(to_gguf.read(options.source), kind)
    for note in notes:
        print(f"Note: {note}.", file=sys.stderr)
    return gguf.serialize(model)


if __name__ == "__main__":
    sys.exit(main())
