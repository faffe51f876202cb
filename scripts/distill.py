"""A teacher, a student cut from it, examples -> an adapter that teaches it, in a fixed time, resumable.

    python -m scripts.distill --teacher FOLDER_OR_GGUF --student FOLDER --examples .cache/generator \
        --work .cache/small --minutes 60 --workers 4 [--until 0.6 | --grid FILE]

The student (scripts/cut.py) learns three things at once: on the answers' tokens what the teacher expects
(KL divergence at a temperature: Hinton et al. 2015) and what is right (scripts/examples.py: choice and
cross-entropy); at every token, to hand each of its layers what that layer was given in the teacher, for
which the layers before it must do the work of those that were cut out between. What is trained is an
adapter on every linear layer, as in scripts/train_lora.py and with its --grid, so that what has to be kept
of a student is small. Stopped and started again it goes on from its last checkpoint. Progress is JSON, one
line a round; so is the last line. WORK/adapter is in PEFT's format: scripts/convert.py merges it into the
student.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from appliance.errors import UsageError
from scripts import train_lora
from scripts.cut import KEPT
from scripts.examples import cost, foretell, load_model
from scripts.train_lora import Adapted

RANK: Final = 48
"""More than an adapter for a task takes: it has to make good for whole layers."""
TEMPERATURE: Final = 2.0
EXPECTED, STATES, RIGHT = 1.0, 1.0, 0.4
"""The weights of divergence, states and what is right; the first and last to each other as in DistilBERT."""
_SAFE: Final = "Nothing was written. Cut the student from this teacher with python -m scripts.cut."


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the mean KL(teacher || student) of logits (m, vocabulary), both softened.

    Softer targets have gradients smaller by the square of the temperature, which is made good for.
    """
    wanted = functional.log_softmax(teacher / TEMPERATURE, dim=-1)
    found = functional.log_softmax(student / TEMPERATURE, dim=-1)
    return functional.kl_div(found, wanted, log_target=True, reduction="batchmean") * TEMPERATURE**2


def distance(teacher: Sequence[Tensor], student: Sequence[Tensor], inside: Tensor) -> Tensor:
    """Return the mean squared distance of states (n, s, width), relative to the teacher's, where `inside`.

    Relative, because a model's first token has states a thousand times as large as any other.
    """
    parts = []
    for wanted, found in zip(teacher, student, strict=True):
        exact = wanted.float()
        lost = (found.float() - exact).square().mean(-1) / exact.square().mean(-1)
        parts.append(lost[inside].mean())
    return torch.stack(parts).mean()


def given_to(states: Sequence[Tensor], kept: Sequence[int]) -> list[Tensor]:
    """Return of the teacher's states those that the student's layers but the first are given, then the head.

    The first layer is given the words as they stand in the table.
    """
    return [states[number] for number in (*kept[1:], len(states) - 1)]


def check(teacher: Any, student: Any) -> list[int]:
    """Return where the student's layers come from, from both models' configs.

    Raises:
        UsageError: they do not come from this teacher.
    """
    kept = getattr(student, KEPT, None)
    if not kept or len(kept) != student.num_hidden_layers or kept[-1] >= teacher.num_hidden_layers:
        raise UsageError("The student does not say which of this teacher's layers it has.", hint=_SAFE)
    for name in ("hidden_size", "vocab_size"):
        if getattr(teacher, name) != getattr(student, name):
            raise UsageError(
                f"The student's {name} is {getattr(student, name)}, the teacher's {getattr(teacher, name)}.",
                hint=_SAFE,
            )
    return list(kept)


class Taught(Adapted):
    """A worker's student with its adapter, its teacher and data."""

    def __init__(self, job: Job, taken: int) -> None:
        super().__init__(job, taken, rank=RANK)
        self._teacher = load_model(job.teacher).eval().requires_grad_(requires_grad=False)
        self._kept = check(self._teacher.config, self.model.config)

    def step(self, batch: list[int], factor: float) -> dict[str, float]:
        """Train on the examples `batch`."""
        self.model.train()
        given = self._train.batch(batch)
        with torch.no_grad():
            teacher = foretell(self._teacher, given, states=True)
        found = foretell(self._bare, given, states=True)
        expected = divergence(teacher.logits, found.logits)
        states = distance(given_to(teacher.states, self._kept), found.states[1:], given.inside)
        right, share = cost(found, given)
        self.replica.descend(EXPECTED * expected + STATES * states + RIGHT * right, factor)
        parts = {"kl": expected, "states": states, "loss": right}
        losses = {name: float(part.detach()) for name, part in parts.items()}
        return {"tokens": given.size, **losses, "right": share}


@dataclass(frozen=True)
class Job(train_lora.Job):
    """What a worker loads: `model` is the student."""

    teacher: Path

    def trainee(self, taken: int) -> Taught:
        """Load both models and the data."""
        return Taught(self, taken)


def main() -> int:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", type=Path, required=True, help="a Hugging Face folder or a GGUF file")
    parser.add_argument("--student", type=Path, required=True, help="the folder that scripts/cut.py wrote")
    parser.add_argument("--examples", type=Path, required=True, help="folder of scripts/corpus.py's")
    parser.add_argument("--work", type=Path, required=True, help="folder of all results")
    train_lora.add_training(parser)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    out = options.work / "adapter"
    job = Job(
        options.student,
        options.examples,
        out,
        grid=options.grid,
        start=options.start,
        teacher=options.teacher,
    )
    return train_lora.run(job, options.work, options)


if __name__ == "__main__":
    sys.exit(main())
