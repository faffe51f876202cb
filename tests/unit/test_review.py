"""What can be said of a vault and its log without the key; damage is said, and never crashes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from appliance import custody, review
from appliance.custody import now
from appliance.errors import AuditDamaged, UsageError, VaultErased, WrongSecret
from appliance.journal import Journal
from appliance.secret import Secret
from appliance.types import Retrieved
from appliance.vault import folder
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.audit import logfile, reviewer
from appliance.vault.audit.auditlog import AuditLog
from tests.killing import quick_slots
from tests.stores import a_draft, added


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_slots(monkeypatch)
    monkeypatch.setattr(reviewer.generate, "__kwdefaults__", {"kdf": FLOOR})


def secret(words: bytes = b"a secret for review") -> Secret:
    return Secret.passphrase(bytearray(words))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A reviewer's credential: private and public file."""
    files = tmp_path / "reviewer.key", tmp_path / "reviewer.pub"
    review.make_credential(*files, None)
    return files


@pytest.fixture
def vault(tmp_path: Path, pair: tuple[Path, Path]) -> Path:
    """A vault, closed, with a reviewer, a question and two wrong secrets in its log."""
    path = tmp_path / "main"
    store = folder.create_vault(path, secret(), clock=now, kdf=FLOOR)
    added(store, a_draft("one", "two"))
    journal = Journal.open(path, store, clock=now, config="22" * 32, models={})
    journal.add_reviewer(review.load_public(pair[1]))
    list(journal.asking("what is two", iter([Retrieved(())])))
    journal.close()
    store.close()
    for _ in range(2):
        AuditLog.open(path, now).record("unlock", "wrong secret")
    return path


def by_name(folder: Path) -> dict[str, tuple[bool, str]]:
    return {check.name: (check.ok, check.detail) for check in review.vault_report(folder).checks}


# The report on a locked vault


def test_a_sound_vault_is_described_without_a_secret(vault: Path) -> None:
    found = by_name(vault)
    assert all(ok for ok, _ in found.values())
    assert found["vault"][1] == "main, cipher profile sqlcipher"
    assert found["slots"][1] == "1: passphrase"
    assert found["key derivation"][1] == "Argon2id 64 MiB, 3 passes, 4 lanes"
    assert "2 failed unlocks in a row" in found["audit log"][1]
    assert found["last verified"][1].startswith("never")


@pytest.mark.parametrize(("outcome", "ok"), [("ok full", True), ("failed quick", False)])
def test_the_last_verification_is_told(vault: Path, outcome: str, ok: bool) -> None:
    AuditLog.open(vault, now).record("verify", outcome)
    found = by_name(vault)["last verified"]
    assert found[0] is ok
    assert outcome in found[1]


def test_a_vault_that_is_not_there_or_was_erased_is_no_fault(vault: Path, tmp_path: Path) -> None:
    assert by_name(tmp_path / "none") == {"vault": (True, "none: not made yet")}
    custody.destroy(vault)
    assert by_name(vault) == {"vault": (True, "main: erased on purpose")}


def make(what: str, path: Path) -> None:
    """Put something else in the place of a file."""
    if path.is_file() or path.is_symlink():
        path.unlink()
    match what:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to("/nowhere/at/all")
        case "empty":
            path.touch()
        case "noise":
            path.write_bytes(bytes(range(256)) * 300)
        case "gone":
            pass


@pytest.mark.parametrize("what", ["folder", "pipe", "link", "empty", "noise", "gone"])
@pytest.mark.parametrize("names", [("keys", "keys.bak"), ("audit.log",), ("audit.key",)])
def test_whatever_lies_there_is_a_failed_check_and_the_others_go_on(
    vault: Path, names: tuple[str, ...], what: str
) -> None:
    for name in names:
        make(what, vault / name)
    found = by_name(vault)
    failed = [name for name, (ok, _) in found.items() if not ok]
    assert failed == (["vault"] if names[0] == "keys" else ["audit log"])
    assert ("slots" in found) is (names[0] != "keys")
    assert "audit log" in found


def test_a_log_that_was_cut_short_is_a_failed_check(vault: Path) -> None:
    log = vault / logfile.LOG
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-2]))
    ok, detail = by_name(vault)["audit log"]
    assert not ok
    assert "ahead" in detail


def test_a_folder_with_nothing_in_it_is_no_vault_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert {name: ok for name, (ok, _) in by_name(tmp_path / "empty").items()} == {
        "vault": False,
        "audit log": False,
    }


# The log


def test_the_log_is_verified_and_shown_while_the_vault_is_locked(
    vault: Path, pair: tuple[Path, Path]
) -> None:
    assert review.verify(vault).ok
    who = review.load_credential(pair[0], None)
    assert review.verify(vault, who=who).ok
    shown = review.show(vault, last=100, who=who)
    assert [each["n"] for each in shown] == list(range(len(shown)))
    assert {"question": "what is two"} in [each.get("content") for each in shown]
    assert not any("content" in each for each in review.show(vault, last=100))
    for last in (1, 2):
        assert review.show(vault, last=last, who=who) == shown[-last:]


