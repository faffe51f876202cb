"""Checkpoints to GGUF: what llama.cpp says of the conversion is what transformers says of the source."""

import functools
import hashlib
import importlib.util
import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from appliance import headers
from appliance.errors import UsageError
from scripts import families, floats, gguf, quantize, rope, to_gguf, values
from tests import checkpoints
from tests.checkpoints import HERE, NAMES, NASTY, edit, join, run, split

BYTE_LEVEL = ("llama", "smollm", "qwen2")
PIECES = ("gemma2", "phi3")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="module")
def converted(home):
    """Return what converts a checkpoint to a type once."""

    @functools.cache
    def make(name, kind="f32"):
        path = home / f"{name}-{kind}.gguf"
        model, _ = to_gguf.from_folder(HERE / name, floats.TYPES[kind])
        path.write_bytes(gguf.serialize(model))
        return path

    return make


@pytest.mark.parametrize("kind", list(floats.TYPES))
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_transformers(converted, name, kind):
    told = checkpoints.expected(name)
    found = checkpoints.logits(converted(name, kind), told["tokens"].tolist())
    assert checkpoints.cosines(found, told["logits"]).min() >= (0.999 if kind == "bf16" else 0.9995)


@pytest.mark.parametrize("kind", list(floats.TYPES))
@pytest.mark.parametrize("name", NAMES)
def test_greedy_tokens_are_those_of_transformers(converted, name, kind):
    greedy = checkpoints.expected(name)["greedy"].tolist()
    chosen = checkpoints.logits(converted(name, kind), greedy).argmax(axis=1).tolist()
    assert chosen[11:-1] == greedy[12:]


@pytest.mark.parametrize("name", NAMES)
def test_nasty_strings_are_cut_as_by_transformers(converted, name):
    with checkpoints.loaded(converted(name)) as (library, model):
        found = [checkpoints.cut(library, model, text) for text in NASTY]
    assert len(found) == len(NASTY) > 70
    assert found == checkpoints.expected_tokens(name)


@pytest.fixture(scope="module", params=BYTE_LEVEL + PIECES)
def both(request, converted):
    """Return llama.cpp's way and the source's own way to cut a text."""
    tokenizer = Tokenizer.from_file(str(HERE / request.param / "tokenizer.json"))
    with checkpoints.loaded(converted(request.param)) as (library, model):
        yield (
            lambda text: checkpoints.cut(library, model, text),
            lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        )


# What documents are written in. Left out: ▁ itself, which twice is a token that llama.cpp comes to by merges
# only, and rarer scripts, of which its tables are of another Unicode than the source's.
letters = st.characters(codec="utf-8", min_codepoint=9, max_codepoint=0x24F, exclude_categories=("Cn", "Cs"))
parts = st.sampled_from(["the", " pump", "12", "  ", "\n\n", "'s", "'LL", "é", "水泵", "<|im_end|>", "<eos>"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(letters, parts), max_size=20).map("".join))
def test_any_text_is_cut_as_by_the_source(both, text):
    ours, theirs = both
    assert ours(text) == theirs(text)


