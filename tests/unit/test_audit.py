"""What is recorded, what is refused, and that whatever befell the files, the owner can go on and it shows."""

from __future__ import annotations

import errno
import os
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from appliance.errors import AuditDamaged, StorageFull, UsageError, VaultExists
from appliance.vault.audit import auditlog, checkpoint, entry, logfile, trail
from appliance.vault.audit.auditlog import AuditLog
from appliance.vault.audit.logfile import KEY, LOG
from appliance.vault.audit.reviewer import ReviewerPublic, generate
from tests.audit_tamper import (
    CREDENTIAL,
    OTHER_SEED,
    SEED,
    VAULT,
    Clock,
    Files,
    a_log,
    a_scene,
    at_random,
    forged,
    kinds,
    lines_of,
    on_disk,
    on_disk_now,
    rewritten,
    undetected,
)

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "audit").glob("*.vector"))
LEVELS = {
    "locked": {},
    "seed": {"seed": SEED},
    "reviewer": {"reviewer": CREDENTIAL},
}


def failed(path: Path, **level) -> dict[str, str]:
    return {check.name: check.detail for check in auditlog.verify(path, **level) if not check.ok}


def last(path: Path) -> entry.Entry:
    found = list(auditlog.entries(path))[-1]
    assert found is not None
    return found


def test_the_key_chain_is_hkdf_expand():
    key = entry.first_key(SEED)
    assert entry.next_key(key, 1) == HKDFExpand(hashes.SHA256(), 32, b"appliance audit 1 next key").derive(
        key
    )
    assert entry.first_key(SEED) == HKDFExpand(hashes.SHA256(), 32, b"appliance audit 1 first key").derive(
        SEED
    )


def test_an_entry_is_on_the_disk_before_record_returns_and_before_the_key_moves_on(tmp_path, monkeypatch):
    log = a_log(tmp_path)
    seen = []
    real = os.fdatasync

    def sync(descriptor):
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        seen.append((name, (tmp_path / LOG).read_bytes().count(b"\n")))
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    assert log.record("ask", "ok") == 1
    assert seen == [(LOG, 2), (KEY, 2)]


def test_files_are_the_owners_alone(tmp_path):
    a_log(tmp_path)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in (LOG, KEY)] == [0o600, 0o600]


def test_a_log_is_begun_once(tmp_path):
    a_log(tmp_path)
    with pytest.raises(VaultExists):
        a_log(tmp_path)


def test_the_key_that_made_a_mac_is_gone_afterwards(tmp_path):
    log = a_log(tmp_path)
    held = entry.parse_state((tmp_path / KEY).read_bytes()).key
    log.record("ask", "ok")
    assert held not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_content_is_dropped_without_a_reviewer_and_sealed_to_each_with(tmp_path):
    log = a_log(tmp_path)
    log.record("ask", "ok", content={"question": "is it dropped?"})
    other = ReviewerPublic.load(generate()[1])
    log.add_reviewer(CREDENTIAL.public)
    log.add_reviewer(other)
    log.record("ask", "ok", content={"question": "is it sealed?", "n": [1, 2.5]})
    assert b"dropped" not in (tmp_path / LOG).read_bytes()
    assert b"sealed?" not in (tmp_path / LOG).read_bytes()
    first, asked = list(auditlog.entries(tmp_path))[1], last(tmp_path)
    assert not first.boxes
    assert [box.to for box in asked.boxes] == [CREDENTIAL.public.fingerprint, other.fingerprint]
    assert trail.content_of(asked, CREDENTIAL) == {"question": "is it sealed?", "n": [1, 2.5]}


def test_sealed_content_opens_in_its_own_entry_only(tmp_path):
    log = a_log(tmp_path, reviewers=(CREDENTIAL.public,))
    log.record("ask", "ok", content={"q": 1})
    log.record("ask", "ok", content={"q": 2})
    *_, one, two = auditlog.entries(tmp_path)
    moved = entry.parse(
        entry.encode(two).replace(
            entry.canonical.base64_of(two.boxes[0].box).encode(),
            entry.canonical.base64_of(one.boxes[0].box).encode(),
        )
    )
    with pytest.raises(AuditDamaged):
        trail.content_of(moved, CREDENTIAL)


