"""The whole training on a tiny model: loss falls, a stopped run goes on, the grid is the quantizer's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

torch = pytest.importorskip("torch", reason="needs the training extra: requirements/train.in")
pytest.importorskip("peft", reason="needs the training extra: requirements/train.in")

from scripts import blocks, examples, gguf, train_lora  # noqa: E402 - they need torch

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
    train_lora.main()
    return [json.loads(line) for line in (work / "train.log").read_text().splitlines()]


@pytest.mark.filterwarnings("ignore")
def test_it_learns_stops_and_goes_on_under_the_grid(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trained(work, monkeypatch, "--minutes", "0.8", "--until", "0.5")
    assert first[-1]["share"] >= 0.5
    again = trained(work, monkeypatch, "--minutes", "0.8", "--grid")
    assert len(again) > len(first)
    assert again[-1]["dev_loss"] < 0.5
    assert again[-1]["dev_exact"] == 1
    kept = load_file(work / "adapter" / "adapter_model.safetensors")
    assert any(np.abs(values).max() > 0 for name, values in kept.items() if "lora_B" in name)


def test_an_epoch_holds_every_example_once(work: Path) -> None:
    found = examples.Data(work / "train.safetensors").batches(3)
    assert sorted(row for batch in found for row in batch) == list(range(EXAMPLES))


def test_what_is_foretold_are_the_answers_tokens(work: Path) -> None:
    batch = examples.Data(work / "train.safetensors").batch([0, 3, 4])
    assert batch.wanted.tolist() == [7, 9] * 3
    assert batch.tokens[batch.rows, batch.places + 1].tolist() == batch.wanted.tolist()


def test_rounding_is_what_the_file_holds() -> None:
    weight = torch.randn(6, 64)
    column = np.ascontiguousarray(weight.numpy().reshape(-1, 32).T)
    tensor = gguf.Tensor("", (64, 6), gguf.IQ4_NL, blocks.iq4_nl(column).tobytes())
    held = blocks.to_float(tensor).T.reshape(6, 64)
    assert np.array_equal(train_lora.rounded(weight).numpy(), held)
    assert train_lora.rounded(weight[:, :48]) is not weight
    assert torch.equal(train_lora.rounded(weight[:, :48]), weight[:, :48])
    assert 0 < float((train_lora.rounded(weight) - weight).norm() / weight.norm()) < 0.12
