"""The fast part of checklist row 20: a few hundred mutants a format, and every case that was kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance import sandbox
from appliance.ingest.parse.nursery import Nursery
from tests.fuzz import runner, seeds
from tests.fuzz.mutate import MOST

FAST = 200
"""Mutants of each; reStructuredText takes twenty times as long as the others."""

pytestmark = pytest.mark.skipif(not sandbox.level().full, reason="needs a kernel with Landlock and seccomp")


@pytest.fixture(scope="module")
def shelter() -> Iterator[Nursery]:
    with Nursery(runner.LIMITS) as found:
        yield found


@pytest.mark.parametrize("target", runner.TARGETS)
def test_mutants_end_cleanly(target: str) -> None:
    # Another stretch than the long run's, which begins at 0.
    count = FAST if target != "rst" else FAST // 5
    outcome = runner.fuzz(target, count, first=1_000_000)
    assert outcome.failures == []
    assert outcome.cases == count
    # A fuzzer whose mutants are all refused at the door tries nothing.
    assert outcome.read > count // 20
    assert outcome.refused > 0


@pytest.mark.parametrize("path", sorted(seeds.CASES.iterdir()), ids=lambda path: path.name)
def test_a_case_that_was_kept_ends_cleanly(shelter: Nursery, path) -> None:
    assert runner.attempt_document(shelter, f"kept{path.suffix}", path.read_bytes()) == ""


@pytest.mark.parametrize("target", runner.TARGETS)
def test_a_mutant_is_the_same_each_time_and_small(target: str) -> None:
    first = [runner.case(target, number) for number in range(20)]
    assert first == [runner.case(target, number) for number in range(20)]
    assert len(set(first)) > 15
    assert all(len(data) <= MOST + 1000 or target == "docx" for data in first)


def test_a_reader_that_fails_is_noticed(shelter: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "screen", lambda parsed: parsed.no_such_thing)
    found = runner.attempt_document(shelter, "a.txt", b"text\n")
    assert found.startswith("AttributeError outside the child")
