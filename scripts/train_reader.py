"""Examples of scripts/reader_data.py -> the trained reader, in a fixed time, on the CPU, resumable.

    python -m scripts.train_reader --model .cache/models/minilm --work .cache/reader --minutes 36 --workers 4

Each worker is one process with one thread that trains a replica on batches of its own; every round ends by
the clock, and then weights and moments are averaged (local SGD: McMahan et al. 2017, Stich 2019). On a busy
machine threads that share one batch wait for the slowest at every operation (measured: .2k to .5k tokens/s
with four threads, 1.6k with one); rounds by the clock wait for nobody. The learning rate falls with the time
that is left, so the same seed gives the same weights only at the same speed. Stopped and started again with
the same --work it goes on from the last checkpoint. Progress is JSON, one line a round; so is the last line.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, multiprocessing
from torch.nn import functional

from scripts.convert import read_shape
from scripts.reader_batches import Data, batches
from scripts.reader_model import ReaderModel

SEED: Final = 20261123
PEAK: Final = 2.5e-4
HEADS: Final = 5.0
"""The heads begin at random: they learn at this multiple."""
WARM: Final = 0.06
DECAY: Final = 0.01
DROPOUT: Final = 0.1
HIDDEN_WORDS: Final = 0.04
"""The share of words shown as [MASK]. Without both, after two epochs: F1 .79 on the trained, .67 beyond."""
ROUND_S: Final = 15.0
_MASK: Final = 103
_PR_SET_PDEATHSIG: Final = 1
JUDGED: Final = 600
JUDGE_EVERY: Final = 16
JUDGE_LOSS: Final = 0.5
"""The weight of each judgement beside the span's."""


