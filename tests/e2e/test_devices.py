"""A vault that a device opens, through the command line: a security key in software, a token of SoftHSM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.custody import now
from appliance.journal import Journal
from appliance.secret import Secret
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.audit import auditlog
from appliance.vault.folder import create_vault
from tests import softhsm
from tests.conftest import PASSPHRASE

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("appliance"))
PIN = "q2468"
"""No hexadecimal: a hash in the log cannot hold it by chance."""


@pytest.fixture
def vault(home: Path, tmp_path: Path) -> Path:
    """A vault that a passphrase opens; the PIN lies in the file `pin`, a wrong one in `wrong`."""
    (tmp_path / "pin").write_text(f"{PIN}\n")
    (tmp_path / "wrong").write_text("1357\n")
    folder = home / "vaults" / "main"
    store = create_vault(folder, Secret.passphrase(bytearray(PASSPHRASE)), clock=now, kdf=FLOOR)
    Journal.open(folder, store, clock=now, config="22" * 32, models={}).close()
    store.close()
    return folder


def failed_unlocks(vault: Path) -> int:
    return sum(entry.outcome == "wrong secret" for entry in auditlog.entries(vault) if entry)


def test_a_token_is_added_opens_survives_a_rotation_and_is_removed(
    vault: Path, tmp_path: Path, secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = softhsm.prepare(tmp_path, monkeypatch.setenv)
    softhsm.add_token("card", PIN)

    def runs(*words: object) -> subprocess.CompletedProcess[str]:
        command = [COMMAND, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, input="", timeout=120)

    opened = ("--pkcs11", module, "--passphrase-file", "pin")
    new = (
        "--module",
        module,
        "--token",
        "card",
        "--label",
        "vault\x1b[31mkey",
        "--new-passphrase-file",
        "pin",
    )
    added = runs("keys", "add", "pkcs11", *new, "--passphrase-file", secret_file, "--json")
    assert json.loads(added.stdout) == {"slot": 2}, added.stderr
    listed = runs("keys", "list").stdout
    assert "PKCS#11 key, card / vault" in listed
    assert "\x1b" not in listed
    assert runs("keys", "export", "--to", "by-card", *opened).returncode == 0
    assert runs("keys", "export", "--to", "by-words", "--passphrase-file", secret_file).returncode == 0
    assert (tmp_path / "by-card").read_text() == (tmp_path / "by-words").read_text()

    wrong = runs("keys", "export", "--to", "no", "--pkcs11", module, "--passphrase-file", "wrong")
    assert wrong.returncode == 5
    assert "PIN" in wrong.stderr
    assert failed_unlocks(vault) == 1, "a refused PIN is a failed unlock"
    assert runs("keys", "export", "--to", "no", "--pkcs11", "absent.so", *opened[2:]).returncode == 2
    assert not (tmp_path / "no").exists()
    assert runs("keys", "calibrate", *opened).returncode == 2
    for other in (("--fido2",), ("--recovery-code",), ("--key-file", "f"), ("--escrow-key", "f")):
        both = runs("keys", "export", "--to", "no", *opened, *other)
        assert both.returncode == 2
        assert "opens with one of" in both.stderr
    assert failed_unlocks(vault) == 1

    rotated = runs("keys", "rotate", "--cipher", "aegis", *opened, "--json")
    assert rotated.returncode == 0, rotated.stderr
    assert [slot["number"] for slot in json.loads(rotated.stdout)["dropped"]] == [1]
    assert runs("keys", "export", "--to", "after", *opened).returncode == 0
    assert (tmp_path / "after").read_text() != (tmp_path / "by-card").read_text()
    assert runs("keys", "remove", 2, *opened).returncode == 2, "it is the last"

    copied = runs("backup", "copy", *opened)
    assert copied.returncode == 0, copied.stderr
    restored = runs("restore", "copy", "--vault", "second", *opened)
    assert restored.returncode == 0, restored.stderr
    shown = runs("audit", "show", "--json").stdout
    assert PIN not in shown
    assert PIN not in (vault / "audit.log").read_text()
    assert runs("keys", "erase", "--yes", "main").returncode == 0
    assert runs("keys", "export", "--to", "no", *opened).returncode == 2
    assert runs("list", "--vault", "second", *opened).returncode == 0


def test_what_a_token_slot_needs_is_asked_for_first(vault: Path, tmp_path: Path) -> None:
    for given, missing in (
        ([], "--module FILE"),
        (["--module", "m"], "--token LABEL"),
        (["--module", "m", "--token", "t"], "--label LABEL"),
    ):
        command = [COMMAND, "keys", "add", "pkcs11", *given]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, input="", timeout=60)
        assert done.returncode == 2
        assert missing in done.stderr


@pytest.mark.parametrize("device", [("--fido2",), ("--pkcs11", "m.so")])
def test_a_vault_begins_with_a_passphrase_not_with_a_device(
    home: Path, tmp_path: Path, device: tuple[str, ...]
) -> None:
    command = [COMMAND, "init", *device]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, input="", timeout=60)
    assert done.returncode == 2
    assert "begins with a passphrase" in done.stderr


_SCENE = """
import json, sys
from appliance.cli.main import main
from appliance.devices import fido2
from tests.authenticator import SoftwareKey

