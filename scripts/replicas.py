"""One training on several cores: a process with one thread each, weights averaged by the clock, resumable.

Each worker trains a replica on batches of its own; every round ends by the clock, and then weights and
moments are averaged (local SGD: McMahan et al. 2017, Stich 2019). Threads that share one batch wait for the
slowest at every operation; rounds by the clock wait for nobody. The learning rate falls with the time that is
left, so the same seed gives the same weights only at the same speed.

Every few rounds the development split is judged. Where that gives a `dev_loss`, what is written is the best
round, and the training ends when PATIENCE judgements were no better. A terminal shows how far it is.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, multiprocessing

from scripts import progress
from scripts.fetch import digest

WARM: Final = 0.06
ROUND_S: Final = 20.0
PATIENCE: Final = 8
_PR_SET_PDEATHSIG: Final = 1


class Replica:
    """What one worker trains, `taken` steps old, as flat vectors where replicas meet."""

    def __init__(self, groups: Sequence[Mapping[str, Any]], *, peak: float, decay: float, taken: int) -> None:
        """Take parameter groups; a group's `factor` multiplies the learning rate."""
        self.trained = [each for group in groups for each in group["params"]]
        self._peak = peak
        self._optimiser = torch.optim.AdamW(list(groups), lr=peak, weight_decay=decay, fused=True)
        for each in self.trained:  # the moments exist from the start, to be averaged and resumed
            self._optimiser.state[each] = {
                "step": torch.full((), float(taken)),
                "exp_avg": torch.zeros_like(each),
                "exp_avg_sq": torch.zeros_like(each),
            }

    def descend(self, loss: Tensor, factor: float) -> None:
        """Take one step down `loss`, the learning rate being `factor` of its peak."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._peak * factor * group.get("factor", 1.0)
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self._optimiser.step()

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

    def taken(self) -> int:
        """Return the steps taken."""
        return int(self._optimiser.state[self.trained[0]]["step"])

    def size(self) -> int:
        """Return the number of trained parameters."""
        return sum(each.numel() for each in self.trained)

    def _vectors(self) -> Iterator[list[Tensor]]:
        yield [each.data for each in self.trained]
        for name in ("exp_avg", "exp_avg_sq"):
            yield [self._optimiser.state[each][name] for each in self.trained]


class Trainee(Protocol):
    """What is trained: a worker's model with its data."""

    model: Any
    replica: Replica

    @property
    def judged_shape(self) -> tuple[int, int]:
        """Return the rows judged and the figures of each."""

    def step(self, batch: Any, factor: float) -> dict[str, float]:
        """Train on a batch; return its tokens as `tokens`, and losses by name."""

    def batches(self, epoch: int) -> Sequence[Any]:
        """Return the batches of an epoch, in its own order."""

    def settle(self, *, judged: bool) -> None:
        """Do what is to be done when the weights were averaged, before they are `judged` above all."""

    def judged(self, number: int, workers: int) -> list[tuple[int, list[float]]]:
        """Return what the development split says, for this worker's share of it: row and figures."""

    def figures(self, judged: Tensor) -> dict[str, float]:
        """Return the figures of the whole development split."""

    def save(self) -> None:
        """Write the weights as others read them, whole or not at all."""


class Job(Protocol):
    """Makes a trainee in a worker; can be sent to one."""

    @property
    def sources(self) -> Sequence[Path]:
        """Return the files that a checkpoint goes on with, and with no others: examples, what is trained."""

    def trainee(self, taken: int) -> Trainee:
        """Load the model, `taken` steps old."""

    @property
    def phase(self) -> str:
        """Return what is judged: another phase has a best round of its own."""


@dataclass
class Best:
    """The least `dev_loss` of a phase, and how many judgements `since` were no better."""

    loss: float = math.inf
    since: int = 0

    def take(self, figures: Mapping[str, float]) -> bool:
        """Take one more judgement; tell whether it is the best so far, as it is where it gives no loss."""
        if progress.LOSS not in figures:
            return True
        better = figures[progress.LOSS] < self.loss
        self.loss, self.since = (figures[progress.LOSS], 0) if better else (self.loss, self.since + 1)
        return better