def test_spaces_after_special_tokens_are_eaten_where_the_source_eats_them(converted):
    text = "<|user|>  hi<|end|> \n x<|end|><s> a  b</s>  c<|endoftext|> d"
    wanted = (
        Tokenizer.from_file(str(HERE / "phi3" / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    )
    with checkpoints.loaded(converted("phi3")) as (library, model):
        assert checkpoints.cut(library, model, text) == wanted
        assert checkpoints.cut(library, model, text.replace("<|user|>  ", "<|user|>")) == wanted


@pytest.mark.parametrize("normalized", [False, True])
def test_added_runs_of_spaces_are_read_and_written_as_spaces(tmp_path, normalized):
    """Whether the source looks for them before spaces become ▁ or after: ▁ is never shown."""
    folder = shutil.copytree(HERE / "gemma2", tmp_path / "gemma2")
    edit("tokenizer.json", lambda c: c["added_tokens"][-1].update(normalized=normalized))(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf.serialize(to_gguf.from_folder(folder, gguf.F32)[0]))
    number = tokenizer.token_to_id("▁▁")
    with checkpoints.loaded(path) as (library, model):
        for text in ("a  b", "  ", "x   y    ", "1  1"):
            wanted = tokenizer.encode(text, add_special_tokens=False).ids
            assert checkpoints.cut(library, model, text) == wanted
            assert number in wanted or not normalized
        assert checkpoints.piece(library, model, number) == b"  "


@pytest.mark.parametrize("name", NAMES)
def test_what_is_made_passes_the_appliances_own_check(converted, name):
    data = converted(name, "bf16").read_bytes()
    headers.check_gguf(memoryview(data))
    pairs = gguf.parse(data).pairs
    assert "tokenizer.chat_template" not in pairs
    assert b"evil" not in data
    assert values.read_text(pairs["general.architecture"]) in headers.ARCHITECTURES


def test_the_same_bytes_wherever_the_folder_lies(converted, tmp_path):
    moved = shutil.copytree(HERE / "qwen3", tmp_path / "another name")
    again, _ = to_gguf.from_folder(moved, gguf.F32)
    assert gguf.serialize(again) == converted("qwen3").read_bytes()


def test_the_end_of_a_text_is_the_one_the_tokenizer_names(converted):
    """An instruct model ends a turn otherwise than its base did: config.json may still name the base's."""
    pairs = gguf.parse(converted("qwen2").read_bytes()).pairs
    number = values.read_number(pairs["tokenizer.ggml.eos_token_id"])
    assert Tokenizer.from_file(str(HERE / "qwen2" / "tokenizer.json")).id_to_token(number) == "<|im_end|>"


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_neighbours_back_to_halves_is_the_identity(heads, half, width):
    rows = np.arange(heads * 2 * half * width, dtype=np.float32).reshape(-1, width)
    turned = to_gguf.turn_halves(rows, heads)
    assert (turned.reshape(heads, half, 2, width).swapaxes(1, 2).reshape(rows.shape) == rows).all()
    assert (turned[0] == rows[0]).all()
    assert (turned[1] == rows[half]).all()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=50))
def test_bf16_is_the_nearest(numbers):
    exact = np.clip(np.array([numbers], np.float32), -3.38e38, 3.38e38)
    found = floats.unpack(floats.tensor("x", exact, gguf.BF16))
    wide = exact.astype(float)
    for step in (1, -1):
        other = ((found.view(np.int32) >> 16) + step << 16).view(np.float32)
        with np.errstate(invalid="ignore"):  # beyond the largest lies infinity
            assert ((abs(wide - found) <= abs(wide - other)) | ~np.isfinite(other)).all()


@pytest.mark.parametrize(("kind", "largest"), [(gguf.F16, 65504.0), (gguf.BF16, 3.3895314e38)])
def test_a_weight_beyond_the_largest_is_refused_rather_than_infinite(kind, largest):
    row = np.array([[0, -largest]], np.float32)
    assert np.isfinite(floats.unpack(floats.tensor("x", row, kind))).all()
    with pytest.raises(UsageError, match="cannot"):
        floats.tensor("x", np.nextafter(row, -np.inf), kind)


def older(config):
    """Write a config.json as transformers 4 did."""
    told = dict(config)
    turned = told.pop("rope_parameters")
    if "full_attention" in turned:
        told["rope_local_base_freq"] = turned["sliding_attention"]["rope_theta"]
        turned = turned["full_attention"]
        told["sliding_window_pattern"] = 6
        del told["layer_types"]
    told["rope_theta"] = turned.pop("rope_theta")
    scaling = {("type" if key == "rope_type" else key): value for key, value in turned.items()}
    told["rope_scaling"] = None if scaling == {"type": "default"} else scaling
    return told


@pytest.mark.parametrize("name", NAMES)
def test_older_and_newer_configs_say_the_same(converted, tmp_path, name):
    folder = shutil.copytree(HERE / name, tmp_path / name)
    config = older(json.loads((folder / "config.json").read_text()))
    (folder / "config.json").write_text(json.dumps(config))
    assert gguf.serialize(to_gguf.from_folder(folder, gguf.F32)[0]) == converted(name).read_bytes()


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
def test_the_text_part_of_a_multimodal_checkpoint(converted, tmp_path, prefix):
    folder = shutil.copytree(HERE / "gemma3", tmp_path / "gemma3")
    config = json.loads((folder / "config.json").read_text())
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": config, "vision_config": {}}
    (folder / "config.json").write_text(json.dumps(config))
    header, data = split(folder / "model.safetensors")
    header = {name.replace("model.", prefix, 1): entry for name, entry in header.items()}
    image = {"dtype": "F32", "shape": [1], "data_offsets": [len(data), len(data) + 4]}
    join(folder / "model.safetensors", header | {"vision_tower.x.weight": image}, data + bytes(4))
    assert gguf.serialize(to_gguf.from_folder(folder, gguf.F32)[0]) == converted("gemma3").read_bytes()


