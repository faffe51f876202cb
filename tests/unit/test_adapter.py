"""PEFT adapters: loaded beside a model or merged into it, they say what peft says."""

import json
import shutil
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import adapter, convert, floats, gguf, hf, quantize, to_gguf, values
from tests import checkpoints
from tests.checkpoints import HERE, edit, join, split

ADAPTED = ("llama", "phi3")


@pytest.fixture(scope="module", params=ADAPTED)
def made(request, tmp_path_factory):
    """Return a checkpoint's name, its model as a file and in memory, and its adapter."""
    folder = tmp_path_factory.mktemp(request.param)
    base, _ = to_gguf.from_folder(HERE / request.param, gguf.F32)
    (folder / "base.gguf").write_bytes(gguf.serialize(base))
    return request.param, folder / "base.gguf", base, adapter.read(HERE / request.param / "adapter", base)


def matches(name, path, lora=None):
    told = checkpoints.expected(name)
    found = checkpoints.logits(path, told["tokens"].tolist(), lora)
    greedy = told["adapted.greedy"].tolist()
    chosen = checkpoints.logits(path, greedy, lora).argmax(axis=1).tolist()
    assert checkpoints.cosines(found, told["adapted.logits"]).min() >= 0.9995
    assert chosen[11:-1] == greedy[12:]
    # A test that would pass with an adapter of no effect is none.
    assert checkpoints.cosines(found, told["logits"]).min() < 0.9


def test_loaded_beside_the_model_it_says_what_peft_says(made, tmp_path):
    name, base, _, lora = made
    (tmp_path / "adapter.gguf").write_bytes(gguf.serialize(adapter.as_gguf(lora)))
    matches(name, base, tmp_path / "adapter.gguf")


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_merged_into_the_model_it_says_what_peft_says(made, tmp_path, kind):
    name, _, base, lora = made
    merged = adapter.merge(base, lora, floats.TYPES[kind])
    (tmp_path / "merged.gguf").write_bytes(gguf.serialize(merged))
    matches(name, tmp_path / "merged.gguf")


def test_a_quantized_model_takes_an_adapter_through_float(made, tmp_path):
    """As the default model is made: four bits, to float, merged, and to four bits again."""
    _, _, base, lora = made
    small = quantize.quantize(base, threads=1)
    small.pairs["tokenizer.chat_template"] = values.text("{{ evil }}")
    merged = adapter.merge(small, lora, gguf.F32)
    assert {tensor.kind for tensor in merged.tensors} == {gguf.F32}
    assert "tokenizer.chat_template" not in merged.pairs
    for before, after in zip(small.tensors, merged.tensors, strict=True):
        change = floats.unpack(after) - floats.unpack(before)
        assert change.any() == (before.name in lora.pairs)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.integers(0, 9))
def test_the_sum_by_ranks_is_the_matrix_product(rank, outside, inside, seed):
    draw = np.random.default_rng(seed)
    up, down = (draw.standard_normal(shape).astype(np.float32) for shape in ((outside, rank), (rank, inside)))
    assert adapter.product(adapter.Pair(down, up)) == pytest.approx(up @ down, abs=1e-4)


def test_the_command(monkeypatch, capsys, tmp_path, made):
    name, path, base, lora = made
    for kind, model in (("adapter", adapter.as_gguf(lora)), ("merged", adapter.merge(base, lora, gguf.F32))):
        output = tmp_path / f"{kind}.gguf"
        call = ["convert", HERE / name / "adapter", output, "--kind", kind, "--base", path]
        monkeypatch.setattr(sys, "argv", list(map(str, call)))
        assert convert.main() == 0
        assert json.loads(capsys.readouterr().out)["file"] == output.name
        assert output.read_bytes() == gguf.serialize(model)


def weights(change):
    def apply(folder):
        header, data = split(folder / adapter.WEIGHTS)
        join(folder / adapter.WEIGHTS, *change(header, data))

    return apply


def settings(**changes):
    return edit(adapter.CONFIG, lambda content: content.update(changes))


def half(header, data):
    """Drop the last tensor in the file."""
    last = max((name for name in header if name != "__metadata__"), key=lambda n: header[n]["data_offsets"])
    return {name: entry for name, entry in header.items() if name != last}, data[
        : header[last]["data_offsets"][0]
    ]


REFUSED = {
    "another method": (settings(peft_type="IA3"), "IA3"),
    "dora": (settings(use_dora=True), "use_dora"),
    "whole modules": (settings(modules_to_save=["lm_head"]), "modules_to_save"),
    "patterns": (settings(rank_pattern={"q_proj": 8}), "rank_pattern"),
    "biases": (settings(bias="all"), "biases"),
    "no rank": (settings(r=None), "r and lora_alpha"),
    "another rank": (settings(r=8), "not whole, or of another shape"),
    "half a pair": (weights(half), "not whole"),
    "a layer too many": (
        weights(
            lambda header, data: ({n.replace("layers.1.", "layers.9."): e for n, e in header.items()}, data)
        ),
        "which the model has not",
    ),
    "another module": (
        weights(lambda header, data: ({n.replace("q_proj", "qx_proj"): e for n, e in header.items()}, data)),
        "no place",
    ),
    "nothing": (weights(lambda header, data: ({}, b"")), "changes nothing"),
    "cut short": (weights(lambda header, data: (header, data[:-4])), "bytes of weights"),
    "no weights": (lambda folder: (folder / adapter.WEIGHTS).unlink(), "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_adapter_is_refused(tmp_path, case):
    spoil, word = REFUSED[case]
    folder = shutil.copytree(HERE / "llama" / "adapter", tmp_path / "adapter")
    spoil(folder)
    base, _ = to_gguf.from_folder(HERE / "llama", gguf.F32)
    with pytest.raises(hf.BadCheckpoint, match=word):
        adapter.read(folder, base)


def test_an_adapter_of_another_family_is_refused():
    base, _ = to_gguf.from_folder(HERE / "llama", gguf.F32)
    with pytest.raises(hf.BadCheckpoint, match="no place in this family"):
        adapter.read(HERE / "phi3" / "adapter", base)
