"""A medium that cannot be written, a machine without memory, and several processes at one vault."""

from __future__ import annotations

import ctypes
import os
import resource
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, UsageError, VaultBusy
from appliance.vault import erasure, folder, rewrite
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.database import engine
from tests import killing, scenarios
from tests.scenarios import content, opened, passphrase
from tests.stores import a_draft, added, noon
from tests.victims import in_child

_NEW_MOUNTS, _NEW_USER, _READ_ONLY, _REMOUNT, _BIND, _PRIVATE = 0x20000, 0x10000000, 1, 32, 4096, 0x44000
SKIPPED = 7


@pytest.fixture
def work(tmp_path):
    """A folder with a vault and a backup of it, made without Argon2id in a child."""
    assert in_child(lambda: (killing.quick_slots(), scenarios.RESTORE.prepare(tmp_path))) == 0
    return tmp_path


def _said_by(act, work):
    """Run `act` in a child; return the lines it appended to the list it was given."""
    report = work.parent / f"{work.name}.report"

    def child():
        killing.quick_slots()
        lines: list[str] = []
        try:
            act(lines)
        finally:
            report.write_text("\n".join(lines))

    status = in_child(child)
    return status, report.read_text().splitlines() if report.exists() else []


# A read-only medium


def _mount_read_only(path: Path) -> bool:
    """Make `path` read-only for this process alone; False where the system does not let us."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) != 0 and libc.unshare(_NEW_MOUNTS | _NEW_USER) != 0:
        return False
    target = os.fsencode(path)
    return (
        libc.mount(b"none", b"/", None, _PRIVATE, None) == 0
        and libc.mount(target, target, None, _BIND, None) == 0
        and libc.mount(b"none", target, None, _REMOUNT | _BIND | _READ_ONLY, None) == 0
    )


def test_a_read_only_medium_is_refused_clearly_and_a_backup_on_one_restored(work, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    refused = {
        "open": lambda: opened(work / "main"),
        "create": lambda: folder.create_vault(work / "new", passphrase(), clock=noon, kdf=FLOOR),
        "rotate": lambda: rewrite.rotate(work / "main", passphrase(), kdf=FLOOR, clock=noon),
        "back up to it": lambda: rewrite.backup(
            work / "main", passphrase(), work / "other", kdf=FLOOR, clock=noon
        ),
        "erase": lambda: erasure.erase(work / "main", clock=noon),
    }

    def act(lines):
        if not _mount_read_only(work):
            os._exit(SKIPPED)
        for name, call in refused.items():
            try:
                call()
            except UsageError as error:
                lines.append(f"{name}: {error.message}")
        rewrite.restore(work / "copy", passphrase(), elsewhere / "back", kdf=FLOOR, clock=noon)
        assert content(elsewhere / "back") == (work / "digest").read_text()

    status, lines = _said_by(act, work)
    if os.WEXITSTATUS(status) == SKIPPED:
        pytest.skip("this system lets nobody here mount")
    assert status == 0
    assert [line.partition(":")[0] for line in lines] == list(refused)
    assert all("Read-only" in line or "cannot be opened for writing" in line for line in lines), lines


# No memory


@pytest.mark.parametrize(
    "scenario", [scenarios.ADD, scenarios.REMOVE, scenarios.ROTATE], ids=lambda s: s.name
)
def test_too_little_memory_is_said_and_nothing_is_lost(scenario, tmp_path):
    outcomes = Counter()
    for mebibytes in (0, 1, 2, 3, 5, 8, 13, 21):

        def cramped(work, acknowledge, mebibytes=mebibytes):
            limit = _size() + (mebibytes << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            try:
                scenario.act(work, acknowledge)
            except MemoryError:
                raise ApplianceError("There is not enough memory.") from None

        limited = killing.Scenario(scenario.name, scenario.prepare, cramped, scenario.judge)
        tally = killing.undisturbed(limited, tmp_path)
        assert tally.faults == [], mebibytes
        outcomes += tally.outcomes
    assert outcomes["refused clearly"] > 0


def _size() -> int:
    """Return the bytes of address space this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def test_no_memory_in_the_engine_is_not_called_damage(tmp_path):
    error = engine._ours(engine.apsw.NoMemError("out of memory"), None)
    assert type(error) is ApplianceError
    assert "memory" in error.message


# Several processes


def test_processes_at_one_vault_wait_their_turn_and_lose_nothing(work):
    """Three add, one rotates, one makes backups, all at once; whoever finds the vault busy tries again."""
    path = work / "main"

    def insist(act):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                return act()
            except VaultBusy:
                os.sched_yield()
        raise AssertionError("busy for ever")

    def add(who, number):
        store = opened(path)
        try:
            if store.by_source(f"/in/{who}-{number}.txt") is None:
                added(store, a_draft(f"reading {number} of {who}", source=f"/in/{who}-{number}.txt"))
        finally:
            store.close()

    jobs = [lambda who=who: [insist(lambda n=n: add(who, n)) for n in range(3)] for who in "abc"]
    jobs.append(lambda: insist(lambda: rewrite.rotate(path, passphrase(), kdf=FLOOR, clock=noon)))
    jobs.append(lambda: _backups(insist, path, work))
    children = [_forked(job) for job in jobs]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(jobs)

    def look(lines):
        content(path)
        store = opened(path)
        lines.extend(document.source for document in store.documents())
        store.close()
        for number in range(2):
            content(work / f"copy{number}")

    status, sources = _said_by(look, work)
    assert status == 0
    expected = {f"/in/{who}-{number}.txt" for who in "abc" for number in range(3)}
    assert set(sources) == expected | {"/in/kept.txt", "/in/removed.txt"}


def _backups(insist, path, work):
    for number in range(2):
        target = work / f"copy{number}"
        insist(lambda target=target: rewrite.backup(path, passphrase(), target, kdf=FLOOR, clock=noon))


def _forked(job) -> int:
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        killing.quick_slots()
        job()
        code = 0
    except Exception:  # noqa: BLE001 - the parent sees only the status
        traceback.print_exc()
    finally:
        os._exit(code)
