"""Stock SQLCipher 4, none of our engine, opens a store of the default profile with the exported key (row 44).

Needs PyPI's `sqlcipher3` (which brings the library) or the `sqlcipher` tool from version 4 on; Debian 12's
tool is 3.4.1, from before the format, and is passed over. They run in other processes: no two SQLites meet.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from appliance import custody
from appliance.secret import Secret
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.audit.auditlog import AuditLog
from appliance.vault.folder import create_vault
from tests.stores import a_draft, added, noon

QUESTIONS = (
    "SELECT group_concat(text, '|') FROM chunk ORDER BY id",
    "SELECT group_concat(rowid) FROM words WHERE words MATCH 'pump'",
    "SELECT count(*) FROM vector_rowids",
    "PRAGMA integrity_check",
)
ANSWERS = ["one pump|two välve|three pumps", "1,3", "3", "ok"]
MODULE = """
import json, sys
from sqlcipher3 import dbapi2
store, key, *questions = json.load(sys.stdin)
db = dbapi2.connect(f"file:{store}?mode=ro&immutable=1", uri=True)
db.execute(f'PRAGMA key = "{key}"')
pages = [row[0] for row in db.execute("PRAGMA cipher_integrity_check")]
print(json.dumps([pages, *(str(db.execute(each).fetchone()[0]) for each in questions)]))
"""


class Vault(NamedTuple):
    """A closed store and what `appliance keys export` writes."""

    store: Path
    key: str


@pytest.fixture
def vault(tmp_path) -> Vault:
    secret = Secret.passphrase(bytearray(b"a passphrase"))
    again = secret.copy()
    store = create_vault(tmp_path / "vault", secret, clock=noon, kdf=FLOOR)
    added(store, a_draft("one pump", "two välve", "three pumps"))
    store.close()
    folder = tmp_path / "vault"
    AuditLog.create(folder, bytes(32), noon, vault=bytes(16))
    return Vault(folder / "store.db", custody.export_key(folder, again, stop=threading.Event()))


@pytest.fixture
def module() -> None:
    if importlib.util.find_spec("sqlcipher3") is None:
        pytest.skip("the package sqlcipher3 (stock SQLCipher 4) is not installed")


def _asked(vault: Vault, key: str) -> subprocess.CompletedProcess[str]:
    given = json.dumps([str(vault.store), key, *QUESTIONS])
    command = [sys.executable, "-c", MODULE]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("module")
def test_the_stock_library_reads_all_of_it(vault):
    done = _asked(vault, vault.key)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], *ANSWERS]


@pytest.mark.usefixtures("module")
def test_the_stock_library_finds_a_changed_page(vault):
    data = bytearray(vault.store.read_bytes())
    data[-2000] ^= 1
    vault.store.write_bytes(data)
    assert "HMAC verification failed for page" in _asked(vault, vault.key).stdout


@pytest.mark.usefixtures("module")
def test_the_stock_library_opens_nothing_with_another_key(vault):
    done = _asked(vault, vault.key.replace("0", "1"))
    assert done.returncode == 1
    assert "not a database" in done.stderr


def test_the_stock_tool_reads_all_of_it(vault):
    tool = shutil.which("sqlcipher")
    if tool is None:
        pytest.skip("the sqlcipher tool is not installed")
    version = _told(tool, ":memory:", "PRAGMA cipher_version;")
    if int((re.search(r"\d+", version) or ["0"])[0]) < 4:
        pytest.skip(f"the sqlcipher tool is {version.strip()}, from before the format of SQLCipher 4")
    said = _told(
        tool, str(vault.store), "".join(f"{line};\n" for line in (f'PRAGMA key = "{vault.key}"', *QUESTIONS))
    )
    assert said.split("\n")[-5:-1] == ANSWERS


def _told(tool: str, store: str, lines: str) -> str:
    done = subprocess.run([tool, store], input=lines, capture_output=True, text=True, check=True)
    return done.stdout