key, other, absent = [SoftwareKey("q2468")], [SoftwareKey("q2468")], []


class Terminal:
    def isatty(self):
        return True

    def readline(self):
        plug(other)
        return "\\n"


def plug(found):
    fido2._plugged_in = lambda: found


codes = []
for device, words in json.loads(sys.argv[1]):
    plug({"key": key, "other": other, "absent": absent, "key, then other": key}[device])
    sys.stdin, before = (Terminal() if "," in device else sys.stdin), sys.stdin
    codes.append(main(words))
    sys.stdin = before
print(json.dumps(codes))
"""


def test_a_security_key_is_added_opens_survives_a_rotation_and_no_other_does(
    vault: Path, tmp_path: Path, secret_file: Path
) -> None:
    words = ["--passphrase-file", str(secret_file)]
    opened = ["--fido2", "--passphrase-file", "pin"]
    scene = [
        ("key", 0, ["keys", "add", "fido2", "--new-passphrase-file", "pin", *words]),
        ("key", 0, ["keys", "list"]),
        ("key", 0, ["keys", "export", "--to", "by-words", *words]),
        ("key", 0, ["keys", "export", "--to", "by-key", *opened]),
        ("key", 5, ["keys", "export", "--to", "no", "--fido2", "--passphrase-file", "wrong"]),
        ("other", 5, ["keys", "export", "--to", "no", *opened]),
        ("absent", 2, ["keys", "export", "--to", "no", *opened]),
        ("key", 2, ["keys", "add", "fido2", "--new-passphrase-file", "pin", *opened]),
        ("key, then other", 0, ["keys", "add", "fido2", "--new-passphrase-file", "pin", *opened]),
        ("other", 0, ["keys", "export", "--to", "by-other", *opened]),
        ("key", 0, ["keys", "rotate", *opened]),
        ("key", 0, ["keys", "export", "--to", "after", *opened]),
        ("other", 5, ["keys", "export", "--to", "no", *opened]),
    ]
    told = json.dumps([(device, line) for device, _, line in scene])
    done = subprocess.run(
        [sys.executable, "-c", _SCENE, told],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input="",
        timeout=120,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [code for _, code, _ in scene], done.stderr
    assert "FIDO2 key, credential " in done.stdout
    assert "Touch the security key." in done.stderr
    assert "has a slot of this vault already" in done.stderr
    assert "put the new one in, and press Enter" in done.stderr
    assert failed_unlocks(vault) == 3, "a wrong PIN, a wrong security key, one that was rotated out"
    first, second, third, fourth = (
        (tmp_path / name).read_text() for name in ("by-words", "by-key", "by-other", "after")
    )
    assert first == second == third != fourth
    assert not (tmp_path / "no").exists()
