"""What cannot be converted rightly is refused, in one line, before anything is written."""

import json
import shutil
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts import gguf, hf, to_gguf
from tests.checkpoints import HERE, config, edit, join, run, split


def header(change):
    """Return what changes a header, or with its answer the weights too."""

    def apply(folder):
        found, data = split(folder / "model.safetensors")
        join(folder / "model.safetensors", found, change(found, data) or data)

    return apply


def without(content, *keys):
    for key in keys:
        del content[key]


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def lying_length(folder):
    found, data = split(folder / "model.safetensors")
    join(folder / "model.safetensors", found, data, length=1 << 60)


def twice(folder):
    found, data = split(folder / "model.safetensors")
    raw = json.dumps(found).encode()
    join(folder / "model.safetensors", raw[:-1] + b", " + raw[1:], data)


def second_dtype(found, data):
    found["model.norm.weight"]["dtype"] = "I16"


def renamed(found, data):
    found["model.layers.0.extra.weight"] = found.pop("model.norm.weight")


def extra(found, data):
    found["model.extra.weight"] = {"dtype": "F16", "shape": [1], "data_offsets": [len(data), len(data) + 2]}
    return data + bytes(2)


def overlapping(found, data):
    found["model.norm.weight"]["data_offsets"] = [0, 96]


def turned_over(found, data):
    found["model.layers.0.mlp.down_proj.weight"]["shape"].reverse()


def weight(bits):
    def change(found, data):
        return struct.pack("<H", bits) + data[2:]

    return change