@pytest.mark.parametrize(("short", "long"), [("", "x" * 900), ("x" * 1100, "x" * 2000)])
def test_lengths_of_content_look_alike(tmp_path, short, long):
    log = a_log(tmp_path, reviewers=(CREDENTIAL.public,))
    sizes = []
    for text in (short, long):
        log.record("ask", "ok", content={"q": text})
        sizes.append(len(last(tmp_path).boxes[0].box))
    assert sizes[0] == sizes[1]


def test_an_entry_that_no_reader_would_take_is_not_written(tmp_path):
    log = a_log(tmp_path, reviewers=(CREDENTIAL.public,))
    before = on_disk_now(tmp_path)
    for act in (
        lambda: log.record("dance", "ok"),
        lambda: log.record("ask", "Where is the valve?"),
        lambda: log.record("ask", "ok", models={"a b": "ab" * 32}),
        lambda: log.record("ask", "ok", models={"a": "ab"}),
        lambda: log.record("ask", "ok", chunks=[b"short"]),
        lambda: log.record("ask", "ok", chunks=[bytes(16)] * 257),
        lambda: log.record("ask", "ok", content={"q": "x" * (1 << 17)}),
        lambda: log.record("ask", "ok", content={"q": float("nan")}),
        lambda: log.add_reviewer(CREDENTIAL.public),
    ):
        with pytest.raises(UsageError):
            act()
    assert on_disk_now(tmp_path) == before


def test_a_reader_shows_actions_that_it_does_not_know(tmp_path):
    log = a_log(tmp_path)
    log.record("ask", "ok")
    line = entry.encode(last(tmp_path)).replace(b'"ask"', b'"dream"')
    assert entry.parse(line).action == "dream"


def test_fifty_failed_unlocks_are_fifty_entries_and_slow_down(tmp_path):
    log = a_log(tmp_path)
    delays = []
    for _ in range(50):
        log.record("unlock", "wrong secret")
        delays.append(trail.delay_s(log.failures()))
    assert delays == [0, 0, 0, 2, 4, 8, 16] + [30] * 43
    assert sum(found.outcome == "wrong secret" for found in auditlog.entries(tmp_path)) == 50
    log.record("lock", "ok")
    assert log.failures() == 50
    log.record("unlock", "ok")
    assert log.failures() == 0


def test_no_log_has_no_failures(tmp_path):
    assert AuditLog.open(tmp_path, Clock()).failures() == 0


def test_the_clock_going_back_is_recorded_and_fatal_to_nobody(tmp_path):
    clock = Clock()
    log = AuditLog.create(tmp_path, SEED, clock, vault=VAULT)
    clock.now -= timedelta(days=3650)
    log.record("ask", "ok")
    assert last(tmp_path).back == 3650 * 86400 - 60
    clock.now += timedelta(days=7300)
    log.record("ask", "ok")
    assert last(tmp_path).back == 0
    assert failed(tmp_path, seed=SEED) == {}
    assert "went back 1 times" in " ".join(check.detail for check in auditlog.verify(tmp_path))


# Whatever befell the files


def test_a_line_whose_state_was_not_yet_written_is_taken_over(tmp_path):
    log = a_log(tmp_path)
    before = (tmp_path / KEY).read_bytes()
    log.record("ask", "ok")
    (tmp_path / KEY).write_bytes(before)
    assert failed(tmp_path) == {}
    assert log.repair(SEED, vault=VAULT) is None
    log.record("answer", "ok")
    assert failed(tmp_path, seed=SEED) == {}
    assert [found.n for found in auditlog.entries(tmp_path)] == [0, 1, 2]


def test_two_kills_between_line_and_state_accuse_nobody(tmp_path, monkeypatch):
    log = a_log(tmp_path)
    before = (tmp_path / KEY).read_bytes()
    log.record("ask", "ok")
    (tmp_path / KEY).write_bytes(before)
    real = logfile.put_state

    def put(folder, state):
        if state.n == 3:
            raise OSError(errno.EIO, "as good as killed")
        real(folder, state)

    with monkeypatch.context() as patch:
        patch.setattr(logfile, "put_state", put)
        with pytest.raises(AuditDamaged):
            log.record("answer", "ok")
    assert failed(tmp_path, seed=SEED) == {}
    assert log.record("lock", "ok") == 3
    assert failed(tmp_path, seed=SEED) == {}


