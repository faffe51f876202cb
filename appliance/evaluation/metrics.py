"""Ranks, answers and texts -> figures, and how sure the difference of two runs is. No file, no clock."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
"""A figure of each question, shape (n,)."""
Statistic = Callable[[Values], Values]
"""The figure of each row: shape (m, n) to (m,)."""

RESAMPLES: Final = 10_000
BOOTSTRAP_SEED: Final = 20_261_124
_AT_ONCE: Final = 2_000_000
"""Values drawn at a time: 16 MB."""

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_MARKER: Final = re.compile(r"\s*\[\d{1,4}(?:\s*[,;]\s*\d{1,4})*\]")


# Ranking. `gains` maps ranks, from 1, to the grades above 0 of what was found there; `ideal` are all such
# grades that there are, best first.


def ndcg(gains: Mapping[int, int], ideal: Sequence[int], k: int) -> float:
    """Return nDCG at `k`, the gain being the grade: trec_eval's ndcg_cut (Järvelin and Kekäläinen 2002)."""
    best = sum(grade / math.log2(rank + 1) for rank, grade in enumerate(ideal[:k], 1))
    found = sum(grade / math.log2(rank + 1) for rank, grade in gains.items() if rank <= k)
    return found / best if best else 0.0


def recall(gains: Mapping[int, int], ideal: Sequence[int], k: int) -> float:
    """Return the share of what is relevant that is among the first `k`."""
    return sum(rank <= k for rank in gains) / len(ideal) if ideal else 0.0


def reciprocal_rank(gains: Mapping[int, int]) -> float:
    """Return 1 by the rank of the first that is relevant, 0 where none was found."""
    return 1 / min(gains) if gains else 0.0


# Answers: the official evaluate-v2.0.py of SQuAD 2.0 (Rajpurkar et al. 2018).


def normalized(text: str) -> str:
    """Lower-case, drop punctuation and articles, and put single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(gold: str, said: str) -> float:
    """Return 1 where both are the same once normalized."""
    return float(normalized(gold) == normalized(said))


def f1(gold: str, said: str) -> float:
    """Return the F1 of the words; where either has none, whether neither has any."""
    golden, found = normalized(gold).split(), normalized(said).split()
    if not golden or not found:
        return float(golden == found)
    common = sum((Counter(golden) & Counter(found)).values())
    return 2 * common / (len(golden) + len(found))


def best(golds: Sequence[str], said: str) -> tuple[float, float]:
    """Return exact match and F1 against the best of the gold answers; without any, "" is the right one."""
    held = [gold for gold in golds if normalized(gold)] or [""]
    return max(exact(gold, said) for gold in held), max(f1(gold, said) for gold in held)


def holds(text: str, golds: Sequence[str]) -> bool:
    """Tell whether `text` holds the words of one of the gold answers, in their order and side by side."""
    said = f" {normalized(text)} "
    return any(f" {normalized(gold)} " in said for gold in golds if normalized(gold))


def unmarked(answer: str) -> str:
    """Return an answer without the numbers of its sources."""
    return _MARKER.sub("", answer).strip()


# Citations


def stands(quote: str, page: str, following: str) -> bool:
    """Tell whether the quote stands on the page, or begins there and runs on; white space aside."""
    wanted, here = _spaced(quote), _spaced(page)
    at = f"{here} {_spaced(following)}".find(wanted)
    return bool(wanted) and 0 <= at < len(here)


def numbers(text: str) -> frozenset[str]:
    """Return the numbers in a text, as they are written."""
    return frozenset(_NUMBER.findall(text))


def _spaced(text: str) -> str:
    return " ".join(text.split())


# Sums, and the difference of two


def mean(rows: Values) -> Values:
    """Return the mean of each row."""
    return np.asarray(rows.mean(axis=-1))


def quantile(share: float) -> Statistic:
    """Return the statistic that gives each row's quantile, between two values where it falls there."""
    return lambda rows: np.asarray(np.quantile(rows, share, axis=-1))


@dataclass(frozen=True, slots=True)
class Pair:
    """A figure of the same questions in this run and in the other, both of shape (n,)."""

    this: Values
    other: Values
    statistic: Statistic


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure in this run and in the other, over the `n` questions that have it in both.

    `low` and `high` bound the difference with 95 % confidence; `p` is two-sided.
    """

    this: float
    other: float
    low: float
    high: float
    p: float
    n: int

    @property
    def difference(self) -> float:
        """Return by how much this run is higher."""
        return self.this - self.other


def compared(this: Values, other: Values, statistic: Statistic) -> Difference:
    """Compare two runs, question by question, by the paired bootstrap (Efron and Tibshirani 1993, ch. 16).

    The questions are drawn anew `RESAMPLES` times, with a fixed seed: the same runs give the same interval.
    """
    return compared_all({"": Pair(this, other, statistic)})[""]


def compared_all(pairs: Mapping[str, Pair]) -> dict[str, Difference]:
    """Do as `compared` for several figures at once: those of as many questions share their draws."""
    found: dict[str, Difference] = {}
    for n in {len(pair.this) for pair in pairs.values()}:
        alike = {name: pair for name, pair in pairs.items() if len(pair.this) == n}
        drawn = np.concatenate([_drawn(list(alike.values()), at) for at in _draws(n)])
        found |= {name: _difference(pair, drawn[:, at]) for at, (name, pair) in enumerate(alike.items())}
    return {name: found[name] for name in pairs}


def _drawn(pairs: Sequence[Pair], at: npt.NDArray[np.int64]) -> Values:
    """Return the difference of each pair in each resample, shape (m, pairs).

    Nearly all are means, for which it is enough how often each question was drawn: a small part of the time.
    """
    drawn = np.empty((len(at), len(pairs)))
    means = [number for number, pair in enumerate(pairs) if pair.statistic is mean]
    if means:
        apart = np.stack([pairs[number].this - pairs[number].other for number in means], axis=1)
        drawn[:, means] = _often(at) @ apart / at.shape[1]
    for number, pair in enumerate(pairs):
        if pair.statistic is not mean:
            drawn[:, number] = pair.statistic(pair.this[at]) - pair.statistic(pair.other[at])
    return drawn


def _often(at: npt.NDArray[np.int64]) -> Values:
    """Return how often each question is in each resample, shape (m, n)."""
    rows, n = at.shape
    apart = at + np.arange(rows)[:, None] * n
    return np.bincount(apart.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _difference(pair: Pair, drawn: Values) -> Difference:
    this, other, statistic = pair.this, pair.other, pair.statistic
    low, high = np.quantile(drawn, (0.025, 0.975))
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(
        this=float(statistic(this)),
        other=float(statistic(other)),
        low=float(low),
        high=float(high),
        p=min(2 * (int(tail) + 1) / (RESAMPLES + 1), 1.0),
        n=len(this),
    )


def _draws(n: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the places of the questions in each resample, in blocks of shape (m, n)."""
    chance = np.random.default_rng(BOOTSTRAP_SEED)
    block = max(_AT_ONCE // n, 1)
    for first in range(0, RESAMPLES, block):
        yield chance.integers(0, n, (min(block, RESAMPLES - first), n))
