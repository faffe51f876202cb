"""The rows of a run -> its figures as a table and as JSON, perhaps with the difference from another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from appliance.clean import clean_line
from appliance.evaluation import metrics
from appliance.evaluation.figures import Figure, figures
from appliance.evaluation.metrics import Difference
from appliance.evaluation.row import Row
from appliance.evaluation.run import Header

_SHOWN_OF_A_HASH: Final = 12


@dataclass(frozen=True, slots=True)
class Run:
    """A run with its rows."""

    header: Header
    rows: Sequence[Row]

    @property
    def failed(self) -> int:
        """Return how many documents could not be added, and were not there to be found."""
        return max((row.failed for row in self.rows), default=0)


def values(run: Run) -> dict[str, tuple[float, int]]:
    """Return each figure that applies to any question, and to how many."""
    found = {}
    for figure in figures(run.header.passages):
        known = [value for value in _column(figure, run).values() if value is not None]
        if known:
            found[figure.name] = (float(figure.statistic(np.array(known, dtype=np.float64))), len(known))
    return found


def differences(this: Run, other: Run) -> dict[str, Difference]:
    """Compare each figure over the questions that have it in both runs; questions go by their ids."""
    pairs = {}
    for figure in figures(min(this.header.passages, other.header.passages)):
        ours, theirs = _column(figure, this), _column(figure, other)
        both = [(value, theirs.get(name)) for name, value in ours.items()]
        known = np.array([(a, b) for a, b in both if a is not None and b is not None], dtype=np.float64)
        if len(known):
            pairs[figure.name] = metrics.Pair(known[:, 0], known[:, 1], figure.statistic)
    return metrics.compared_all(pairs)


def table(run: Run, against: Run | None = None) -> str:
    """Return the figures, one a line; where there is another run, the difference from it beside them."""
    found, compared = values(run), differences(run, against) if against else {}
    rows = [("", "value", "n", *(_COMPARED if against else ()))]
    for figure in figures(run.header.passages):
        if figure.name in found:
            value, n = found[figure.name]
            beside = _beside(figure, compared.get(figure.name)) if against else ()
            rows.append((figure.title, f"{value:.{figure.decimals}f}", str(n), *beside))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_spread(row, widths) for row in rows]
    return "\n".join([*lines, "", *_identity(run, against)]) + "\n"


def as_json(run: Run, against: Run | None = None) -> dict[str, Any]:
    """Return what `eval --json` prints."""
    return {
        "questions": len(run.rows),
        "failed": run.failed,
        "figures": {name: {"value": round(value, 6), "n": n} for name, (value, n) in values(run).items()},
        "run": run.header.as_json(),
        "against": _against(run, against) if against else None,
    }


def _against(run: Run, other: Run) -> dict[str, Any]:
    compared = {
        name: {key: round(value, 6) for key, value in asdict(each).items()}
        | {"difference": round(each.difference, 6)}
        for name, each in differences(run, other).items()
    }
    return {
        "run": other.header.as_json(),
        "failed": other.failed,
        "differences": compared,
        "resamples": metrics.RESAMPLES,
        "seed": metrics.BOOTSTRAP_SEED,
    }


def _column(figure: Figure, run: Run) -> Mapping[str, float | None]:
    return {row.id: figure.of(row) for row in run.rows}


_COMPARED: Final = ("n in both", "here", "there", "difference", "95 % interval", "p")


def _beside(figure: Figure, found: Difference | None) -> tuple[str, ...]:
    if found is None:
        return ("0", *("" for _ in _COMPARED[1:]))
    d = figure.decimals
    return (
        str(found.n),
        f"{found.this:.{d}f}",
        f"{found.other:.{d}f}",
        f"{found.difference:+.{d}f}",
        f"{found.low:+.{d}f} .. {found.high:+.{d}f}",
        f"{found.p:.4f}",
    )


def _spread(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join((row[0].ljust(widths[0]), *cells)).rstrip()


def _identity(run: Run, against: Run | None) -> list[str]:
    """Return what the figures depend on, so that they can be had again."""
    lines = _named("run", run)
    if against:
        lines += _named("against", against)
        lines.append(
            f"95 % interval and two-sided p: paired bootstrap, {metrics.RESAMPLES:,} resamples, "
            f"seed {metrics.BOOTSTRAP_SEED}"
        )
    return lines


def _named(word: str, run: Run) -> list[str]:
    header = run.header
    drawn = "" if header.limit is None else f", {header.limit} drawn by seed {header.seed}"
    answers = "answers written" if header.generate else "quotes only"
    hashes = {"questions": header.questions, "documents": header.documents, "settings": header.settings}
    lost = [f"{run.failed} of its documents could not be added: the others were asked about"]
    shown = (f"{name} {sha256[:_SHOWN_OF_A_HASH]}" for name, sha256 in (hashes | dict(header.models)).items())
    return [
        clean_line(
            f"{word}: {' '.join((header.set, header.split)).rstrip()}{drawn}; {header.passages} passages, "
            f"{answers}, refusal {header.refusal}, version {header.version}"
        ),
        clean_line(f"of: {', '.join(shown)}"),
        *(lost if run.failed else ()),
    ]