@pytest.mark.parametrize("length", [1, 7, 40, 200])
def test_a_torn_line_is_cut_off_and_recorded(tmp_path, length):
    log = a_log(tmp_path)
    log.record("ask", "ok")
    kept = on_disk_now(tmp_path)
    log.record("answer", "ok")
    torn = on_disk_now(tmp_path).log[len(kept.log) :][:length]
    (tmp_path / LOG).write_bytes(kept.log + torn)
    (tmp_path / KEY).write_bytes(kept.state)
    assert failed(tmp_path, seed=SEED) == {}
    log.record("answer", "ok")
    assert last(tmp_path).cut == length
    assert failed(tmp_path, seed=SEED) == {}


def test_what_no_torn_line_can_be_stays_as_evidence(tmp_path):
    log = a_log(tmp_path)
    with (tmp_path / LOG).open("ab") as file:
        file.write(b"xyz")
    assert "audit log state" in failed(tmp_path)
    log.record("ask", "ok")
    assert b"xyz\n" in (tmp_path / LOG).read_bytes()
    assert last(tmp_path).fault == "damaged"
    assert set(failed(tmp_path)) >= {"audit log form", "audit log marks"}


@pytest.mark.parametrize("loss", ["missing", "torn"])
def test_a_lost_state_lets_only_what_needs_no_key_be_recorded_until_it_is_repaired(tmp_path, loss):
    log = a_log(tmp_path)
    log.record("unlock", "ok")
    (tmp_path / KEY).unlink() if loss == "missing" else (tmp_path / KEY).write_bytes(b"APLAUDIT")
    for act in (lambda: log.record("ask", "ok"), log.checkpoint, lambda: log.add_reviewer(CREDENTIAL.public)):
        with pytest.raises(AuditDamaged):
            act()
    log.record("unlock", "wrong secret")
    assert (last(tmp_path).mac, last(tmp_path).fault) == (None, loss)
    assert log.failures() == 1
    assert log.repair(SEED, vault=VAULT) == loss
    assert log.repair(SEED, vault=VAULT) is None
    log.record("ask", "ok")
    assert set(failed(tmp_path, seed=SEED)) == {"audit log marks"}


def test_after_a_truncation_the_numbers_go_on_and_the_gap_stays(tmp_path):
    log = a_log(tmp_path)
    for _ in range(5):
        log.record("ask", "ok")
    (tmp_path / LOG).write_bytes(b"".join(lines_of((tmp_path / LOG).read_bytes())[:3]))
    assert "audit log state" in failed(tmp_path)
    assert log.record("unlock", "ok") == 6
    assert last(tmp_path).fault == "ahead"
    assert set(failed(tmp_path)) == {"audit log chain", "audit log marks"}


@pytest.mark.parametrize("names", [[LOG], [KEY], [LOG, KEY]])
def test_deleted_files_lock_nobody_out_and_show(tmp_path, names):
    log = a_log(tmp_path)
    log.record("ask", "ok")
    for name in names:
        (tmp_path / name).unlink()
    log.record("unlock", "wrong secret")
    log.repair(SEED, vault=VAULT)
    log.record("ask", "ok")
    assert failed(tmp_path)
    assert failed(tmp_path, seed=SEED)


def test_an_older_state_put_back_is_caught_up_with_and_shows(tmp_path):
    log = a_log(tmp_path)
    old = (tmp_path / KEY).read_bytes()
    for _ in range(4):
        log.record("ask", "ok")
    (tmp_path / KEY).write_bytes(old)
    assert "audit log state" in failed(tmp_path)
    log.record("ask", "ok")
    assert last(tmp_path).fault == "behind"
    assert set(failed(tmp_path, seed=SEED)) == {"audit log marks"}


def test_a_forged_state_is_found_by_the_next_unlock(tmp_path):
    log = a_log(tmp_path)
    log.record("ask", "ok")
    state = entry.parse_state((tmp_path / KEY).read_bytes())
    forged_state = entry.State(state.n, state.vault, state.head, bytes(32), state.signing)
    (tmp_path / KEY).write_bytes(entry.encode_state(forged_state))
    assert failed(tmp_path) == {}  # nobody can tell without a secret (AUDIT.md)
    assert log.repair(SEED, vault=VAULT) == "wrong"
    log.record("ask", "ok")
    assert set(failed(tmp_path, seed=SEED)) == {"audit log marks"}


