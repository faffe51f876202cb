"""Examples of scripts/reader_data.py -> the trained reader, in a fixed time, on the CPU, resumable.

    python -m scripts.train_reader --model .cache/models/minilm --work .cache/reader --minutes 36 --workers 4

With --start it begins with the weights of an earlier training (scripts/graft.py restores those of a reader).
Workers and rounds are those of scripts/replicas.py. Stopped and started again with the same --work it goes on
from the last checkpoint. Progress is JSON, one line a round; so is the last line.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from scripts.convert import read_shape
from scripts.reader_batches import Data, batches
from scripts.reader_model import ReaderModel
from scripts.replicas import Replica, train

SEED: Final = 20261123
PEAK: Final = 2.5e-4
PEAK_AGAIN: Final = 1.2e-4
"""For a reader that is trained on: what it knows is not to be washed out."""
HEADS: Final = 5.0
"""The heads begin at random: they learn at this multiple."""
DECAY: Final = 0.01
DROPOUT: Final = 0.1
HIDDEN_WORDS: Final = 0.04
"""The share of words shown as [MASK]. Without both, after two epochs: F1 .79 on the trained, .67 beyond."""
_MASK: Final = 103
JUDGED: Final = 600
JUDGE_EVERY: Final = 12
JUDGE_LOSS: Final = 0.5
"""The weight of each judgement beside the span's, and of the order of one question's passages."""


def loss_of(model: ReaderModel, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Return the loss: of start and end, of the two judgements, and of which passage is the right one.

    The last is the cross-entropy among the passages of one question (ListNet: Cao et al. 2007): judged one by
    one, all passages with the question's words look relevant.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spans, scores = model(batch["tokens"], batch["parts"], batch["mask"])
    spans = spans.float().masked_fill(~batch["inside"][:, :, None], -1e4)
    # Of a batch in which no place is known the mean would be that of nothing.
    known = bool((batch["spans"] >= 0).any())
    span = functional.cross_entropy(spans, batch["spans"], ignore_index=-1) if known else spans.sum() * 0
    judged = [
        _judged(scores[:, column].float(), batch[name])
        for column, name in enumerate(("relevant", "answerable"))
    ]
    ordered = order_loss(scores[:, 0].float(), batch["groups"])
    parts = {
        "span": float(span.detach()),
        "relevant": float(judged[0].detach()),
        "answerable": float(judged[1].detach()),
        "order": float(ordered.detach()),
    }
    return span + JUDGE_LOSS * (judged[0] + judged[1] + ordered), parts


def order_loss(relevance: Tensor, groups: Tensor) -> Tensor:
    """Return how surprising it is that the first of each group (n,) is the relevant one; 0 without groups."""
    _, number, sizes = groups.unique_consecutive(return_inverse=True, return_counts=True)
    firsts = sizes.cumsum(0) - sizes
    totals = torch.full((len(sizes),), -torch.inf).scatter_reduce(0, number, relevance, "amax").detach()
    shares = torch.zeros(len(sizes)).scatter_add(0, number, (relevance - totals[number]).exp()).log() + totals
    several = sizes > 1
    if not bool(several.any()):
        return relevance.sum() * 0
    return (shares - relevance[firsts])[several].mean()


def _judged(logits: Tensor, labels: Tensor) -> Tensor:
    known = labels >= 0
    if not bool(known.any()):
        return logits.sum() * 0
    return functional.binary_cross_entropy_with_logits(logits[known], labels[known].float())


def _hidden(tokens: Tensor) -> Tensor:
    """Return the tokens with a few of the words behind [MASK]."""
    chosen = (torch.rand(tokens.shape) < HIDDEN_WORDS) & (tokens > _MASK)  # what is below are [CLS], [SEP]...
    return torch.where(chosen, _MASK, tokens)


@dataclass(frozen=True)
class Job:
    """What a worker loads."""

    model: Path
    work: Path
    start: Path | None = None

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return examples and first weights: a checkpoint goes on with no others."""
        return (self.work / "train.safetensors", self.weights)

    @property
    def weights(self) -> Path:
        """Return the file of the weights that the training begins with."""
        return self.start or self.model / "model.safetensors"

    @property
    def phase(self) -> str:
        """Return that there is but one."""
        return "float"

    def trainee(self, taken: int) -> Reading:
        """Load model and data."""
        return Reading(self, taken)


