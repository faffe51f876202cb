"""A model and examples of scripts/corpus.py -> which of its layers a student keeps, by measurement.

    python -m scripts.layers --model FOLDER_OR_GGUF --examples .cache/generator --keep 16 --out layers.json

Three ways to choose compete, all judged by the answers' loss without any training, on other development
examples than they choose by:

one by one   of all layers that are left, the one goes without which the answers lose least, and so on
block        the run of layers goes over which the answers' states turn least (Gromov et al. 2024)
even         layers at like distances stay, the first and last among them (Sanh et al. 2019)

The table is JSON: the loss without each single layer, the order in which they went one by one, the three ways
with their losses, and `kept`, the best way's layers. The last line names the best and worst.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from appliance import durable
from appliance.errors import ApplianceError, UsageError
from scripts.examples import Batch, Data, answered, load_model

EXAMPLES: Final = 24
"""Chosen by, and as many again judged on."""


@dataclass(frozen=True)
class Entered:
    """A batch where it enters the first layer: states (n, s, width), and each layer's other arguments."""

    given: Batch
    states: Tensor
    others: tuple[dict[str, Any], ...]


class Stack:
    """A model's layers, of which some can be left out."""

    def __init__(self, model: Any) -> None:
        self._model = model.eval()
        self._layers = list(model.model.layers)
        self.count = len(self._layers)

    def enter(self, given: Batch) -> Entered:
        """Run the model once and listen to what every layer is given."""
        heard: list[tuple[Tensor, dict[str, Any]]] = []
        hooks = [
            layer.register_forward_pre_hook(
                lambda _layer, inputs, others: heard.append((inputs[0], others)), with_kwargs=True
            )
            for layer in self._layers
        ]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            self._model.model(input_ids=given.tokens, use_cache=False)
        for hook in hooks:
            hook.remove()
        return Entered(given, heard[0][0], tuple(others for _, others in heard))

    def through(self, entered: Entered, states: Tensor, kept: Sequence[int]) -> Iterator[Tensor]:
        """Yield the states after each of the layers `kept`."""
        for number in kept:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                states = self._layers[number](states, **entered.others[number])
            yield states

    def loss(self, entered: Entered, states: Tensor) -> float:
        """Return the mean cross-entropy of the answers' tokens, `states` being the last layer's."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            ends = self._model.model.norm(states[entered.given.rows, entered.given.places])
            logits = self._model.lm_head(ends).float()
        return float(answered(logits, entered.given)[0])


def judged(stack: Stack, batches: Sequence[Entered], kept: Sequence[int]) -> float:
    """Return the answers' loss with only the layers `kept`, a mean over the batches' tokens."""
    return _mean(batches, [stack.loss(each, _last(stack, each, each.states, kept)) for each in batches])


def without_each(stack: Stack, batches: Sequence[Entered], kept: Sequence[int]) -> dict[int, float]:
    """Return the answers' loss without each one of the layers `kept`.

    What comes before the layer that is left out is computed once for all.
    """
    losses: dict[int, list[float]] = {number: [] for number in kept}
    for each in batches:
        before = [each.states, *stack.through(each, each.states, kept[:-1])]
        for at, number in enumerate(kept):
            losses[number].append(stack.loss(each, _last(stack, each, before[at], kept[at + 1 :])))
    return {number: _mean(batches, found) for number, found in losses.items()}


def _last(stack: Stack, entered: Entered, states: Tensor, kept: Sequence[int]) -> Tensor:
    for after in stack.through(entered, states, kept):
        states = after
    return states


def _mean(batches: Sequence[Entered], losses: Sequence[float]) -> float:
    sizes = [len(each.given.wanted) for each in batches]
    return sum(size * loss for size, loss in zip(sizes, losses, strict=True)) / sum(sizes)


def one_by_one(stack: Stack, batches: Sequence[Entered], keep: int) -> Iterator[dict[int, float]]:
    """Yield, until `keep` layers are left, the losses without each; the layer of the least one goes."""
    kept = list(range(stack.count))
    while len(kept) > keep:
        losses = without_each(stack, batches, kept)
        kept.remove(min(losses, key=losses.__getitem__))
        yield losses


def block(stack: Stack, batches: Sequence[Entered], keep: int) -> list[int]:
    """Return what is left without the run of layers over which the answers' states turn least."""
    gone = stack.count - keep
    angles = torch.zeros(keep + 1)
    for each in batches:
        states = [each.states, *stack.through(each, each.states, range(stack.count))]
        ends = torch.stack([state[each.given.rows, each.given.places].float() for state in states])
        cosines = torch.cosine_similarity(ends[: keep + 1], ends[gone:], dim=-1)
        angles += torch.arccos(cosines.clamp(-1, 1)).sum(dim=1)
    first = int(angles.argmin())
    return [number for number in range(stack.count) if not first <= number < first + gone]


def even(count: int, keep: int) -> list[int]:
    """Return `keep` of `count` layers at like distances."""
    return [math.floor(at * (count - 1) / max(keep - 1, 1) + 0.5) for at in range(keep)]


def table(stack: Stack, data: Data, keep: int, examples: int) -> dict[str, Any]:
    """Measure; return the table.

    Raises:
        UsageError: there are not so many layers or examples.
    """
    if not 0 < keep < stack.count:
        raise UsageError(f"Of {stack.count} layers {keep} cannot be kept.", hint="Nothing was written.")
    if not 0 < 2 * examples <= len(data.lengths):
        raise UsageError(
            f"Twice {examples} examples are needed; there are {len(data.lengths)}.",
            hint="Nothing was written. Ask for fewer with --limit.",
        )
    picked, held = (
        [stack.enter(data.batch([row])) for row in range(first, 2 * examples, 2)] for first in (0, 1)
    )
    rounds = list(one_by_one(stack, picked, keep))
    order = [min(losses, key=losses.__getitem__) for losses in rounds]
    ways = {
        "one by one": sorted(set(range(stack.count)) - set(order)),
        "block": block(stack, picked, keep),
        "even": even(stack.count, keep),
    }
    losses = {name: judged(stack, held, kept) for name, kept in ways.items()}
    best = min(losses, key=losses.__getitem__)
    return {
        "layers": stack.count,
        "examples": examples,
        "loss": round(judged(stack, picked, range(stack.count)), 4),
        "without": {str(number): round(loss, 4) for number, loss in rounds[0].items()},
        "order": order,
        "ways": {name: {"loss": round(losses[name], 4), "kept": kept} for name, kept in ways.items()},
        "held_loss": round(judged(stack, held, range(stack.count)), 4),
        "best": best,
        "kept": ways[best],
    }


def main() -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder or a GGUF file")
    parser.add_argument("--examples", type=Path, required=True, help="folder of scripts/corpus.py's")
    parser.add_argument("--keep", type=int, required=True, help="layers of the student")
    parser.add_argument("--limit", type=int, default=EXAMPLES, help="examples to choose by")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        with torch.no_grad():
            stack, data = Stack(load_model(options.model)), Data(options.examples / "dev.safetensors")
            found = table(stack, data, options.keep, options.limit)
        durable.replace(options.out, (json.dumps(found, indent=1) + "\n").encode(), mode=0o644)
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    ends = {name: chosen(found["without"], key=found["without"].get) for name, chosen in _ENDS.items()}
    print(json.dumps({**ends, "best": found["best"], "kept": found["kept"], "ways": found["ways"]}))
    return 0


_ENDS: Final = {"cheapest_layer": min, "dearest_layer": max}


if __name__ == "__main__":
    sys.exit(main())
