"""What each matrix is multiplied with, as llama.cpp computes it, and held against numpy."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from appliance.errors import UsageError
from scripts import gguf, importance, quantize, readings
from tests import tiny_llama

TEXT = "The pump is greased every 500 hours. " * 60


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "model.gguf"
    made.write_bytes(gguf.serialize(tiny_llama.model()))
    return made


def test_the_first_inputs_are_those_that_numpy_finds(path):
    floats = {
        t.name: np.frombuffer(t.data, np.float32).reshape(t.shape[::-1]) for t in tiny_llama.model().tensors
    }
    with readings.opened(path) as model:
        tokens = np.array(readings.windows(model, TEXT, most=3))
    rows = floats["token_embd.weight"][tokens.ravel()]
    inputs = rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + 1e-5) * floats["blk.0.attn_norm.weight"]
    found = importance.gather(path, TEXT, windows=3).means()
    for part in ("q", "k", "v"):
        name = f"blk.0.attn_{part}.weight"
        np.testing.assert_allclose(found[name], (inputs**2).mean(axis=0), rtol=1e-4)


def test_every_matrix_is_heard_of_once_a_token(path):
    sums = importance.gather(path, TEXT, windows=2)
    assert {name: len(each) for name, each in sums.squares.items()} == {
        t.name: t.shape[0] for t in tiny_llama.model().tensors if len(t.shape) > 1
    }
    assert set(sums.counts.values()) == {2 * readings.WINDOW}


def test_a_quantized_model_can_be_listened_to_as_well(path, tmp_path):
    small = tmp_path / "small.gguf"
    small.write_bytes(gguf.serialize(quantize.quantize(tiny_llama.model(), threads=1)))
    exact, rough = (importance.gather(each, TEXT, windows=1).means() for each in (path, small))
    for name, values in exact.items():
        assert np.corrcoef(rough[name], values)[0, 1] > 0.95, name


def test_a_failure_inside_the_callback_comes_out(path, monkeypatch):
    monkeypatch.setattr(importance, "_inputs", lambda _tensor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        importance.gather(path, TEXT, windows=1)


@pytest.fixture
def run(tmp_path, path, monkeypatch, capsys):
    def go(text: bytes, model=path):
        (tmp_path / "text.txt").write_bytes(text)
        target = tmp_path / "importance.safetensors"
        names = [str(each) for each in (model, target, tmp_path / "text.txt")]
        monkeypatch.setattr(sys, "argv", ["importance", *names])
        code = importance.main()
        assert target.exists() == (code == 0)
        return code, target, capsys.readouterr()

    return go


def test_the_file_is_one_that_quantize_takes(run, path):
    code, target, said = run(TEXT.encode())
    assert code == 0
    assert json.loads(said.out)["matrices"] == 8
    assert len(load_file(target)) == 8
    widths = {tensor.name: tensor.shape[0] for tensor in gguf.read(path).tensors}
    assert quantize.read_importance(target, widths).keys() == load_file(target).keys()


def test_of_examples_the_prompts_and_answers_are_read(tmp_path):
    rows = [{"prompt": "Question: how many?\nAnswer:", "answer": f"{n} [1]", "other": 0} for n in (3, 4)]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    asked = "Question: how many?\nAnswer: "
    assert readings.read_texts([path]) == [f"{asked}3 [1]\n\n{asked}4 [1]"]
    for broken in ('{"prompt": 1}\n', "[]\n", "no JSON\n"):
        path.write_text(broken)
        with pytest.raises(UsageError, match="cannot be read"):
            readings.read_texts([path])


def test_too_little_text_no_text_and_no_model_are_refused(run, tmp_path):
    assert run(b"short")[0] == 2
    assert run(b"\xff" * 5000)[0] == 2
    assert run(TEXT.encode(), tmp_path / "text.txt")[0] == 2
    assert "can load" in run(TEXT.encode(), tmp_path / "text.txt")[2].err