@dataclass(frozen=True)
class Before:
    """What was done before: seconds trained, steps taken, and the best of the phase.

    `others` is what the checkpoint says of other phases: one that is over stays over.
    """

    elapsed: float
    taken: int
    best: Best
    others: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """What to train, for how long, and how much of it was done before; judged every `judge_every` rounds.

    At the share `until` of the time it stops, to be gone on with. `data` are the SHA-256 of the sources.
    """

    work: Path
    seconds: float
    workers: int
    before: Before
    began: float
    judge_every: int
    until: float
    data: str
    phase: str

    def elapsed(self) -> float:
        """Return the seconds that are gone, those of earlier runs too."""
        return self.before.elapsed + time.monotonic() - self.began

    def share(self) -> float:
        """Return the share of the time that is gone."""
        return min(self.elapsed() / self.seconds, 1.0)

    def over(self, share: Tensor, best: Best) -> bool:
        """Tell whether the time is up, or more of it would not help."""
        return bool(share >= self.until) or best.since >= PATIENCE


@dataclass(frozen=True)
class Shared:
    """What the workers share: a slot each, their mean, the best round's weights, tallies and judgements."""

    slots: Tensor
    mean: Tensor
    best: Tensor
    tally: Tensor
    judged: Tensor
    share: Tensor
    barrier: Any


def train(
    job: Job, work: Path, *, minutes: float, workers: int, judge_every: int, until: float = 1.0
) -> dict[str, Any]:
    """Train, or go on, until that share of `minutes` in all is over.

    Return the last line of the log, and how many parameters are trained.

    Raises:
        SystemExit: the checkpoint is of other sources than there are now.
    """
    torch.set_num_threads(1)
    first = job.trainee(0)
    shared = _shared(first, workers)
    data = " ".join(digest(path) for path in job.sources)
    before = _resumed(work, shared, data=data, phase=job.phase)
    began = time.monotonic()
    plan = Plan(work, minutes * 60, workers, before, began, judge_every, until, data, job.phase)
    shared.share.fill_(before.elapsed / plan.seconds)
    if not plan.over(shared.share, before.best):
        multiprocessing.spawn(_work, (job, plan, shared), nprocs=workers)
    trained, every = first.replica.size(), sum(each.numel() for each in first.model.parameters())
    found = {"trainable": trained, "trainable_share": round(trained / every, 4)}
    return found | _log(work)[-1]


def rate(share: float) -> float:
    """Return the learning rate's factor when `share` of the time is gone: up in the beginning, then down."""
    return share / WARM if share < WARM else max((1 - share) / (1 - WARM), 0.0)


def _work(number: int, job: Job, plan: Plan, shared: Shared) -> None:
    """Train replica `number` until the time is up."""
    # Killed with the parent: orphans went on training, and wrote over the checkpoints of the next run (seen).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    torch.set_num_threads(1)
    trainee = job.trainee(plan.before.taken)
    trainee.replica.read(shared.mean)
    stream = _stream(trainee, number, plan)
    turn, best, spoke = 0, replace(plan.before.best), plan.elapsed()
    while not plan.over(shared.share, best):
        tally = _round(trainee, stream, plan)
        trainee.replica.write(shared.slots[number])
        shared.tally[number, : len(tally)] = torch.tensor(list(tally.values()))
        shared.barrier.wait()
        if number == 0:
            _average(shared)
            # One clock decides for all: two that disagree would wait for each other for ever.
            shared.share.fill_(plan.share())
        shared.barrier.wait()
        trainee.replica.read(shared.mean)
        turn += 1
        judged = bool(turn % plan.judge_every == 0 or shared.share >= plan.until)
        trainee.settle(judged=judged)
        # Every worker holds the same figures against the same best, so all of them end in the same round.
        figures = _judged(trainee, number, plan, shared) if judged else {}
        better = judged and best.take(figures)
        if number == 0:
            line = _line(shared, list(tally), since=plan.elapsed() - spoke)
            spoke = plan.elapsed()
            told = {progress.BEST: best.loss} if progress.LOSS in figures else {}
            _report(plan, line | {"minutes": round(spoke / 60, 2)} | figures | told)
            if better:
                shared.best.copy_(shared.mean[0])
                trainee.save()
            if judged:
                _save(trainee, plan, shared, best)


def _judged(trainee: Trainee, number: int, plan: Plan, shared: Shared) -> dict[str, float]:
    """Judge a share of the development split; return the figures of all of it."""
    for row, values in trainee.judged(number, plan.workers):
        shared.judged[row] = torch.tensor(values)
    shared.barrier.wait()
    return trainee.figures(shared.judged)