@pytest.mark.parametrize("size", [3 << 16, 5 << 20])
def test_a_heap_of_garbage_at_the_end_stops_nobody(tmp_path, size):
    log = a_log(tmp_path)
    with (tmp_path / LOG).open("ab") as file:
        file.write(b"g" * size)
    log.record("unlock", "ok")
    log.record("ask", "ok")
    assert {"audit log form", "audit log marks"} <= set(failed(tmp_path))


def test_a_state_with_a_number_far_off_costs_no_time(tmp_path):
    log = a_log(tmp_path)
    state = entry.parse_state((tmp_path / KEY).read_bytes())
    far = entry.State(entry.MAX_N, state.vault, state.head, state.key, state.signing)
    (tmp_path / KEY).write_bytes(entry.encode_state(far))
    with pytest.raises(AuditDamaged):
        log.record("ask", "ok")
    assert log.repair(SEED, vault=VAULT) == "wrong"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/null")])
@pytest.mark.parametrize("name", [LOG, KEY])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, make, name):
    log = a_log(tmp_path)
    (tmp_path / name).unlink()
    make(tmp_path / name)
    with pytest.raises(AuditDamaged):
        log.record("ask", "ok")


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EIO, AuditDamaged)])
@pytest.mark.parametrize("at", [1, 2])
def test_a_write_that_fails_refuses_the_action_and_leaves_no_partial_line(
    tmp_path, monkeypatch, number, kind, at
):
    log = a_log(tmp_path)
    calls = 0
    real = os.fdatasync

    def fail(descriptor):
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(number, "fault")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(kind):
            log.record("ask", "ok")
    assert (tmp_path / LOG).read_bytes().endswith(b"\n")
    log.record("answer", "ok")
    assert failed(tmp_path, seed=SEED) == {}


def test_an_entry_costs_the_same_however_long_the_log_is(tmp_path, monkeypatch):
    log = a_log(tmp_path)
    log.record("unlock", "wrong secret")
    first, line = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    (tmp_path / LOG).write_bytes(first + line * 50_000)
    read, real = [], os.pread

    def pread(descriptor, length, at):
        read.append(length)
        return real(descriptor, length, at)

    monkeypatch.setattr(os, "pread", pread)
    tracemalloc.start()
    assert log.record("lock", "ok") == 2
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(read) <= (1 << 16) + 513
    assert most < 1 << 20


# Checkpoints


def test_a_checkpoint_says_what_the_log_was_and_can_be_countersigned(tmp_path):
    log = a_log(tmp_path)
    data = log.checkpoint((7, b"\x05" * 32))
    path = auditlog.save_checkpoint(data, tmp_path)
    assert path.name == f"audit-{VAULT.hex()[:8]}-000000001.checkpoint"
    assert path.read_bytes() == data
    point = checkpoint.parse(data)
    assert (point.vault, point.n, point.store) == (VAULT, 1, (7, b"\x05" * 32))
    signed = checkpoint.countersign(data, by=CREDENTIAL.public.verifier, sign=CREDENTIAL.sign)
    assert [name.by for name in checkpoint.parse(signed).countersigned] == [CREDENTIAL.public.verifier]
    assert failed(tmp_path, checkpoints=[data, signed], seed=SEED) == {}


def test_no_flipped_bit_of_a_checkpoint_is_accepted(tmp_path):
    data = a_log(tmp_path).checkpoint((7, b"\x05" * 32))
    data = checkpoint.countersign(data, by=CREDENTIAL.public.verifier, sign=CREDENTIAL.sign)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuditDamaged):
            checkpoint.parse(bytes(changed))


def test_a_checkpoint_of_another_log_and_one_beyond_the_end_are_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = a_log(tmp_path / "a"), a_log(tmp_path / "b", seed=OTHER_SEED)
    point = one.checkpoint()
    assert set(failed(tmp_path / "b", checkpoints=[point])) == {"audit log checkpoints"}
    two.checkpoint()
    assert set(failed(tmp_path / "b", checkpoints=[point])) == {"audit log checkpoints"}
    assert set(failed(tmp_path / "a", checkpoints=[b"nonsense"])) == {"audit log checkpoints"}


