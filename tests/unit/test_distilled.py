"""A student beside its teacher: what is kept and what is saved are counted right."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from appliance.errors import UsageError
from scripts import distilled, gguf, quantize, readings
from scripts.distilled import Asked
from tests import tiny_llama


@pytest.fixture
def files(tmp_path):
    """A teacher, the same in four bits, and a stranger of other words."""
    four = quantize.quantize(tiny_llama.model(), threads=1, plan=quantize.Plan(gguf.IQ4_NL))
    made = {"teacher": tiny_llama.model(), "four": four, "other": tiny_llama.model(seed=4)}
    for name, model in made.items():
        (tmp_path / f"{name}.gguf").write_bytes(gguf.serialize(model))
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 256, 40 + number).tolist() for number in range(4)]
    save(tmp_path / "dev.safetensors", rows)
    return tmp_path


def save(path, rows):
    arrays = {
        "tokens": np.concatenate(rows).astype(np.int32),
        "starts": np.cumsum([0, *map(len, rows)], dtype=np.int64),
        "answers": np.array([len(row) - 5 for row in rows], np.int32),
    }
    save_file(arrays, path)


def test_the_teacher_is_like_itself_and_fewer_bits_are_not(files):
    asked = distilled.read_examples(files / "dev.safetensors", 3)
    names = [files / f"{name}.gguf" for name in ("four", "other")]
    teacher, four, other = distilled.measure(files / "teacher.gguf", names, asked)
    assert (teacher.kl, teacher.same, teacher.share, teacher.size) == (0, 1, 1, 1)
    assert (four.share, four.layers) == (1, 1)
    assert 0.1 < four.size < 1
    assert 0 < four.kl < other.kl
    assert four.types.startswith("IQ4_NL")
    assert teacher.parameters == sum(np.prod(each.shape) for each in tiny_llama.model().tensors)
    assert min(four.prefill, four.decode, other.prefill, other.decode) > 0


def test_only_the_answer_is_foretold(files):
    (each,) = distilled.read_examples(files / "dev.safetensors", 1)
    with readings.opened(files / "teacher.gguf") as model:
        found = readings.foretell(model, each.tokens, each.begin)
        whole = readings.logits(model, each.tokens)
        assert found.came.tolist() == each.tokens[-5:]
        assert (found.logs.argmax(axis=1) == whole[-6:-1].argmax(axis=1)).all()


def test_loss_counts_tokens_and_exactness_answers():
    sure, unsure = np.log([0.9, 0.1]), np.log([0.4, 0.6])
    before = [
        readings.Reading(np.array([sure, sure]), np.array([0, 0])),
        readings.Reading(np.array([sure]), np.array([0])),
    ]
    after = [readings.Reading(np.array([sure, unsure]), np.array([0, 0])), before[1]]
    found = distilled.kept(before, after)
    assert found["exact"] == 0.5
    assert found["same"] == pytest.approx(2 / 3)
    assert found["loss"] == pytest.approx(-(2 * np.log(0.9) + np.log(0.4)) / 3)
    assert found["kl"] == pytest.approx((0.9 * np.log(0.9 / 0.4) + 0.1 * np.log(0.1 / 0.6)) / 3)
    assert distilled.kept(before, before)["exact"] == 1


def test_layers_are_counted(tmp_path):
    model = tiny_llama.model()
    second = [
        replace(each, name=each.name.replace("blk.0.", "blk.11."))
        for each in model.tensors
        if "blk" in each.name
    ]
    path = tmp_path / "two.gguf"
    path.write_bytes(gguf.serialize(replace(model, tensors=(*model.tensors, *second))))
    assert distilled.layers(gguf.read(path).tensors) == 2


def test_examples_of_another_vocabulary_are_refused(files):
    with pytest.raises(UsageError, match="another vocabulary"):
        list(distilled.measure(files / "teacher.gguf", [], [Asked([1, 2, 999], 1)]))


@pytest.mark.parametrize("rows", [[[1] * 2049]])
def test_examples_that_do_not_fit_are_refused(rows, tmp_path):
    save(tmp_path / "dev.safetensors", rows)
    with pytest.raises(UsageError, match="2048 tokens"):
        distilled.read_examples(tmp_path / "dev.safetensors", 9)


def test_what_is_no_split_is_refused(tmp_path):
    path = tmp_path / "dev.safetensors"
    for make in (lambda: None, lambda: path.write_bytes(b"x"), lambda: save_file({"a": np.zeros(1)}, path)):
        make()
        with pytest.raises(UsageError, match="no examples"):
            distilled.read_examples(path, 9)


def test_the_command_prints_a_table_and_one_line_of_json(files, monkeypatch, capsys):
    given = [files / "teacher.gguf", files / "four.gguf", "--examples", files, "--limit", "2"]
    monkeypatch.setattr(sys, "argv", ["distilled", *map(str, given)])
    assert distilled.main() == 0
    *table, last = capsys.readouterr().out.splitlines()
    assert len(table) == 4
    assert len({row.count("|") for row in table}) == 1
    assert [row["name"] for row in json.loads(last)["rows"]] == ["teacher", "four"]
    (files / "four.gguf").write_bytes(b"GGUF")
    assert distilled.main() == 2
    assert "no model" in capsys.readouterr().err


def test_it_reports_on_the_last_examples_for_the_first_chose_layers_and_round(files):
    every = distilled.read_examples(files / "dev.safetensors", 4)
    assert distilled.read_examples(files / "dev.safetensors", 2) == every[2:]
