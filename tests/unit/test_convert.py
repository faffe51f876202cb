"""The encoder's graph against an independent forward pass of BERT, and INT8 against float."""

import hashlib
import json
import math
import re
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from appliance.models import parse_card
from scripts import convert

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / ".cache" / "models" / "minilm"
TINY = convert.Shape(layers=2, heads=4, width=32, epsilon=1e-12)
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "layer_norm_eps": 1e-12,
}
CARD = parse_card((ROOT / "models" / "all-minilm-l6-v2-int8.toml").read_bytes())


def tiny_weights(words=50, width=32, wide=64, layers=2) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(7)

    def some(*shape):
        return (draw.standard_normal(shape) * 0.2).astype(np.float32)

    def norm(name):
        return {f"{name}.weight": 1 + some(width), f"{name}.bias": some(width)}

    def dense(name, out, inner):
        return {f"{name}.weight": some(out, inner), f"{name}.bias": some(out)}

    weights = {
        "embeddings.word_embeddings.weight": some(words, width),
        "embeddings.position_embeddings.weight": some(20, width),
        "embeddings.token_type_embeddings.weight": some(2, width),
    } | norm("embeddings.LayerNorm")
    for number in range(layers):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            weights |= dense(f"{layer}.attention.self.{part}", width, width)
        weights |= dense(f"{layer}.attention.output.dense", width, width)
        weights |= norm(f"{layer}.attention.output.LayerNorm")
        weights |= dense(f"{layer}.intermediate.dense", wide, width)
        weights |= dense(f"{layer}.output.dense", width, wide) | norm(f"{layer}.output.LayerNorm")
    return weights


