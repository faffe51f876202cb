"""Choosing layers and teaching a student, on tiny models: the measures are right, and the student nears."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

torch = pytest.importorskip("torch", reason="needs the training extra: requirements/train.in")
pytest.importorskip("transformers", reason="needs the training extra: requirements/train.in")

from transformers import LlamaForCausalLM  # noqa: E402 - it needs torch

from appliance.errors import UsageError  # noqa: E402
from scripts import adapter, blocks, cut, distill, examples, gguf, layers, to_gguf  # noqa: E402
from tests.checkpoints import HERE, a_llama, an_importance  # noqa: E402

EXAMPLES, LAYERS = 40, 5


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Examples of random words."""
    rng = np.random.default_rng(1)
    rows = [rng.integers(10, 200, 12 + number % 5).tolist() for number in range(EXAMPLES)]
    arrays = {
        "tokens": np.concatenate(rows).astype(np.int32),
        "starts": np.cumsum([0, *map(len, rows)], dtype=np.int64),
        "answers": np.array([len(row) - 3 for row in rows], np.int32),
    }
    for name in ("train", "dev"):
        save_file(arrays, tmp_path / f"{name}.safetensors")
    return tmp_path


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A random model of five layers, of which layer 2 does nothing, in a folder with a tokenizer."""
    model = a_llama(layers=LAYERS)
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        model.model.layers[2].get_submodule(name).weight.data.zero_()
    folder = tmp_path / "teacher"
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((HERE / "smollm" / name).read_bytes())
    return folder


@pytest.fixture
def stack(teacher: Path) -> layers.Stack:
    return layers.Stack(examples.load_model(teacher))


def test_states_are_what_layers_are_given_and_the_head(teacher: Path, work: Path) -> None:
    model, given = examples.load_model(teacher), examples.Data(work / "dev.safetensors").batch([0, 3])
    with torch.no_grad():
        found = examples.foretell(model, given, states=True)
        logits, states = found.logits, found.states
        head = model.lm_head(states[-1][given.rows, given.places]).float()
    assert len(states) == LAYERS + 1
    assert torch.allclose(head, logits, atol=0.05)
    assert torch.equal(states[2], states[3])  # around the layer that does nothing
    assert torch.equal(states[0], model.model.embed_tokens(given.tokens))
    assert given.inside.sum() == given.size


@torch.no_grad()
def test_the_loss_without_a_layer_is_that_of_the_model_cut(
    stack: layers.Stack, teacher: Path, work: Path, tmp_path: Path
) -> None:
    data = examples.Data(work / "dev.safetensors")
    entered = [stack.enter(data.batch([0, 1]))]
    whole = layers.judged(stack, entered, range(LAYERS))
    found = layers.without_each(stack, entered, range(LAYERS))
    assert found[2] == pytest.approx(whole)
    for number in (0, 4):
        kept = [each for each in range(LAYERS) if each != number]
        cut.cut(teacher, tmp_path / f"without{number}", kept)
        model = examples.load_model(tmp_path / f"without{number}")
        given = data.batch([0, 1])
        loss, _ = examples.answered(examples.foretell(model, given).logits, given)
        assert found[number] == pytest.approx(float(loss), rel=0.01)
        assert found[number] != pytest.approx(whole, rel=0.02)


@torch.no_grad()
def test_the_cheapest_layer_goes_and_the_best_way_is_kept(stack: layers.Stack, work: Path) -> None:
    data = examples.Data(work / "dev.safetensors")
    found = layers.table(stack, data, 3, 4)
    assert found["without"]["2"] == pytest.approx(found["loss"], abs=2e-4)
    assert str(found["order"][0]) == min(found["without"], key=found["without"].__getitem__)
    assert found["ways"]["one by one"]["kept"] == sorted(set(range(LAYERS)) - set(found["order"]))
    assert found["kept"] == found["ways"][found["best"]]["kept"]
    assert found["ways"][found["best"]]["loss"] == min(way["loss"] for way in found["ways"].values())
    assert {len(way["kept"]) for way in found["ways"].values()} == {3}
    for keep, count in ((0, 2), (5, 2), (3, 21), (3, 0)):
        with pytest.raises(UsageError, match=r"cannot be kept|are needed"):
            layers.table(stack, data, keep, count)


@torch.no_grad()
def test_the_run_that_turns_nothing_goes(teacher: Path, work: Path) -> None:
    model, data = examples.load_model(teacher), examples.Data(work / "dev.safetensors")
    stack = layers.Stack(model)
    assert layers.block(stack, [stack.enter(data.batch([0]))], 4) == [0, 1, 3, 4]
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        model.model.layers[3].get_submodule(name).weight.zero_()
    assert layers.block(stack, [stack.enter(data.batch([0, 5]))], 3) == [0, 1, 4]


def test_even_layers_are_at_like_distances() -> None:
    assert layers.even(30, 4) == [0, 10, 19, 29]
    assert layers.even(5, 4) == [0, 1, 3, 4]
    assert layers.even(5, 1) == [0]


def test_the_losses_are_those_of_the_textbook() -> None:
    teacher, student = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    share = torch.softmax(teacher / 2, -1)[0]
    exact = float((share * (share.log() - np.log(0.5))).sum()) * 4
    assert float(distill.divergence(teacher, student)) == pytest.approx(exact, rel=1e-5)
    assert float(distill.divergence(teacher, teacher)) == pytest.approx(0, abs=1e-6)
    wanted = torch.tensor([[[3.0, 4.0], [1.0, 1.0]]])
    found = torch.tensor([[[3.0, 3.0], [9.0, 9.0]]])
    inside = torch.tensor([[True, False]])
    assert float(distill.distance([wanted], [found], inside)) == pytest.approx(1 / 25)


def test_a_students_layer_is_to_be_given_what_it_was_given_in_the_teacher() -> None:
    states = [torch.full((1,), float(number)) for number in range(6)]
    assert [int(each) for each in distill.given_to(states, [0, 3, 4])] == [3, 4, 5]


def spoken(teacher: Path, work: Path) -> None:
    """Let the answers be what the teacher would write: learning them and learning from it are then one."""
    model = LlamaForCausalLM.from_pretrained(teacher, local_files_only=True)
    arrays = load_file(work / "train.safetensors")
    for begin, end in zip(arrays["starts"][:-1], arrays["starts"][1:], strict=True):
        for place in range(end - 3, end):
            told = torch.from_numpy(arrays["tokens"][begin:place]).long()[None]
            arrays["tokens"][place] = int(model(told).logits[0, -1].argmax())
    for name in ("train", "dev"):
        save_file(arrays, work / f"{name}.safetensors")


def merged(student: Path, adapted: Path) -> dict[str, np.ndarray]:
    """Return the weights of the student with its adapter in it, as the file that is made of both has them."""
    base = to_gguf.from_folder(student, gguf.F32)[0]
    made = adapter.merge(base, adapter.read(adapted, base), gguf.F32)
    return {tensor.name: blocks.to_float(tensor).T for tensor in made.tensors}


@pytest.mark.filterwarnings("ignore")
def test_the_student_nears_its_teacher_by_an_adapter(work: Path, teacher: Path, tmp_path: Path) -> None:
    cut.cut(teacher, tmp_path / "cut", [0, 1, 2, 4])
    spoken(teacher, work)
    torch.set_num_threads(1)
    job = distill.Job(tmp_path / "cut", work, tmp_path / "adapter", grid=None, start=None, teacher=teacher)
    taught = distill.Taught(job, 0)
    batch = list(range(16))
    steps = [taught.step(batch, 1.0) for _ in range(60)]
    for name, share in (("kl", 0.7), ("states", 0.9), ("loss", 0.7)):
        assert steps[-1][name] < share * steps[0][name]
    assert taught.replica.taken() == 60
    judged = taught.judged(0, 1)
    assert [row for row, _ in judged] == list(range(EXAMPLES))
    taught.save()
    after, before = (
        merged(tmp_path / "cut", tmp_path / "adapter"),
        load_file(tmp_path / "cut" / "model.safetensors"),
    )
    assert np.array_equal(after["token_embd.weight"], before["model.embed_tokens.weight"])
    assert np.abs(after["blk.3.ffn_up.weight"] - before["model.layers.3.mlp.up_proj.weight"]).max() > 0.01


@pytest.mark.filterwarnings("ignore")
def test_the_command_goes_on_under_the_grid_and_with_no_other_student(
    work: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut.cut(teacher, tmp_path / "cut", [0, 1, 2, 4])
    given = [
        "--teacher",
        teacher,
        "--student",
        tmp_path / "cut",
        "--examples",
        work,
        "--work",
        tmp_path / "small",
    ]
    told = ["distill", *map(str, given), "--workers", "1", "--minutes", "0.2"]
    monkeypatch.setattr("sys.argv", [*told, "--until", "0.5"])
    assert distill.main() == 0
    importance = an_importance(tmp_path / "cut", tmp_path / "importance.safetensors")
    monkeypatch.setattr("sys.argv", [*told, "--grid", str(importance)])
    assert distill.main() == 0
    last = json.loads((tmp_path / "small" / "train.log").read_text().splitlines()[-1])
    assert last["share"] == 1
    assert {"kl", "states", "loss", "right", "dev_loss", "dev_right"} < last.keys()
    assert merged(tmp_path / "cut", tmp_path / "small" / "adapter")
    cut.cut(teacher, tmp_path / "cut2", [0, 1, 3, 4])
    told[told.index(str(tmp_path / "cut"))] = str(tmp_path / "cut2")
    monkeypatch.setattr("sys.argv", told)
    with pytest.raises(SystemExit, match="of other examples or weights"):
        distill.main()


@pytest.mark.filterwarnings("ignore")
def test_another_teachers_student_is_refused(
    work: Path,
    teacher: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cut.cut(HERE / "smollm", tmp_path / "other", [0])
    given = ["distill", "--teacher", str(teacher), "--examples", str(work), "--work", str(tmp_path / "small")]
    for student, reason in ((tmp_path / "other", "hidden_size"), (teacher, "does not say")):
        monkeypatch.setattr("sys.argv", [*given, "--student", str(student), "--workers", "1"])
        assert distill.main() == 2
        assert reason in capsys.readouterr().err
