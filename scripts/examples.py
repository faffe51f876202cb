"""Examples of scripts/corpus.py -> batches, and what a model of torch's makes of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

SEED: Final = 20261128
BATCH_TOKENS: Final = 1800
POOL: Final = 600
JUDGED: Final = 120
JUDGE_EVERY: Final = 12


@dataclass(frozen=True)
class Batch:
    """Tokens (n, s), padded on the right; `rows`, `places` of what is to be foretold; `wanted` tokens.

    `inside` (n, s) tells the tokens from the padding, of which `size` are there.
    """

    tokens: Tensor
    rows: Tensor
    places: Tensor
    wanted: Tensor
    inside: Tensor
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
        inside = torch.zeros(len(chosen), width, dtype=torch.bool)
        rows, places, wanted = [], [], []
        for number, row in enumerate(chosen):
            start, end = self._arrays["starts"][row : row + 2].tolist()
            own = self._arrays["tokens"][start:end].long()
            begin = int(self._arrays["answers"][row])
            tokens[number, : len(own)] = own
            inside[number, : len(own)] = True
            places.append(torch.arange(begin - 1, len(own) - 1))
            rows.append(torch.full_like(places[-1], number))
            wanted.append(own[begin:])
        size = int(sum(self.lengths[row] for row in chosen))
        return Batch(tokens, torch.cat(rows), torch.cat(places), torch.cat(wanted), inside, size)

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


def save_whole(model: Any, folder: Path) -> None:
    """Write what `model` saves into `folder`, each file whole or not at all."""
    scratch = folder.with_name(f"{folder.name}.part")
    model.save_pretrained(scratch)
    folder.mkdir(parents=True, exist_ok=True)
    for each in scratch.iterdir():
        each.replace(folder / each.name)
    scratch.rmdir()


def foretell(model: Any, given: Batch, *, states: bool = False) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the logits before each token of the answers, (m, vocabulary), and, if wanted, all `states`.

    These are what each layer is given and, last, what the head is: (n, s, width) each.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model.model(input_ids=given.tokens, use_cache=False, output_hidden_states=states)
        logits = model.lm_head(found.last_hidden_state[given.rows, given.places]).float()
    return logits, found.hidden_states or ()


def answered(logits: Tensor, given: Batch) -> tuple[Tensor, float]:
    """Return the mean cross-entropy of the answers' tokens, and the share foretold."""
    right = float((logits.detach().argmax(-1) == given.wanted).float().mean())
    return functional.cross_entropy(logits, given.wanted), right


class Learner:
    """A worker's data, and its `model` judged by them; `bare` is what computes, without any wrapping."""

    judged_shape: Final = (JUDGED, 2)
    """The examples judged, and the figures of each."""

    def __init__(self, model: Any, bare: Any, folder: Path) -> None:
        self.model, self._bare = model, bare
        self._train, self._dev = (Data(folder / f"{name}.safetensors") for name in ("train", "dev"))

    def batches(self, epoch: int) -> Sequence[Any]:
        """Return the batches of an epoch."""
        return self._train.batches(epoch)

    def judged(self, number: int, workers: int) -> list[tuple[int, list[float]]]:
        """Return loss and whether every token is foretold, for this worker's share of the split."""
        self.model.eval()
        found = []
        for row in range(number, min(JUDGED, len(self._dev.lengths)), workers):
            given = self._dev.batch([row])
            with torch.no_grad():
                loss, right = answered(foretell(self._bare, given)[0], given)
            found.append((row, [float(loss), float(right == 1)]))
        return found

    def figures(self, judged: Tensor) -> dict[str, float]:
        """Return the means over the split."""
        known = judged[: min(JUDGED, len(self._dev.lengths))]
        return {
            "dev_loss": round(float(known[:, 0].mean()), 4),
            "dev_exact": round(float(known[:, 1].mean()), 4),
        }
