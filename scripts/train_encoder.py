"""Documents of scripts/encoder_data.py -> a LoRA adapter for the encoder, resumable.

    python -m scripts.train_encoder --model .cache/models/minilm --work .cache/encoder --minutes 25

Questions and passages go through the same weights. A question's passage is told by the cosine from all others
in the batch, those of its own document among them (InfoNCE: van den Oord et al. 2018). Workers and rounds are
those of scripts/replicas.py. The adapter is a PEFT folder, which `scripts.convert` lays on the encoder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from scripts.adapter import CONFIG, WEIGHTS
from scripts.convert import read_shape
from scripts.encoder_model import MAPS, EncoderModel
from scripts.reader_data import roughened
from scripts.replicas import Replica, train

SEED: Final = 20261129
RANK: Final = 16
PEAK: Final = 6e-4
DECAY: Final = 0.01
DROPOUT: Final = 0.1
SCALE: Final = 20.0
"""What cosines are multiplied by: that of the published encoder's own training."""
BATCH_TOKENS: Final = 5000
MOST_TOKENS: Final = 256
MOST_QUESTION: Final = 64
GROUP: Final = {MOST_TOKENS: 12, MOST_QUESTION: 64}
"""Texts of like length that are computed at once."""
OWN: Final = "authored"
OWN_SHARE: Final = 0.5
"""The share of the tokens that are of documents made up for it, each epoch all of them."""
HEADLESS: Final = 0.3
"""How often a document's passages are shown without title and headings."""
JUDGE_EVERY: Final = 12
JUDGED: Final = 160
"""Documents of published sets that are judged besides all those made up."""
TOGETHER: Final = 24
"""Documents judged as one vault."""


@dataclass
class Batch:
    """Documents that are told apart: `owners` numbers the documents; gold and barred are passages."""

    passages: list[str] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    gold: list[list[int]] = field(default_factory=list)
    barred: list[list[int]] = field(default_factory=list)

    def add(self, document: dict[str, Any], *, headless: bool, typed: Callable[[str], str]) -> None:
        """Add a document, its passages without headings or with them, its questions as they are `typed`."""
        first = len(self.passages)
        for head, body in zip(document["heads"], document["bodies"], strict=True):
            self.passages.append(body if headless or not head else f"{head}\n{body}")
            self.owners.append(first)
        for each in document["questions"]:
            self.questions.append(typed(each["text"]))
            self.gold.append([first + at for at in each["gold"]])
            self.barred.append([first + at for at in each["barred"]])


