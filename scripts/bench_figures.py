"""Repeated measurements of two sides -> figures with a range, a ratio and a verdict -> a table. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the repeats."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of both sides.

    The bounds are for ours / the peer's, or for ours where the peer has no such figure.
    """

    name: str
    ours: Spread
    peer: Spread | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ratio(self) -> float | None:
        """Return ours / the peer's, by the medians."""
        return self.ours.median / self.peer.median if self.peer else None

    @property
    def met(self) -> bool | None:
        """Tell whether the target is met, None where there is none."""
        value = self.ours.median if self.ratio is None else self.ratio
        if self.at_most is not None:
            return value <= self.at_most
        return value >= self.at_least if self.at_least is not None else None


def spread(values: Iterable[float]) -> Spread:
    """Return the smallest, the median and the largest of `values`, of which there is at least one."""
    ordered = sorted(values)
    return Spread(ordered[0], statistics.median(ordered), ordered[-1])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` of them do not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def table(lines: Sequence[Line]) -> str:
    """Return the lines as text: median and range of both sides, ratio, target and whether it is met."""
    rows = [("", "ours", "peer", "ratio", "target", "")]
    rows += [
        (
            line.name,
            _range(line.ours),
            _range(line.peer),
            _ratio(line.ratio),
            _target(line),
            _verdict(line.met),
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    )


def record(lines: Sequence[Line]) -> dict[str, dict[str, object]]:
    """Return the lines for a machine to read: [low, median, high] of both sides, ratio, met."""
    return {
        line.name: {
            "ours": _rounded(line.ours),
            "peer": _rounded(line.peer),
            "ratio": None if line.ratio is None else round(line.ratio, 3),
            "met": line.met,
        }
        for line in lines
    }


def _range(found: Spread | None) -> str:
    if found is None:
        return "-"
    return f"{_short(found.median)} ({_short(found.low)}..{_short(found.high)})"


def _short(value: float) -> str:
    """Return three digits that matter, and no fewer before the point than there are."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else _short(value)


def _target(line: Line) -> str:
    if line.at_most is not None:
        return f"<= {_short(line.at_most)}"
    return f">= {_short(line.at_least)}" if line.at_least is not None else ""


def _verdict(met: bool | None) -> str:  # noqa: FBT001 - a verdict is all there is to say
    return "" if met is None else "met" if met else "MISSED"


def _rounded(found: Spread | None) -> list[float] | None:
    return [round(value, 3) for value in (found.low, found.median, found.high)] if found else None
