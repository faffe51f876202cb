"""Keys are changed by who can open the vault; every attempt is on record, and wrong ones cost time."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from appliance import custody, session
from appliance.assistant import Assistant
from appliance.config import Config
from appliance.custody import now
from appliance.errors import (
    AuditDamaged,
    Cancelled,
    KeyFileError,
    StorageFull,
    UsageError,
    VaultBusy,
    VaultErased,
    VaultExists,
    VaultMissing,
    WrongSecret,
)
from appliance.journal import Journal
from appliance.secret import Secret
from appliance.types import Checking
from appliance.vault import folder
from appliance.vault.access import factors, keys
from appliance.vault.access.keyfile import FLOOR, Kdf
from appliance.vault.audit import auditlog, logfile
from appliance.vault.audit.auditlog import AuditLog
from tests.killing import quick_slots
from tests.stores import a_draft, added

WORDS = b"a secret for custody"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_slots(monkeypatch)


class Stop(threading.Event):
    """A stop that nobody sets, and which remembers how long was waited instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        return self.is_set()


def secret(words: bytes = WORDS) -> Secret:
    return Secret.passphrase(bytearray(words))


@pytest.fixture
def stop() -> Stop:
    return Stop()


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    path = tmp_path / "main"
    store = folder.create_vault(path, secret(), clock=now, kdf=FLOOR)
    added(store, a_draft("one", "two"))
    journal = Journal.open(path, store, clock=now, config="22" * 32, models={})
    journal.close()
    store.close()
    return path


def lines(path: Path) -> list[tuple[str, str]]:
    return [(each.action, each.outcome) for each in auditlog.entries(path) if each]


def opens(path: Path, given: Secret) -> bool:
    try:
        folder.open_vault(path, given, clock=now).close()
    except WrongSecret:
        return False
    return True


def quiet(_: Checking) -> None:
    pass


# Wrong secrets


