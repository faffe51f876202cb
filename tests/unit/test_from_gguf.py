"""A GGUF made a folder of becomes the same GGUF again, and cuts text as it did."""

import json
import sys
from dataclasses import replace

import pytest
from tokenizers import Tokenizer

from scripts import from_gguf, gguf, to_gguf, values
from scripts.hf import BadCheckpoint
from tests import tiny_llama
from tests.checkpoints import HERE, NASTY


@pytest.fixture(scope="module")
def smollm() -> gguf.Model:
    return to_gguf.from_folder(HERE / "smollm", gguf.F32)[0]


def written(model, folder):
    folder.mkdir(exist_ok=True)
    for name, content in from_gguf.folder_of(model).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", ["smollm", "llama"])
def test_what_is_converted_again_is_the_same_file(name, tmp_path):
    model = to_gguf.from_folder(HERE / name, gguf.F32)[0]
    if name == "llama":  # it has a vocabulary of pieces, and scales its positions
        with pytest.raises(BadCheckpoint):
            from_gguf.folder_of(model)
        return
    again, _ = to_gguf.from_folder(written(model, tmp_path / name), gguf.F32)
    assert gguf.serialize(again) == gguf.serialize(model)


def test_queries_and_keys_go_back_to_where_they_came_from(smollm, tmp_path):
    """Held against the source itself: a step left out on both sides would not show in the file."""
    folder = written(smollm, tmp_path / "folder")
    before, after = (to_gguf.hf.read_tensors(each) for each in (HERE / "smollm", folder))
    assert before.keys() == after.keys()
    assert all((before[name].values() == after[name].values()).all() for name in before)


def test_text_is_cut_as_it_was(smollm, tmp_path):
    folder = written(smollm, tmp_path / "folder")
    before, after = (Tokenizer.from_file(str(each / "tokenizer.json")) for each in (HERE / "smollm", folder))
    for text in NASTY:
        tokens = before.encode(text, add_special_tokens=False).ids
        assert after.encode(text, add_special_tokens=False).ids == tokens
        assert after.decode(tokens) == before.decode(tokens)


def changed(model, **pairs):
    kept = {key: value for key, value in (model.pairs | pairs).items() if value is not None}
    return replace(model, pairs=kept)


REFUSED = {
    "family": {"general.architecture": values.text("gemma2")},
    "scaled": {"llama.rope.scaling.type": values.text("yarn")},
    "pieces": {"tokenizer.ggml.model": values.text("llama")},
    "cutting": {"tokenizer.ggml.pre": values.text("tekken")},
    "layers gone": {"llama.block_count": None},
    "more layers": {"llama.block_count": gguf.number(3)},
    "narrower": {"llama.embedding_length": gguf.number(24)},
    "number as text": {"llama.block_count": values.text("2")},
    "special": {"tokenizer.ggml.bos_token_id": gguf.number(1 << 20)},
    "types": {"tokenizer.ggml.token_type": values.integers([1])},
    "types as text": {"tokenizer.ggml.token_type": values.texts(["1"])},
    "flag": {"tokenizer.ggml.add_bos_token": values.text("yes")},
    "epsilon": {"llama.attention.layer_norm_rms_epsilon": gguf.number(1)},
}


@pytest.mark.parametrize("pairs", REFUSED.values(), ids=REFUSED)
def test_what_a_folder_cannot_say_is_refused(pairs, smollm):
    with pytest.raises(BadCheckpoint) as error:
        from_gguf.folder_of(changed(smollm, **pairs))
    assert error.value.hint.startswith("Nothing was written.")


def test_the_command_writes_a_folder_or_nothing(smollm, tmp_path, monkeypatch, capsys):
    source = tmp_path / "model.gguf"
    source.write_bytes(gguf.serialize(smollm))
    monkeypatch.setattr(sys, "argv", ["from_gguf", str(source), str(tmp_path / "made")])
    assert from_gguf.main() == 0
    assert json.loads(capsys.readouterr().out)["folder"] == "made"
    assert to_gguf.from_folder(tmp_path / "made", gguf.F32)[0].tensors
    source.write_bytes(gguf.serialize(changed(smollm, **REFUSED["family"])))
    monkeypatch.setattr(sys, "argv", ["from_gguf", str(source), str(tmp_path / "none")])
    assert from_gguf.main() == 2
    assert "Nothing was written." in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_an_output_of_its_own_stays_one(tmp_path):
    config = json.loads(from_gguf.folder_of(tiny_llama.model(tied=False))["config.json"])
    assert config["tie_word_embeddings"] is False
