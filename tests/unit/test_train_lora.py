"""The whole training on a tiny model: loss falls, a stopped run goes on, the grid is the quantizer's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

torch = pytest.importorskip("torch", reason="needs the training extra: requirements/train.in")
pytest.importorskip("peft", reason="needs the training extra: requirements/train.in")

from appliance.errors import UsageError  # noqa: E402
from appliance.generate import choice  # noqa: E402
from scripts import examples, floats, gguf, quantize, to_gguf, train_lora  # noqa: E402 - they need torch
from tests.checkpoints import a_llama, an_importance  # noqa: E402

MODEL = Path(__file__).parents[1] / "vectors" / "checkpoints" / "smollm"
EXAMPLES = 60


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Examples whose answer is always the same two tokens."""
    rng = np.random.default_rng(1)
    rows = [[*rng.integers(10, 200, 8 + number % 5), 7, 9] for number in range(EXAMPLES)]
    arrays = {
        "tokens": np.concatenate(rows).astype(np.int32),
        "starts": np.cumsum([0, *map(len, rows)], dtype=np.int64),
        "answers": np.array([len(row) - 2 for row in rows], np.int32),
    }
    for name in ("train", "dev"):
        save_file(arrays, tmp_path / f"{name}.safetensors")
    return tmp_path


def trained(work: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> list[dict[str, float]]:
    given = ["train", "--model", str(MODEL), "--work", str(work), "--workers", "1", *more]
    monkeypatch.setattr("sys.argv", given)
    assert train_lora.main() == 0
    return [json.loads(line) for line in (work / "train.log").read_text().splitlines()]


@pytest.mark.filterwarnings("ignore")
def test_it_learns_stops_and_goes_on_under_the_grid(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trained(work, monkeypatch, "--minutes", "0.8", "--until", "0.5")
    assert first[-1]["share"] >= 0.5
    importance = an_importance(MODEL, work / "importance.safetensors")
    again = trained(work, monkeypatch, "--minutes", "0.8", "--grid", str(importance))
    assert len(again) > len(first)
    assert again[-1]["dev_loss"] < 0.5
    assert again[-1]["dev_right"] == 1
    kept = load_file(work / "adapter" / "adapter_model.safetensors")
    assert any(np.abs(values).max() > 0 for name, values in kept.items() if "lora_B" in name)


@pytest.fixture
def offering(tmp_path: Path) -> Path:
    """Three examples, the second without an offer, the others with some of one to three tokens and an end."""
    rng = np.random.default_rng(2)
    rows = [[*rng.integers(10, 200, 8 + 3 * number), 7, 9] for number in range(3)]
    lines = [[*rng.integers(10, 200, 1 + number % 3), 30] for number in range(5)]
    arrays = {
        "tokens": np.concatenate(rows).astype(np.int32),
        "starts": np.cumsum([0, *map(len, rows)], dtype=np.int64),
        "answers": np.array([len(row) - 2 for row in rows], np.int32),
        "offers": np.array([0, 3, 3, 5], np.int64),
        "offer_tokens": np.concatenate(lines).astype(np.int32),
        "offer_starts": np.cumsum([0, *map(len, lines)], dtype=np.int64),
        "margins": np.array([1, 0, -1, 2, 0], np.float32),
        "worths": np.array([0, 1, 0.5, 0.2, 1], np.float32),
    }
    for name in ("train", "dev"):
        save_file(arrays, tmp_path / f"{name}.safetensors")
    return tmp_path


@torch.no_grad()
def test_offers_are_branches_that_see_neither_the_answer_nor_each_other(offering: Path) -> None:
    data, model = examples.Data(offering / "train.safetensors"), examples.load_model(MODEL).eval()
    given = data.batch([2, 0, 1])
    assert given.inside.sum() == given.size
    found = examples.foretell(model, given)
    arrays = load_file(offering / "train.safetensors")
    wanted = []
    for row, offers in ((2, (3, 4)), (0, (0, 1, 2))):
        start, prompt = arrays["starts"][row], arrays["answers"][row]
        asked = arrays["tokens"][start : start + prompt].tolist()
        for offer in offers:
            line = arrays["offer_tokens"][slice(*arrays["offer_starts"][offer : offer + 2])].tolist()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                chances = model(input_ids=torch.tensor([asked + line])).logits.float().log_softmax(-1)[0]
            wanted.append(sum(float(chances[prompt - 1 + at, token]) for at, token in enumerate(line)))
    assert found.likelihoods.tolist() == pytest.approx(wanted, rel=0.01)
    alone = examples.foretell(model, examples.Data(offering / "train.safetensors").batch([1]))
    assert alone.likelihoods is None
    assert torch.allclose(found.logits[4:], alone.logits, atol=0.1)  # offers change nothing about answers


def test_the_choice_is_that_of_the_appliance(offering: Path) -> None:
    given = examples.Data(offering / "train.safetensors").batch([0, 1, 2])
    margins, told = np.array([1, 0, -1, 2, 0]), np.array([-3.0, -1.0, -9.0, -5.0, -1.0])
    loss, worth = examples.chosen(torch.tensor(told, dtype=torch.float32), given.offers)
    sums = np.exp(choice.MARGIN * margins + choice.LIKELIHOOD * told)
    expected = [sums[:3] @ [0, 1, 0.5] / sums[:3].sum(), sums[3:] @ [0.2, 1] / sums[3:].sum()]
    assert float(loss) == pytest.approx(-np.log(expected).mean(), rel=1e-5)
    rows = ((slice(3), [0, 1, 0.5]), (slice(3, 5), [0.2, 1]))
    words = [str(number) for number in range(5)]
    taken = [worths[choice.choose(margins[row], told[row], words[row])[0]] for row, worths in rows]
    assert worth == pytest.approx(np.mean(taken))
    told[3:] += [0, 9]  # the model is that much surer of the second
    assert examples.chosen(torch.tensor(told), given.offers)[1] > worth


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_is_trained_on(offering: Path) -> None:
    job = train_lora.Job(MODEL, offering, offering / "adapter", None, None)
    first = train_lora.Adapted(job, 0, rank=5)
    before = first.step([0, 1, 2], 1.0)
    for _ in range(12):
        first.step([0, 1, 2], 1.0)
    first.save()
    onward = train_lora.Adapted(replace(job, start=offering / "adapter"), 0)
    assert onward.batches(0) == first.batches(1)  # others than those it has seen
    assert onward.model.peft_config["default"].r == 5
    assert onward.step([0, 1, 2], 0.0)["loss"] < 0.9 * before["loss"]
    assert onward.replica._peak == train_lora.ONWARD * first.replica._peak
    assert job.sources != replace(job, start=offering / "adapter").sources


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["other layers", "fewer layers", "another scale"])
def test_an_adapter_of_another_model_is_not_trained_on(offering: Path, how: str) -> None:
    job = train_lora.Job(MODEL, offering, offering / "adapter", None, None)
    train_lora.Adapted(job, 0, rank=5).save()
    weights, config = (
        offering / "adapter" / name for name in ("adapter_model.safetensors", "adapter_config.json")
    )
    known = load_file(weights)
    if how == "other layers":
        known |= {
            name.replace(".layers.0.", ".layers.7."): known[name] for name in known if ".layers.0." in name
        }
    if how == "fewer layers":
        known = {name: known[name] for name in known if "q_proj" in name}
    save_file(known, weights)
    if how == "another scale":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"lora_alpha": 10}))
    with pytest.raises(UsageError):
        train_lora.Adapted(replace(job, start=offering / "adapter"), 0)


