"""Examples of scripts/corpus.py and a language model -> a LoRA adapter, in a fixed time, resumable.

    python -m scripts.train_lora --model FOLDER_OR_GGUF --work .cache/generator --minutes 60 --workers 4

Low-rank adapters on every linear layer (Hu et al. 2021), by peft. What is learnt are the answer's own
tokens and, where words are offered, the choice among them by margin and likelihood, as the appliance
chooses (scripts/examples.py); logits are computed for those alone. Batches are of one length, more or less,
without padding on the left. Stopped and started again it goes on from its last checkpoint. Progress is
JSON, one line a round; so is the last line. The adapter of the best judged round is written in PEFT's
format; `--start` trains one on.

With `--grid FILE` it trains for the 4-bit file: every few rounds base and adapter together are rounded to the
shipped grid, as scripts/quantize.py will with the same importance (scripts/importance.py), and the base takes
over what the rounding changed. Between two such moments the adapter learns to make good for it; the gradient
is that of the unrounded weights (straight-through: Bengio et al. 2013).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch import Tensor

from appliance.errors import ApplianceError, UsageError
from scripts import adapter, families, floats, gguf, hf, quantize
from scripts.examples import JUDGE_EVERY, SEED, Learner, cost, foretell, load_model, save_whole
from scripts.fetch import digest
from scripts.replicas import Replica, train

RANK: Final = 32
PEAK: Final = 8e-4
"""Ten times what full training takes (Schulman et al. 2025, "LoRA without regret")."""
ONWARD: Final = 0.5
"""The share of the peak for an adapter that is trained on."""
GRID_EVERY: Final = 9
"""Rounds between two roundings to the grid: each takes 12 s of one core."""
LAYERS: Final = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Grid:
    """The 4-bit grid under a model's adapted layers."""

    def __init__(self, model: Any, importance: Path) -> None:
        """Take the model that peft wrapped.

        Raises:
            UsageError: the importance is not this model's.
        """
        family = families.FAMILIES[type(model.base_model.model).__name__]
        self._layers = {
            str(adapter.gguf_name(name, family)): each
            for name, each in model.named_modules()
            if isinstance(each, LoraLayer)
        }
        self._exact = {name: each.base_layer.weight.detach().float() for name, each in self._layers.items()}
        self._plan = replace(quantize.SHIPPED, importance=_importance(importance, self._exact))

    def settle(self) -> None:
        """Make every layer compute what it would in the 4-bit file made now: base := grid(W + BA) - BA."""
        for name, layer in self._layers.items():
            learnt = layer.get_delta_weight("default").detach().float()
            layer.base_layer.weight.data.copy_(rounded(self._exact[name] + learnt, name, self._plan) - learnt)


def _importance(path: Path, weights: Mapping[str, Tensor]) -> dict[str, floats.Float]:
    """Read the importance of the columns of these weights; that of word table and output may be there too."""
    widths = {name: weight.shape[1] for name, weight in weights.items()}
    hidden = widths["blk.0.attn_q.weight"]
    found = quantize.read_importance(path, widths | {gguf.EMBEDDING: hidden, gguf.OUTPUT: hidden})
    if missing := widths.keys() - found.keys():
        raise UsageError(
            f"{path.name} says nothing of {min(missing)}.",
            hint="Nothing was trained. Make it from the float model: python -m scripts.importance.",
        )
    return found


def rounded(weight: Tensor, name: str, plan: quantize.Plan) -> Tensor:
    """Return the weights (out, in) of a matrix as the file made by `plan` holds them."""
    exact = floats.tensor(name, weight.numpy(), gguf.F32)
    return torch.tensor(floats.unpack(quantize.quantized(exact, plan)))  # of its own: bytes cannot be written


def _rank(folder: Path) -> int:
    """Return the rank of an adapter to train on.

    Raises:
        UsageError: it is laid on otherwise than one that is made here.
    """
    rank, scale = adapter.strength(hf.read_json(folder / adapter.CONFIG))
    if scale != 1:
        raise UsageError(f"{folder.name} is laid on {scale} times, not once.", hint=_OTHER)
    return rank


