"""What is done to a vault is in its log, on the disk, before anybody sees the effect; or it is not done."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from appliance import journal as journals
from appliance.assistant import Assistant
from appliance.custody import now
from appliance.engines import Engines
from appliance.errors import AuditDamaged, Cancelled, StorageFull, UsageError, VaultBusy
from appliance.journal import Journal, Memory
from appliance.secret import Secret
from appliance.types import Added, Check, FileDone, FileResult, Report, Retrieved
from appliance.vault import folder, rewrite
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.audit import auditlog, logfile, trail
from appliance.vault.audit.auditlog import AuditLog
from appliance.vault.audit.entry import MAX_CHUNKS
from appliance.vault.audit.reviewer import Reviewer, generate
from tests.fakes import FakeEncoder, FakeGenerator
from tests.killing import quick_slots
from tests.stores import ENCODER, a_draft, added
from tests.victims import in_child, without_room

GREASE = "Every 500 hours the bearings of the pump are greased with 15 g of lithium grease."
PAINT = "The fence of the station is painted green every second spring by the crew."
QUESTION = "Every how many hours are the bearings of the pump greased with lithium grease?"
ELSEWHERE = "Who composed Lohengrin?"
MODELS = {"fake-encoder": "11" * 32}
CONFIG = "22" * 32


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_slots(monkeypatch)


class Ready(Engines):
    """Engines that are there at once."""

    def __init__(self) -> None:
        self.accept_weaker = False

    def encoder(self):
        return FakeEncoder()

    def reader(self):
        return None

    def brief(self):
        return False

    def generator(self):
        done = Future()
        done.set_result(FakeGenerator(GREASE))
        return done


def secret(words: bytes = b"a secret for the journal") -> Secret:
    return Secret.passphrase(bytearray(words))


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """A vault with one document, closed, whose log is begun."""
    path = tmp_path / "main"
    store = folder.create_vault(path, secret(), clock=now, kdf=FLOOR)
    store.begin(draft := a_draft(GREASE, PAINT), model=ENCODER)
    vectors = FakeEncoder().encode([chunk.text for chunk in draft.chunks])
    added(store, draft, vectors=vectors)
    begun = started(path, store)
    begun.close()
    store.close()
    return path


def started(path: Path, store, *, config: str = CONFIG, models=MODELS, **how) -> Journal:
    return Journal.open(path, store, clock=now, config=config, models=models, **how)


@contextlib.contextmanager
def opened(path: Path, **how) -> Iterator[Assistant]:
    store = folder.open_vault(path, secret(), clock=now)
    try:
        assistant = Assistant(store, started(path, store, **how), Ready())
    except BaseException:
        store.close()
        raise
    try:
        yield assistant
    finally:
        assistant.close()


def lines(path: Path) -> list[tuple[str, str]]:
    """Return action and outcome of each entry, as they are on the disk."""
    return [(each.action, each.outcome) for each in auditlog.entries(path) if each]


@contextlib.contextmanager
def many(path: Path, *, chunks: int) -> Iterator[Assistant]:
    """Open a vault whose one document has many chunks."""
    store = folder.create_vault(path, secret(), clock=now, kdf=FLOOR)
    store.begin(draft := a_draft(*(f"Pump {n}: {GREASE}" for n in range(chunks))), model=ENCODER)
    added(store, draft, vectors=FakeEncoder().encode([chunk.text for chunk in draft.chunks]))
    store.close()
    with opened(path) as assistant:
        yield assistant


def asked(assistant: Assistant, question: str = QUESTION, stop: threading.Event | None = None):
    return assistant.ask(question, stop=stop or threading.Event())


def bring_in(assistant: Assistant) -> Reviewer:
    private, public = generate()
    assistant.add_reviewer(journals.ReviewerPublic.load(public))
    return Reviewer.load(private)


def contents(path: Path, who: Reviewer) -> list[dict]:
    return [found for each in auditlog.entries(path) if each and (found := trail.content_of(each, who))]


def all_ok(checks) -> bool:
    return all(check.ok for check in checks)


# Order


@pytest.mark.parametrize(("wanted", "least"), [(50, 50), (1000, 51)])
def test_the_many_passages_of_an_evaluation_are_all_on_record(
    tmp_path: Path, wanted: int, least: int
) -> None:
    with many(tmp_path / "main", chunks=300) as assistant:
        seen = next(assistant.ask(QUESTION, stop=threading.Event(), passages=wanted))
        assert isinstance(seen, Retrieved)
    entry = next(each for each in auditlog.entries(tmp_path / "main") if each and each.action == "ask")
    assert len(entry.chunks) == len(set(entry.chunks)) == len(seen.passages)
    # However many are wanted, the searches find fewer than an entry holds: no question fails by that.
    assert least <= len(seen.passages) <= min(wanted, MAX_CHUNKS)


def test_an_entry_is_on_the_disk_before_its_event_is_seen(vault: Path) -> None:
    with opened(vault) as assistant:
        seen = {type(event).__name__: lines(vault)[-1] for event in asked(assistant)}
    assert seen["Retrieved"] == ("ask", "ok")
    assert seen["EvidenceFound"] == ("ask", "ok")
    assert seen["Delta"] == ("ask", "ok")
    assert seen["Answered"] == ("answer", "answered")


def test_the_entries_name_the_passages_and_of_those_the_cited_ones(vault: Path) -> None:
    with opened(vault) as assistant:
        (found,) = [event for event in asked(assistant) if isinstance(event, Retrieved)]
        leaves = {assistant._store.leaf(passage.chunk) for passage in found.passages}
        ask, answer = [each for each in auditlog.entries(vault) if each and each.action in ("ask", "answer")]
    assert set(ask.chunks) == leaves
    assert set(answer.chunks) < leaves
    assert answer.chunks
    assert ask.models == MODELS
    assert ask.store is not None


def test_a_refusal_is_an_answer_on_record(vault: Path) -> None:
    with opened(vault) as assistant:
        list(asked(assistant, ELSEWHERE))
        assert lines(vault)[-2:] == [("ask", "ok"), ("answer", "not in documents")]


def test_a_stopped_question_is_on_record(vault: Path) -> None:
    with opened(vault) as assistant:
        stop = threading.Event()
        events = asked(assistant, stop=stop)
        next(events)
        stop.set()
        with pytest.raises(Cancelled):
            list(events)
        assert lines(vault)[-2:] == [("ask", "ok"), ("ask", "stopped")]


def test_a_question_whose_asker_went_away_is_on_record(vault: Path) -> None:
    with opened(vault) as assistant:
        events = asked(assistant)
        next(events)
        events.close()
        assert lines(vault)[-1] == ("ask", "stopped")


@pytest.mark.parametrize("error", [UsageError("no"), ZeroDivisionError()])
def test_a_question_that_failed_before_anything_was_found_is_on_record(vault: Path, error) -> None:
    def failing():
        raise error
        yield

    with opened(vault) as assistant:
        with pytest.raises(type(error)):
            list(assistant._journal.asking(QUESTION, failing()))
        assert lines(vault)[-1] == ("ask", "failed")


def test_every_file_of_an_add_is_on_record_before_it_is_told(vault: Path, tmp_path: Path) -> None:
    results = [
        FileResult(f"/{status}", status) for status in ("ok", "partial", "duplicate", "no-text", "failed")
    ]
    events = iter([*map(FileDone, results), Added(tuple(results), 1.0, 1.0)])
    with opened(vault) as assistant:
        told = []
        for event in assistant._journal.adding([tmp_path] * 30_000, events):
            told.append(lines(vault)[-1])
            assert isinstance(event, FileDone | Added)
        begun = ("add", "begun")
        assert told == [("add", result.status) for result in results] + [("add", "done")]
        assert begun in lines(vault)


def test_an_add_of_very_many_paths_is_not_refused_for_its_entry(vault: Path) -> None:
    long = [Path("/" + "x" * 4000 + str(number)) for number in range(10_000)]
    with opened(vault) as assistant:
        bring_in(assistant)
        list(assistant._journal.adding(long, iter([Added((), 1.0, 1.0)])))
        assert lines(vault)[-2:] == [("add", "begun"), ("add", "done")]


def test_a_removal_is_begun_on_record_and_has_a_receipt(vault: Path) -> None:
    with opened(vault) as assistant:
        (document,) = assistant.documents()
        who = bring_in(assistant)
        assistant.remove(document.id)
        assert lines(vault)[-2:] == [("remove", "begun"), ("remove", "erased")]
        before = len(lines(vault))
        assistant.remove(document.id)  # gone already: no error, and no receipt for nothing
        assert len(lines(vault)) == before
    receipts = [each for each in contents(vault, who) if "sha256" in each]
    assert receipts == [{"id": document.id, "name": document.name, "sha256": document.digest}] * 2


def test_a_removal_that_fails_has_no_receipt(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(vault) as assistant:
        (document,) = assistant.documents()

        def refuses(_):
            raise StorageFull("no room")

        monkeypatch.setattr(assistant._store, "remove", refuses)
        with pytest.raises(StorageFull):
            assistant.remove(document.id)
        assert lines(vault)[-2:] == [("remove", "begun"), ("remove", "failed")]


def test_reading_a_document_verifying_opening_and_closing_are_on_record(vault: Path) -> None:
    with opened(vault) as assistant:
        assert lines(vault)[-1] == ("unlock", "ok")
        assistant.pages(assistant.documents()[0].id)
        assert lines(vault)[-1] == ("show", "ok")
        report = assistant.verify(full=True, stop=threading.Event(), tell=lambda _: None)
        assert report.ok, [check for check in report.checks if not check.ok]
        assert lines(vault)[-1] == ("verify", "ok full")
        assistant._journal.verified(Report((Check("x", ok=False, detail=""),)), full=False)
        assert lines(vault)[-1] == ("verify", "failed quick")
    assert lines(vault)[-1] == ("lock", "ok")


def test_changed_models_and_settings_are_on_record_once(vault: Path) -> None:
    other = {"fake-encoder": "33" * 32}
    for _ in range(2):
        with opened(vault, config="44" * 32, models=other):
            pass
    changes = [each for each in lines(vault) if each[0] in ("model", "config")]
    assert changes == [("model", "changed"), ("config", "changed")]
    with opened(vault):
        pass
    assert lines(vault).count(("model", "changed")) == 2


def test_an_entry_names_the_models_of_its_own_process_not_of_the_one_that_came_after(vault: Path) -> None:
    other = {"fake-encoder": "33" * 32}
    with opened(vault) as long:
        with opened(vault, models=other):
            pass
        list(asked(long))
        last = [each for each in auditlog.entries(vault) if each][-1]
        assert last.models == MODELS


# Content


def test_content_is_recorded_for_the_reviewer_only_and_only_from_their_entry_on(vault: Path) -> None:
    with opened(vault) as assistant:
        list(asked(assistant, ELSEWHERE))
        without = (vault / logfile.LOG).read_bytes()
        who = bring_in(assistant)
        list(asked(assistant))
    assert b'"sealed"' not in without
    raw = (vault / logfile.LOG).read_bytes()
    for word in (b"Lohengrin", b"greased", b"manual.txt", b"lithium"):
        assert word not in raw
    read = contents(vault, who)
    assert {"question": QUESTION} in read
    assert any("15 g" in each.get("answer", "") for each in read)
    assert not any(ELSEWHERE in str(each) for each in read)
    stranger = Reviewer.load(generate()[0])
    assert contents(vault, stranger) == []


def test_a_reviewer_checks_every_mac_from_their_entry_on_and_the_owner_all(vault: Path) -> None:
    with opened(vault) as assistant:
        who = bring_in(assistant)
        assert all_ok(assistant._journal.check())
    assert all_ok(auditlog.verify(vault, reviewer=who))


def test_the_same_reviewer_twice_and_a_fifth_are_refused_and_nothing_is_recorded(vault: Path) -> None:
    with opened(vault) as assistant:
        key = bring_in(assistant).public
        for _ in range(3):
            bring_in(assistant)
        before = lines(vault)
        for another in (key, Reviewer.load(generate()[0]).public):
            with pytest.raises(UsageError):
                assistant.add_reviewer(another)
        assert lines(vault) == before


def test_a_question_too_long_to_be_recorded_is_refused(vault: Path) -> None:
    with opened(vault) as assistant:
        bring_in(assistant)
        with pytest.raises(UsageError, match="too long"):
            list(assistant._journal.asking("x" * (1 << 18), iter([Retrieved(())])))


# What cannot be recorded, or was changed


def test_a_log_that_has_no_room_refuses_the_question(vault: Path) -> None:
    with opened(vault) as assistant:
        seen = []
        limit = (vault / logfile.LOG).stat().st_size + 100

        def ask() -> None:
            for event in asked(assistant):
                os._exit(2) if isinstance(event, Retrieved) else seen.append(event)

        assert without_room(limit, ask, expected=StorageFull)
        assert seen == []


@pytest.mark.parametrize(
    ("number", "expected"), [(28, StorageFull), (5, AuditDamaged)], ids=["ENOSPC", "EIO"]
)
def test_a_log_that_cannot_be_flushed_refuses_question_removal_and_reading(
    vault: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    with opened(vault) as assistant:
        (document,) = assistant.documents()

        def fails(_: int) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(logfile.os, "fdatasync", fails)
            seen = []
            with pytest.raises(expected):
                seen.extend(asked(assistant))
            assert seen == []
            with pytest.raises(expected):
                assistant.remove(document.id)
            with pytest.raises(expected):
                assistant.pages(document.id)
        assert assistant.documents() == (document,)
        assert all_ok(assistant._journal.check())


@pytest.mark.parametrize("gone", [["audit.log"], ["audit.log", "audit.key"]])
def test_a_missing_log_lets_nobody_in(vault: Path, gone: list[str]) -> None:
    for name in gone:
        (vault / name).unlink()
    with pytest.raises(AuditDamaged), opened(vault):
        pass


def test_a_log_cut_short_lets_nobody_in(vault: Path) -> None:
    log = vault / logfile.LOG
    whole = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(whole[:-1]))
    with pytest.raises(AuditDamaged, match="entries are missing"), opened(vault):
        pass


def test_log_and_state_put_back_together_let_nobody_in(vault: Path, tmp_path: Path) -> None:
    for name in (logfile.LOG, logfile.KEY):
        shutil.copy(vault / name, tmp_path / name)
    with opened(vault) as assistant:
        list(asked(assistant))
    for name in (logfile.LOG, logfile.KEY):
        shutil.copy(tmp_path / name, vault / name)
    assert all_ok(auditlog.verify(vault)), "the files agree with each other: only the store can tell"
    with pytest.raises(AuditDamaged, match="entries are missing"), opened(vault):
        pass


def test_a_log_of_another_vault_lets_nobody_in(vault: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    store = folder.create_vault(other, secret(), clock=now, kdf=FLOOR)
    started(other, store).close()
    store.close()
    for name in (logfile.LOG, logfile.KEY):
        shutil.copy(other / name, vault / name)
    with pytest.raises(AuditDamaged), opened(vault):
        pass


def test_a_lost_log_is_gone_on_with_where_the_owner_accepts_it_and_never_verifies_clean_again(
    vault: Path,
) -> None:
    (vault / logfile.LOG).unlink()
    (vault / logfile.KEY).unlink()
    with opened(vault, accept=True) as assistant:
        assert ("repair", "accepted") in lines(vault)
        list(asked(assistant))
        assert not all_ok(assistant._journal.check())
    with opened(vault):
        pass


def test_a_state_that_was_lost_or_forged_is_made_anew_and_leaves_a_mark(vault: Path) -> None:
    (vault / logfile.KEY).write_bytes(b"x" * 512)
    with opened(vault) as assistant:
        assert ("repair", "ok") in lines(vault)
        failed = [check.name for check in assistant._journal.check() if not check.ok]
    assert failed == ["audit log marks"]


# Several processes, copies, kills


def test_a_long_session_and_commands_beside_it_do_not_alarm_each_other(vault: Path) -> None:
    with opened(vault) as long:
        for _ in range(3):
            list(asked(long))
            with opened(vault) as command:
                list(asked(command, ELSEWHERE))
            AuditLog.open(vault, now).record("unlock", "wrong secret")
        with opened(vault) as command:
            who = bring_in(command)
        list(asked(long))  # sealed to the reviewer whom the other process brought in
        assert all_ok(long._journal.check())
    assert {"question": QUESTION} in contents(vault, who)
    with opened(vault) as again:
        assert all_ok(again._journal.check())


def test_processes_that_truly_run_at_once_do_not_alarm_each_other(vault: Path) -> None:
    def work() -> None:
        for _ in range(3):
            with opened(vault) as assistant:
                list(asked(assistant))

    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            try:
                work()
            except BaseException:  # noqa: BLE001 - said by the exit code
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    with opened(vault) as assistant:
        assert lines(vault).count(("ask", "ok")) == 9
        assert all_ok(assistant._journal.check())


def test_settings_that_changed_while_another_process_writes_are_recorded_and_open_the_vault(
    vault: Path,
) -> None:
    busy = folder.open_vault(vault, secret(), clock=now)
    try:
        with busy.writing(), opened(vault, config="44" * 32):
            assert ("config", "changed") in lines(vault)
    finally:
        busy.close()
    with opened(vault, config="44" * 32):  # nothing is lost: it was told twice, not never
        assert lines(vault).count(("config", "changed")) == 2


def test_a_log_is_begun_by_one_process_only(tmp_path: Path) -> None:
    path = tmp_path / "main"
    first = folder.create_vault(path, secret(), clock=now, kdf=FLOOR)
    second = folder.open_vault(path, secret(), clock=now)
    try:
        with first.writing(), pytest.raises(VaultBusy):
            started(path, second)
        begun = [started(path, store) for store in (first, second)]
        assert lines(path).count(("init", "ok")) == 1
        assert all_ok(begun[0].check())
    finally:
        first.close()
        second.close()


def test_what_the_store_remembers_goes_along_with_a_rotation_and_a_backup(
    vault: Path, tmp_path: Path
) -> None:
    with opened(vault) as assistant:
        who = bring_in(assistant)
    copy, back = tmp_path / "copy", tmp_path / "back"
    rewrite.rotate(vault, secret(), kdf=FLOOR, clock=now)
    rewrite.backup(vault, secret(), copy, kdf=FLOOR, clock=now)
    rewrite.restore(copy, secret(), back, kdf=FLOOR, clock=now)
    for path, restored in ((vault, False), (back, True)):
        with opened(path, restored=restored) as assistant:
            list(asked(assistant))
            assert all_ok(assistant._journal.check()), list(assistant._journal.check())
        assert {"question": QUESTION} in contents(path, who)
        with opened(path) as assistant:
            assert all_ok(assistant._journal.check())


@pytest.mark.parametrize("before", ["set_setting", "create", "keep"])
def test_a_kill_while_the_log_is_begun_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    path = tmp_path / "main"
    folder.create_vault(path, secret(), clock=now, kdf=FLOOR).close()

    def die(*_, **__) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def begin() -> None:
        if before == "create":
            journals.AuditLog.create = die
        elif before == "keep":
            Journal._keep = die
        store = folder.open_vault(path, secret(), clock=now)
        if before == "set_setting":
            store.set_setting = die
        started(path, store)

    assert os.WTERMSIG(in_child(begin)) == signal.SIGKILL
    with opened(path) as assistant:
        assert lines(path)[0] == ("init", "ok")
        assert all_ok(assistant._journal.check())
    with opened(path) as assistant:
        assert all_ok(assistant._journal.check())


def test_a_kill_between_a_changed_setting_and_its_memory_records_it_again(vault: Path) -> None:
    def change() -> None:
        Journal._keep = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        with opened(vault, config="44" * 32):
            pass

    assert os.WTERMSIG(in_child(change)) == signal.SIGKILL
    assert lines(vault)[-1] == ("config", "changed")
    with opened(vault, config="44" * 32) as assistant:
        assert lines(vault).count(("config", "changed")) == 2
        assert all_ok(assistant._journal.check())


def test_the_memory_is_read_back_as_it_was_kept() -> None:
    class One:
        def setting(self, _: str) -> str:
            return self.kept

    store = One()
    memory = Memory("ab" * 32, ("eA==",), (7, "cd" * 32), CONFIG, MODELS)
    store.kept = json.dumps({f: getattr(memory, f) for f in Memory.__slots__})
    assert Memory.of(store) == memory
    assert memory.position() == (7, bytes.fromhex("cd" * 32))