class Reading:
    """A worker's reader with its data."""

    judged_shape: Final = (JUDGED, 3)
    """The examples judged, and the figures of each: relevance, answerability, overlap."""

    def __init__(self, job: Job, taken: int) -> None:
        torch.manual_seed(SEED)
        shape = read_shape((job.model / "config.json").read_bytes())
        weights = load_file(job.weights)
        self.model = ReaderModel(shape, weights, dropout=DROPOUT)
        # Half of all parameters, and the words are known: frozen they cost neither time nor noise.
        self.model.words.weight.requires_grad_(requires_grad=False)
        heads = [*self.model.span.parameters(), *self.model.scores.parameters()]
        known = {id(each) for each in heads}
        body = [each for each in self.model.parameters() if each.requires_grad and id(each) not in known]
        groups = [{"params": body, "factor": 1.0}, {"params": heads, "factor": HEADS}]
        peak = PEAK_AGAIN if job.start else PEAK
        self.replica = Replica(groups, peak=peak, decay=DECAY, taken=taken)
        self._config, self._work = job.model / "config.json", job.work
        self._train, self._dev = (Data.read(job.work / f"{name}.safetensors") for name in ("train", "dev"))

    def batches(self, epoch: int) -> Sequence[Any]:
        """Return the batches of an epoch."""
        return batches(self._train.lengths(), self._train.arrays["groups"].numpy(), SEED + epoch)

    def step(self, batch: list[int], factor: float) -> dict[str, float]:
        """Train on the examples `batch`."""
        self.model.train()
        given = self._train.batch(batch)
        loss, parts = loss_of(self.model, given | {"tokens": _hidden(given["tokens"])})
        self.replica.descend(loss, factor)
        return {"tokens": float(given["mask"].sum())} | parts

    def settle(self, *, judged: bool) -> None:
        """Do nothing: there is nothing beside the weights."""

    def judged(self, number: int, workers: int) -> list[tuple[int, list[float]]]:
        """Return relevance, answerability and overlap with the gold span for a share of the split."""
        self.model.eval()
        rows, found = self._chosen(), list[tuple[int, list[float]]]()
        for at in range(number * 10, len(rows), workers * 10):
            batch = self._dev.batch(rows[at : at + 10])
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                spans, scores = self.model(batch["tokens"], batch["parts"], batch["mask"])
            values = torch.cat([scores.float(), overlaps(spans.float(), batch)[:, None]], 1)
            found += [(at + number, row) for number, row in enumerate(values.tolist())]
        return found

    def _chosen(self) -> list[int]:
        """Return examples of as many whole questions as JUDGED has room for."""
        groups = self._dev.arrays["groups"].numpy()
        order = np.random.default_rng(SEED).permutation(int(groups[-1]) + 1)
        rows = [np.flatnonzero(groups == group) for group in order[:JUDGED]]
        within = np.cumsum([len(each) for each in rows]) <= JUDGED
        return [int(row) for each, kept in zip(rows, within, strict=True) if kept for row in each]

    def figures(self, judged: Tensor) -> dict[str, float]:
        """Return what the development split says."""
        rows = self._chosen()
        judged = judged[: len(rows)]
        found: dict[str, float] = {"dev_span_f1": round(float(judged[:, 2].nanmean()), 4)}
        for column, name in enumerate(("relevant", "answerable")):
            labels = self._dev.arrays[name][rows]
            own, other = judged[labels == 1, column], judged[labels == 0, column]
            found[f"dev_{name}_auc"] = round(float((own[:, None] > other[None, :]).float().mean()), 4)
        _, sizes = self._dev.arrays["groups"][rows].unique_consecutive(return_counts=True)
        parts = [part for part in judged[:, 0].split(sizes.tolist()) if len(part) > 1]
        firsts = [float(part.argmax() == 0) for part in parts]
        return found | {"dev_first": round(sum(firsts) / max(len(firsts), 1), 4)}

    def save(self) -> None:
        """Write the weights under their published names, with the body's config.json."""
        weights = {name: value.contiguous() for name, value in self.model.published().items()}
        save_file(weights, self._work / "model.part")
        (self._work / "model.part").replace(self._work / "model.safetensors")
        shutil.copyfile(self._config, self._work / "config.json")


def overlaps(spans: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the F1, in tokens, of the best span to the gold one; NaN where there is none."""
    inside = batch["inside"].clone()
    inside[:, 0] = False
    logits = spans.masked_fill(~inside[:, :, None], -1e4)
    starts, ends = logits[:, :, 0].argmax(1), logits[:, :, 1].argmax(1)
    gold = batch["spans"]
    common = torch.minimum(ends, gold[:, 1]) - torch.maximum(starts, gold[:, 0]) + 1
    both = (ends - starts + 1).clamp(min=0) + gold[:, 1] - gold[:, 0] + 1
    return torch.where(gold[:, 0] > 0, 2 * common.clamp(min=0) / both, torch.nan)


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, required=True, help="folder of the body's weights and config.json"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the examples and of all results")
    parser.add_argument("--start", type=Path, help="weights to begin with, instead of the body's")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    last = train(
        Job(options.model, options.work, options.start),
        options.work,
        minutes=options.minutes,
        workers=options.workers,
        judge_every=JUDGE_EVERY,
    )
    print(json.dumps({"trained": str(options.work / "model.safetensors"), **last}))


if __name__ == "__main__":
    main()