def _stream(trainee: Trainee, number: int, plan: Plan) -> Iterator[Any]:
    first = int(plan.before.elapsed)  # after a restart other orders than before
    for epoch in itertools.count(first):
        yield from trainee.batches(epoch)[number :: plan.workers]


def _round(trainee: Trainee, stream: Iterator[Any], plan: Plan) -> dict[str, float]:
    """Train until the round is over; return steps, tokens and the sums of the losses."""
    ends = time.monotonic() + ROUND_S
    tally: dict[str, float] = {"steps": 0.0}
    while not tally["steps"] or (time.monotonic() < ends and plan.share() < 1):
        parts = trainee.step(next(stream), rate(plan.share()))
        for name, value in ({"steps": 1.0} | parts).items():
            tally[name] = tally.get(name, 0.0) + value
    return tally


def _average(shared: Shared) -> None:
    """Weigh each replica by the steps that it took."""
    weights = shared.tally[:, 0] / shared.tally[:, 0].sum()
    shared.mean.zero_()
    for weight, slot in zip(weights.tolist(), shared.slots, strict=True):
        shared.mean.add_(slot, alpha=weight)


def _line(shared: Shared, names: Sequence[str], *, since: float) -> dict[str, float]:
    """Return what the log says of a round that took the seconds `since` the last."""
    sums = dict(zip(names, shared.tally.sum(0).tolist(), strict=False))
    steps, tokens = sums.pop("steps"), int(sums.pop("tokens"))
    line: dict[str, float] = {"share": round(float(shared.share), 4), "steps": int(steps), "tokens": tokens}
    line |= {name: round(all_ / steps, 4) for name, all_ in sums.items()}
    return line | {"tokens_per_s": round(tokens / max(since, 1e-3), 1)}


def _report(plan: Plan, line: Mapping[str, float]) -> None:
    with (plan.work / "train.log").open("a") as log:
        log.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)
    if sys.stderr.isatty():
        print(progress.line(_log(plan.work), plan.seconds * plan.until / 60), file=sys.stderr, flush=True)


def _log(work: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / "train.log").read_text().splitlines()]


def _save(trainee: Trainee, plan: Plan, shared: Shared, best: Best) -> None:
    """Write the checkpoint: after log and weights, so that where it says all was done they are there."""
    state = plan.work / "checkpoint.safetensors"
    scratch = state.with_suffix(".part")
    known = {"elapsed": plan.elapsed(), "taken": trainee.replica.taken(), "data": plan.data}
    known |= {"phase": plan.phase, f"best {plan.phase}": best.loss, f"since {plan.phase}": best.since}
    metadata = {name: str(value) for name, value in known.items()} | dict(plan.before.others)
    save_file({"vectors": shared.mean, "best": shared.best}, scratch, metadata=metadata)
    scratch.replace(state)


def _shared(trainee: Trainee, workers: int) -> Shared:
    size = trainee.replica.size()
    mean = torch.zeros(3, size).share_memory_()
    trainee.replica.write(mean)
    return Shared(
        torch.zeros(workers, 3, size).share_memory_(),
        mean,
        mean[0].clone().share_memory_(),
        torch.zeros(workers, 8).share_memory_(),
        torch.zeros(trainee.judged_shape).share_memory_(),
        torch.zeros(()).share_memory_(),
        multiprocessing.get_context("spawn").Barrier(workers),
    )


def _resumed(folder: Path, shared: Shared, *, data: str, phase: str) -> Before:
    """Take up the last checkpoint, if there is one, of these data."""
    state = folder / "checkpoint.safetensors"
    if not state.exists():
        return Before(0.0, 0, Best(), {})
    with safe_open(state, "pt") as file:
        known = file.metadata()
        if known.get("data") != data or "phase" not in known:
            raise SystemExit(
                f"{state} is of other examples or weights, or says not of which: remove it to begin anew."
            )
        shared.mean.copy_(file.get_tensor("vectors"))
        shared.best.copy_(file.get_tensor("best"))
    own = (f"best {phase}", f"since {phase}")
    if own[0] not in known:
        best = Best()
        shared.mean[0].copy_(shared.best)  # a new phase begins with the best that the last one had
    elif known["phase"] == phase:
        best = Best(float(known[own[0]]), int(known[own[1]]))
    else:  # over since another began, whose weights these are
        best = Best(float(known[own[0]]), PATIENCE)
    others = {
        name: value
        for name, value in known.items()
        if name.startswith(("best ", "since ")) and name not in own
    }
    return Before(float(known["elapsed"]), int(known["taken"]), best, others)
