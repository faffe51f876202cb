"""The weights of an encoder are read whole, or nothing is made of them."""

import hashlib
import json
import sys

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from scripts import adapter, convert, encoder, hf
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


def an_adapter(folder, **changes):
    place = "base_model.model.encoder.layer.1.attention.self.query"
    draw = np.random.default_rng(3)
    weights = {
        f"{place}.lora_A.weight": draw.standard_normal((2, 32)).astype(np.float32),
        f"{place}.lora_B.weight": draw.standard_normal((32, 2)).astype(np.float32),
    } | {f"{place}.{name}": value for name, value in changes.items()}
    folder.mkdir()
    save_file({name: value for name, value in weights.items() if value is not None}, folder / adapter.WEIGHTS)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": ["attention.self.query"]}
    (folder / adapter.CONFIG).write_text(json.dumps(config))
    return weights


def test_an_adapter_is_laid_on_the_encoder(monkeypatch, tmp_path):
    save(tmp_path, tiny_weights())
    pair = an_adapter(tmp_path / "adapter")
    out = tmp_path / "model.onnx"
    assert run(monkeypatch, tmp_path / "adapter", out, "--base", tmp_path) == 0
    down, up = pair.values()
    name = "encoder.layer.1.attention.self.query.weight"
    wanted = tiny_weights() | {name: tiny_weights()[name] + 3 * up @ down}
    laid = encoder.adapted(tiny_weights(), tmp_path / "adapter")
    assert all(np.allclose(laid[each], wanted[each], atol=1e-5) for each in wanted)
    assert out.read_bytes() == convert.build(laid, TINY, convert.IntegerLinear())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"lora_A.weight": None}, "not whole"),
        ({"lora_A.weight": np.zeros((2, 31), np.float32)}, "another shape"),
        ({"lora_C.weight": np.zeros((2, 32), np.float32)}, "no place"),
        ({"lora_A.weight": None, "lora_B.weight": None}, "changes nothing"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(monkeypatch, capsys, tmp_path, changes, word):
    save(tmp_path, tiny_weights())
    an_adapter(tmp_path / "adapter", **changes)
    out = tmp_path / "model.onnx"
    assert run(monkeypatch, tmp_path / "adapter", out, "--base", tmp_path) == 2
    assert word in capsys.readouterr().err
    assert not out.exists()


def test_a_reader_has_no_adapter(monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, tmp_path / "out", "--kind", "reader", "--base", tmp_path)
    assert "has no --base" in capsys.readouterr().err
