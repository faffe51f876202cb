"""The rows of the checklist -> one function each; what is tried, how often, and how often it failed."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

# Rows 15 to 17, 25, 34 (reproducible build), 35, 39 and 40 belong to other parts of the product.
NUMBERS = (*range(1, 15), *range(18, 25), *range(26, 35), 36, 37, 38, *range(41, 45))


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to try. `factor` is 1 for `make security`, more for --long, a hundredth for `make test`."""

    factor: float = 1.0

    def of(self, usual: int, *, least: int = 1) -> int:
        """Return how many of something that is usually tried `usual` times."""
        return max(least, round(usual * self.factor))


@dataclass(slots=True)
class Tried:
    """What a row did. `failures` say what went wrong, one a line; `note` holds its figures in words."""

    cases: int = 0
    failures: list[str] = field(default_factory=list)
    note: str = ""
    skipped: list[str] = field(default_factory=list)

    def case(self, ok: object, failure: str) -> None:
        """Count one case; a falsy `ok` is a failure."""
        self.cases += 1
        if not ok:
            self.failures.append(failure)

    def skip(self, why: str) -> None:
        """Say what could not be tried on this machine."""
        self.skipped.append(why)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the checklist and the function that tries it; None where it is not built yet."""

    number: int
    promise: str
    run: Callable[[Scale], Tried] | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a row came out; `cases` is 0 where it did not run to its end, `cpu` its seconds of computing."""

    number: int
    promise: str
    cases: int
    failures: tuple[str, ...]
    seconds: float
    cpu: float
    note: str
    skipped: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


ROWS: dict[int, Row] = {}


def row(number: int, promise: str) -> Callable[[Callable[[Scale], Tried]], Callable[[Scale], Tried]]:
    """Register the function that tries row `number`."""

    def keep(function: Callable[[Scale], Tried]) -> Callable[[Scale], Tried]:
        if number in ROWS or number not in NUMBERS:
            raise ValueError(f"row {number} is taken, or none of ours")
        ROWS[number] = Row(number, promise, function)
        return function

    return keep


def not_built(number: int, promise: str) -> None:
    """Register a row that fails until somebody writes it: a gap must not look like a pass."""
    ROWS[number] = Row(number, promise, None)


def attempt(each: Row, scale: Scale) -> Outcome:
    """Run one row in this process; whatever it raises is a failure of the row."""
    started, computed = time.monotonic(), _computed()
    tried = Tried()
    try:
        if each.run is None:
            tried.failures.append("not built yet")
        else:
            tried = each.run(scale)
            if not tried.cases and not tried.skipped:
                tried.failures.append("nothing was tried")
    except Exception as error:  # noqa: BLE001 - one broken row must not hide the others
        place = traceback.extract_tb(error.__traceback__)[-1]
        tried.failures.append(
            f"{type(error).__name__} at {place.filename.rsplit('/')[-1]}:{place.lineno}: {error}"
        )
    return Outcome(
        each.number,
        each.promise,
        tried.cases,
        tuple(tried.failures),
        round(time.monotonic() - started, 1),
        round(_computed() - computed, 1),
        tried.note,
        tuple(tried.skipped),
    )


def _computed() -> float:
    """Return this process's seconds of CPU and those of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