def test_merges_may_be_written_as_strings(converted, tmp_path):
    folder = shutil.copytree(HERE / "smollm", tmp_path / "smollm")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert gguf.serialize(to_gguf.from_folder(folder, gguf.F32)[0]) == converted("smollm").read_bytes()


# -- GGUF in


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_from_gguf_is_from_the_folder(converted, kind):
    """The weights are bfloat16: through float32 nothing is lost; F16 rounds the smallest."""
    model, notes = to_gguf.from_gguf(to_gguf.read(converted("llama")), floats.TYPES[kind])
    assert gguf.serialize(model) == converted("llama", kind).read_bytes()
    assert "rounded" in notes[0]
    back, notes = to_gguf.from_gguf(model, gguf.F32)
    assert not notes
    assert kind == "f16" or gguf.serialize(back) == converted("llama").read_bytes()


def test_of_four_bits_it_is_said_that_the_loss_stays(home):
    draw = np.random.default_rng(5)
    weights = draw.standard_normal((4, 64)).astype(np.float32)
    source = gguf.Tensor("blk.0.attn_q.weight", (64, 4), gguf.F32, weights.tobytes())
    small = quantize.quantize(gguf.Model({"tokenizer.chat_template": values.text("x")}, (source,)), threads=1)
    assert small.tensors[0].kind == gguf.IQ4_NL
    model, notes = to_gguf.from_gguf(small, gguf.F32)
    assert "4 bits" in notes[0]
    assert model.pairs == {"general.file_type": gguf.number(0)}
    found = floats.unpack(model.tensors[0])
    assert abs(found - weights).max() < 0.4


# -- the command


def test_the_command(monkeypatch, capsys, tmp_path, converted):
    made = tmp_path / "model.gguf"
    assert run(monkeypatch, HERE / "qwen2", made, "--kind", "generator", "--type", "bf16") == 0
    said = capsys.readouterr()
    assert made.read_bytes() == converted("qwen2", "bf16").read_bytes()
    assert json.loads(said.out)["sha256"] == hashlib.sha256(made.read_bytes()).hexdigest()
    assert "NFC" in said.err
    assert (
        run(
            monkeypatch,
            tmp_path / "model.gguf",
            tmp_path / "wide.gguf",
            "--kind",
            "generator",
            "--type",
            "f32",
        )
        == 0
    )
    assert (tmp_path / "wide.gguf").read_bytes() == converted("qwen2").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--kind", "generator", "--type", "int8"),
        ("--type", "f16"),
        ("--kind", "merged"),
        ("--kind", "generator", "--base", "x.gguf"),
    ],
)
def test_a_call_that_makes_no_sense(monkeypatch, tmp_path, arguments):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, HERE / "llama", tmp_path / "model.gguf", *arguments)
    assert ended.value.code == 2
    assert not list(tmp_path.iterdir())


def test_every_family_is_one_that_the_appliance_loads():
    assert families.BY_ARCH.keys() <= headers.ARCHITECTURES


def test_long_waves_are_stretched_and_short_ones_left():
    told = json.loads((HERE / "llama" / "config.json").read_text())
    factors = floats.unpack(rope.read(told, theta=1.0, width=64).tensors[0])
    assert factors[0] == 1.0
    assert factors[-1] == 8.0
    assert (np.diff(factors) >= 0).all()


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_transformers_itself_says_what_was_written_down(name):
    import torch
    from transformers import AutoModelForCausalLM

    told = load_file(HERE / name / "expected.safetensors")
    model = AutoModelForCausalLM.from_pretrained(HERE / name, dtype=torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([told["tokens"].tolist()])).logits[0].numpy()
    assert checkpoints.cosines(logits, told["logits"]).min() > 0.99999
