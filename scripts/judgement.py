"""Two runs over the same questions -> by how much the candidate is better -> why it is refused. No I/O.

The rule. On every frozen set and for every figure, taken so that more is better, the 95 % interval of the
gain (paired bootstrap, appliance/evaluation/metrics.py) must

- begin at -margin or above: a loss of more than the margin is excluded, not merely unseen (non-inferiority;
  Schuirmann 1987). "No significant loss" alone would pass any model on few enough questions.
- end at 0 or above: a loss that is certain is refused even where it is within the margin. Otherwise each new
  default could be a little worse than the one before (the "biocreep" of non-inferiority trials).
- stand on 3 / margin questions or more: where no question differs the bootstrap's interval has no width, and
  yet what was never seen in n draws may happen 3 times in n (rule of three; Hanley and Lippman-Hand 1983).

Everything must pass, so no correction for many figures is due: a model that is worse by the margin anywhere
passes with at most the chance with which it passes there, 2.5 % (intersection-union test; Berger 1982).
The price is that a candidate as good as the default is refused where its answers differ much and the
questions are few; the reasons tell that case ("not shown") from a certain loss ("worse").

Citations and numbers are of the answers given to answerable questions, each run's own: a pairing of only what
both answered would not see what the candidate cites where the default was silent. To answer nothing is no
way around: that is `false_refusal`. An answer to what has none is wrong whatever it cites: `refusal_recall`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.errors import UsageError
from appliance.evaluation import metrics
from appliance.evaluation.figures import figures
from appliance.evaluation.metrics import Statistic, Values
from appliance.evaluation.report import Run
from appliance.evaluation.row import Row
from scripts.frozen import Frozen, FrozenSet

FIGURES: Final = {figure.name: figure for figure in figures(1)}
_HINT: Final = "Nothing was judged. Ask both models the same questions, all of them, with the same settings."
_MAY_DIFFER: Final = frozenset({"models", "weights", "settings"})
_SEEN_NEVER: Final = 3


@dataclass(frozen=True, slots=True)
class Gated:
    """A figure of `appliance eval` that may not get worse, of the answerable questions or of the others."""

    name: str
    answerable: bool
    more_is_better: bool


GATED: Final = (
    Gated("answerable_f1", answerable=True, more_is_better=True),
    Gated("citations_valid", answerable=True, more_is_better=True),
    Gated("citations_supported", answerable=True, more_is_better=True),
    Gated("numbers_off_page", answerable=True, more_is_better=False),
    Gated("false_refusal", answerable=True, more_is_better=False),
    Gated("refusal_recall", answerable=False, more_is_better=True),
)


@dataclass(frozen=True, slots=True)
class Gain:
    """A figure of both models, and the 95 % interval of the gain, above 0 where the candidate is better.

    `n` is how many questions have the figure in either run.
    """

    candidate: float
    default: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class SetGains:
    """What was gained on one set; `candidate` and `default` are the SHA-256 of the two run files."""

    name: str
    questions: str
    documents: str
    seed: int
    asked: int
    candidate: str
    default: str
    gains: Mapping[str, Gain]


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate against a default, both by the SHA-256 of their files, on some sets.

    `card` is the SHA-256 of the candidate's card in its runs: under which template and context it was tried.
    """

    name: str
    model: str
    card: str
    default: str
    sets: tuple[SetGains, ...]


def gains(candidate: Run, default: Run) -> dict[str, Gain]:
    """Compare two runs of the same questions, whatever their order; a figure without questions is left out.

    Raises:
        UsageError: they are not of the same questions.
    """
    pairs = _pairs(candidate, default)
    return {gated.name: gain for gated in GATED if (gain := _gain(gated, pairs))}


def rivals(candidate: Run, default: Run, model: str) -> str:
    """Return the hash of the model that the candidate, whose hash is `model`, would replace.

    Raises:
        UsageError: the runs differ in more than that model, or did not use it.
    """
    ours, theirs = candidate.header, default.header
    one, other = ours.as_json(), theirs.as_json()
    # The settings hold the models' names: they can be equal only where those are.
    free = _MAY_DIFFER if set(ours.models) != set(theirs.models) else {"models", "weights"}
    differ = [name for name in one if name not in free and one[name] != other[name]]
    if differ:
        raise UsageError(
            f"Two runs of {ours.set} cannot be compared: {', '.join(differ)} differ.", hint=_HINT
        )
    new, old = set(ours.weights.values()), set(theirs.weights.values())
    if model not in new:
        raise UsageError(f"The run of {ours.set} did not use the model that is to be judged.", hint=_HINT)
    if new == old:
        return model
    replaced = old - new
    if new - old != {model} or len(replaced) != 1:
        raise UsageError(f"Two runs of {ours.set} differ in more than one model.", hint=_HINT)
    same = [name for name in ours.weights if ours.weights[name] == theirs.weights.get(name)]
    if any(ours.models[name] != theirs.models[name] for name in same):  # a reader's thresholds stand there
        raise UsageError(f"Two runs of {ours.set} differ in more than a model's card.", hint=_HINT)
    return replaced.pop()


