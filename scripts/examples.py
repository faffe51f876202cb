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

from appliance.generate.choice import LIKELIHOOD, MARGIN

SEED: Final = 20261128
RIGHT: Final = 0.1
"""The weight of the answer's own tokens beside the choice: they keep what was learnt of writing."""
BATCH_TOKENS: Final = 1800
POOL: Final = 600
JUDGED: Final = 120
JUDGE_EVERY: Final = 12


@dataclass(frozen=True)
class Batch:
    """Tokens (n, s), padded on the right; `rows`, `places` of what is to be foretold; `wanted` tokens.

    `inside` (n, s) tells the tokens from the padding, of which `size` are there. `offers` is what may be
    chosen, None where nothing may be in the whole batch.
    """

    tokens: Tensor
    rows: Tensor
    places: Tensor
    wanted: Tensor
    inside: Tensor
    size: int
    offers: Offers | None = None


@dataclass(frozen=True)
class Offers:
    """What may be chosen in a batch (n, s), behind the prompts as branches that do not see each other.

    `mask` (n, 1, s, s), in bfloat16, is added to the attention, `positions` (n, s) are the tokens' own. Of
    offer j are the entries of `rows`, `places` and `wanted` (m,) where `of` (m,) is j; it belongs to row
    `row[j]`, with the reader's `margins` and what it is worth, `worths` (k,).
    """

    mask: Tensor
    positions: Tensor
    rows: Tensor
    places: Tensor
    wanted: Tensor
    of: Tensor
    row: Tensor
    margins: Tensor
    worths: Tensor


class Data:
    """One split of scripts/corpus.py."""

    def __init__(self, path: Path) -> None:
        self._arrays = load_file(path)
        self.lengths = np.diff(self._arrays["starts"].numpy())
        self.offered = "offers" in self._arrays
        if self.offered:
            self.lengths = self.lengths + self._branch_lengths()

    def _branch_lengths(self) -> np.ndarray[Any, Any]:
        """Return how many tokens each example's offers are in a batch: the last of each is foretold only."""
        ends = np.concatenate([[0], np.cumsum(np.diff(self._arrays["offer_starts"].numpy()) - 1)])
        return np.diff(ends[self._arrays["offers"].numpy()])

    def batch(self, chosen: Sequence[int]) -> Batch:
        """Return the examples `chosen`."""
        width = int(max(self.lengths[row] for row in chosen))
        tokens = torch.zeros(len(chosen), width, dtype=torch.int64)
        inside = torch.zeros(len(chosen), width, dtype=torch.bool)
        rows, places, wanted = [], [], []
        for number, row in enumerate(chosen):
            own = self._own(row)
            begin = int(self._arrays["answers"][row])
            tokens[number, : len(own)] = own
            inside[number, : len(own)] = True
            places.append(torch.arange(begin - 1, len(own) - 1))
            rows.append(torch.full_like(places[-1], number))
            wanted.append(own[begin:])
        offers = self._offers(chosen, tokens, inside) if self.offered else None
        size = int(sum(self.lengths[row] for row in chosen))
        return Batch(tokens, torch.cat(rows), torch.cat(places), torch.cat(wanted), inside, size, offers)

    def _own(self, row: int) -> Tensor:
        start, end = self._arrays["starts"][row : row + 2].tolist()
        return self._arrays["tokens"][start:end].long()

    def _offers(self, chosen: Sequence[int], tokens: Tensor, inside: Tensor) -> Offers | None:
        """Put the offers of `chosen` behind their examples into `tokens` and `inside`, and return where."""
        count, width = tokens.shape
        seen = torch.tril(torch.ones(width, width, dtype=torch.bool)).repeat(count, 1, 1)
        positions = torch.arange(width).repeat(count, 1)
        rows, places, wanted, of, row_of = [], [], [], [], []
        taken: list[int] = []
        for number, row in enumerate(chosen):
            begin, at = int(self._arrays["answers"][row]), len(self._own(row))
            for offer in range(*self._arrays["offers"][row : row + 2].tolist()):
                start, end = self._arrays["offer_starts"][offer : offer + 2].tolist()
                line = self._arrays["offer_tokens"][start:end].long()
                behind = at + len(line) - 1
                tokens[number, at:behind] = line[:-1]
                inside[number, at:behind] = True
                seen[number, at:behind, begin:at] = False  # neither the answer nor the offers before
                positions[number, at:behind] = torch.arange(begin, begin + len(line) - 1)
                places.append(torch.cat([torch.tensor([begin - 1]), torch.arange(at, behind)]))
                rows.append(torch.full_like(places[-1], number))
                wanted.append(line)
                of.append(torch.full_like(line, len(taken)))
                row_of.append(number)
                taken.append(offer)
                at = behind
        if not taken:
            return None
        mask = torch.zeros(seen.shape, dtype=torch.bfloat16)
        mask.masked_fill_(~seen, torch.finfo(mask.dtype).min)
        margins, worths = (self._arrays[name][taken] for name in ("margins", "worths"))
        return Offers(
            mask[:, None],
            positions,
            torch.cat(rows),
            torch.cat(places),
            torch.cat(wanted),
            torch.cat(of),
            torch.tensor(row_of),
            margins,
            worths,
        )

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


