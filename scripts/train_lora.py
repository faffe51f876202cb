"""Examples of scripts/corpus.py and a language model -> a LoRA adapter, in a fixed time, resumable.

    python -m scripts.train_lora --model FOLDER_OR_GGUF --work .cache/generator --minutes 60 --workers 4

Low-rank adapters on every linear layer (Hu et al. 2021), by peft; the loss is that of the answer's tokens
alone, and only for those are logits computed. Batches are of one length, more or less, without padding on the
left. Stopped and started again it goes on from its last checkpoint. Progress is JSON, one line a round; so is
the last line. The adapter of the best judged round is written in PEFT's format.

With `--grid` it trains for the 4-bit file: every few rounds base and adapter together are rounded to the
shipped grid (scripts/quantize.py), and the base takes over what the rounding changed. Between two such
moments the adapter learns to make good for it; the gradient is that of the unrounded weights
(straight-through: Bengio et al. 2013).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor

from scripts import blocks, gguf
from scripts.examples import JUDGE_EVERY, SEED, Learner, answered, foretell, load_model, save_whole
from scripts.replicas import Replica, train

RANK: Final = 32
PEAK: Final = 8e-4
"""Ten times what full training takes (Schulman et al. 2025, "LoRA without regret")."""
GRID_EVERY: Final = 9
"""Rounds between two roundings to the grid: each takes 12 s of one core."""
STEP: Final = 4096
"""Blocks rounded at a time: their arrays stay in the second-level cache."""
LAYERS: Final = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Grid:
    """The 4-bit grid under a model's adapted layers."""

    def __init__(self, model: Any) -> None:
        self._layers = [each for each in model.modules() if isinstance(each, LoraLayer)]
        self._exact = [each.base_layer.weight.detach().float() for each in self._layers]

    def settle(self) -> None:
        """Make every layer compute what it would in the 4-bit file made now: base := grid(W + BA) - BA."""
        for layer, exact in zip(self._layers, self._exact, strict=True):
            learnt = layer.get_delta_weight("default").detach().float()
            layer.base_layer.weight.data.copy_(rounded(exact + learnt) - learnt)


def rounded(weight: Tensor) -> Tensor:
    """Return the weights (out, in) as the file's 4-bit blocks of 32 along a row hold them."""
    if weight.shape[1] % blocks.BLOCK:
        return weight  # and so does the quantizer leave it
    parts = weight.numpy().reshape(-1, blocks.BLOCK)
    held = [_held(parts[at : at + STEP].T) for at in range(0, len(parts), STEP)]
    return torch.from_numpy(np.concatenate(held)).view_as(weight)


def _held(part: blocks.Float) -> blocks.Float:
    raw = blocks.iq4_nl(np.ascontiguousarray(part)).reshape(-1)
    return blocks.to_float(gguf.Tensor("", (), gguf.IQ4_NL, raw.tobytes())).T


class Adapted(Learner):
    """A worker's model with its adapter and data."""

    def __init__(self, job: Job, taken: int, *, rank: int = RANK) -> None:
        torch.manual_seed(SEED)
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=LAYERS)
        model = get_peft_model(load_model(job.model), config)
        super().__init__(model, model.base_model.model, job.examples)
        trained = [each for each in model.parameters() if each.requires_grad]
        self.replica = Replica([{"params": trained}], peak=PEAK, decay=0.0, taken=taken)
        self._grid = Grid(model) if job.grid else None
        self._rounds = 0
        self._out = job.out

    def step(self, batch: list[int], factor: float) -> dict[str, float]:
        """Train on the examples `batch`."""
        self.model.train()
        given = self._train.batch(batch)
        loss, right = answered(foretell(self._bare, given)[0], given)
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
    """What a worker loads: the model, the folder of the examples, and where the adapter goes."""

    model: Path
    examples: Path
    out: Path
    grid: bool

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return examples and model: a checkpoint goes on with no others."""
        whole = self.model if self.model.is_file() else self.model / "model.safetensors"
        return (self.examples / "train.safetensors", whole)

    @property
    def phase(self) -> str:
        """Return what is judged: float weights always do better than those on the grid."""
        return "grid" if self.grid else "float"

    def trainee(self, taken: int) -> Adapted:
        """Load model and data."""
        return Adapted(self, taken)


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder or a GGUF file")
    parser.add_argument("--work", type=Path, required=True, help="folder of the examples and of all results")
    parser.add_argument("--out", type=Path, help="folder of the adapter (default: WORK/adapter)")
    parser.add_argument("--minutes", type=float, default=64)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--until", type=float, default=1.0, help="stop at this share of the minutes")
    parser.add_argument("--grid", action="store_true", help="train for the 4-bit file")
    options = parser.parse_args()
    out = options.out or options.work / "adapter"
    job = Job(options.model, options.work, out, options.grid)
    last = train(
        job,
        options.work,
        minutes=options.minutes,
        workers=options.workers,
        judge_every=JUDGE_EVERY,
        until=options.until,
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"adapter": str(out), "peak_mb_a_worker": round(peak), **last}))


if __name__ == "__main__":
    main()
