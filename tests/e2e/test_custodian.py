"""Keys, copies and the audit log through the installed command, as custodian and reviewer go about them."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.custody import now
from appliance.secret import Secret
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.folder import create_vault
from tests.conftest import PASSPHRASE

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "scripts" / "demo" / "site-generator.md"
COMMAND = str(Path(sys.executable).with_name("appliance"))
SECOND = "a second passphrase"
QUESTION = "How much diesel does the tank hold?"
Done = subprocess.CompletedProcess[str]


class Custodian:
    """Somebody with a state folder, a passphrase in a file, and a terminal where one is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.secret = self.file("secret", PASSPHRASE.decode() + "\n")
        self.environment = os.environ | {"APPLIANCE_HOME": str(self.home)}

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    @property
    def vault(self) -> Path:
        return self.home / "vaults" / "main"

    def runs(self, *words: object, stdin: str = "") -> Done:
        """Run one command to its end, with no secret but those that `words` name."""
        return subprocess.run(
            [COMMAND, *map(str, words)],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            timeout=120,
        )

    def types(self, *words: object) -> Done:
        """Run one command with the passphrase."""
        return self.runs(*words, "--passphrase-file", self.secret)

    def reads(self, *words: object) -> dict[str, Any]:
        """Run one command with the passphrase and --json; it must do well and print one object."""
        done = self.types(*words, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def copy(self, folder: Path) -> Custodian:
        """Return somebody else with the same vaults."""
        shutil.copytree(self.home, folder / "home")
        return Custodian(folder)

    def sits_at(self, *words: object) -> Terminal:
        return Terminal(self, words)


class Terminal:
    """A command on a terminal of its own: what it shows is read, and answered."""

    def __init__(self, who: Custodian, words: tuple[object, ...]) -> None:
        self.shown = ""
        self.process, self._end = pty.fork()
        if not self.process:
            os.chdir(who.folder)
            os.execve(COMMAND, [COMMAND, *map(str, words)], who.environment)

    def until(self, text: str, seconds: float = 60) -> None:
        """Read until `text` is shown after what was read before."""
        start, deadline = len(self.shown), time.monotonic() + seconds
        while text not in self.shown[start:]:
            assert time.monotonic() < deadline, f"{text!r} was never shown:\n{self.shown}"
            assert self._read(), f"it ended before {text!r}:\n{self.shown}"

    def says(self, line: str) -> None:
        os.write(self._end, line.encode() + b"\n")

    def interrupt(self) -> None:
        os.write(self._end, b"\x03")

    def code(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        os.close(self._end)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def _read(self) -> bool:
        if not select.select([self._end], [], [], 60)[0]:
            os.kill(self.process, signal.SIGKILL)
            raise AssertionError(f"nothing came any more:\n{self.shown}")
        try:
            data = os.read(self._end, 65536)
        except OSError:  # how a terminal says that nobody is there any more
            data = b""
        self.shown += data.decode("utf-8", "replace")
        return bool(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, built_models: Path) -> Custodian:
    """A vault with one document, a reviewer, and one question on record; nobody changes it."""
    someone = Custodian(tmp_path_factory.mktemp("custodian"))
    # Opened as cheaply as is allowed: everything here opens it again.
    secret = Secret.passphrase(bytearray(PASSPHRASE))
    create_vault(someone.vault, secret, clock=now, kdf=FLOOR).close()
    assert someone.types("add", SAMPLE).returncode == 0
    made = someone.runs("audit", "credential", "--private", "r.key", "--public", "r.pub", "--no-passphrase")
    assert made.returncode == 0, made.stderr
    assert someone.reads("audit", "reviewer", "r.pub")["fingerprint"] in made.stderr
    assert someone.types("ask", QUESTION).returncode == 0
    return someone


@pytest.fixture
def custodian(made: Custodian, tmp_path: Path) -> Custodian:
    """The same, to be changed."""
    return made.copy(tmp_path)


def actions(who: Custodian, last: int = 50) -> list[tuple[str, str]]:
    done = who.runs("audit", "show", "--last", last, "--json")
    return [(each["action"], each["outcome"]) for each in json.loads(done.stdout)["entries"]]


# Keys


def test_every_kind_of_slot_opens_and_a_removed_one_does_not(custodian: Custodian) -> None:
    new = custodian.file("second", SECOND + "\n")
    assert custodian.reads("keys", "add", "passphrase", "--new-passphrase-file", new) == {"slot": 2}
    assert custodian.reads("keys", "add", "key-file", "--new-key-file", "k.key") == {"slot": 3}
    pair = ("--new-passphrase-file", new, "--new-key-file", "two.key")
    assert custodian.reads("keys", "add", "two-factor", *pair) == {"slot": 4}
    coded = custodian.reads("keys", "add", "recovery-code")
    assert coded["slot"] == 5
    assert custodian.runs("keys", "officer", "--private", "o.key", "--public", "o.pub").returncode == 0
    assert custodian.reads("keys", "add", "escrow", "--public", "o.pub") == {"slot": 6}
    for name in ("k.key", "two.key", "o.key"):
        assert stat.S_IMODE((custodian.folder / name).stat().st_mode) == 0o600

    listed = json.loads(custodian.runs("keys", "list", "--json").stdout)["slots"]
    kinds = ["passphrase", "passphrase", "key file", "two-factor", "recovery code", "escrow"]
    assert [slot["kind"].removesuffix(" key") for slot in listed] == kinds
    code = custodian.file("code", coded["recovery_code"].lower().replace("-", " "))
    ways = {
        2: ("--passphrase-file", new),
        3: ("--key-file", "k.key"),
        4: ("--key-file", "two.key", "--passphrase-file", new),
        5: ("--recovery-code", "--passphrase-file", code),
        6: ("--escrow-key", "o.key"),
    }
    for way in ways.values():
        assert custodian.runs("list", *way).returncode == 0, way
    assert custodian.runs("list", "--key-file", "two.key").returncode == 5
    assert custodian.reads("keys", "remove", 3) == {"removed": 3}
    assert custodian.types("list", "--key-file", "k.key").returncode == 5
    assert ("keys", "remove done") in actions(custodian)

    rotated = custodian.reads("keys", "rotate", "--cipher", "chacha20")
    assert [slot["number"] for slot in rotated["dropped"]] == [2, 4, 5]
    assert custodian.runs("list", *ways[6]).returncode == 0, "the officer's slot goes along"
    assert custodian.runs("list", *ways[2]).returncode == 5
    assert custodian.runs("verify", "--passphrase-file", custodian.secret).returncode == 0


def test_a_recovery_code_is_a_slot_only_once_it_was_typed_back(custodian: Custodian) -> None:
    before = (custodian.vault / "keys").read_bytes()
    words = ("keys", "add", "recovery-code", "--passphrase-file", custodian.secret)
    wrong = custodian.sits_at(*words)
    for _ in range(3):
        wrong.until("Type it back: ")
        wrong.says("0000-0000-0000-0000-0000-0000-0000-0000")
    assert wrong.code() == 2
    assert "No slot was made" in wrong.shown
    assert (custodian.vault / "keys").read_bytes() == before

    right = custodian.sits_at(*words)
    right.until("Type it back: ")
    code = next(line.strip() for line in right.shown.splitlines() if line.count("-") == 7)
    right.says("a slip of the pen")
    right.until("Type it back: ")
    right.says(code.lower())
    assert right.code() == 0
    assert right.shown.count(code[:9]) == 1, "what is typed back is not echoed"
    assert (
        custodian.runs("list", "--recovery-code", "--passphrase-file", custodian.file("c", code)).returncode
        == 0
    )


def test_a_typed_passphrase_is_not_echoed_and_has_to_be_typed_twice(custodian: Custodian) -> None:
    asked = custodian.sits_at("keys", "add", "passphrase")
    asked.until("Passphrase: ")
    asked.says(PASSPHRASE.decode())
    asked.until("New passphrase (at least 8 characters): ")
    asked.says("short")
    asked.until("New passphrase (at least 8 characters): ")
    asked.says(SECOND)
    asked.until("Again, to be sure: ")
    asked.says("something else")
    assert asked.code() == 2
    assert "The two passphrases differ" in asked.shown
    assert SECOND not in asked.shown
    assert PASSPHRASE.decode() not in asked.shown


def test_calibrating_and_exporting_the_key(custodian: Custodian) -> None:
    cost = custodian.reads("keys", "calibrate")
    assert cost["memory_kib"] >= 64 * 1024
    (slot,) = json.loads(custodian.runs("keys", "list", "--json").stdout)["slots"]
    assert slot["number"] == 1
    assert custodian.reads("keys", "export", "--to", "page.key") == {"file": "page.key"}
    page = custodian.folder / "page.key"
    assert page.read_text().startswith("x'")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    before = actions(custodian)
    assert custodian.types("keys", "export", "--to", "page.key").returncode == 2
    assert actions(custodian) == before, "it is not exported, on record, only to be thrown away"


# Copies


def test_a_backup_is_restored_under_another_name_and_both_verify(custodian: Custodian) -> None:
    made = custodian.reads("backup", "copy")
    assert made["dropped"] == []
    taken = custodian.types("backup", "copy")
    assert taken.returncode == 2
    assert "copy already" in taken.stderr
    back = custodian.reads("restore", "copy", "--vault", "second")
    assert back["digest"] == made["digest"]
    for vault in ("main", "second"):
        done = custodian.types("verify", "--full", "--vault", vault)
        assert done.returncode == 0, done.stdout
        done = custodian.runs("audit", "verify", "--vault", vault, "--credential", "r.key")
        assert done.returncode == (0 if (custodian.folder / "r.key").exists() else 2)
    assert custodian.reads("list", "--vault", "second") == custodian.reads("list")
    again = custodian.types("restore", "copy", "--vault", "second")
    assert again.returncode == 2
    assert "already" in again.stderr


def test_a_backup_is_restored_with_a_key_file_too(custodian: Custodian) -> None:
    assert custodian.reads("keys", "add", "key-file", "--new-key-file", "k.key") == {"slot": 2}
    assert custodian.runs("backup", "copy", "--key-file", "k.key").returncode == 0
    done = custodian.runs("restore", "copy", "--vault", "second", "--key-file", "k.key")
    assert done.returncode == 0, done.stderr
    assert custodian.runs("list", "--vault", "second", "--key-file", "k.key").returncode == 0
    assert custodian.types("list", "--vault", "second").returncode == 5


@pytest.mark.parametrize("source", ["nowhere", "secret", "empty"])
def test_what_is_no_backup_is_not_restored(custodian: Custodian, source: str) -> None:
    (custodian.folder / "empty").mkdir()
    done = custodian.types("restore", source, "--vault", "second", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["exit_code"] == 2
    assert "Traceback" not in done.stderr
    assert not (custodian.home / "vaults" / "second").exists()


@pytest.mark.parametrize("words", [("keys", "rotate"), ("backup", "copy"), ("verify", "--full")])
def test_ctrl_c_stops_a_long_call_and_leaves_the_vault_as_it_was(
    custodian: Custodian, words: tuple[str, ...]
) -> None:
    before = (custodian.vault / "keys").read_bytes()
    working = custodian.sits_at(*words)
    working.until("Passphrase: ")
    working.says(PASSPHRASE.decode())
    working.until("\x1b[K")  # the first progress that is drawn
    working.interrupt()
    code = working.code()
    assert "Traceback" not in working.shown
    if code == 0:
        assert "go on" not in working.shown  # too late to stop it: it is told what was done
    else:
        assert code == 130
        assert working.shown.rstrip().endswith("go on.")
        assert not (custodian.folder / "copy").exists()
        assert (custodian.vault / "keys").read_bytes() == before
    assert custodian.types("list").returncode == 0
    assert list(custodian.vault.glob("*.next*")) == []


def test_progress_is_drawn_on_a_terminal_and_taken_away(custodian: Custodian) -> None:
    working = custodian.sits_at("keys", "rotate", "--passphrase-file", custodian.secret)
    assert working.code() == 0
    assert "\r\x1b[K" in working.shown
    last = working.shown.rstrip("\r\n").rpartition("\r\x1b[K")[2]
    assert last.startswith("The vault is under a new key"), "nothing of the bar is left before the result"


# The audit log


def test_the_log_is_read_and_signed_while_the_vault_is_locked(made: Custodian, tmp_path: Path) -> None:
    who = made.copy(tmp_path)
    key = made.folder / "r.key"
    shown = json.loads(who.runs("audit", "show", "--credential", key, "--json").stdout)
    assert shown["sound"]
    assert {"question": QUESTION} in [each.get("content") for each in shown["entries"]]
    assert QUESTION not in who.runs("audit", "show").stdout
    assert QUESTION in who.runs("audit", "show", "--credential", key).stdout
    for words in ((), ("--credential", key)):
        assert who.runs("audit", "verify", *words).returncode == 0
    written = json.loads(who.runs("audit", "checkpoint", "--to", who.folder, "--json").stdout)["file"]
    assert who.runs("audit", "checkpoint", "--to", written).returncode == 2, "none is overwritten"
    assert json.loads(who.runs("audit", "export", "--to", "log", "--json").stdout) == {"file": "log"}
    checked = who.runs("audit", "verify", "--log", "log", "--checkpoint", written, "--credential", key)
    assert checked.returncode == 0, checked.stdout

    log = who.vault / "audit.log"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    for words in (("verify",), ("show",)):
        assert who.runs("audit", *words).returncode == 6
    assert json.loads(who.runs("audit", "verify", "--json").stdout)["ok"] is False


def test_wrong_secrets_are_exit_code_5_and_on_record(custodian: Custodian) -> None:
    wrong = custodian.file("wrong", "not the passphrase\n")
    for words in (("list",), ("keys", "rotate"), ("backup", "copy")):
        done = custodian.runs(*words, "--passphrase-file", wrong, "--json")
        assert done.returncode == 5
        assert json.loads(done.stdout)["error"]["name"] == "WrongSecret"
    assert actions(custodian).count(("unlock", "wrong secret")) == 3
    assert "3 failed unlocks in a row" in custodian.runs("doctor").stdout


def test_a_log_that_was_cut_short_lets_nobody_in_until_the_owner_accepts_it(custodian: Custodian) -> None:
    log = custodian.vault / "audit.log"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    done = custodian.types("ask", QUESTION, "--json")
    assert done.returncode == 6
    assert json.loads(done.stdout)["error"]["name"] == "AuditDamaged"
    assert "380" not in done.stdout
    assert custodian.types("repair").returncode == 0
    assert custodian.types("list").returncode == 0
    assert custodian.runs("audit", "verify").returncode == 6, "that leaves a mark for good"


def test_the_doctor_describes_the_locked_vault(made: Custodian) -> None:
    done = made.runs("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert {"vault", "slots", "key derivation", "audit log", "last verified"} <= set(checks)
    assert checks["audit log"]["ok"]
    assert "cipher profile sqlcipher" in checks["vault"]["detail"]


# The end, and mistakes


def test_an_erased_vault_says_so_whatever_is_asked_of_it(custodian: Custodian) -> None:
    assert custodian.runs("keys", "erase").returncode == 2
    assert custodian.runs("keys", "erase", "--yes", "other").returncode == 2
    assert (custodian.vault / "keys").exists()
    record = json.loads(custodian.runs("keys", "erase", "--yes", "main", "--json").stdout)["record"]
    assert record["finished"]
    assert not list(custodian.vault.glob("keys*"))
    for words in (
        ("list",),
        ("ask", QUESTION),
        ("verify",),
        ("keys", "list"),
        ("keys", "rotate"),
        ("keys", "erase", "--yes", "main"),
        ("backup", "copy"),
        ("audit", "checkpoint", "--to", "point"),
    ):
        done = custodian.types(*words)
        assert done.returncode == 2, words
        assert "was erased on purpose" in done.stderr, (words, done.stderr)
    assert "erased on purpose" in custodian.runs("doctor").stdout
    assert custodian.runs("audit", "show").returncode == 0
    assert custodian.runs("audit", "verify").returncode == 0
    assert custodian.runs("audit", "export", "--to", "log").returncode == 0
    assert custodian.types("init").returncode == 2


MISTAKES = [
    ("keys",),
    ("audit",),
    ("keys", "add"),
    ("keys", "add", "escrow"),
    ("keys", "add", "escrow", "--public", "nowhere"),
    ("keys", "add", "escrow", "--public", "folder"),
    ("keys", "add", "key-file", "--new-key-file", "folder"),
    ("keys", "add", "key-file", "--new-key-file", "nowhere/k.key"),
    ("keys", "remove", "1"),
    ("keys", "remove", "7"),
    ("keys", "remove", "one"),
    ("keys", "export", "--to", "nowhere/key"),
    ("keys", "list", "--vault", "nowhere"),
    ("keys", "officer", "--private", "nowhere/a", "--public", "nowhere/b"),
    ("list", "--key-file", "folder"),
    ("list", "--key-file", "secret"),
    ("list", "--escrow-key", "secret"),
    ("list", "--recovery-code"),
    ("backup", "secret"),
    ("init", "--vault", "new", "--key-file", "secret"),
    ("audit", "credential", "--private", "same", "--public", "same", "--no-passphrase"),
    ("audit", "credential", "--private", "nowhere/a", "--public", "nowhere/b", "--no-passphrase"),
    ("audit", "reviewer", "nowhere"),
    ("audit", "reviewer", "folder"),
    ("audit", "reviewer", "secret"),
    ("audit", "show", "--credential", "folder"),
    ("audit", "show", "--credential", "secret"),
    ("audit", "show", "--last", "0"),
    ("audit", "show", "--vault", "nowhere"),
    ("audit", "verify", "--checkpoint", "nowhere"),
    ("audit", "export", "--to", "secret"),
    ("audit", "export", "--to", "nowhere/log"),
    ("audit", "checkpoint", "--to", "nowhere/point"),
]


def test_mistakes_are_exit_code_2_without_a_traceback_and_change_nothing(custodian: Custodian) -> None:
    (custodian.folder / "folder").mkdir()
    before = (custodian.vault / "keys").read_bytes(), sorted(custodian.folder.iterdir())
    wrong = {}
    for words in MISTAKES:
        done = custodian.types(*words)
        if done.returncode != 2 or "Traceback" in done.stderr or "Unexpected" in done.stderr:
            wrong[words] = (done.returncode, done.stderr)
    assert wrong == {}
    assert ((custodian.vault / "keys").read_bytes(), sorted(custodian.folder.iterdir())) == before
    assert custodian.types("list").returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
@pytest.mark.parametrize("name", ["keys", "audit.log", "."])
def test_an_unreadable_file_is_said_without_a_traceback(custodian: Custodian, name: str) -> None:
    (custodian.vault / name).chmod(0)
    try:
        for words in (("list",), ("keys", "list"), ("audit", "show"), ("doctor",)):
            done = custodian.types(*words)
            assert "Traceback" not in done.stderr
            assert "Unexpected" not in done.stderr + done.stdout
    finally:
        (custodian.vault / name).chmod(0o700)
