"""Texts by themselves and together, truncation, and what `load` refuses."""

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
from tokenizers import Tokenizer

from appliance import embed, inference, models
from appliance.errors import ModelMismatch, ModelMissing

NAME = "all-minilm-l6-v2-int8"


@pytest.fixture(scope="module")
def found(built_models):
    return models.find(NAME, [built_models])


def test_the_tokens_are_the_ones_of_bert(found):
    tokenizer = Tokenizer.from_buffer(models.read_verified(found, "tokenizer.json"))
    tokenizer.no_padding()
    assert tokenizer.encode("Hello, world").ids == [101, 7592, 1010, 2088, 102]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_text_has_the_same_vector_alone_and_among_others(found, threads):
    texts = [f"pump {number} " * number for number in range(1, 30)]
    encoder = embed.load(found, threads=threads)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert np.array_equal(encoder.encode(texts), alone)
    assert encoder.encode([]).shape == (0, encoder.dimensions)


def test_a_long_text_is_cut_with_its_end_token_kept(found):
    encoder = embed.load(found, threads=2)
    most = found.card.max_tokens - 2
    exactly, longer = encoder.encode(["pump " * most, "pump " * most + "and then quite other words"])
    assert exactly @ longer > 0.99999


def test_what_lies_before_the_cut_is_seen(found):
    encoder = embed.load(found, threads=2)
    most = found.card.max_tokens - 2
    full, other = encoder.encode(["pump " * most, "pump " * (most - 9) + "leave portal holiday " * 3])
    assert full @ other < 0.999


@pytest.fixture
def copy(found, tmp_path):
    """The installed model, in a folder that a test may spoil."""
    folder = tmp_path / NAME
    shutil.copytree(found.folder, folder)
    return models.find(NAME, [tmp_path])


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_one_changed_bit_is_refused(copy, name):
    path = copy.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelMismatch):
        embed.load(copy, threads=1)


def test_a_file_that_is_gone_is_said_to_be_missing(copy):
    (copy.folder / "tokenizer.json").unlink()
    with pytest.raises(ModelMissing, match=r"tokenizer\.json"):
        embed.load(copy, threads=1)


def test_a_graph_that_gives_other_numbers_than_its_card_says_is_refused(copy):
    card = dataclasses.replace(copy.card, dimensions=768)
    with pytest.raises(ModelMismatch, match="768"):
        embed.load(models.Installed(card, copy.folder), threads=1)


def test_the_engine_reads_what_was_verified_even_if_the_file_is_swapped_meanwhile(copy, monkeypatch):
    """TOCTOU: the swap happens after the check, before the engine opens its path."""
    session = inference.onnxruntime.InferenceSession
    expected = embed.load(copy, threads=1).encode(["pump"])
    path = copy.folder / "model.onnx"

    def swap_first(opened, *rest, **options):
        path.write_bytes(bytes(path.stat().st_size))
        return session(opened, *rest, **options)

    monkeypatch.setattr(inference.onnxruntime, "InferenceSession", swap_first)
    encoder = embed.load(copy, threads=1)
    assert hashlib.sha256(path.read_bytes()).hexdigest() != copy.card.file("model.onnx").sha256
    assert np.array_equal(encoder.encode(["pump"]), expected)