def _begin(model: Any, folder: Path) -> None:
    """Give the model that peft wrapped the weights of an adapter.

    Raises:
        UsageError: it is of other layers.
    """
    found = set_peft_model_state_dict(model, load_file(folder / adapter.WEIGHTS))
    wrong = [*found.unexpected_keys, *(name for name in found.missing_keys if "lora_" in name)]
    if wrong:
        raise UsageError(f"{folder.name} is not of this model's layers: {wrong[0]}.", hint=_OTHER)


_OTHER: Final = "Nothing was trained. --start takes an adapter that was made here for the same base."


class Adapted(Learner):
    """A worker's model with its adapter and data."""

    def __init__(self, job: Job, taken: int, *, rank: int = RANK) -> None:
        torch.manual_seed(SEED)
        if job.start:
            rank = _rank(job.start)
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=LAYERS)
        model = get_peft_model(load_model(job.model), config)
        if job.start:
            _begin(model, job.start)
        super().__init__(model, model.base_model.model, job.examples)
        trained = [each for each in model.parameters() if each.requires_grad]
        peak = PEAK * ONWARD if job.start else PEAK
        self.replica = Replica([{"params": trained}], peak=peak, decay=0.0, taken=taken)
        self._grid = Grid(model, job.grid) if job.grid else None
        self._rounds = 0
        self._begun = job.start is not None
        self._out = job.out

    def batches(self, epoch: int) -> list[list[int]]:
        """Return the batches of an epoch; an adapter that is trained on has seen the first."""
        return self._train.batches(epoch + self._begun)

    def step(self, batch: list[int], factor: float) -> dict[str, float]:
        """Train on the examples `batch`."""
        self.model.train()
        given = self._train.batch(batch)
        loss, right = cost(foretell(self._bare, given), given)
        self.replica.descend(loss, factor)
        return {"tokens": given.size, "loss": float(loss.detach()), "right": right}

    def settle(self, *, judged: bool) -> None:
        """Round to the grid now and then, and whenever it is to be judged."""
        if self._grid and (judged or self._rounds % GRID_EVERY == 0):
            self._grid.settle()
        self._rounds += 1

    def save(self) -> None:
        """Write the adapter in PEFT's format, each file whole or not at all."""
        save_whole(self.model, self._out)


@dataclass(frozen=True)
class Job:
    """What a worker loads: the model, the folder of the examples, and where the adapter goes.

    `grid` is the importance of the columns, where it is trained for the 4-bit file; `start` the folder of the
    adapter to train on, if there is one.
    """

    model: Path
    examples: Path
    out: Path
    grid: Path | None
    start: Path | None

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return examples and model: a checkpoint goes on with no others."""
        whole = self.model if self.model.is_file() else self.model / "model.safetensors"
        begun = (self.start / adapter.WEIGHTS,) if self.start else ()
        return (self.examples / "train.safetensors", whole, *begun)

    @property
    def phase(self) -> str:
        """Return what is judged: float weights do better than those on a grid, and each importance is one."""
        return f"grid {digest(self.grid)[:16]}" if self.grid else "float"

    def trainee(self, taken: int) -> Adapted:
        """Load model and data."""
        return Adapted(self, taken)


def add_training(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every training of an adapter."""
    parser.add_argument("--minutes", type=float, default=64)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--until", type=float, default=1.0, help="stop at this share of the minutes")
    parser.add_argument(
        "--grid", type=Path, help="train for the 4-bit file; what scripts/importance.py wrote"
    )
    parser.add_argument("--start", type=Path, help="the folder of an adapter to train on")


def run(job: Job, work: Path, options: argparse.Namespace) -> int:
    """Train, or go on, as the options say; print the last line, or what is wrong. Return the exit code."""
    try:
        last = train(
            job,
            work,
            minutes=options.minutes,
            workers=options.workers,
            judge_every=JUDGE_EVERY,
            until=options.until,
        )
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"adapter": str(job.out), "peak_mb_a_worker": round(peak), **last}))
    return 0


def main() -> int:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder or a GGUF file")
    parser.add_argument("--work", type=Path, required=True, help="folder of the examples and of all results")
    parser.add_argument("--out", type=Path, help="folder of the adapter (default: WORK/adapter)")
    add_training(parser)
    options = parser.parse_args()
    out = options.out or options.work / "adapter"
    return run(Job(options.model, options.work, out, options.grid, options.start), options.work, options)


if __name__ == "__main__":
    sys.exit(main())
