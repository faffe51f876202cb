"""The weights of an encoder are read whole, or nothing is made of them."""

import hashlib
import json
import sys

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from scripts import convert, encoder, hf
from tests.unit.test_convert import CARD, SOURCE, TINY, tiny_weights


def save(folder, weights):
    words, width = weights["embeddings.word_embeddings.weight"].shape
    config = {
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": width, "vocab_size": words,
        "num_hidden_layers": TINY.layers, "num_attention_heads": TINY.heads, "layer_norm_eps": TINY.epsilon,
        "intermediate_size": len(weights["encoder.layer.0.intermediate.dense.bias"]),
        "max_position_embeddings": len(weights["embeddings.position_embeddings.weight"]),
        "type_vocab_size": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "pooling.json").write_text('{"pooling_mode_mean_tokens": true}')
    save_file(weights, folder / "model.safetensors")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["convert", *map(str, arguments)])
    return convert.main()


def test_the_command_makes_what_build_makes(monkeypatch, capsys, tmp_path):
    save(tmp_path, tiny_weights())
    assert run(monkeypatch, tmp_path, tmp_path / "model.onnx") == 0
    made = (tmp_path / "model.onnx").read_bytes()
    assert made == convert.build(tiny_weights(), TINY, convert.IntegerLinear())
    assert json.loads(capsys.readouterr().out)["sha256"] == hashlib.sha256(made).hexdigest()
    onnx.checker.check_model(onnx.load_from_string(made))


@pytest.mark.skipif(not (SOURCE / "model.safetensors").exists(), reason="needs the published weights")
def test_the_command_makes_the_model_on_the_card(monkeypatch, tmp_path):
    assert run(monkeypatch, SOURCE, tmp_path / "model.onnx") == 0
    made = hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    assert made == CARD.file("model.onnx").sha256


def test_what_lies_beside_the_encoder_is_left(tmp_path):
    save(tmp_path, tiny_weights() | {"pooler.dense.bias": np.zeros(3, np.float32)})
    assert encoder.read(tmp_path, heads=False).keys() == tiny_weights().keys()


WORDS, NORM = "embeddings.word_embeddings.weight", "embeddings.LayerNorm.weight"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda w: w.pop(NORM), NORM),
        (lambda w: w.update({"embeddings.extra": w[NORM]}), "no place"),
        (lambda w: w.update({NORM: w[NORM][:-1]}), "shape"),
        (lambda w: w.update({NORM: w[NORM] * np.float32("inf")}), "infinity"),
    ],
)
def test_a_bad_encoder_is_refused_and_nothing_written(monkeypatch, capsys, tmp_path, change, word):
    weights = dict(tiny_weights())
    save(tmp_path, weights)
    change(weights)
    save_file(weights, tmp_path / "model.safetensors")
    assert run(monkeypatch, tmp_path, tmp_path / "model.onnx") == 2
    said = capsys.readouterr()
    assert word in said.err
    assert "Nothing was written" in said.err
    assert not (tmp_path / "model.onnx").exists()


def test_a_reader_has_heads(tmp_path):
    save(tmp_path, tiny_weights())
    with pytest.raises(hf.BadCheckpoint, match=r"heads\.scores"):
        encoder.read(tmp_path, heads=True)