def reasons(trial: Trial, frozen: Frozen) -> tuple[str, ...]:
    """Return why the candidate may not replace the default; nothing where it may."""
    asked = {each.name: each for each in trial.sets}
    strange = set(asked).difference(each.name for each in frozen.sets)
    return (
        *_wrong_default(trial, frozen),
        *(f"{name}: no frozen set" for name in sorted(strange)),
        *(reason for each in frozen.sets for reason in _of_set(asked.get(each.name), each)),
        *_never_judged(trial.sets),
    )


def _wrong_default(trial: Trial, frozen: Frozen) -> Iterator[str]:
    if trial.default != frozen.default:
        yield f"compared with {trial.default[:12]}, the default is {frozen.default[:12]}"


def _of_set(found: SetGains | None, frozen: FrozenSet) -> Iterator[str]:
    if found is None:
        yield f"{frozen.name}: not asked"
        return
    for name in ("questions", "documents", "seed"):
        if getattr(found, name) != getattr(frozen, name):
            yield f"{frozen.name}: other {name} than the frozen set's"
    if found.asked < frozen.sample:
        yield f"{frozen.name}: {found.asked} questions, the frozen sample has {frozen.sample}"
    for name, gain in found.gains.items():
        if fault := _fault(gain, frozen.margin):
            yield f"{frozen.name}: {name} {fault}"


def _fault(gain: Gain, margin: float) -> str:
    """Return what speaks against a figure, "" for nothing; no figure that is not a number passes."""
    interval = f"{gain.low:+.3f} .. {gain.high:+.3f}"
    if not gain.high >= 0:
        return f"is worse: gain {interval}"
    if not gain.low >= -margin:
        return f"is not shown to be no worse: gain {interval}, margin {margin:.3f}"
    if gain.n * margin < _SEEN_NEVER:
        return f"has {gain.n} questions, too few for a margin of {margin:.3f}"
    return ""


def _never_judged(sets: Sequence[SetGains]) -> Iterator[str]:
    judged = {name for each in sets for name in each.gains}
    yield from (f"{gated.name}: judged by no set" for gated in GATED if gated.name not in judged)


def _pairs(candidate: Run, default: Run) -> list[tuple[Row, Row]]:
    """Return both rows of each question, by its id: the bootstrap draws by place."""
    ours = {row.id: row for row in candidate.rows}
    theirs = {row.id: row for row in default.rows}
    name = candidate.header.set
    if set(ours) != set(theirs):
        raise UsageError(f"Two runs of {name} are of different questions; one may be unfinished.", hint=_HINT)
    pairs = [(ours[at], theirs[at]) for at in sorted(ours)]
    if any(one.answerable is not other.answerable for one, other in pairs):
        raise UsageError(f"Two runs of {name} disagree on what can be answered.", hint=_HINT)
    return pairs


def _gain(gated: Gated, pairs: Sequence[tuple[Row, Row]]) -> Gain | None:
    kind = [pair for pair in pairs if pair[0].answerable is gated.answerable]
    ours, theirs = (_column(gated.name, [pair[side] for pair in kind]) for side in (0, 1))
    n = int((~np.isnan(ours) | ~np.isnan(theirs)).sum())
    if not n:
        return None
    better, worse = (ours, theirs) if gated.more_is_better else (theirs, ours)
    found = metrics.compared(better, worse, _mean(float(gated.more_is_better)))
    both = (found.this, found.other) if gated.more_is_better else (found.other, found.this)
    candidate, default, low, high = (round(value, 6) for value in (*both, found.low, found.high))
    return Gain(candidate, default, low, high, n)


def _column(name: str, rows: Sequence[Row]) -> Values:
    """Return the figure of each row, shape (n,), NaN where it does not apply."""
    found = (FIGURES[name].of(row) for row in rows)
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)


def _mean(silent: float) -> Statistic:
    """Return the mean of what applies, shape (m, n) to (m,); `silent` where nothing does."""

    def statistic(rows: Values) -> Values:
        known = ~np.isnan(rows)
        count = known.sum(axis=-1)
        total = np.where(known, rows, 0.0).sum(axis=-1)
        return np.asarray(np.where(count, total / np.maximum(count, 1), silent))

    return statistic
