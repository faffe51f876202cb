"""Every scenario killed, refused and cut off from power: the long run, `python -m tests.endurance FOLDER`.

One JSON line for each scenario and way, and one for all in the end. `--every N` takes each N-th step only,
`--cuts N` so many power cuts a scenario. Without them it is every step: about an hour.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests import killing, scenarios
from tests.killing import Scenario, Tally

REFUSALS = tuple((how, lasting) for how in ("io", "full", "short") for lasting in (False, True))


def run(
    room: Path, *, every: int = 1, cuts: int = 100, ways: Sequence[str] = ("kills", "refusals", "cuts")
) -> Iterator[Tally]:
    """Yield a `Tally` for each scenario and way; `room` is a folder for its files alone."""
    for scenario in scenarios.ALL:
        if "kills" in ways:
            yield from _kills(scenario, room, every)
        if "refusals" in ways:
            yield from _refusals(scenario, room, every)
        if "cuts" in ways:
            yield killing.power_cuts(scenario, room, cases=cuts)


def _kills(scenario: Scenario, room: Path, every: int) -> Iterator[Tally]:
    at = range(1, killing.count(scenario, room) + 1, every)
    yield killing.kills(scenario, room, at=at)
    yield killing.kills(scenario, room, at=at, torn=True)


def _refusals(scenario: Scenario, room: Path, every: int) -> Iterator[Tally]:
    most = killing.count(scenario, room)
    for first, (how, lasting) in enumerate(REFUSALS, 1):
        at = range(
            1 + first % every, most + 1, every
        )  # each way its own steps, so that together they meet more
        yield killing.refusals(scenario, room, how=how, lasting=lasting, at=at)


def main() -> None:
    """Run it all and exit with 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--ways", nargs="+", default=["kills", "refusals", "cuts"])
    arguments = parser.parse_args()
    cases = faults = 0
    for tally in run(arguments.folder, every=arguments.every, cuts=arguments.cuts, ways=arguments.ways):
        print(tally, flush=True)
        cases, faults = cases + tally.cases, faults + len(tally.faults)
    print(json.dumps({"cases": cases, "faults": faults}))
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