def test_log_and_state_put_back_together_are_found_by_a_checkpoint_and_by_what_the_store_remembers(tmp_path):
    log = a_log(tmp_path)
    old = on_disk_now(tmp_path)
    log.record("ask", "ok")
    known, point = log.last(), log.checkpoint()
    assert failed(tmp_path, known=known, checkpoints=[point]) == {}
    (tmp_path / LOG).write_bytes(old.log)
    (tmp_path / KEY).write_bytes(old.state)
    assert failed(tmp_path, seed=SEED) == {}  # authentic, only old (AUDIT.md)
    assert set(failed(tmp_path, checkpoints=[point])) == {"audit log checkpoints"}
    assert set(failed(tmp_path, known=known)) == {"audit log checkpoints"}


def test_the_log_is_asked_for_what_it_holds_without_being_read_through(tmp_path):
    log = a_log(tmp_path)
    log.record("verify", "ok")
    known = log.last()
    log.record("ask", "ok")
    assert known is not None
    assert log.holds(known)
    assert not log.holds((known[0], bytes(32)))
    assert not log.holds((99, known[1]))
    assert log.last_of("verify").n == 1
    assert log.last_of("erase") is None
    assert log.fault() is None
    (tmp_path / KEY).unlink()
    assert log.fault() == "missing"
    AuditLog.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


# What verification finds


def test_a_reviewer_checks_from_where_they_came_in_and_a_stranger_nothing(tmp_path):
    scene = a_scene(tmp_path)
    details = {check.name: check.detail for check in auditlog.verify(tmp_path, reviewer=CREDENTIAL)}
    assert details["audit log MACs"] == "all 8 fit; 3 entries are older than this credential"
    stranger = auditlog.Reviewer(bytes(128))
    assert kinds(scene.files, reviewer=stranger) == {"mac"}


def test_a_reviewer_named_at_the_beginning_checks_everything(tmp_path):
    a_log(tmp_path, reviewers=(CREDENTIAL.public,)).record("ask", "ok")
    details = {check.name: check.detail for check in auditlog.verify(tmp_path, reviewer=CREDENTIAL)}
    assert details["audit log MACs"] == "all 2 fit"


def test_a_copy_of_the_log_is_verified_without_its_state(tmp_path):
    scene = a_scene(tmp_path)
    copy = tmp_path / "copy"
    copy.write_bytes(scene.files.log)
    assert failed(copy, reviewer=CREDENTIAL, checkpoints=scene.checkpoints) == {}
    with pytest.raises(AuditDamaged):
        list(auditlog.verify(tmp_path / "nothing"))


def test_every_manipulation_is_found_by_its_level(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    scene, foreign = a_scene(tmp_path / "a"), a_scene(tmp_path / "b", seed=OTHER_SEED)
    for level in ({}, {"seed": SEED}, {"reviewer": CREDENTIAL}, {"checkpoints": scene.checkpoints}):
        assert kinds(scene.files, **level) == set()
    tried, missed = undetected(on_disk(scene, foreign), scene.files)
    assert tried > 7000
    assert missed == []
    tried, missed = undetected(at_random(scene, foreign, count=1500), scene.files)
    assert tried > 1400
    assert missed == []
    for level in ({"seed": SEED}, {"reviewer": CREDENTIAL}):
        tried, missed = undetected(forged(scene), scene.files, **level)
        assert tried > 100
        assert missed == []
    upto = checkpoint.parse(scene.checkpoints[-1]).n
    tried, missed = undetected(rewritten(scene, upto=upto), scene.files, checkpoints=scene.checkpoints[-1:])
    assert tried > 50
    assert missed == []


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_vector_gives_what_it_says(path):
    head, _, log = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
    state = None if fields["state"] == "missing" else bytes.fromhex(fields["state"])
    level = dict(LEVELS[fields["level"]])
    if "checkpoint" in fields:
        level["checkpoints"] = [bytes.fromhex(fields["checkpoint"])]
    assert kinds(Files(log, state), **level) == set(fields["expect"].split()) - {"success"}


def test_there_are_vectors_for_every_kind_of_finding():
    expected = b" ".join(path.read_bytes().split(b"\n")[0] for path in VECTORS)
    for kind in get_args(trail.Kind):
        assert kind.encode() in expected
    assert len(VECTORS) >= 40