def loss_of(model: ReaderModel, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Return the loss: cross-entropy of start and end, binary cross-entropy of the two judgements."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spans, scores = model(batch["tokens"], batch["parts"], batch["mask"])
    spans = spans.float().masked_fill(~batch["inside"][:, :, None], -1e4)
    span = functional.cross_entropy(spans, batch["spans"], ignore_index=-1)
    judged = [
        _judged(scores[:, column].float(), batch[name])
        for column, name in enumerate(("relevant", "answerable"))
    ]
    parts = {
        "span": float(span.detach()),
        "relevant": float(judged[0].detach()),
        "answerable": float(judged[1].detach()),
    }
    return span.nan_to_num() + JUDGE_LOSS * (judged[0] + judged[1]), parts


def _judged(logits: Tensor, labels: Tensor) -> Tensor:
    known = labels >= 0
    if not bool(known.any()):
        return logits.sum() * 0
    return functional.binary_cross_entropy_with_logits(logits[known], labels[known].float())


def rate(share: float) -> float:
    """Return the learning rate's factor when `share` of the time is gone: up in the beginning, then down."""
    return share / WARM if share < WARM else max((1 - share) / (1 - WARM), 0.0)


def _hidden(tokens: Tensor) -> Tensor:
    """Return the tokens with a few of the words behind [MASK]."""
    chosen = (torch.rand(tokens.shape) < HIDDEN_WORDS) & (tokens > _MASK)  # what is below are [CLS], [SEP]...
    return torch.where(chosen, _MASK, tokens)


class Replica:
    """A worker's model with its optimiser, `taken` steps old, as flat vectors where replicas meet."""

    def __init__(self, folder: Path, taken: int) -> None:
        torch.manual_seed(SEED)
        shape = read_shape((folder / "config.json").read_bytes())
        self.model = ReaderModel(shape, load_file(folder / "model.safetensors"), dropout=DROPOUT)
        # Half of all parameters, and the words are known: frozen they cost neither time nor noise.
        self.model.words.weight.requires_grad_(requires_grad=False)
        heads = [*self.model.span.parameters(), *self.model.scores.parameters()]
        known = {id(each) for each in heads}
        body = [each for each in self.model.parameters() if each.requires_grad and id(each) not in known]
        self.trained = [*body, *heads]
        groups = [{"params": body, "factor": 1.0}, {"params": heads, "factor": HEADS}]
        self.optimiser = torch.optim.AdamW(groups, lr=PEAK, weight_decay=DECAY, fused=True)
        for (
            each
        ) in self.trained:  # the moments exist from the start, so that they can be averaged and resumed
            self.optimiser.state[each] = {
                "step": torch.full((), float(taken)),
                "exp_avg": torch.zeros_like(each),
                "exp_avg_sq": torch.zeros_like(each),
            }

    def step(self, batch: dict[str, Tensor], factor: float) -> dict[str, float]:
        """Take one step."""
        batch = batch | {"tokens": _hidden(batch["tokens"])}
        for group in self.optimiser.param_groups:
            group["lr"] = PEAK * factor * group["factor"]
        loss, parts = loss_of(self.model, batch)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        return parts

    def _vectors(self) -> Iterator[list[Tensor]]:
        yield [each.data for each in self.trained]
        for name in ("exp_avg", "exp_avg_sq"):
            yield [self.optimiser.state[each][name] for each in self.trained]

    def write(self, slot: Tensor) -> None:
        """Put weights and moments into `slot`, shape (3, parameters)."""
        for row, parts in zip(slot, self._vectors(), strict=True):
            torch.cat([part.reshape(-1) for part in parts], out=row)

    def read(self, slot: Tensor) -> None:
        """Take weights and moments from `slot`."""
        for row, parts in zip(slot, self._vectors(), strict=True):
            at = 0
            for part in parts:
                part.copy_(row[at : at + part.numel()].view_as(part))
                at += part.numel()

    def taken(self) -> float:
        """Return the steps taken."""
        return float(self.optimiser.state[self.trained[0]]["step"])

    def size(self) -> int:
        """Return the number of trained parameters."""
        return sum(each.numel() for each in self.trained)


@dataclass(frozen=True)
class Shared:
    """What the workers share: a slot each, the mean, their tallies, the judged examples, where they meet."""

    slots: Tensor
    mean: Tensor
    tally: Tensor
    judged: Tensor
    share: Tensor
    barrier: Any


@dataclass(frozen=True)
class Plan:
    """What to train, for how long, and how much of it was done before."""

    model: Path
    work: Path
    seconds: float
    workers: int
    elapsed: float
    taken: int
    began: float

    def share(self) -> float:
        """Return the share of the time that is gone."""
        return min((self.elapsed + time.monotonic() - self.began) / self.seconds, 1.0)


def work(number: int, plan: Plan, shared: Shared) -> None:
    """Train replica `number` until the time is up."""
    # Killed with the parent: orphans went on training, and wrote over the checkpoints of the next run (seen).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    torch.set_num_threads(1)
    replica, train = Replica(plan.model, plan.taken), Data.read(plan.work / "train.safetensors")
    dev = Data.read(plan.work / "dev.safetensors")
    replica.read(shared.mean)
    stream = _stream(train, number, plan)
    turn = 0
    while shared.share < 1:
        tally = _round(replica, train, stream, plan)
        replica.write(shared.slots[number])
        shared.tally[number] = torch.tensor(tally)
        shared.barrier.wait()
        if number == 0:
            _average(shared)
            # One clock decides for all: two that disagree would wait for each other for ever.
            shared.share.fill_(plan.share())
        shared.barrier.wait()
        replica.read(shared.mean)
        turn += 1
        if judged := bool(turn % JUDGE_EVERY == 0 or shared.share >= 1):
            _judge(replica.model, dev, number, shared, plan.workers)
            shared.barrier.wait()
        if number == 0:
            _report(replica, plan, shared, judged=judged)


def _stream(train: Data, number: int, plan: Plan) -> Iterator[list[int]]:
    lengths = train.lengths()
    first = int(plan.elapsed)  # after a restart other orders than before
    for epoch in range(first, first + 1000):
        yield from batches(lengths, SEED + epoch)[number :: plan.workers]


def _round(replica: Replica, train: Data, stream: Iterator[list[int]], plan: Plan) -> list[float]:
    """Train until the round is over; return steps, tokens and the sums of the losses."""
    replica.model.train()
    ends = time.monotonic() + ROUND_S
    tally = np.zeros(5)
    while not tally[0] or (time.monotonic() < ends and plan.share() < 1):
        batch = train.batch(next(stream))
        parts = replica.step(batch, rate(plan.share()))
        tally += [1, int(batch["mask"].sum()), parts["span"], parts["relevant"], parts["answerable"]]
    return [float(value) for value in tally]


def _average(shared: Shared) -> None:
    """Weigh each replica by the steps that it took."""
    weights = shared.tally[:, 0] / shared.tally[:, 0].sum()
    shared.mean.zero_()
    for weight, slot in zip(weights.tolist(), shared.slots, strict=True):
        shared.mean.add_(slot, alpha=weight)


def _judge(model: ReaderModel, dev: Data, number: int, shared: Shared, workers: int) -> None:
    """Write relevance, answerability, overlap with the gold span for this worker's share of the split."""
    model.eval()
    rows = _chosen(dev)
    for at in range(number * 10, len(rows), workers * 10):
        batch = dev.batch(rows[at : at + 10])
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            spans, scores = model(batch["tokens"], batch["parts"], batch["mask"])
        shared.judged[at : at + len(scores), :2] = scores.float()
        shared.judged[at : at + len(scores), 2] = overlaps(spans.float(), batch)


def _chosen(dev: Data) -> list[int]:
    count = len(dev.arrays["passages"])
    return [int(row) for row in np.random.default_rng(SEED).permutation(count)[:JUDGED]]


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


def _report(replica: Replica, plan: Plan, shared: Shared, *, judged: bool) -> None:
    steps, tokens, span, relevant, answerable = shared.tally.sum(0).tolist()
    line: dict[str, Any] = {
        "share": round(float(shared.share), 4),
        "steps": int(steps),
        "tokens": int(tokens),
        "span": round(span / steps, 4),
        "relevant": round(relevant / steps, 4),
        "answerable": round(answerable / steps, 4),
    }
    if judged:
        line |= figures(shared.judged, Data.read(plan.work / "dev.safetensors"))
        _save(replica, plan, shared)
    with (plan.work / "train.log").open("a") as log:
        log.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def figures(judged: Tensor, dev: Data) -> dict[str, float]:
    """Return what the development split says."""
    rows = _chosen(dev)
    found: dict[str, float] = {"dev_span_f1": round(float(judged[: len(rows), 2].nanmean()), 4)}
    for column, name in enumerate(("relevant", "answerable")):
        labels = dev.arrays[name][rows]
        own, other = judged[: len(rows), column][labels == 1], judged[: len(rows), column][labels == 0]
        found[f"dev_{name}_auc"] = round(float((own[:, None] > other[None, :]).float().mean()), 4)
    return found


def _save(replica: Replica, plan: Plan, shared: Shared) -> None:
    elapsed = plan.elapsed + time.monotonic() - plan.began
    state = plan.work / "checkpoint.safetensors"
    scratch = state.with_suffix(".part")
    save_file(
        {"vectors": shared.mean},
        scratch,
        metadata={"elapsed": str(elapsed), "taken": str(int(replica.taken()))},
    )
    scratch.replace(state)
    weights = {name: value.contiguous() for name, value in replica.model.published().items()}
    save_file(weights, plan.work / "model.part")
    (plan.work / "model.part").replace(plan.work / "model.safetensors")
    shutil.copyfile(plan.model / "config.json", plan.work / "config.json")


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, required=True, help="folder of the body's weights and config.json"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the examples and of all results")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    replica = Replica(options.model, 0)
    shared = _shared(replica, options.workers)
    elapsed, taken = _resumed(options.work, shared)
    plan = Plan(
        options.model,
        options.work,
        options.minutes * 60,
        options.workers,
        elapsed,
        taken,
        time.monotonic(),
    )
    multiprocessing.spawn(work, (plan, shared), nprocs=options.workers)
    last = (options.work / "train.log").read_text().splitlines()[-1]
    print(json.dumps({"trained": str(options.work / "model.safetensors"), **json.loads(last)}))


def _shared(replica: Replica, workers: int) -> Shared:
    mean = torch.zeros(3, replica.size()).share_memory_()
    replica.write(mean)
    return Shared(
        torch.zeros(workers, 3, replica.size()).share_memory_(),
        mean,
        torch.zeros(workers, 5).share_memory_(),
        torch.zeros(JUDGED, 3).share_memory_(),
        torch.zeros(()).share_memory_(),
        multiprocessing.get_context("spawn").Barrier(workers),
    )


def _resumed(folder: Path, shared: Shared) -> tuple[float, int]:
    """Take up the last checkpoint if there is one; return the seconds trained and steps taken before."""
    state = folder / "checkpoint.safetensors"
    if not state.exists():
        return 0.0, 0
    with safe_open(state, "pt") as file:
        shared.mean.copy_(file.get_tensor("vectors"))
        return float(file.metadata()["elapsed"]), int(file.metadata()["taken"])


if __name__ == "__main__":
    main()
