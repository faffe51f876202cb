"""Linux 5.13 to 5.18: Landlock's first version lets nobody rename a file from one folder into another."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from appliance import sandbox
from appliance.secret import Secret
from appliance.vault import folder, rewrite
from appliance.vault.access import keys
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.store import ANCHOR, FILE
from tests.stores import a_draft, added, noon

pytestmark = pytest.mark.skipif(not sandbox.level().full, reason="needs a kernel with Landlock and seccomp")

FILES = {"anchor", "keys", "keys.bak", "open.lock", "store.db", "write.lock"}
SETUP = """
import errno, sys
from datetime import UTC, datetime
from pathlib import Path
from appliance import kernel, sandbox
kernel.landlock_version = lambda: 1
home = Path(sys.argv[1])
sandbox.confine_worker([home])
(home / "a").mkdir()
(home / "a" / "b").touch()
try:
    (home / "a" / "b").rename(home / "b")
    sys.exit("this is no such kernel")
except OSError as error:
    assert error.errno == errno.EXDEV
from appliance.secret import Secret
from appliance.vault import folder, rewrite
from appliance.vault.access.keyfile import FLOOR
how = {"kdf": FLOOR, "clock": lambda: datetime.now(UTC)}
words = lambda: Secret.passphrase(bytearray(b"an old kernel"))
"""


def words() -> Secret:
    return Secret.passphrase(bytearray(b"an old kernel"))


def content(path: Path) -> str:
    with closing(folder.open_vault(path, words(), clock=noon)) as vault:
        assert [check for check in vault.check(full=True) if not check.ok] == []
        return vault.content_digest()


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    made = folder.create_vault(tmp_path / "main", words(), clock=noon, kdf=FLOOR)
    added(made, a_draft("one", "two"))
    made.close()
    return tmp_path / "main"


def on_an_old_kernel(code: str, home: Path) -> None:
    command = [sys.executable, "-I", "-c", SETUP + code, str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_vault_is_rotated(vault: Path) -> None:
    before = content(vault)
    on_an_old_kernel("rewrite.rotate(home / 'main', words(), cipher='aegis', **how)", vault.parent)
    assert content(vault) == before
    assert keys.described(vault).cipher == "aegis"
    assert {path.name for path in vault.iterdir()} == FILES


def test_a_vault_is_backed_up_and_restored(vault: Path) -> None:
    code = """
rewrite.backup(home / 'main', words(), home / 'copy', **how)
rewrite.restore(home / 'copy', words(), home / 'back', **how)
folder.create_vault(home / 'new', words(), **how).close()
"""
    on_an_old_kernel(code, vault.parent)
    assert content(vault) == content(vault.with_name("copy")) == content(vault.with_name("back"))


@pytest.fixture
def locked_out(vault: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vault whose rotation was committed by an older version, which then could not go on."""

    def stopped(_: Path, file: object) -> None:
        raise SystemExit(file)

    with monkeypatch.context() as patched:
        patched.setattr(keys, "write", stopped)
        with pytest.raises(SystemExit) as caught:
            rewrite.rotate(vault, words(), cipher="aegis", kdf=FLOOR, clock=noon)
    (vault / "next").mkdir()
    for name in (FILE, ANCHOR):
        (vault / f"{name}.next").rename(vault / "next" / name)
    keys.write(vault, caught.value.code)
    return vault


def test_who_was_locked_out_by_a_rotation_gets_in_again(locked_out: Path) -> None:
    on_an_old_kernel(
        "folder.open_vault(home / 'main', words(), clock=how['clock']).close()", locked_out.parent
    )
    assert {path.name for path in locked_out.iterdir()} == FILES
    assert content(locked_out)
    assert {path.stat().st_mode & 0o777 for path in locked_out.iterdir()} == {0o600}
