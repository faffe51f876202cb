"""One split of examples, as scripts/reader_data.py wrote it -> batches of tensors with little padding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

BATCH_TOKENS: Final = 1600
LABELS: Final = ("groups", "spans", "relevant", "answerable")
POOL: Final = 2000
"""Questions sorted by length together: batches have little padding and still differ from epoch to epoch."""


@dataclass(frozen=True)
class Data:
    """One split as scripts/reader_data.py wrote it."""

    arrays: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> Data:
        """Map the file."""
        return cls(load_file(path))

    def lengths(self) -> np.ndarray[Any, Any]:
        """Return the tokens of each example."""
        return np.diff(self.arrays["starts"].numpy())

    def batch(self, rows: list[int]) -> dict[str, Tensor]:
        """Return padded tokens, parts, masks and labels of `rows`."""
        starts = self.arrays["starts"]
        width = max(int(starts[row + 1] - starts[row]) for row in rows)
        tokens = torch.zeros(len(rows), width, dtype=torch.int64)
        for number, row in enumerate(rows):
            own = self.arrays["tokens"][starts[row] : starts[row + 1]]
            tokens[number, : len(own)] = own
        places = torch.arange(width)
        mask = tokens != 0
        second = mask & (places >= self.arrays["passages"][rows][:, None])
        # The closing [SEP] is no place for an answer; [CLS] stands for "none".
        inside = second & (tokens != 102) | (places == 0)
        return {
            "tokens": tokens,
            "parts": second.long(),
            "mask": mask,
            "inside": inside,
            **{name: self.arrays[name][rows].long() for name in LABELS},
        }


def batches(lengths: np.ndarray[Any, Any], groups: np.ndarray[Any, Any], seed: int) -> list[list[int]]:
    """Return one epoch of batches in random order, no question's examples apart.

    They have at most BATCH_TOKENS tokens, padding included, where one question has not more.
    """
    rng = np.random.default_rng(seed)
    firsts = np.flatnonzero(np.diff(groups, prepend=-1))
    members = np.split(np.arange(len(groups)), firsts[1:])
    longest = np.maximum.reduceat(lengths, firsts)
    order = rng.permutation(len(members))
    found: list[list[int]] = []
    for at in range(0, len(order), POOL):
        batch: list[int] = []
        for number in sorted(order[at : at + POOL], key=lambda number: longest[number]):
            if batch and longest[number] * (len(batch) + len(members[number])) > BATCH_TOKENS:
                found.append(batch)
                batch = []
            batch += members[number].tolist()
        found.append(batch)
    return [found[number] for number in rng.permutation(len(found))]
