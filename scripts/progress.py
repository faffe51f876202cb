"""The log of a training -> one line for whoever watches it at a terminal.

31.5 of 60 min, 210 tokens/s, 28 min left, dev_loss █▅▃▂▁▁ 0.664, best 0.661
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

LOSS: Final = "dev_loss"
BEST: Final = f"best_{LOSS}"
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_SHOWN: Final = 24


def line(log: Sequence[Mapping[str, float]], minutes: float) -> str:
    """Return how far a training is that ends after `minutes`, and the losses that were judged."""
    last = log[-1]
    left = max(minutes - last["minutes"], 0)
    parts = [f"{last['minutes']:.1f} of {minutes:.0f} min", f"{last['tokens_per_s']:.0f} tokens/s"]
    parts.append(f"{left:.0f} min left")
    if judged := [each for each in log if LOSS in each]:
        parts.append(f"{LOSS} {plot([each[LOSS] for each in judged])} {judged[-1][LOSS]:.3f}")
        parts.append(f"best {judged[-1][BEST]:.3f}")
    return ", ".join(parts)


def plot(values: Sequence[float]) -> str:
    """Return the latest values as blocks, the least of them lowest."""
    shown = values[-_SHOWN:]
    least, span = min(shown), max(shown) - min(shown)
    most = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round((value - least) / span * most) if span else 0] for value in shown)
