"""A vault's work killed, refused or cut off from power at each of its durable steps, and what is left judged.

Scenarios with their promises are in `tests/scenarios.py`; `tests/endurance.py` runs them all, the tests a few
cases of each.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import numpy as np

from appliance.errors import ApplianceError
from appliance.vault.access import slots
from tests import steps
from tests.disk import Disk
from tests.steps import Step, Take
from tests.victims import in_child

KILLED, DONE, CLEAR, UNCLEAR = -signal.SIGKILL, 0, 10, 11


@dataclass(frozen=True)
class Scenario:
    """One kind of work on a vault.

    `prepare` fills an empty folder once; `act` works in a copy of it, and says with `acknowledge(what)` what
    must not be lost from then on; `judge` is given the folder afterwards and what was acknowledged, and
    raises where that is not as promised.
    """

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[Path, Callable[[str], object]], object]
    judge: Callable[[Path, list[str]], object]


@dataclass
class Tally:
    """What came of many cases: `outcomes` of the work, and `faults` that the judge found, one line each."""

    scenario: str
    how: str
    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        fields = {"scenario": self.scenario, "how": self.how, "cases": self.cases}
        return json.dumps(fields | {"outcomes": self.outcomes, "faults": self.faults})


def count(scenario: Scenario, room: Path) -> int:
    """Return how many durable steps the work takes where nothing happens to it; kept in `room`."""
    kept = room / f"steps of {scenario.name}"
    if not kept.exists():
        kept.write_text(str(_counted(scenario, room)))
    return int(kept.read_text())


def _counted(scenario: Scenario, room: Path) -> int:
    seen = 0

    def told(_: Step, take: Take) -> object:
        nonlocal seen
        seen += 1
        return take()

    def act(folder: Path) -> None:
        steps.watch(told)
        _acting(scenario, folder)
        _say(folder, "steps", str(seen))

    folder = _copy(scenario, room)
    status = _run(act, folder)
    assert status == DONE, f"{scenario.name} fails by itself ({status}): {_said(folder, 'error')}"
    return int(_said(folder, "steps")[0])


def undisturbed(scenario: Scenario, room: Path) -> Tally:
    """Let the work be done or fail by itself, and judge."""
    tally = Tally(scenario.name, "undisturbed")
    _case(scenario, room, tally, lambda _, take: take(), at=0)
    return tally


def kills(scenario: Scenario, room: Path, *, at: Iterable[int] | None = None, torn: bool = False) -> Tally:
    """Kill the work before its first, second, ... step, or those `at`; `torn` in the middle of a write."""
    tally = Tally(scenario.name, "killed in a write" if torn else "killed before a step")
    for number in range(1, count(scenario, room) + 1) if at is None else at:

        def told(step: Step, take: Take, left: list[int] = [number]) -> object:  # noqa: B006 - this case's own
            left[0] -= 1
            if left[0] == 0:
                if torn and step.short is not None:
                    step.short()
                os.kill(os.getpid(), signal.SIGKILL)
            return take()

        _case(scenario, room, tally, told, at=number)
    return tally


def refusals(
    scenario: Scenario, room: Path, *, how: str, lasting: bool = False, at: Iterable[int] | None = None
) -> Tally:
    """Refuse the work its first, second, ... step, or those `at`, or from there on all where it is `lasting`.

    `how`: "io" for an error of the device, "full" for no room, "short" for half a write and then no room.
    """
    tally = Tally(scenario.name, f"{how}, {'from a step on' if lasting else 'once'}")
    for number in range(1, count(scenario, room) + 1) if at is None else at:

        def told(step: Step, take: Take, left: list[int] = [number]) -> object:  # noqa: B006 - this case's own
            left[0] -= 1
            if left[0] == 0 or (lasting and left[0] < 0 and _writes(step)):
                _refuse(step, how)
            return take()

        _case(scenario, room, tally, told, at=number)
    return tally


def power_cuts(
    scenario: Scenario, room: Path, *, cases: int, seed: int = 0, at: Sequence[int] | None = None
) -> Tally:
    """Cut the power before a random step: of what was not flushed, a random part is on the disk (`Disk`)."""
    tally = Tally(scenario.name, "power cut")
    random, most = np.random.default_rng(seed), count(scenario, room)
    for number in at or random.integers(1, most + 2, size=cases).tolist():  # one more: when all is done
        cut = _PowerCut(room / "work", number, int(random.integers(1 << 32)))
        _case(scenario, room, tally, cut, at=number, afterwards=cut.now)
    return tally


class _PowerCut:
    def __init__(self, folder: Path, number: int, seed: int) -> None:
        self._folder = folder
        self._left = number
        self._random = np.random.default_rng(seed)
        self._disk: Disk | None = None

    def __call__(self, step: Step, take: Take) -> object:
        self._disk = self._disk or Disk(self._folder)
        self._left -= 1
        if self._left < 0:
            return take()  # the disk's own work
        if self._left == 0:
            self.now()
        return self._disk.step(step, take)

    def now(self) -> None:
        self._left = 0
        if self._disk is not None:
            self._disk.lose(self._random)
        os.kill(os.getpid(), signal.SIGKILL)


def _writes(step: Step) -> bool:
    """Tell whether a full or broken disk would refuse this too; what is there can still be removed."""
    return step.name not in ("delete", "unlink", "rmdir", "truncate", "ftruncate")


def _refuse(step: Step, how: str) -> None:
    if how == "short" and step.short is not None:
        step.short()
    number = errno.EIO if how == "io" else errno.ENOSPC
    if step.by == "python":
        raise OSError(number, os.strerror(number))
    raise (apsw.IOError if how == "io" else apsw.FullError)("refused")


def _case(
    scenario: Scenario,
    room: Path,
    tally: Tally,
    told: steps.Watch,
    *,
    at: int,
    afterwards: Callable[[], object] = lambda: None,
) -> None:
    folder = _copy(scenario, room)

    def act(folder: Path) -> None:
        steps.watch(told)
        _acting(scenario, folder)
        afterwards()

    status = _run(act, folder)
    tally.cases += 1
    names = {KILLED: "killed", DONE: "finished", CLEAR: "refused clearly", UNCLEAR: "refused unclearly"}
    tally.outcomes[names.get(status, str(status))] += 1
    if status not in (KILLED, DONE, CLEAR):
        tally.faults.append(f"step {at}: {_said(folder, 'error')}")
    verdict = _run(lambda folder: scenario.judge(folder, _said(folder, "acknowledged")), folder)
    if verdict != DONE:
        tally.faults.append(f"step {at}: judged {_said(folder, 'error')}")


def _acting(scenario: Scenario, folder: Path) -> None:
    scenario.act(folder, lambda what: _say(folder, "acknowledged", what))


def _run(act: Callable[[Path], object], folder: Path) -> int:
    """Run `act` in a child; a negative number is the signal that ended it."""

    def child() -> None:
        quick_slots()
        try:
            act(folder)
        except ApplianceError as error:
            _say(folder, "error", f"{type(error).__name__}: {error.message}")
            os._exit(CLEAR)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is not a clear refusal
            _say(folder, "error", repr(error))
            os._exit(UNCLEAR)

    status = in_child(child)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _copy(scenario: Scenario, room: Path) -> Path:
    """Return a fresh copy of what the scenario prepared; nothing that is said about it lies in it."""
    original, folder = room / f"original {scenario.name}", room / "work"
    if not original.exists():
        original.mkdir(parents=True)
        _run(lambda _: scenario.prepare(original), original)
    shutil.rmtree(folder, ignore_errors=True)
    for said in room.glob("work.*"):
        said.unlink()
    shutil.copytree(original, folder)
    return folder


def _say(folder: Path, about: str, what: str) -> None:
    with folder.with_name(f"{folder.name}.{about}").open("a") as file:
        file.write(f"{what}\n")


def _said(folder: Path, about: str) -> list[str]:
    path = folder.with_name(f"{folder.name}.{about}")
    return path.read_text().splitlines() if path.exists() else []


def quick_slots(monkeypatch: object = None) -> None:
    """Derive slots' keys without Argon2id: what is tested here is not the key derivation."""
    if monkeypatch is None:
        slots.argon2id = _quick
    else:
        monkeypatch.setattr(slots, "argon2id", _quick)  # type: ignore[attr-defined]


def _quick(secret, kdf, salt) -> bytearray:
    return bytearray(hashlib.blake2b(bytes(secret) + repr(kdf).encode() + salt, digest_size=32).digest())
