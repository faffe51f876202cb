"""When a training ends, what is kept of it, and what it goes on with; the rounds are of one step each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extra: requirements/train.in")

from scripts import replicas  # noqa: E402 - it needs torch

PATIENCE = replicas.PATIENCE
LONG, SHORT = 100.0, 1e-9


class Trainee:
    """One weight, and losses that are known before."""

    judged_shape = (1, 1)

    def __init__(self, job: Job, taken: int) -> None:
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.model.weight.data.fill_(float(taken))
        self.replica = replicas.Replica(
            [{"params": [*self.model.parameters()]}], peak=0, decay=0, taken=taken
        )
        self._job = job

    def step(self, batch: Any, factor: float) -> dict[str, float]:
        self.replica.descend(self.model(torch.ones(1, 1)).sum(), factor)
        self.model.weight.data += 1  # so that a weight says after how many steps it was
        return {"tokens": 10.0, "loss": 1.0}

    def batches(self, epoch: int) -> Sequence[Any]:
        return range(1000)

    def settle(self, *, judged: bool) -> None: ...

    def judged(self, number: int, workers: int) -> list[tuple[int, list[float]]]:
        return [(0, [self._job.losses.pop(0)])]

    def figures(self, judged: Any) -> dict[str, float]:
        return {"dev_loss": round(float(judged[0, 0]), 3)}

    def save(self) -> None:
        (self._job.work / "weights").write_text(str(self.replica.taken()))
        (self._job.work / "value").write_text(str(float(self.model.weight.detach())))


@dataclass(frozen=True)
class Job:
    work: Path
    losses: list[float]
    phase: str = "float"

    def trainee(self, taken: int) -> Trainee:
        return Trainee(self, taken)

    @property
    def sources(self) -> tuple[Path, ...]:
        return (self.work / "train.safetensors",)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of examples; whoever is spawned works here, and does not die with its parent."""

    def here(work: Callable[..., None], given: tuple[Any, ...], *, nprocs: int) -> None:
        work(0, *given)

    (tmp_path / "train.safetensors").write_bytes(b"examples")
    monkeypatch.setattr(replicas, "ROUND_S", 0.0)
    monkeypatch.setattr(replicas.multiprocessing, "spawn", here)
    monkeypatch.setattr(replicas, "ctypes", SimpleNamespace(CDLL=lambda _: SimpleNamespace(prctl=print)))
    return tmp_path


def trained(work: Path, losses: list[float], minutes: float = LONG, **more: Any) -> dict[str, Any]:
    job = Job(work, losses, **more)
    return replicas.train(job, work, minutes=minutes, workers=1, judge_every=1)


def rounds(work: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (work / "train.log").read_text().splitlines()]


def kept(work: Path) -> int:
    """Return after how many steps the weights were written that are there."""
    return int((work / "weights").read_text())


def test_the_best_round_is_kept_and_it_ends_when_none_is_better(work: Path) -> None:
    last = trained(work, [3.0, 2.0, 1.0, *[1.5] * 50])
    assert (len(rounds(work)), kept(work)) == (3 + PATIENCE, 3)
    assert (last["dev_loss"], last["best_dev_loss"]) == (1.5, 1.0)
    assert (last["trainable"], last["trainable_share"]) == (1, 1.0)


def test_what_ended_has_nothing_more_to_do(work: Path) -> None:
    last = trained(work, [1.0, *[1.5] * 50])
    assert trained(work, []) == last
    assert (len(rounds(work)), kept(work)) == (1 + PATIENCE, 1)


def test_a_run_whose_time_is_over_trains_no_round_more(work: Path) -> None:
    last = trained(work, [3.0], SHORT)
    assert last["share"] == 1
    assert trained(work, [], SHORT) == last
    assert len(rounds(work)) == 1


def test_it_goes_on_with_the_best_that_it_had(work: Path) -> None:
    trained(work, [1.0], SHORT)
    trained(work, [2.0] * 50)
    assert (len(rounds(work)), kept(work)) == (1 + PATIENCE, 1)


def test_another_phase_has_a_best_of_its_own(work: Path) -> None:
    trained(work, [1.0, *[1.5] * 50])
    last = trained(work, [3.0, 2.0, *[2.5] * 50], phase="grid")
    assert (len(rounds(work)), kept(work)) == (1 + PATIENCE + 2 + PATIENCE, 1 + PATIENCE + 2)
    assert last["best_dev_loss"] == 2.0


def test_another_phase_begins_with_the_best_weights_of_the_last(work: Path) -> None:
    trained(work, [3.0, 1.0, *[1.5] * 50])
    assert float((work / "value").read_text()) == 2  # two steps up from 0
    trained(work, [2.0, *[2.5] * 50], phase="grid")
    assert float((work / "value").read_text()) == 3


@pytest.mark.parametrize(("losses", "minutes"), [([1.0, *[1.5] * 50], LONG), ([1.0], SHORT)])
def test_a_phase_is_over_when_another_began(work: Path, losses: list[float], minutes: float) -> None:
    trained(work, losses, minutes)
    trained(work, [3.0, *[3.5] * 50], phase="grid")
    done, weights = len(rounds(work)), (work / "value").read_text()
    trained(work, [0.5] * 50)
    assert (len(rounds(work)), (work / "value").read_text()) == (done, weights)


def test_a_checkpoint_of_other_examples_is_refused_and_kept(work: Path) -> None:
    trained(work, [1.0], SHORT)
    before = (work / "checkpoint.safetensors").read_bytes()
    (work / "train.safetensors").write_bytes(b"other examples")
    with pytest.raises(SystemExit, match=r"of other examples or weights, .*: remove it"):
        trained(work, [1.0])
    assert (work / "checkpoint.safetensors").read_bytes() == before


def test_a_terminal_sees_how_far_it_is(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(work, [3.0, 2.0], SHORT)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    trained(work, [2.0, *[2.5] * 50])
    told = capsys.readouterr()
    assert "of 100 min" in told.err
    assert "dev_loss \u2588\u2581" in told.err
    assert all(json.loads(line) for line in told.out.splitlines() if not line.startswith("1 9"))
