"""Verdicts of the gate -> a file that is only added to; and it as a table.

    python -m scripts.leaderboard FILE

A line is {"entry": {...}, "chain": SHA-256 of the chain before it and of the entry}. A line that was edited,
taken out or moved breaks the chain from there on, and nothing is read from a broken file. The chain has no
key: it shows a mistake or a slip of the hand, not one who writes the whole file anew with a program. Who may
install a model is decided by the signature of the bundle, not here.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Final, Self

from appliance import durable
from appliance.errors import ApplianceError, PolicyRefused, UsageError
from appliance.evaluation import metrics
from scripts.judgement import Gain, SetGains, Trial

FORMAT: Final = 2
_START: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial with its verdict: passed where there are no `reasons`. `when` is an ISO 8601 time.

    `resamples` and `seed` are the bootstrap's.
    """

    when: str
    trial: Trial
    reasons: tuple[str, ...]
    resamples: int = metrics.RESAMPLES
    seed: int = metrics.BOOTSTRAP_SEED

    @property
    def passed(self) -> bool:
        """Tell whether the candidate may replace the default."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Return the object that stands in the file."""
        return {
            "gate": FORMAT,
            "when": self.when,
            "verdict": _verdict(self.reasons),
            "reasons": list(self.reasons),
            "resamples": self.resamples,
            "seed": self.seed,
            "trial": asdict(self.trial),
        }

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> Self:
        """Undo `as_json`.

        Raises:
            KeyError, TypeError, ValueError: it is no such object.
        """
        found = dict(fields["trial"])
        sets = tuple(_set(dict(each)) for each in found.pop("sets"))
        trial, reasons = Trial(**found, sets=sets), tuple(map(str, fields["reasons"]))
        made = cls(str(fields["when"]), trial, reasons, int(fields["resamples"]), int(fields["seed"]))
        if fields["gate"] != FORMAT or fields["verdict"] != _verdict(made.reasons):
            raise ValueError("another format")
        return made


def _verdict(reasons: tuple[str, ...]) -> str:
    return "refused" if reasons else "passed"


def _set(fields: dict[str, Any]) -> SetGains:
    gains = {str(name): Gain(**gain) for name, gain in fields.pop("gains").items()}
    if not all(isinstance(value, int | float) for gain in gains.values() for value in astuple(gain)):
        raise TypeError("no figure")
    return SetGains(**fields, gains=gains)


def read(path: Path) -> tuple[Entry, ...]:
    """Return all verdicts, oldest first; a line that a kill cut off at the end is left out.

    Raises:
        UsageError: the file cannot be read.
        PolicyRefused: a line is not as the gate wrote it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint=_HINT) from error
    return tuple(entry for entry, _ in _linked(path, data))


def append(path: Path, entry: Entry) -> None:
    """Add a verdict: on the disk when this returns.

    Raises:
        UsageError: the file cannot be written.
        PolicyRefused: a line of it is not as the gate wrote it; nothing is added.
    """
    new = not path.exists()
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            data = file.read()
            *_, chain = (_START, *(link for _, link in _linked(path, data)))
            file.truncate(data.rfind(b"\n") + 1)
            file.write(_line(entry, chain))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", hint=_HINT) from error
    if new:
        durable.sync(path.absolute().parent)


_HINT: Final = "Nothing was recorded or packed. Name the leaderboard with --leaderboard."


def _linked(path: Path, data: bytes) -> Iterator[tuple[Entry, str]]:
    """Yield each entry with the chain up to it."""
    chain = _START
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            fields = json.loads(line)
            entry = Entry.of_json(fields["entry"])
            intact = line + b"\n" == _line(entry, chain)
        except (ValueError, KeyError, TypeError, AttributeError):
            intact = False
        if not intact:
            raise PolicyRefused(
                f"Line {number} of {path} is not as the gate wrote it.",
                hint="Nothing was recorded or packed. Put it back as it was, or let the gate begin anew.",
            )
        chain = str(fields["chain"])
        yield entry, chain


def _line(entry: Entry, before: str) -> bytes:
    fields = entry.as_json()
    chain = hashlib.sha256(f"{before}{json.dumps(fields)}".encode()).hexdigest()
    return json.dumps({"entry": fields, "chain": chain}).encode() + b"\n"


def table(entries: tuple[Entry, ...]) -> str:
    """Return the verdicts, one a line, each with its figures by set."""
    lines = []
    for entry in entries:
        trial = entry.trial
        lines.append(
            f"{entry.when}  {_verdict(entry.reasons):7}  {trial.name} {trial.model[:12]} "
            f"against {trial.default[:12]}"
        )
        lines += [f"    {each.name} ({each.asked}): {_figures(each)}" for each in trial.sets]
        lines += [f"    - {reason}" for reason in entry.reasons]
    return "".join(f"{line}\n" for line in lines)


def _figures(found: SetGains) -> str:
    return ", ".join(
        f"{name} {gain.candidate:.3f} ({gain.candidate - gain.default:+.3f})"
        for name, gain in found.gains.items()
    )


def main() -> int:
    """Print the leaderboard FILE."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", type=Path)
    try:
        print(table(read(parser.parse_args().file)), end="")
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