@dataclass(frozen=True)
class Foretold:
    """What a model makes of a batch: logits (m, vocabulary) before each token of the answers.

    Also the log-likelihood (k,) of each offer, if there are any, and, if wanted, all `states`.

    Those are what each layer is given and, last, what the head is: (n, s, width) each.
    """

    logits: Tensor
    likelihoods: Tensor | None
    states: tuple[Tensor, ...]


def foretell(model: Any, given: Batch, *, states: bool = False) -> Foretold:
    """Run the model over a batch."""
    offers = given.offers
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = {"attention_mask": offers.mask, "position_ids": offers.positions} if offers else {}
        found = model.model(input_ids=given.tokens, use_cache=False, output_hidden_states=states, **seen)
        last = found.last_hidden_state
        logits = model.lm_head(last[given.rows, given.places]).float()
        likelihoods = (
            _likelihoods(model.lm_head(last[offers.rows, offers.places]).float(), offers) if offers else None
        )
    return Foretold(logits, likelihoods, found.hidden_states or ())


def _likelihoods(logits: Tensor, offers: Offers) -> Tensor:
    each = -functional.cross_entropy(logits, offers.wanted, reduction="none")
    return torch.zeros(len(offers.margins)).index_add(0, offers.of, each)


def chosen(likelihoods: Tensor, offers: Offers) -> tuple[Tensor, float]:
    """Return what the choice costs, and what the choices made are worth, both as means over the rows.

    The chances of a row's offers are those of the sum that the appliance chooses by, margin and likelihood
    with their weights (appliance/generate/choice.py); the cost is the logarithm of the worth that they
    expect, negated.
    """
    costs, worths = [], []
    for row in offers.row.unique():
        own = offers.row == row
        sums = MARGIN * offers.margins[own] + LIKELIHOOD * likelihoods[own]
        expected = (sums.softmax(0) * offers.worths[own]).sum()
        costs.append(-expected.clamp_min(1e-6).log())
        worths.append(float(offers.worths[own][sums.detach().argmax()]))
    return torch.stack(costs).mean(), sum(worths) / len(worths)


def cost(found: Foretold, given: Batch) -> tuple[Tensor, float]:
    """Return the loss, of choice and answers' tokens; and what was chosen is worth, or the share foretold."""
    loss, right = answered(found.logits, given)
    if given.offers is None or found.likelihoods is None:
        return loss, right
    choice, worth = chosen(found.likelihoods, given.offers)
    return choice + RIGHT * loss, worth


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
        """Return loss, and worth or whether every token is foretold, for this worker's share of the split."""
        self.model.eval()
        found = []
        for row in range(number, min(JUDGED, len(self._dev.lengths)), workers):
            given = self._dev.batch([row])
            with torch.no_grad():
                loss, right = cost(foretell(self._bare, given), given)
            found.append((row, [float(loss), right if given.offers else float(right == 1)]))
        return found

    def figures(self, judged: Tensor) -> dict[str, float]:
        """Return the means over the split."""
        known = judged[: min(JUDGED, len(self._dev.lengths))]
        return {
            "dev_loss": round(float(known[:, 0].mean()), 4),
            "dev_right": round(float(known[:, 1].mean()), 4),
        }
