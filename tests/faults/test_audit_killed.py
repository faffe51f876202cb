"""kill -9 at any step, no room, two writers at once: what was acknowledged is there, nobody is accused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import StorageFull
from appliance.vault.audit import auditlog, entry
from appliance.vault.audit.auditlog import AuditLog
from appliance.vault.audit.logfile import KEY, LOG
from tests.audit_tamper import CREDENTIAL, SEED, VAULT, Clock, a_log
from tests.victims import killed_after, without_room

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
from appliance.vault.audit.auditlog import AuditLog
from tests.audit_tamper import Clock
log = AuditLog.open(Path(sys.argv[1]), Clock())
print(*[log.record("ask", "ok") for _ in range(int(sys.argv[2]))])
"""


def wrong(path: Path) -> list[str]:
    return [f"{check.name}: {check.detail}" for check in auditlog.verify(path, seed=SEED) if not check.ok]


def numbers(path: Path) -> list[int]:
    return [found.n for found in auditlog.entries(path) if found]


@pytest.mark.parametrize("calls", [*range(1, 150, 4), 100_000])
def test_a_killed_record_is_whole_or_absent_and_an_acknowledged_one_is_there(tmp_path, calls):
    a_log(tmp_path, reviewers=(CREDENTIAL.public,))
    acknowledged = tmp_path / "acknowledged"

    def act():
        log = AuditLog.open(tmp_path, Clock(), reviewers=(CREDENTIAL.public,))
        for _ in range(3):
            n = log.record("ask", "ok", content={"q": "where?"})
            with acknowledged.open("w") as file:
                file.write(str(n))

    killed_after(calls, act)
    promised = int(acknowledged.read_text()) if acknowledged.exists() else 0
    assert wrong(tmp_path) == []
    assert max(numbers(tmp_path)) in (promised, promised + 1)
    assert AuditLog.open(tmp_path, Clock()).record("unlock", "ok") == len(numbers(tmp_path)) - 1
    assert AuditLog.open(tmp_path, Clock()).repair(SEED, vault=VAULT) is None
    assert wrong(tmp_path) == []


@pytest.mark.parametrize("calls", [*range(1, 90, 5), 100_000])
def test_a_killed_repair_is_repaired_by_the_next(tmp_path, calls):
    log = a_log(tmp_path)
    log.record("ask", "ok")
    (tmp_path / KEY).unlink()
    killed_after(calls, lambda: AuditLog.open(tmp_path, Clock()).repair(SEED, vault=VAULT))
    log.repair(SEED, vault=VAULT)
    log.record("ask", "ok")
    assert [line.partition(":")[0] for line in wrong(tmp_path)] == ["audit log marks"]
    assert numbers(tmp_path) == list(range(len(numbers(tmp_path))))


@pytest.mark.parametrize("room", [0, 1, 100, 300, 2000])
def test_without_room_the_action_is_refused_and_no_partial_line_stays(tmp_path, room):
    a_log(tmp_path, reviewers=(CREDENTIAL.public,))
    before = (tmp_path / LOG).read_bytes()

    def act():
        log = AuditLog.open(tmp_path, Clock(), reviewers=(CREDENTIAL.public,))
        log.record("ask", "ok", content={"q": "x" * 3000})

    assert without_room(len(before) + room, act, expected=StorageFull)
    assert (tmp_path / LOG).read_bytes() == before
    act()
    assert wrong(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write whatever the permissions say")
def test_a_log_that_may_not_be_written_refuses(tmp_path):
    log = a_log(tmp_path)
    (tmp_path / LOG).chmod(0o400)
    with pytest.raises(auditlog.AuditDamaged):
        log.record("ask", "ok")


def test_two_processes_append_at_once_and_no_number_is_given_twice(tmp_path):
    a_log(tmp_path)
    command = [sys.executable, "-c", WRITER, str(tmp_path), "40"]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    given = [int(n) for process in running for n in process.communicate(timeout=60)[0].split()]
    assert sorted(given) == list(range(1, 81))
    assert numbers(tmp_path) == list(range(81))
    assert wrong(tmp_path) == []


def test_a_writer_killed_in_the_lock_does_not_keep_the_others_out(tmp_path):
    a_log(tmp_path)
    killed = 0
    for calls in range(20, 120, 5):
        killed += killed_after(calls, lambda: AuditLog.open(tmp_path, Clock()).record("ask", "ok"))
        AuditLog.open(tmp_path, Clock()).record("lock", "ok")
    assert killed > 5
    assert wrong(tmp_path) == []


def test_verify_reads_on_while_somebody_writes(tmp_path):
    log = a_log(tmp_path)
    for _ in range(20):
        log.record("ask", "ok")
    checks = auditlog.verify(tmp_path, seed=SEED)
    first = next(checks)
    log.record("ask", "ok")
    assert all(check.ok for check in [first, *checks])


def test_a_state_torn_at_any_byte_is_noticed_and_repaired(tmp_path):
    log = a_log(tmp_path)
    old = (tmp_path / KEY).read_bytes()
    log.record("ask", "ok")
    new = (tmp_path / KEY).read_bytes()
    log_bytes = (tmp_path / LOG).read_bytes()
    for at in range(9, 16 + 16 + 96 + 32, 11):
        torn = new[:at] + old[at:]
        if torn in (old, new):
            continue
        (tmp_path / LOG).write_bytes(log_bytes)
        (tmp_path / KEY).write_bytes(torn)
        with pytest.raises(entry.AuditDamaged):
            entry.parse_state(torn)
        assert log.repair(SEED, vault=VAULT) == "torn"
        assert log.record("ask", "ok") == 3