def test_fifty_of_fifty_wrong_secrets_are_on_record_each_later_and_with_one_message(
    vault: Path, stop: Stop, tmp_path: Path
) -> None:
    settings = Config(home=tmp_path / "home")
    settings.vault_folder("main").parent.mkdir(parents=True)
    vault.rename(path := settings.vault_folder("main"))
    messages = set()
    wrongs = [
        lambda n: Secret.passphrase(bytearray(b"wrong passphrase %d" % n)),
        lambda n: Secret.key_file(factors.generate_key_file()),
        lambda n: Secret.recovery_code(factors.generate_recovery_code()),
        lambda n: Secret.two_factor(bytearray(WORDS), factors.generate_key_file()),
        lambda n: Secret.escrow_key(factors.generate_officer_key()[0]),
    ]
    ways = [
        lambda wrong: Assistant.unlock(settings, "main", wrong, None, stop=stop),
        lambda wrong: custody.add_slot(path, wrong, secret(b"another one"), stop=stop),
        lambda wrong: custody.remove_slot(path, wrong, 1, stop=stop),
        lambda wrong: custody.export_key(path, wrong, stop=stop),
        lambda wrong: custody.backup(path, wrong, path / "b", tell=quiet, stop=stop),
    ]
    for number in range(50):
        with pytest.raises(WrongSecret) as caught:
            ways[number // 10](wrongs[number % 5](number))
        messages.add((caught.value.message, caught.value.hint))
        assert lines(path)[-1] == ("unlock", "wrong secret")
        assert lines(path).count(("unlock", "wrong secret")) == number + 1
    assert len(messages) == 1
    assert stop.waited == [0, 0, 0, 0, 2, 4, 8, 16, *[30] * 42]
    unlocked_once(path)
    custody.export_key(path, secret(), stop=stop)
    assert stop.waited[-1] == 0, "after a good unlock it is quick again"


def unlocked_once(path: Path) -> None:
    store = folder.open_vault(path, secret(), clock=now)
    try:
        Journal.open(path, store, clock=now, config="22" * 32, models={}).close()
    finally:
        store.close()


def test_a_stop_ends_the_wait_and_tries_nothing(vault: Path, stop: Stop) -> None:
    stop.set()
    before = lines(vault)
    with pytest.raises(Cancelled):
        custody.export_key(vault, secret(), stop=stop)
    assert lines(vault) == before


def test_a_secret_is_not_tried_where_a_failure_could_not_be_recorded(
    vault: Path, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logfile.os, "fdatasync", full)
    for given in (secret(), secret(b"a wrong secret")):  # the same, so it tells nothing
        with pytest.raises(StorageFull):
            custody.export_key(vault, given, stop=stop)


def test_a_damaged_vault_that_does_not_open_is_on_record(vault: Path, stop: Stop) -> None:
    for name in ("keys", "keys.bak"):
        data = bytearray((vault / name).read_bytes())
        data[60] ^= 1
        (vault / name).write_bytes(data)
    with pytest.raises((KeyFileError, WrongSecret)):
        custody.export_key(vault, secret(), stop=stop)
    assert lines(vault)[-1] in (("unlock", "damaged"), ("unlock", "wrong secret"))


def test_a_vault_that_is_not_there_is_said_so(tmp_path: Path, stop: Stop) -> None:
    for call in (
        lambda: custody.slots(tmp_path / "no"),
        lambda: custody.export_key(tmp_path / "no", secret(), stop=stop),
        lambda: custody.destroy(tmp_path / "no"),
    ):
        with pytest.raises(VaultMissing):
            call()
    assert list(tmp_path.iterdir()) == []


# Changes of keys


def test_a_slot_is_added_and_removed_on_record(vault: Path, stop: Stop) -> None:
    second = b"a second passphrase"
    number = custody.add_slot(vault, secret(), secret(second), stop=stop, kdf=FLOOR)
    assert opens(vault, secret(second))
    assert lines(vault)[-2:] == [("keys", "add begun"), ("keys", "add done")]
    custody.remove_slot(vault, secret(), number, stop=stop)
    assert not opens(vault, secret(second))
    assert lines(vault)[-2:] == [("keys", "remove begun"), ("keys", "remove done")]
    assert [slot.number for slot in custody.slots(vault)] == [1]


def test_an_officer_is_added_by_the_public_half_and_opens_with_the_private(
    vault: Path, stop: Stop, tmp_path: Path
) -> None:
    private, public = tmp_path / "officer.key", tmp_path / "officer.pub"
    fingerprint = custody.make_officer(private, public)
    assert private.stat().st_mode & 0o777 == 0o600
    number = custody.add_slot(vault, secret(), public.read_bytes(), stop=stop)
    slot = next(slot for slot in custody.slots(vault) if slot.number == number)
    assert slot.officer == fingerprint
    assert opens(vault, Secret.escrow_key(bytearray(private.read_bytes())))
    with pytest.raises(UsageError, match="private half"):
        custody.add_slot(vault, secret(), private.read_bytes(), stop=stop)
    assert lines(vault)[-2:] == [("keys", "add begun"), ("keys", "add failed")]


@pytest.mark.parametrize(
    "change",
    [
        lambda path, stop: custody.remove_slot(path, secret(), 1, stop=stop),
        lambda path, stop: custody.remove_slot(path, secret(), 5, stop=stop),
        lambda path, stop: custody.add_slot(path, secret(), secret(b""), stop=stop),
        lambda path, stop: custody.add_slot(path, secret(), b"no key", stop=stop),
    ],
    ids=["the last", "none", "empty", "not an officer's"],
)
def test_a_change_that_fails_is_on_record_and_changes_nothing(vault: Path, stop: Stop, change) -> None:
    before = (vault / "keys").read_bytes()
    with pytest.raises(UsageError):
        change(vault, stop)
    assert lines(vault)[-1][1].endswith("failed")
    assert (vault / "keys").read_bytes() == before


def test_a_change_that_nobody_foresaw_failing_is_on_record_as_failed(
    vault: Path, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_, **__) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(keys, "remove_slot", breaks)
    with pytest.raises(ZeroDivisionError):
        custody.remove_slot(vault, secret(), 1, stop=stop)
    assert lines(vault)[-1] == ("keys", "remove failed")


def test_calibrating_keeps_the_secret_and_the_number(
    vault: Path, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear = Kdf(FLOOR.memory, 4, FLOOR.lanes)
    monkeypatch.setattr(custody, "calibrate", lambda: dear)
    assert custody.recalibrate(vault, secret(), stop=stop) == dear
    (slot,) = custody.slots(vault)
    assert slot.kdf == (dear.memory, 4, dear.lanes)
    assert opens(vault, secret())
    with pytest.raises(UsageError, match="no key derivation"):
        custody.recalibrate(vault, Secret.escrow_key(bytearray(b"x")), stop=stop)
    with pytest.raises(UsageError, match="no key derivation"):
        custody.recalibrate(vault, Secret.device("FIDO2 key", bytes(33), bytearray(32)), stop=stop)


def test_a_device_that_refuses_is_a_failed_unlock_and_late_as_one(vault: Path, stop: Stop) -> None:
    for _ in range(5):
        custody.refused(vault, stop=stop)
    assert lines(vault)[-5:] == [("unlock", "wrong secret")] * 5
    assert stop.waited == [0, 0, 0, 0, 2]
    stop.set()
    with pytest.raises(Cancelled):
        custody.refused(vault, stop=stop)


def test_the_exported_key_is_on_record(vault: Path, stop: Stop) -> None:
    exported = custody.export_key(vault, secret(), stop=stop)
    assert exported.startswith("x'")
    assert len(exported) == 3 + 96
    assert lines(vault)[-2:] == [("keys", "export begun"), ("keys", "export done")]


@pytest.mark.parametrize("same", [False, True], ids=["taken", "the same file"])
def test_a_pair_of_files_overwrites_nothing_and_is_two_files(tmp_path: Path, same: bool) -> None:
    private, public = tmp_path / "a", tmp_path / ("a" if same else "b")
    if not same:
        public.write_text("somebody's")
    with pytest.raises(UsageError):
        custody.make_officer(private, public)
    assert not private.exists()
    with pytest.raises(UsageError, match="Cannot write"):
        custody.make_officer(tmp_path / "no" / "a", tmp_path / "no" / "b")


# Rewriting


def test_a_rotation_tells_how_far_it_is_and_is_on_record(vault: Path, stop: Stop) -> None:
    told: list[Checking] = []
    made = custody.rotate(vault, secret(), cipher="aegis", tell=told.append, stop=stop)
    assert told
    assert all(0 <= each.done <= each.total for each in told)
    assert made.dropped == ()
    assert keys.described(vault).cipher == "aegis"
    assert opens(vault, secret())
    assert lines(vault)[-2:] == [("rotate", "begun"), ("rotate", "done")]


@pytest.mark.parametrize("what", ["rotate", "backup"])
def test_a_stop_ends_a_rewrite_on_record_and_leaves_nothing_of_it(
    vault: Path, stop: Stop, tmp_path: Path, what: str
) -> None:
    before = (vault / "keys").read_bytes()
    told: list[Checking] = []

    def tell(progress: Checking) -> None:
        told.append(progress)
        stop.set()

    where = {"cipher": None} if what == "rotate" else {"target": tmp_path / "copy"}
    with pytest.raises(Cancelled):
        getattr(custody, what)(vault, secret(), tell=tell, stop=stop, **where)
    assert len(told) == 1
    assert lines(vault)[-2:] == [(what, "begun"), (what, "stopped")]
    assert (vault / "keys").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["main"]
    assert opens(vault, secret())


def test_a_restore_can_be_stopped_and_leaves_nothing(vault: Path, stop: Stop, tmp_path: Path) -> None:
    custody.backup(vault, secret(), tmp_path / "copy", tell=quiet, stop=stop)
    with pytest.raises(Cancelled):
        custody.restore(tmp_path / "copy", secret(), tmp_path / "back", tell=lambda _: stop.set(), stop=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "main"]


def test_a_rewrite_that_fails_is_on_record(vault: Path, stop: Stop, tmp_path: Path) -> None:
    held = folder.open_vault(vault, secret(), clock=now)
    try:
        with pytest.raises(VaultBusy):
            custody.rotate(vault, secret(), cipher=None, tell=quiet, stop=stop)
    finally:
        held.close()
    assert lines(vault)[-2:] == [("rotate", "begun"), ("rotate", "failed")]
    (tmp_path / "taken").mkdir()
    with pytest.raises(VaultExists):
        custody.backup(vault, secret(), tmp_path / "taken", tell=quiet, stop=stop)
    assert lines(vault)[-2:] == [("backup", "begun"), ("backup", "failed")]


def test_a_stop_reaches_the_thread_in_which_a_long_call_runs() -> None:
    """As the worker does it: the call runs in a thread of its own, the stop comes from another."""
    stop = threading.Event()

    def long(tell) -> None:
        tick = custody._teller(tell, stop)
        while True:
            tick("copy", 1, 2)

    told = session._told(long)
    assert next(told) == Checking("copy", 1, 2)
    stop.set()
    with pytest.raises(Cancelled):
        list(told)


# The end


def test_an_erased_vault_is_on_record_and_every_call_says_so(vault: Path, stop: Stop) -> None:
    record = custody.destroy(vault)
    assert record["finished"]
    assert lines(vault)[-1] == ("erase", "begun")
    assert json.loads((vault / "erased.json").read_text())["finished"]
    for call in (
        lambda: custody.slots(vault),
        lambda: custody.export_key(vault, secret(), stop=stop),
        lambda: custody.rotate(vault, secret(), cipher=None, tell=quiet, stop=stop),
        lambda: custody.destroy(vault),
    ):
        with pytest.raises(VaultErased, match="erased on purpose"):
            call()
    assert lines(vault)[-1] == ("erase", "begun"), "nothing was recorded without a key"


def test_an_open_vault_is_not_erased(vault: Path) -> None:
    held = folder.open_vault(vault, secret(), clock=now)
    try:
        with pytest.raises(VaultBusy):
            custody.destroy(vault)
    finally:
        held.close()
    assert lines(vault)[-2:] == [("erase", "begun"), ("erase", "failed")]
    assert opens(vault, secret())


@pytest.mark.parametrize("how", ["lost", "folder", "forged"])
def test_a_damaged_log_keeps_nobody_from_erasing(vault: Path, how: str) -> None:
    (vault / logfile.KEY).write_bytes(b"x" * 512)
    if how != "forged":
        (vault / logfile.LOG).unlink()
    if how == "folder":
        (vault / logfile.LOG).mkdir()
    assert custody.destroy(vault)["finished"]
    assert not (vault / "keys").exists()


def test_a_lost_log_is_nobodys_way_past_the_record(vault: Path, stop: Stop) -> None:
    (vault / logfile.LOG).unlink()
    (vault / logfile.KEY).unlink()
    before = (vault / "keys").read_bytes()
    with pytest.raises(AuditDamaged):
        custody.add_slot(vault, secret(), secret(b"another one"), stop=stop)
    assert (vault / "keys").read_bytes() == before
    with pytest.raises(WrongSecret):
        custody.add_slot(vault, secret(b"wrong"), secret(b"another one"), stop=stop)
    assert AuditLog.open(vault, now).failures() == 1


def test_a_log_that_is_a_folder_lets_nobody_try(vault: Path, stop: Stop) -> None:
    (vault / logfile.LOG).unlink()
    (vault / logfile.LOG).mkdir()
    with pytest.raises(AuditDamaged):
        custody.export_key(vault, secret(), stop=stop)
    shutil.rmtree(vault / logfile.LOG)
