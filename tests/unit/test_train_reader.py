"""The whole training on a tiny random body: loss falls, a stopped run goes on, the graph says the same."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file

from scripts import convert
from tests.unit.test_convert import CONFIG, TINY, tiny_weights

torch = pytest.importorskip("torch", reason="needs the training extra: requirements/train.in")

from scripts import reader_batches, reader_model, train_reader  # noqa: E402 - they need torch

EXAMPLES = 400


@pytest.fixture
def folders(tmp_path):
    """A body, and examples whose answer is always the token 7, relevant where there is one."""
    body, work = tmp_path / "body", tmp_path / "work"
    body.mkdir()
    work.mkdir()
    (body / "config.json").write_text(json.dumps(CONFIG))
    save_file(tiny_weights(words=130), body / "model.safetensors")
    rng = np.random.default_rng(1)
    rows, spans, labels = [], [], []
    for number in range(EXAMPLES):
        passage = rng.integers(10, 40, 10)
        if number % 2:
            passage[number % 10] = 7
        rows.append([101, 5, 102, *passage, 102])
        spans.append((3 + number % 10,) * 2 if number % 2 else (0, 0))
        labels.append(number % 2)
    arrays = {
        "tokens": np.concatenate(rows).astype(np.int32),
        "starts": np.cumsum([0, *map(len, rows)], dtype=np.int64),
        "groups": np.arange(1, EXAMPLES + 1, dtype=np.int32) // 2,  # one and its negative
        "passages": np.full(EXAMPLES, 3, np.int32),
        "spans": np.array(spans, np.int32),
        "relevant": np.array(labels, np.int8),
        "answerable": np.array(labels, np.int8),
    }
    for name in ("train", "dev"):
        save_file(arrays, work / f"{name}.safetensors")
    return body, work


def trained(body, work, minutes, monkeypatch, *more):
    given = f"train --model {body} --work {work} --minutes {minutes} --workers 2"
    monkeypatch.setattr("sys.argv", [*given.split(), *more])
    train_reader.main()
    return [json.loads(line) for line in (work / "train.log").read_text().splitlines()]


def test_it_trains_stops_and_goes_on(folders, monkeypatch, capsys):
    body, work = folders
    first = trained(body, work, 0.2, monkeypatch)
    assert first[-1]["share"] == 1
    assert 0 <= first[-1]["dev_relevant_auc"] <= 1
    again = trained(body, work, 0.6, monkeypatch)
    assert len(again) > len(first)
    assert again[-1]["span"] < first[0]["span"]
    assert again[-1]["dev_first"] > 0.3  # .5 by chance
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["trained"].endswith("model.safetensors")


def test_a_trained_reader_is_trained_on_from_its_weights(folders, monkeypatch, tmp_path):
    body, work = folders
    first = trained(body, work, 0.2, monkeypatch)
    start = tmp_path / "start.safetensors"
    (work / "model.safetensors").rename(start)
    for left in ("checkpoint.safetensors", "train.log"):
        (work / left).unlink()
    again = trained(body, work, 0.1, monkeypatch, "--start", str(start))
    assert again[0]["span"] < first[0]["span"]


def test_an_epoch_holds_every_example_once():
    lengths = np.random.default_rng(2).integers(5, 300, 5000)
    groups = np.arange(5000) // 4
    found = reader_batches.batches(lengths, groups, 3)
    assert sorted(row for batch in found for row in batch) == list(range(5000))
    assert sum(len(set(groups[batch])) for batch in found) == 1250  # no question's examples are apart
    assert all(len(b) * lengths[b].max() <= reader_batches.BATCH_TOKENS for b in found if len(b) > 1)


def test_the_graph_says_what_torch_says(folders):
    body, work = folders
    torch.manual_seed(1)
    weights = {name: torch.from_numpy(value) for name, value in load_file(body / "model.safetensors").items()}
    model = reader_model.ReaderModel(TINY, weights).eval()
    batch = reader_batches.Data.read(work / "dev.safetensors").batch(list(range(6)))
    with torch.no_grad():
        spans, scores = model(batch["tokens"], batch["parts"], batch["mask"])
    published = {name: value.numpy() for name, value in model.published().items()}
    session = onnxruntime.InferenceSession(convert.build_reader(published, TINY, convert.Linear()))
    given = {
        "input_ids": batch["tokens"].numpy(),
        "attention_mask": batch["mask"].long().numpy(),
        "token_type_ids": batch["parts"].numpy(),
    }
    found = session.run(None, given)
    assert np.abs(found[0] - spans.numpy()).max() < 1e-5
    assert np.abs(found[1] - scores.numpy()).max() < 1e-5


def test_a_batch_in_which_no_place_is_known_has_no_loss_of_places(folders):
    body, work = folders
    weights = {name: torch.from_numpy(value) for name, value in load_file(body / "model.safetensors").items()}
    batch = reader_batches.Data.read(work / "dev.safetensors").batch(list(range(6)))
    batch["spans"][:] = -1
    loss, parts = train_reader.loss_of(reader_model.ReaderModel(TINY, weights), batch)
    assert parts["span"] == 0
    loss.backward()
    assert torch.isfinite(loss)


def test_the_loss_has_its_four_parts(folders):
    body, work = folders
    weights = {name: torch.from_numpy(value) for name, value in load_file(body / "model.safetensors").items()}
    batch = reader_batches.Data.read(work / "dev.safetensors").batch(list(range(7)))
    loss, parts = train_reader.loss_of(reader_model.ReaderModel(TINY, weights).eval(), batch)
    assert parts["order"] > 0
    judged = parts["relevant"] + parts["answerable"] + parts["order"]
    assert abs(float(loss.detach()) - parts["span"] - train_reader.JUDGE_LOSS * judged) < 1e-4


def test_what_is_judged_are_whole_questions(folders, monkeypatch):
    body, work = folders
    monkeypatch.setattr(train_reader, "JUDGED", 30)
    rows = train_reader.Job(body, work).trainee(0)._chosen()
    groups = load_file(work / "dev.safetensors")["groups"]
    assert 25 <= len(rows) <= 30
    assert sorted(rows) == [at for at in range(len(groups)) if groups[at] in set(groups[rows])]


def test_the_loss_of_the_order_is_that_of_the_first_among_its_own():
    relevance = torch.tensor([2.0, 1.0, 0.5, 7.0, -1.0, 3.0], requires_grad=True)
    found = train_reader.order_loss(relevance, torch.tensor([4, 4, 4, 5, 9, 9]))
    first = -torch.log_softmax(relevance[:3], 0)[0]
    last = -torch.log_softmax(relevance[4:], 0)[0]
    assert torch.allclose(found, (first + last) / 2)
    found.backward()
    assert relevance.grad[3] == 0
    assert float(train_reader.order_loss(relevance.detach(), torch.arange(6))) == 0
