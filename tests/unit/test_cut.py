"""A student has the layers that were chosen, in order, and converts as its teacher does."""

import json
import shutil
import sys

import pytest

from appliance.errors import UsageError
from scripts import cut, gguf, hf, to_gguf
from tests import checkpoints
from tests.checkpoints import HERE


@pytest.fixture
def teacher(tmp_path):
    folder = tmp_path / "teacher"
    shutil.copytree(HERE / "smollm", folder)
    return folder


@pytest.mark.parametrize("kept", [[0], [1]])
def test_the_student_has_those_layers_and_all_the_rest(kept, teacher, tmp_path):
    figures = cut.cut(teacher, tmp_path / "student", kept)
    before, after = (hf.read_tensors(each) for each in (teacher, tmp_path / "student"))
    rest = {name for name in before if "layers." not in name}
    assert rest
    for name in rest:
        assert (after[name].values() == before[name].values()).all()
    for name in after.keys() - rest:
        old = name.replace("layers.0.", f"layers.{kept[0]}.")
        assert (after[name].values() == before[old].values()).all()
    assert len(after) == len(rest) + (len(before) - len(rest)) // 2
    assert figures["layers"] == 1
    assert 0.5 < figures["share"] < 1
    assert figures["parameters"] == sum(each.values().size for each in after.values())


def test_the_student_says_where_its_layers_come_from_and_converts(teacher, tmp_path):
    cut.cut(teacher, tmp_path / "student", [1])
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    assert (config["num_hidden_layers"], config[cut.KEPT]) == (1, [1])
    model, _ = to_gguf.from_folder(tmp_path / "student", gguf.F32)
    path = tmp_path / "student.gguf"
    path.write_bytes(gguf.serialize(model))
    assert checkpoints.logits(path, [3, 5, 7]).shape[0] == 3


def test_what_is_said_of_each_layer_is_cut_too():
    config = {"num_hidden_layers": 4, "layer_types": ["a", "b", "c", "d"], "no_rope_layers": None}
    made = cut.config_of(config, [0, 3])
    assert made["layer_types"] == ["a", "d"]
    assert made["no_rope_layers"] is None


@pytest.mark.parametrize("kept", [[], [0, 1], [2], [-1], [1, 0], [0, 0]])
def test_layers_that_make_no_student_are_refused(kept, teacher, tmp_path):
    with pytest.raises(UsageError, match="0 to 1") as error:
        cut.cut(teacher, tmp_path / "student", kept)
    assert "Nothing was written." in error.value.hint
    assert not (tmp_path / "student").exists()


def test_the_teacher_is_not_written_over(teacher):
    before = (teacher / "config.json").read_bytes()
    with pytest.raises(UsageError, match="folder of its own"):
        cut.cut(teacher, teacher / ".." / "teacher", [0])
    assert (teacher / "config.json").read_bytes() == before


def test_a_model_that_also_sees_is_refused(teacher, tmp_path):
    (teacher / "config.json").write_text(json.dumps({"text_config": {"num_hidden_layers": 2}}))
    with pytest.raises(hf.BadCheckpoint, match="text alone"):
        cut.cut(teacher, tmp_path / "student", [0])


@pytest.mark.parametrize("table", [{}, {"kept": 3}, {"kept": ["0"]}, {"kept": [True]}])
def test_a_table_without_layers_is_refused(table, tmp_path):
    path = tmp_path / "layers.json"
    path.write_text(json.dumps(table))
    with pytest.raises(UsageError, match="does not say which"):
        cut.read_kept(path)


def test_the_command_ends_in_figures_or_in_what_to_do(teacher, tmp_path, monkeypatch, capsys):
    table = tmp_path / "layers.json"
    table.write_text(json.dumps({"kept": [0]}))
    given = ["cut", str(teacher), str(tmp_path / "student"), "--layers", str(table)]
    monkeypatch.setattr(sys, "argv", given)
    assert cut.main() == 0
    assert json.loads(capsys.readouterr().out)["layers"] == 1
    table.write_text(json.dumps({"kept": [5]}))
    assert cut.main() == 2
    assert "measure this one" in capsys.readouterr().err