NORM, DOWN = "model.norm.weight", "model.layers.0.mlp.down_proj.weight"
REFUSED = {
    "unknown architecture": (config(architectures=["MambaForCausalLM"]), "MambaForCausalLM"),
    "no architecture": (config(architectures=None), "unknown"),
    "two architectures": (config(architectures=["LlamaForCausalLM"] * 2), "unknown"),
    "activation": (config(hidden_act="gelu"), "gelu"),
    "no size": (edit("config.json", lambda c: without(c, "hidden_size")), "hidden_size"),
    "size is text": (config(num_hidden_layers="2"), "num_hidden_layers"),
    "a billion layers": (config(num_hidden_layers=10**9), "layers"),
    "heads do not divide": (config(num_key_value_heads=4), "heads"),
    "one layer more": (config(num_hidden_layers=3), "model.layers.2"),
    "one layer less": (config(num_hidden_layers=1), "model.layers.1"),
    "wrong shape": (config(intermediate_size=96), "96"),
    "unknown scaling": (config(rope_parameters={"rope_type": "yarn", "factor": 4}), "yarn"),
    "scaling half told": (config(rope_parameters={"rope_type": "llama3", "factor": 4}), "llama3"),
    "config is a list": (lambda folder: (folder / "config.json").write_text("[]"), "config.json"),
    "config is cut": (lambda folder: (folder / "config.json").write_text('{"a": '), "config.json"),
    "config is deep": (lambda folder: (folder / "config.json").write_text("[" * 10**5), "config.json"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
    "empty weights": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cut short"),
    "cut short": (cut_short, "model.safetensors"),
    "header lies about its length": (lying_length, "header"),
    "a tensor twice": (twice, "twice"),
    "missing tensor": (header(renamed), NORM),
    "extra tensor": (header(extra), "model.extra.weight"),
    "integers": (header(second_dtype), "I16"),
    "overlap": (header(overlapping), "overlap"),
    "turned over": (header(turned_over), DOWN),
    "shape is no list": (header(lambda h, _: h[NORM].update(shape="48")), NORM),
    "shape is negative": (header(lambda h, _: h[NORM].update(shape=[-48])), NORM),
    "shape is huge": (header(lambda h, _: h[NORM].update(shape=[2**40, 2**40])), NORM),
    "offsets are backwards": (header(lambda h, _: h[NORM]["data_offsets"].reverse()), NORM),
    "unknown dtype": (header(lambda h, _: h[NORM].update(dtype="Q4")), NORM),
    "not a number": (header(weight(0x7FC0)), "no number"),
    "infinity": (header(weight(0x7F80)), "infinity"),
    "too large for F16": (header(weight(0x7F00)), "--type bf16"),
    "unigram": (edit("tokenizer.json", lambda t: t["model"].update(type="Unigram")), "no BPE"),
    "unknown pattern": (
        edit("tokenizer.json", lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=".")),
        "cutting words",
    ),
    "unknown cut": (edit("tokenizer.json", lambda t: t.update(pre_tokenizer={"type": "Bert"})), "Bert"),
    "merges ignored or not": (
        edit("tokenizer.json", lambda t: t["model"].update(ignore_merges=False)),
        "merges",
    ),
    "lower case": (edit("tokenizer.json", lambda t: t.update(normalizer={"type": "Lowercase"})), "Lowercase"),
    "more tokens than rows": (edit("tokenizer.json", lambda t: t["model"]["vocab"].update(x=10**6)), "room"),
    "a number twice": (edit("tokenizer.json", lambda t: t["model"]["vocab"].update(xyz=7)), "twice"),
    "merge of three": (edit("tokenizer.json", lambda t: t["model"].update(merges=["a b c"])), "no pair"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_checkpoint_is_refused_and_nothing_written(monkeypatch, capsys, tmp_path, case):
    spoil, word = REFUSED[case]
    source = shutil.copytree(HERE / "llama", tmp_path / "llama")
    spoil(source)
    (tmp_path / "out").mkdir()
    assert run(monkeypatch, source, tmp_path / "out" / "model.gguf", "--kind", "generator") == 2
    said = capsys.readouterr()
    assert word in said.err
    assert "Nothing was written" in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert not list((tmp_path / "out").iterdir())


def shard(number):
    return f"model-0000{number}-of-00004.safetensors"


def place(change):
    return edit(hf.INDEX, lambda index: change(index["weight_map"]))


SHARDS = {
    "missing shard": (lambda folder: (folder / shard(2)).unlink(), shard(2)),
    "no map": (edit(hf.INDEX, lambda index: without(index, "weight_map")), "weight_map"),
    "outside by ..": (place(lambda m: m.update({NORM: "../model.safetensors"})), "no plain file name"),
    "outside by root": (place(lambda m: m.update({NORM: "/etc/x.safetensors"})), "no plain file name"),
    "another file": (place(lambda m: m.update({NORM: "config.json"})), "no plain file name"),
    "no name": (place(lambda m: m.update({NORM: 7})), "no plain file name"),
    "wrong shard": (place(lambda m: m.update({NORM: shard(1)})), NORM),
    "unlisted": (place(lambda m: without(m, NORM)), NORM),
}


@pytest.mark.parametrize("case", SHARDS)
def test_bad_shards_are_refused(tmp_path, case):
    spoil, word = SHARDS[case]
    folder = shutil.copytree(HERE / "qwen3", tmp_path / "qwen3")
    shutil.copy(HERE / "llama" / "model.safetensors", tmp_path)  # what a path outside would lead to
    spoil(folder)
    with pytest.raises(hf.BadCheckpoint, match=word.replace(".", r"\.")):
        to_gguf.from_folder(folder, gguf.F32)


BUILT_IN = [
    ("gemma2", {"query_pre_attn_scalar": 32}, "scales its attention"),
    ("gemma2", {"layer_types": ["full_attention", "sliding_attention"]}, "alternate|irregularly"),
    ("gemma2", {"attn_logit_softcapping": None}, "attn_logit_softcapping"),
    ("gemma3", {"final_logit_softcapping": 3.0}, "caps its logits"),
    ("gemma3", {"use_bidirectional_attention": True}, "both directions"),
    ("gemma3", {"layer_types": ["full_attention"] * 3 + ["sliding_attention"] * 4}, "irregularly"),
    ("qwen2", {"use_sliding_window": True}, "sliding window"),
    ("smollm3", {"no_rope_layers": [1, 0, 1, 0]}, "positions"),
    ("phi3", {"rope_parameters": {"rope_type": "longrope", "short_factor": [1], "long_factor": [1]}}, "fit"),
]


@pytest.mark.parametrize(("name", "change", "word"), BUILT_IN)
def test_what_llama_cpp_has_built_in_otherwise_is_refused(tmp_path, name, change, word):
    folder = shutil.copytree(HERE / name, tmp_path / name)
    config(**change)(folder)
    with pytest.raises(hf.BadCheckpoint, match=word):
        to_gguf.from_folder(folder, gguf.F32)


PIECE_PARTS = [
    ({"normalizer": None}, "spaces"),
    ({"normalizer": {"type": "NFKC"}}, "NFKC"),
    ({"pre_tokenizer": {"type": "WhitespaceSplit"}}, "WhitespaceSplit"),
]


@pytest.mark.parametrize(("change", "word"), PIECE_PARTS)
def test_unknown_parts_of_a_piece_tokenizer_are_refused(tmp_path, change, word):
    folder = shutil.copytree(HERE / "phi3", tmp_path / "phi3")
    edit("tokenizer.json", lambda content: content.update(change))(folder)
    with pytest.raises(hf.BadCheckpoint, match=word):
        to_gguf.from_folder(folder, gguf.F32)


def test_pieces_that_can_be_reached_otherwise_are_counted(tmp_path):
    folder = shutil.copytree(HERE / "gemma2", tmp_path / "gemma2")
    edit("tokenizer.json", lambda content: content["model"]["merges"].pop(0))(folder)
    _, notes = to_gguf.from_folder(folder, gguf.F32)
    assert "1 pieces can be reached" in notes[0]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_bytes_of_a_header_do_harm(tmp_path_factory, data):
    """Whatever one byte becomes, the file is read or refused; what is read lies inside it."""
    source = (HERE / "smollm3" / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", source)
    at, value = data.draw(st.integers(0, length + 7)), data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "one.safetensors"
    path.write_bytes(source[:at] + bytes([value]) + source[at + 1 :])
    try:
        found = hf.read_safetensors(path)
    except hf.BadCheckpoint:
        return
    for each in found.values():
        width = hf._BYTES[each.dtype]
        assert each.start + width * int(np.prod(each.shape)) <= len(source)


@pytest.mark.parametrize("damage", [lambda d: d[:-40], lambda d: b"GGML" + d[4:], lambda d: d[:100]])
def test_a_bad_gguf_is_refused(tmp_path, damage):
    path = tmp_path / "bad.gguf"
    path.write_bytes(damage(gguf.serialize(to_gguf.from_folder(HERE / "llama", gguf.F32)[0])))
    with pytest.raises(hf.BadCheckpoint, match=r"bad\.gguf"):
        to_gguf.read(path)