@dataclass(frozen=True)
class Job:
    """What a worker loads."""

    model: Path
    work: Path

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return examples and first weights: a checkpoint goes on with no others."""
        return (self.work / "train.jsonl", self.model / "model.safetensors")

    @property
    def phase(self) -> str:
        """Return that there is but one."""
        return "float"

    def trainee(self, taken: int) -> Embedding:
        """Load model and data."""
        return Embedding(self, taken)


class Embedding:
    """A worker's encoder with its data."""

    def __init__(self, job: Job, taken: int) -> None:
        torch.manual_seed(SEED)
        shape = read_shape((job.model / "config.json").read_bytes())
        weights = load_file(job.model / "model.safetensors")
        self.model = EncoderModel(shape, weights, rank=RANK, dropout=DROPOUT)
        groups = [{"params": self.model.adapted()}]
        self.replica = Replica(groups, peak=PEAK, decay=DECAY, taken=taken)
        self._tokenizer = Tokenizer.from_file(str(job.model / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._work = job.work
        self._train, self._dev = _read(job.work / "train.jsonl"), _judged(_read(job.work / "dev.jsonl"))
        self._rng = np.random.default_rng(SEED)

    def batches(self, epoch: int) -> Sequence[list[int]]:
        """Return the batches of an epoch: documents by number."""
        rng = np.random.default_rng(SEED + epoch)
        sizes = [sum(len(body) for body in each["bodies"]) // 4 for each in self._train]
        own, others = (
            rng.permutation([at for at, each in enumerate(self._train) if (each["source"] == OWN) == chosen])
            for chosen in (True, False)
        )
        most = sum(sizes[at] for at in own) * (1 - OWN_SHARE) / OWN_SHARE
        within = np.cumsum([sizes[at] for at in others]) <= most
        order = rng.permutation([*own, *others[within]]).tolist()
        found, batch, tokens = list[list[int]](), list[int](), 0
        for at in order:
            asked = 16 * len(self._train[at]["questions"])
            if batch and tokens + sizes[at] + asked > BATCH_TOKENS:
                found.append(batch)
                batch, tokens = [], 0
            batch.append(at)
            tokens += sizes[at] + asked
        return [*found, batch]

    def step(self, batch: list[int], factor: float) -> dict[str, float]:
        """Train on the documents `batch`."""
        self.model.train()
        given = Batch()
        for at in batch:
            headless = self._rng.random() < HEADLESS
            given.add(self._train[at], headless=headless, typed=lambda text: roughened(text, self._rng))
        seen, read = self._vectors(given.passages, MOST_TOKENS)
        asked, more = self._vectors(given.questions, MOST_QUESTION)
        scores = SCALE * asked @ seen.T
        right = [int(self._rng.choice(gold)) for gold in given.gold]
        hidden = [[*gold, *barred] for gold, barred in zip(given.gold, given.barred, strict=True)]
        loss = contrast(scores, right, hidden)
        self.replica.descend(loss, factor)
        return {"tokens": float(read + more), "loss": float(loss.detach())}

    def _vectors(self, texts: Sequence[str], most: int) -> tuple[Tensor, int]:
        """Return unit vectors (n, width), computed in groups of like length, and the tokens read."""
        self._tokenizer.enable_truncation(most)
        rows = [each.ids for each in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
        parts = []
        for first in range(0, len(order), GROUP[most]):
            part = order[first : first + GROUP[most]]
            width = max(len(rows[at]) for at in part)
            tokens = torch.zeros(len(part), width, dtype=torch.int64)
            for line, at in enumerate(part):
                tokens[line, : len(rows[at])] = torch.tensor(rows[at])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                parts.append(self.model.vectors(tokens))
        back = torch.empty(len(order), dtype=torch.int64)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[back], sum(len(row) for row in rows)

    def settle(self, *, judged: bool) -> None:
        """Do nothing: there is nothing beside the weights."""

    @property
    def judged_shape(self) -> tuple[int, int]:
        """Return the questions judged, and their figures: the first of its document; the first of all."""
        return sum(len(each["questions"]) for each in self._dev), 2

    def judged(self, number: int, workers: int) -> list[tuple[int, list[float]]]:
        """Return for a share of the questions kept apart whether a passage that answers comes first."""
        self.model.eval()
        found, row = list[tuple[int, list[float]]](), 0
        for turn, first in enumerate(range(0, len(self._dev), TOGETHER)):
            group = self._dev[first : first + TOGETHER]
            if turn % workers == number:
                found += [(row + at, figures) for at, figures in enumerate(self._first(group))]
            row += sum(len(each["questions"]) for each in group)
        return found

    def _first(self, group: Sequence[dict[str, Any]]) -> list[list[float]]:
        """Return for each question whether its passage is the first of its document, and of the group."""
        batch = Batch()
        for each in group:
            batch.add(each, headless=False, typed=str)
        with torch.no_grad():
            seen, _ = self._vectors(batch.passages, MOST_TOKENS)
            asked, _ = self._vectors(batch.questions, MOST_QUESTION)
        scores, owners = asked @ seen.T, torch.tensor(batch.owners)
        rows = []
        for line, gold in zip(scores, batch.gold, strict=True):
            inside = line.masked_fill(owners != owners[gold[0]], -2)
            rows.append([float(int(each.argmax()) in gold) for each in (inside, line)])
        return rows

    def figures(self, judged: Tensor) -> dict[str, float]:
        """Return what the questions kept apart say, of made-up documents and of published ones."""
        own = torch.tensor([each["source"] == OWN for each in self._dev for _ in each["questions"]])
        return {
            f"dev_{name}_{where}": round(float(judged[: len(own)][rows, column].mean()), 4)
            for name, rows in (("own", own), ("others", ~own))
            for column, where in enumerate(("document", "all"))
        }

    def save(self) -> None:
        """Write the adapter, whole or not at all."""
        folder = self._work / "adapter"
        folder.mkdir(exist_ok=True)
        save_file(dict(self.model.adapter()), folder / "part")
        (folder / "part").replace(folder / WEIGHTS)
        config = {
            "peft_type": "LORA",
            "r": RANK,
            "lora_alpha": RANK,
            "target_modules": sorted(MAPS.values()),
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", "utf-8")


def contrast(scores: Tensor, right: Sequence[int], hidden: Sequence[Sequence[int]]) -> Tensor:
    """Return how surprising the `right` passage of each question is by its scores (questions, passages).

    Those that are `hidden` of a question, its right one aside, are neither right nor wrong.
    """
    out = torch.zeros_like(scores, dtype=torch.bool)
    for row, (one, others) in enumerate(zip(right, hidden, strict=True)):
        out[row, [at for at in others if at != one]] = True
    return functional.cross_entropy(scores.masked_fill(out, -torch.inf), torch.tensor(right))


def _judged(dev: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents that are judged, those made up first."""
    own, others = ([each for each in dev if (each["source"] == OWN) == chosen] for chosen in (True, False))
    chosen = np.random.default_rng(SEED).permutation(len(others))[:JUDGED]
    return [*own, *(others[at] for at in chosen)]


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of the published encoder")
    parser.add_argument("--work", type=Path, required=True, help="folder of the examples and of all results")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    job = Job(options.model, options.work)
    last = train(job, options.work, minutes=options.minutes, workers=options.workers, judge_every=JUDGE_EVERY)
    print(json.dumps({"trained": str(options.work / "adapter"), **last}))


if __name__ == "__main__":
    main()
