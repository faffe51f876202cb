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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

from scripts import blocks, gguf
from scripts.replicas import Replica, train

SEED: Final = 20261128
RANK: Final = 32
PEAK: Final = 8e-4
"""Ten times what full training takes (Schulman et al. 2025, "LoRA without regret")."""
BATCH_TOKENS: Final = 1800
POOL: Final = 600
JUDGED: Final = 120
JUDGE_EVERY: Final = 12
GRID_EVERY: Final = 9
"""Rounds between two roundings to the grid: each takes 12 s of one core."""
STEP: Final = 4096
"""Blocks rounded at a time: their arrays stay in the second-level cache."""
LAYERS: Final = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Batch:
    """Tokens (n, s), padded on the right; `rows`, `places` of what is to be foretold; `wanted` tokens."""

    tokens: Tensor
    rows: Tensor
    places: Tensor
    wanted: Tensor
    size: int


class Data:
    """One split of scripts/corpus.py."""

    def __init__(self, path: Path) -> None:
        self._arrays = load_file(path)
        self.lengths = np.diff(self._arrays["starts"].numpy())

    def batch(self, chosen: Sequence[int]) -> Batch:
        """Return the examples `chosen`."""
        width = int(max(self.lengths[row] for row in chosen))
        tokens = torch.zeros(len(chosen), width, dtype=torch.int64)
        rows, places, wanted = [], [], []
        for number, row in enumerate(chosen):
            start, end = self._arrays["starts"][row : row + 2].tolist()
            own = self._arrays["tokens"][start:end].long()
            begin = int(self._arrays["answers"][row])
            tokens[number, : len(own)] = own
            places.append(torch.arange(begin - 1, len(own) - 1))
            rows.append(torch.full_like(places[-1], number))
            wanted.append(own[begin:])
        size = int(sum(self.lengths[row] for row in chosen))
        return Batch(tokens, torch.cat(rows), torch.cat(places), torch.cat(wanted), size)

    def batches(self, epoch: int) -> list[list[int]]:
        """Return one epoch in random order, examples of like length together."""
        rng = np.random.default_rng(SEED + epoch)
        order = rng.permutation(len(self.lengths))
        found: list[list[int]] = []
        for at in range(0, len(order), POOL):
            batch: list[int] = []
            for row in sorted(order[at : at + POOL], key=lambda number: self.lengths[number]):
                if batch and self.lengths[row] * (len(batch) + 1) > BATCH_TOKENS:
                    found.append(batch)
                    batch = []
                batch.append(int(row))
            found.append(batch)
        return [found[number] for number in rng.permutation(len(found))]


def load_model(path: Path) -> Any:
    """Load a Hugging Face folder, or a GGUF file through float."""
    named = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    folder = path.parent if named else path
    # On the CPU, PyTorch's fused attention takes longer in bfloat16 than plain matrix products: with these,
    # training is 1.3 to 1.9 times as fast.
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, attn_implementation="eager", **named
    )
    return model.to(torch.bfloat16)


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


class Adapted:
    """A worker's model with its adapter and data."""

    def __init__(self, job: Job, taken: int) -> None:
        torch.manual_seed(SEED)
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LAYERS)
        self.model = get_peft_model(load_model(job.model), config)
        trained = [each for each in self.model.parameters() if each.requires_grad]
        self.replica = Replica([{"params": trained}], peak=PEAK, decay=0.0, taken=taken)
        self._grid = Grid(self.model) if job.grid else None
        self._rounds = 0
        self._out = job.out
        self._train, self._dev = (Data(job.work / f"{name}.safetensors") for name in ("train", "dev"))

    def batches(self, epoch: int) -> Sequence[Any]:
        """Return the batches of an epoch."""
        return self._train.batches(epoch)

    def step(self, batch: list[int], factor: float) -> dict[str, float]:
        """Train on the examples `batch`."""
        self.model.train()
        given = self._train.batch(batch)
        loss, right = self._loss(given)
        self.replica.descend(loss, factor)
        return {"tokens": given.size, "loss": float(loss.detach()), "right": right}

    def _loss(self, given: Batch) -> tuple[Tensor, float]:
        """Return the mean cross-entropy of the answers' tokens, and the share foretold."""
        inner = self.model.base_model.model
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = inner.model(input_ids=given.tokens, use_cache=False).last_hidden_state
            logits = inner.lm_head(states[given.rows, given.places]).float()
        right = float((logits.detach().argmax(-1) == given.wanted).float().mean())
        return functional.cross_entropy(logits, given.wanted), right

    def settle(self, *, judged: bool) -> None:
        """Round to the grid now and then, and whenever it is to be judged."""
        if self._grid and (judged or self._rounds % GRID_EVERY == 0):
            self._grid.settle()
        self._rounds += 1

    def judged(self, number: int, workers: int) -> list[tuple[int, list[float]]]:
        """Return loss and whether every token is foretold, for this worker's share of the split."""
        self.model.eval()
        found = []
        for row in range(number, min(JUDGED, len(self._dev.lengths)), workers):
            with torch.no_grad():
                loss, right = self._loss(self._dev.batch([row]))
            found.append((row, [float(loss), float(right == 1)]))
        return found

    def figures(self, judged: Tensor) -> dict[str, float]:
        """Return the means over the split."""
        known = judged[: min(JUDGED, len(self._dev.lengths))]
        return {
            "dev_loss": round(float(known[:, 0].mean()), 4),
            "dev_exact": round(float(known[:, 1].mean()), 4),
        }

    def save(self) -> None:
        """Write the adapter in PEFT's format, each file whole or not at all."""
        scratch = self._out.with_name(f"{self._out.name}.part")
        self.model.save_pretrained(scratch)
        self._out.mkdir(parents=True, exist_ok=True)
        for each in scratch.iterdir():
            each.replace(self._out / each.name)
        scratch.rmdir()


@dataclass(frozen=True)
class Job:
    """What a worker loads."""

    model: Path
    work: Path
    out: Path
    grid: bool

    @property
    def judged_shape(self) -> tuple[int, int]:
        """Return the examples judged and the figures of each."""
        return JUDGED, 2

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
