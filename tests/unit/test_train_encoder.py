"""The encoder's training on a tiny random body: it learns, goes on, and the converter lays the adapter on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from scripts import convert, encoder
from tests.unit.test_convert import CONFIG, TINY, tiny_weights

torch = pytest.importorskip("torch", reason="needs the training extra: requirements/train.in")

from scripts import encoder_model, train_encoder  # noqa: E402 - they need torch

WORDS = 60


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A body, and documents of four passages; a question's word and its passage's go in fixed pairs."""
    body, work = tmp_path / "body", tmp_path / "work"
    body.mkdir()
    work.mkdir()
    (body / "config.json").write_text(json.dumps(CONFIG))
    save_file(tiny_weights(words=WORDS), body / "model.safetensors")
    words = {name: at for at, name in enumerate(["[PAD]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(57))])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(body / "tokenizer.json"))
    rng = np.random.default_rng(1)
    for part, count, source in (("train", 60, "authored"), ("dev", 8, "authored"), ("dev", 8, "squad")):
        with (work / f"{part}.jsonl").open("a") as file:
            for number in range(count):
                keys = rng.permutation(8)[:4].tolist()
                filler = [f"w{30 + n}" for n in rng.integers(0, 20, 6)]
                document = {
                    "source": source,
                    "name": f"{source}/{number}",
                    "heads": [""] * 4,
                    "bodies": [" ".join([*filler, f"w{1 + key}"]) for key in keys],
                    "questions": [
                        {"text": f"w{20 + key} w{55}", "gold": [at], "barred": []}
                        for at, key in enumerate(keys)
                    ],
                }
                file.write(json.dumps(document) + "\n")
    return body, work


def trained(
    body: Path, work: Path, minutes: float, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, float]]:
    given = f"train --model {body} --work {work} --minutes {minutes} --workers 2"
    monkeypatch.setattr("sys.argv", given.split())
    train_encoder.main()
    return [json.loads(line) for line in (work / "train.log").read_text().splitlines()]


def test_it_learns_goes_on_and_is_laid_on_the_encoder(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    body, work = folders
    monkeypatch.setattr(train_encoder, "PEAK", 2e-2)
    first = trained(body, work, 0.2, monkeypatch)
    again = trained(body, work, 0.7, monkeypatch)
    assert len(again) > len(first)
    assert again[-1]["loss"] < first[0]["loss"]
    assert 0 < again[-1]["dev_own_document"] <= 1
    weights = load_file(body / "model.safetensors")
    laid = encoder.adapted(weights, work / "adapter")
    changed = [name for name, value in laid.items() if np.abs(value - weights[name]).max() > 0]
    assert len(changed) == 12


def test_the_graph_says_what_torch_says(folders: tuple[Path, Path], tmp_path: Path) -> None:
    body, _ = folders
    torch.manual_seed(1)
    weights = load_file(body / "model.safetensors")
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    model = encoder_model.EncoderModel(TINY, tensors, rank=4, dropout=0.1).eval()
    for each in model.adapted():
        torch.nn.init.normal_(each, std=0.2)
    folder = tmp_path / "adapter"
    folder.mkdir()
    save_file({name: value.numpy() for name, value in model.adapter()}, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": 4,
        "target_modules": sorted(encoder_model.MAPS.values()),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tokens = torch.tensor([[1, 5, 9, 2], [1, 7, 2, 0]])
    with torch.no_grad():
        wanted = model.vectors(tokens).numpy()
    graph = convert.build(encoder.adapted(weights, folder), TINY, convert.Linear())
    session = onnxruntime.InferenceSession(graph)
    given = {"input_ids": tokens.numpy(), "attention_mask": (tokens != 0).long().numpy()}
    (found,) = session.run(None, given)
    assert np.abs(found - wanted).max() < 1e-5


def test_what_else_answers_is_not_held_against_the_right_passage() -> None:
    scores = torch.tensor([[1.0, 5.0, 2.0], [0.0, 1.0, 3.0]], requires_grad=True)
    found = train_encoder.contrast(scores, [0, 2], [[0, 1], []])
    first = -torch.log_softmax(scores[0, [0, 2]], 0)[0]
    assert torch.allclose(found, (first - torch.log_softmax(scores[1], 0)[2]) / 2)
    found.backward()
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0


def test_passages_are_shown_under_their_headings_or_without() -> None:
    document = {
        "heads": ["Pumps > Seals", ""],
        "bodies": ["Grease it.", "Turn it."],
        "questions": [{"text": "How?", "gold": [1], "barred": [0]}],
    }
    for headless, first in ((False, "Pumps > Seals\nGrease it."), (True, "Grease it.")):
        batch = train_encoder.Batch()
        batch.add(document, headless=True, typed=str.lower)
        batch.add(document, headless=headless, typed=str.lower)
        assert batch.passages[2:] == [first, "Turn it."]
        assert (batch.questions, batch.owners) == (["how?"] * 2, [0, 0, 2, 2])
        assert (batch.gold, batch.barred) == ([[1], [3]], [[0], [2]])


def test_an_epoch_shows_every_document_made_up_and_as_much_of_others(folders: tuple[Path, Path]) -> None:
    body, work = folders
    lines = (work / "train.jsonl").read_text().splitlines()
    others = [json.dumps(json.loads(line) | {"source": "squad"}) for line in lines * 3]
    (work / "train.jsonl").write_text("\n".join([*lines, *others]) + "\n")
    trainee = train_encoder.Job(body, work).trainee(0)
    seen = [at for batch in trainee.batches(3) for at in batch]
    assert set(range(60)) <= set(seen)
    assert 110 <= len(seen) <= 121
    assert len(set(seen)) == len(seen)