def bert(weights, shape, ids) -> np.ndarray:
    """One text through BERT in float64, written from the paper: no batch, no padding, no mask."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    erf = np.vectorize(math.erf)

    def dense(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + shape.epsilon)
        return unit * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
    size = shape.width // shape.heads
    for number in range(shape.layers):
        layer = f"encoder.layer.{number}"
        q, k, v = (dense(f"{layer}.attention.self.{part}", x) for part in ("query", "key", "value"))
        heads = []
        for head in range(shape.heads):
            part = slice(head * size, (head + 1) * size)
            scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(size))
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
        mixed = dense(f"{layer}.attention.output.dense", np.concatenate(heads, axis=-1))
        x = norm(f"{layer}.attention.output.LayerNorm", mixed + x)
        wide = dense(f"{layer}.intermediate.dense", x)
        active = wide * (1 + erf(wide / np.sqrt(2))) / 2
        x = norm(f"{layer}.output.LayerNorm", dense(f"{layer}.output.dense", active) + x)
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def run(model: bytes, rows) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    out = []
    for at in range(0, len(rows), 16):
        part = rows[at : at + 16]
        ids = np.zeros((len(part), max(map(len, part))), np.int64)
        mask = np.zeros_like(ids)
        for number, row in enumerate(part):
            ids[number, : len(row)], mask[number, : len(row)] = row, 1
        out.append(session.run(None, {"input_ids": ids, "attention_mask": mask})[0])
    return np.concatenate(out)


def test_the_float_graph_is_bert_padding_or_not():
    weights = tiny_weights()
    rows = [[1, 7, 3], [2, 9, 4, 8, 11, 30, 49, 5], [5, 6]]
    found = run(convert.build(weights, TINY, convert.Linear()), rows)
    expected = np.array([bert(weights, TINY, row) for row in rows])
    assert np.abs(found - expected).max() < 2e-6


def test_the_integer_graph_is_near_and_takes_each_row_by_itself():
    weights = tiny_weights()
    # A word a hundred times larger than the others: on one scale for all, its neighbours would lose theirs.
    weights["embeddings.LayerNorm.weight"][3] *= 20
    rows = [[1, 7, 3], [2, 9, 4, 8, 11, 30, 49, 5], [5, 6]]
    model = convert.build(weights, TINY, convert.IntegerLinear())
    together = run(model, rows)
    expected = np.array([bert(weights, TINY, row) for row in rows])
    assert (together * expected).sum(axis=1).min() > 0.995
    alone = np.concatenate([run(model, [row]) for row in rows])
    assert (together * alone).sum(axis=1).min() > 0.999999


@pytest.mark.parametrize("linear", [convert.Linear, convert.IntegerLinear])
def test_the_same_weights_give_the_same_bytes(linear):
    first = convert.build(tiny_weights(), TINY, linear())
    backwards = dict(reversed(tiny_weights().items()))
    assert convert.build(backwards, TINY, linear()) == first


values = st.floats(-100, 100, width=32)


@given(
    arrays(np.float32, st.tuples(st.integers(1, 8).map(lambda n: 2 * n), st.integers(1, 5)), elements=values)
)
def test_a_quantized_channel_is_near_and_never_overflows_sixteen_bits(weight):
    """Without VNNI two products are added in 16 bits: 255 x (|a| + |b|) must stay below 32,768."""
    quantized, scale = convert.quantize_channels(weight)
    pairs = np.abs(quantized[0::2].astype(int)) + np.abs(quantized[1::2].astype(int))
    assert 255 * pairs.max() < 32_768
    assert (np.abs(quantized * scale - weight) <= scale * 0.5001).all()


@given(arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=values))
def test_a_quantized_table_row_is_near(table):
    quantized, scale = convert.quantize_rows(table)
    assert scale.shape == (len(table), 1)
    assert (np.abs(quantized * scale - table) <= scale * 0.5001).all()


@pytest.mark.parametrize("change", [{"model_type": "roberta"}, {"hidden_act": "gelu_new"}])
def test_another_architecture_is_refused_rather_than_converted_wrongly(change):
    assert convert.read_shape(json.dumps(CONFIG).encode()) == TINY
    with pytest.raises(ValueError, match="Only BERT"):
        convert.read_shape(json.dumps(CONFIG | change).encode())


def test_another_pooling_is_refused_rather_than_computed_wrongly():
    config = {
        "word_embedding_dimension": 384,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_cls_token": False,
    }
    convert.check_pooling(json.dumps(config).encode())
    config |= {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    with pytest.raises(ValueError, match="mean"):
        convert.check_pooling(json.dumps(config).encode())


@pytest.fixture(scope="module")
def source():
    if not (SOURCE / "model.safetensors").exists():
        pytest.skip("needs the published weights: `make models`")
    return load_file(SOURCE / "model.safetensors"), convert.read_shape((SOURCE / "config.json").read_bytes())


@pytest.fixture(scope="module")
def integer(source):
    return convert.build(*source, convert.IntegerLinear())


@pytest.fixture(scope="module")
def float_model(source):
    return convert.build(*source, convert.Linear())


@pytest.fixture(scope="module")
def sentences():
    """600 sentences of prose that every Python has: no data set is needed for the promise to be tested."""
    tokenizer = Tokenizer.from_file(str(SOURCE / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(64)
    prose = " ".join(" ".join(topics[name].split()) for name in sorted(topics))
    parts = [part for part in re.split(r"(?<=[.:])\s+", prose) if 20 < len(part) < 400]
    assert len(parts) > 600
    return [encoding.ids for encoding in tokenizer.encode_batch(parts[:: len(parts) // 600][:600])]


def test_the_built_model_is_the_one_on_the_card_byte_for_byte(integer):
    entry = CARD.file("model.onnx")
    assert (len(integer), hashlib.sha256(integer).hexdigest()) == (entry.bytes, entry.sha256)


def test_the_real_float_graph_is_bert(source, float_model, sentences):
    rows = sentences[:4]
    expected = np.array([bert(*source, row) for row in rows])
    assert (run(float_model, rows) * expected).sum(axis=1).min() > 0.999999


def test_int8_stays_near_float(integer, float_model, sentences):
    cosine = (run(integer, sentences) * run(float_model, sentences)).sum(axis=1)
    assert len(cosine) >= 500
    assert cosine.mean() >= 0.995
    assert cosine.min() >= 0.98