def test_a_line_that_is_no_entry_is_shown_as_such(vault: Path) -> None:
    with (vault / logfile.LOG).open("ab") as log:
        log.write(b"\x1b[2Jnoise\n")
    (last,) = review.show(vault, last=1)
    assert last == {"n": None, "action": "unreadable", "outcome": "this line is not an entry"}
    assert not review.verify(vault).ok


def test_sealed_content_that_was_exchanged_is_refused(vault: Path, pair: tuple[Path, Path]) -> None:
    log = vault / logfile.LOG
    lines = log.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"sealed"' in line)
    lines[at] = lines[at].replace(b'"action":"ask"', b'"action":"add"')
    log.write_bytes(b"".join(lines))
    with pytest.raises(AuditDamaged, match="not sealed"):
        review.show(vault, last=100, who=review.load_credential(pair[0], None))


def test_a_copy_of_the_log_is_as_good_as_the_log(
    vault: Path, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    target = tmp_path / "copy.log"
    review.export(vault, target)
    assert review.show(vault, last=1)[0]["action"] == "export"
    assert target.read_bytes() == (vault / logfile.LOG).read_bytes()
    assert review.verify(target, who=review.load_credential(pair[0], None)).ok


def test_a_checkpoint_finds_a_log_that_was_begun_anew(vault: Path, tmp_path: Path) -> None:
    kept = review.checkpoint(vault, tmp_path)
    assert kept.parent == tmp_path
    assert review.verify(vault, checkpoints=[kept]).ok
    AuditLog.clear(vault)
    AuditLog.create(vault, bytes(32), now, vault=bytes(16))
    assert review.verify(vault).ok
    assert not review.verify(vault, checkpoints=[kept]).ok


@pytest.mark.parametrize("what", ["export", "checkpoint"])
def test_nothing_of_the_users_is_overwritten_and_no_mistake_looks_like_damage(
    vault: Path, tmp_path: Path, what: str
) -> None:
    write = getattr(review, what)
    before = (vault / logfile.LOG).read_bytes()
    (tmp_path / "taken").write_text("somebody's")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("taken", "link"):
        with pytest.raises(UsageError, match="already"):
            write(vault, tmp_path / name)
    assert (tmp_path / "taken").read_text() == "somebody's"
    assert (vault / logfile.LOG).read_bytes() == before
    with pytest.raises(UsageError, match="Cannot write"):
        write(vault, tmp_path / "no such folder" / "file")
    (tmp_path / "folder").mkdir()
    if what == "export":
        with pytest.raises(UsageError, match="already"):
            write(vault, tmp_path / "folder")


def test_exporting_where_there_is_no_log_begins_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AuditDamaged):
        review.export(tmp_path / "empty", tmp_path / "out")
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_log_of_an_erased_vault_can_be_read_and_copied_and_not_signed(
    vault: Path, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    custody.destroy(vault)
    who = review.load_credential(pair[0], None)
    assert review.verify(vault, who=who).ok
    assert review.show(vault, last=1)[0]["action"] == "erase"
    review.export(vault, tmp_path / "copy.log")
    assert review.verify(tmp_path / "copy.log", who=who).ok
    with pytest.raises(VaultErased):
        review.checkpoint(vault, tmp_path / "point")
    assert review.show(vault, last=1)[0]["action"] == "erase"


# The credential


def test_a_credential_is_two_files_the_private_one_for_its_owner_only(pair: tuple[Path, Path]) -> None:
    private, public = pair
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert review.load_credential(private, None).public == review.load_public(public)


def test_a_credential_under_a_passphrase_opens_with_it_alone(tmp_path: Path) -> None:
    private, public = tmp_path / "a", tmp_path / "b"
    fingerprint = review.make_credential(private, public, secret())
    assert review.load_credential(private, secret()).public.fingerprint == fingerprint
    with pytest.raises(WrongSecret):
        review.load_credential(private, secret(b"another passphrase"))
    with pytest.raises(UsageError, match="under a passphrase"):
        review.load_credential(private, None)


def test_the_halves_taken_for_each_other_are_named(pair: tuple[Path, Path]) -> None:
    private, public = pair
    with pytest.raises(UsageError, match="public half"):
        review.load_credential(public, None)
    with pytest.raises(UsageError, match="private half"):
        review.load_public(private)


@pytest.mark.parametrize("what", ["folder", "gone", "empty", "noise", "link"])
def test_a_file_that_is_no_credential_is_a_mistake_and_says_so(tmp_path: Path, what: str) -> None:
    path = tmp_path / "file"
    make(what, path)
    for load in (lambda: review.load_credential(path, None), lambda: review.load_public(path)):
        with pytest.raises(UsageError):
            load()


@pytest.mark.parametrize("names", [("a", "a"), ("a", "taken"), ("taken", "b"), ("no/a", "no/b")])
def test_making_a_credential_overwrites_nothing_and_is_two_files(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    (tmp_path / "taken").write_text("somebody's")
    with pytest.raises(UsageError):
        review.make_credential(*(tmp_path / name for name in names), None)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").read_text() == "somebody's"
