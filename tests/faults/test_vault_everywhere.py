"""A few of the kills, refusals and power cuts of `tests/endurance.py`, at steps that the day chooses not.

What a case costs is a copy of a vault and two or three openings, so the steps are spread over the work; the
long run takes every one.
"""

from __future__ import annotations

import pytest

from appliance.vault.database import engine
from tests import killing, scenarios

CASES = 4


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Where each scenario's vault is made once, and copied for every case."""
    return tmp_path_factory.mktemp("everywhere")


def spread(scenario, room, *, cases=CASES, shift=0):
    most = killing.count(scenario, room)
    return sorted({1 + (shift + number * most // cases) % most for number in range(cases)})


def named(scenario):
    return scenario.name


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=named)
def test_what_was_killed_before_a_step_is_whole(scenario, room):
    tally = killing.kills(scenario, room, at=spread(scenario, room))
    assert tally.faults == []
    assert tally.outcomes == {"killed": tally.cases}


@pytest.mark.parametrize("scenario", [scenarios.ADD, scenarios.ROTATE, scenarios.SLOTS], ids=named)
def test_what_was_killed_in_a_write_is_whole(scenario, room):
    tally = killing.kills(scenario, room, at=spread(scenario, room, shift=3), torn=True)
    assert tally.faults == []


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=named)
@pytest.mark.parametrize(("how", "lasting"), [("io", False), ("full", True), ("short", True)])
def test_what_the_disk_refuses_is_said_and_nothing_is_lost(scenario, how, lasting, room):
    at = spread(scenario, room, cases=2, shift=len(how))
    tally = killing.refusals(scenario, room, how=how, lasting=lasting, at=at)
    assert tally.faults == []
    assert set(tally.outcomes) <= {"refused clearly", "finished"}


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=named)
def test_what_the_power_left_is_whole(scenario, room):
    tally = killing.power_cuts(scenario, room, cases=CASES)
    assert tally.faults == []


def test_what_was_acknowledged_is_on_the_disk_at_once(room):
    """Cut the power right after the last step: all that was said to be done is done."""
    for scenario in scenarios.ALL:
        end = killing.count(scenario, room) + 1
        assert killing.power_cuts(scenario, room, cases=1, at=[end]).faults == []


def test_this_would_notice_a_disk_that_lies(room, monkeypatch):
    """Without SQLite's flushes an acknowledged commit goes with the power, and the judge says so."""
    lax = tuple((name, "off" if name == "synchronous" else value) for name, value in engine._PRAGMAS)
    monkeypatch.setattr(engine, "_PRAGMAS", lax)
    tally = killing.power_cuts(scenarios.ADD, room, cases=3, at=[60, 120, 180])
    assert tally.faults