def test_an_epoch_holds_every_example_once(work: Path) -> None:
    found = examples.Data(work / "train.safetensors").batches(3)
    assert sorted(row for batch in found for row in batch) == list(range(EXAMPLES))


def test_what_is_foretold_are_the_answers_tokens(work: Path) -> None:
    batch = examples.Data(work / "train.safetensors").batch([0, 3, 4])
    assert batch.wanted.tolist() == [7, 9] * 3
    assert batch.tokens[batch.rows, batch.places + 1].tolist() == batch.wanted.tolist()


@pytest.mark.filterwarnings("ignore")
def test_under_the_grid_a_layer_computes_what_the_file_made_with_the_same_importance_holds(
    work: Path,
) -> None:
    wide = work / "wide"  # rows of whole blocks, of weights that bfloat16 holds
    a_llama().to(torch.bfloat16).float().save_pretrained(wide)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (wide / name).write_bytes((MODEL / name).read_bytes())
    importance = an_importance(wide, work / "importance.safetensors")
    trainee = train_lora.Adapted(train_lora.Job(wide, work, work / "adapter", importance, None), 0)
    layer = trainee.model.base_model.model.model.layers[1].mlp.down_proj
    exact = layer.base_layer.weight.detach().float().numpy()
    trainee.settle(judged=True)
    held = layer.base_layer.weight.detach().float().numpy()
    source, _ = to_gguf.from_folder(wide, gguf.F32)
    found = {}
    for plan in (quantize.SHIPPED, quantize.Plan(importance=load_file(importance))):
        made = quantize.quantize(source, threads=1, plan=plan)
        tensor = next(each for each in made.tensors if each.name == "blk.1.ffn_down.weight")
        found[bool(plan.importance)] = floats.unpack(tensor)
    scale = np.abs(exact).max()
    assert np.abs(held - found[True]).max() < 0.01 * scale  # bfloat16
    assert np.abs(held - found[False]).max() > 0.05 * scale


def test_rows_that_are_no_whole_blocks_stay_as_they_are() -> None:
    weight = torch.randn(6, 48)
    assert torch.equal(train_lora.rounded(weight, "blk.0.attn_q.weight", quantize.SHIPPED), weight)


@pytest.mark.filterwarnings("ignore")
def test_an_importance_that_lacks_a_matrix_is_refused(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    importance = an_importance(MODEL, work / "importance.safetensors")
    known = load_file(importance)
    save_file({name: known[name] for name in known if name != "blk.1.ffn_up.weight"}, importance)
    given = ["train", "--model", str(MODEL), "--work", str(work), "--grid", str(importance)]
    monkeypatch.setattr("sys.argv", given)
    assert train_lora.main() == UsageError("").exit_code
    assert "says nothing of blk.1.ffn_up.weight" in capsys.readouterr().err
