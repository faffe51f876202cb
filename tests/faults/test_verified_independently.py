"""A vault of the real package, clean and tampered with, before the verifier without its code (row 44)."""

from __future__ import annotations

import hmac
import itertools
import json
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.journal import Journal
from appliance.secret import Secret
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.audit.checkpoint import countersign
from appliance.vault.folder import create_vault, open_vault
from scripts import verify_log, verify_vault
from tests import tamper
from tests.stores import ENCODER, a_draft, added, noon, unit_vectors

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/verify_vault.py"
PASSPHRASE = "naïve ключ"
CIPHERS = ["sqlcipher", "aegis", "chacha20"]


@dataclass(frozen=True)
class Specimen:
    """A vault, the same one change ago and with its write-ahead log; its keys, a checkpoint."""

    now: Path
    before: Path
    logged: Path
    keys: verify_vault.KeyFile
    data_key: Path
    checkpoint: Path
    digest: str


@pytest.fixture(scope="module", params=CIPHERS)
def specimen(request, tmp_path_factory) -> Specimen:
    folder = tmp_path_factory.mktemp("vaults")
    return _made(folder, request.param)


@pytest.fixture
def vault(specimen, tmp_path) -> Path:
    """A copy that can be spoilt."""
    return Path(shutil.copytree(specimen.now, tmp_path / "vault"))


def _secret() -> Secret:
    return Secret.passphrase(bytearray(PASSPHRASE.encode()))


def _made(beside: Path, cipher: str) -> Specimen:
    folder = beside / "now"
    store = create_vault(folder, _secret(), clock=noon, kdf=FLOOR, cipher=cipher)
    journal = Journal.open(folder, store, clock=noon, config="ab" * 32, models={"encoder": "cd" * 32})
    added(store, a_draft("one pump", "two Välve", "𝒳 valve", source="/in/a.txt", heading="A > B"), seed=1)
    added(store, a_draft(*(f"pump number {n}" for n in range(20)), source="/in/b.txt"), seed=2)
    gone = added(store, a_draft("gone", source="/in/c.txt"), seed=3)
    with journal.removing(gone):
        store.remove(gone.id)
    _pending(store)
    (beside / "checkpoint").write_bytes(journal._log.checkpoint())
    shutil.copytree(folder, beside / "logged")
    journal.close()
    store.close()
    shutil.copytree(folder, beside / "before")
    store = open_vault(folder, _secret(), clock=noon)
    store.set_setting("later", "changed")
    digest = store.content_digest()
    store.close()
    file = verify_vault.parse_key_file((folder / "keys").read_bytes())
    data_key = file.unlocked(PASSPHRASE)
    (beside / "data key").write_text(data_key.hex() + "\n")
    (beside / "passphrase").write_text(PASSPHRASE + "\n")
    (beside / "page key").write_text(f"x'{file.verified(data_key).page}'\n")
    paths = (beside / name for name in ("data key", "checkpoint"))
    return Specimen(folder, beside / "before", beside / "logged", file.verified(data_key), *paths, digest)


def _pending(store) -> None:
    draft = a_draft(*(f"pending {n}" for n in range(5)), source="/in/d.txt")
    resume = store.begin(draft, model=ENCODER)
    store.append(resume.document_id, draft.chunks[:3], unit_vectors(3, seed=9))


def _run(specimen, folder, *arguments, key=None):
    key = key or ("--data-key-hex-file", specimen.data_key)
    command = [sys.executable, SCRIPT, folder, *key, "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    said = json.loads(done.stdout) if done.stdout else {"checks": []}
    said["wrong"] = [name for name, ok, _ in said["checks"] if ok is False]
    return done.returncode, said


def _files(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def _sql(specimen, folder, statement, *values):
    """Do what somebody does who has the page key but not the seal's."""
    db = apsw.Connection(str(folder / "store.db"))
    db.pragma("cipher", specimen.keys.cipher)
    if specimen.keys.cipher == "sqlcipher":
        db.pragma("legacy", 4)
    db.pragma("key", f"x'{specimen.keys.page}'")
    db.execute(statement, values).fetchall()
    assert db.total_changes()
    db.close()


def _flip(path, at, mask=1):
    data = bytearray(path.read_bytes())
    data[at] ^= mask
    path.write_bytes(data)


def test_a_clean_vault_is_clean_and_the_digest_is_the_same(specimen):
    code, said = _run(specimen, specimen.now, "--checkpoint", specimen.checkpoint)
    assert (code, said["wrong"]) == (0, [])
    assert said["digest"] == specimen.digest
    assert len(said["checks"]) > 10


@pytest.mark.parametrize("key", ["passphrase", "page key"])
def test_a_passphrase_and_a_page_key_open_it_too(specimen, key):
    path = specimen.data_key.with_name(key)
    code, said = _run(specimen, specimen.now, key=(f"--{key.replace(' ', '-')}-file", path))
    left_out = [name for name, ok, _ in said["checks"] if ok is None]
    assert (code, said["digest"]) == (0, specimen.digest)
    assert left_out == (["seal and anchor"] if key == "page key" else [])


@pytest.mark.parametrize("which", ["now", "logged"])
def test_nothing_is_written(specimen, which):
    folder = getattr(specimen, which)
    before = _files(folder)
    assert ("store.db-wal" in before) == (which == "logged")
    code, said = _run(specimen, folder)
    assert (code, said["wrong"]) == (0, [])
    assert _files(folder) == before


def test_a_wrong_passphrase_is_told_as_that(specimen, tmp_path):
    (tmp_path / "wrong").write_text("nothing like it\n")
    code, said = _run(specimen, specimen.now, key=("--passphrase-file", tmp_path / "wrong"))
    assert (code, said["checks"]) == (5, [])


def test_an_open_vault_is_left_alone(specimen, vault):
    with closing(open_vault(vault, _secret(), clock=noon)):
        assert _run(specimen, vault)[0] == 2
    assert _run(specimen, vault)[0] == 0


def _changed_page(specimen, vault):
    _flip(vault / "store.db", 5 * 4096 + 777)


def _swapped_texts(specimen, vault):
    _sql(
        specimen,
        vault,
        "UPDATE chunk SET text = iif(id = 4, 'pump number 1', 'pump number 0') WHERE id IN (4, 5)",
    )


def _other_text(specimen, vault):
    """As before, the document's text changed as well: only MACs and words tell."""
    _sql(specimen, vault, "UPDATE document SET text = replace(text, 'one', 'not') WHERE id = 1")
    _sql(specimen, vault, "UPDATE chunk SET text = 'not pump' WHERE id = 1")


def _other_source(specimen, vault):
    _sql(specimen, vault, "UPDATE document SET source = '/in/other.txt' WHERE id = 1")


def _other_setting(specimen, vault):
    _sql(specimen, vault, "UPDATE setting SET value = 'x' WHERE key = 'later'")


def _other_vector(specimen, vault):
    """One whose signs stay as they are."""
    _sql(
        specimen,
        vault,
        "UPDATE vector_vector_chunks01 SET vectors = substr(vectors, 1, 1536) || "
        "substr(vectors, 1, 1536) || substr(vectors, 3073) WHERE rowid = 1",
    )


def _other_words(specimen, vault):
    _sql(specimen, vault, "UPDATE words_docsize SET sz = x'0101' WHERE id = 1")


def _older_store(specimen, vault):
    shutil.copy(specimen.before / "store.db", vault)


def _older_anchor(specimen, vault):
    shutil.copy(specimen.before / "anchor", vault)


def _no_anchor(specimen, vault):
    (vault / "anchor").unlink()


def _cut_store(specimen, vault):
    data = (vault / "store.db").read_bytes()
    (vault / "store.db").write_bytes(data[:-100])


def _deleted_line(specimen, vault):
    lines = (vault / "audit.log").read_bytes().splitlines(keepends=True)
    (vault / "audit.log").write_bytes(b"".join(lines[:2] + lines[3:]))


def _deleted_last_line(specimen, vault):
    lines = (vault / "audit.log").read_bytes().splitlines(keepends=True)
    (vault / "audit.log").write_bytes(b"".join(lines[:-1]))


def _other_outcome(specimen, vault):
    data = (vault / "audit.log").read_bytes()
    (vault / "audit.log").write_bytes(data.replace(b'"erased"', b'"failed"'))


def _other_log_key(specimen, vault):
    _flip(vault / "audit.key", 70)


def _header_mac(specimen, vault):
    _flip(vault / "keys", -1)


def _second_copy(specimen, vault):
    _flip(vault / "keys.bak", 100)


STORE = {
    _changed_page: "",
    _swapped_texts: "content",
    _other_text: "content",
    _other_source: "content",
    _other_setting: "seal and anchor",
    _other_vector: "content",
    _other_words: "seal and anchor",
    _older_store: "seal and anchor",
    _older_anchor: "seal and anchor",
    _no_anchor: "seal and anchor",
    _cut_store: "store",
}
OTHERS = {
    _deleted_line: "log: lines",
    _deleted_last_line: "log: state",
    _other_outcome: "log: lines",
    _other_log_key: "log: state",
    _header_mac: "keys: header MAC",
    _second_copy: "keys.bak: header MAC",
}


@pytest.mark.parametrize("spoil", STORE, ids=lambda each: each.__name__)
def test_a_changed_store_is_found(specimen, vault, spoil):
    spoil(specimen, vault)
    code, said = _run(specimen, vault)
    assert code == 6
    assert STORE[spoil] in [*said["wrong"], ""]


@pytest.mark.parametrize("specimen", ["sqlcipher"], indirect=True)
@pytest.mark.parametrize("spoil", OTHERS, ids=lambda each: each.__name__)
def test_a_changed_log_or_key_file_is_found(specimen, vault, spoil):
    spoil(specimen, vault)
    code, said = _run(specimen, vault)
    assert (code, said["wrong"][0]) == (6, OTHERS[spoil])


@pytest.mark.parametrize(
    "spoil", [_changed_page, _swapped_texts, _other_words], ids=lambda each: each.__name__
)
def test_the_page_key_alone_finds_what_disagrees(specimen, vault, spoil):
    spoil(specimen, vault)
    code, said = _run(specimen, vault, key=("--page-key-file", specimen.data_key.with_name("page key")))
    assert code == 6
    assert said["wrong"]


def test_a_log_put_back_whole_is_found_by_a_checkpoint(specimen, vault, tmp_path):
    store = open_vault(vault, _secret(), clock=noon)
    journal = Journal.open(vault, store, clock=noon, config="ab" * 32, models={"encoder": "cd" * 32})
    (tmp_path / "late").write_bytes(journal._log.checkpoint())
    store.close()
    assert _run(specimen, vault, "--checkpoint", tmp_path / "late")[0] == 0
    for name in ("audit.log", "audit.key", "store.db", "anchor"):
        shutil.copy(specimen.now / name, vault)
    code, said = _run(specimen, vault, "--checkpoint", tmp_path / "late")
    assert (code, said["wrong"]) == (6, ["log: checkpoint late", "audit log"][: len(said["wrong"])])


@pytest.mark.parametrize("cipher", CIPHERS)
def test_whatever_the_program_refuses_is_found(tmp_path, cipher):
    """Older pages, files, logs and anchors; in one process, for there are many."""
    room = tmp_path / "room"
    room.mkdir()
    specimen = tamper.build(room, cipher)
    bare = verify_vault.KeyFile(cipher, bytes(range(16)), [], b"", b"")
    mac = hmac.digest(bare.derived(bytes([7]) * 32, "header mac"), b"", "sha256")
    keys = replace(bare, mac=mac).verified(bytes([7]) * 32)
    older = itertools.chain(
        tamper.older_pages(specimen), tamper.older_logs(specimen), tamper.cut_logs(specimen)
    )
    cases = [
        *itertools.islice(older, 0, None, 25),
        *tamper.older_files(specimen),
        *tamper.other_anchors(specimen),
    ]
    for files in cases:
        outcome = tamper.outcome(tmp_path / "theirs", specimen, files)
        wrong = _found(tmp_path / "ours", keys, files)
        assert wrong or outcome == "right"
    assert not _found(tmp_path / "ours", keys, specimen.whole[-1])
    assert not _found(tmp_path / "ours", keys, specimen.logged[-1])


def _found(folder, keys, files):
    shutil.rmtree(folder, ignore_errors=True)
    tamper.put(folder, files)
    checks: verify_vault.Checks = []
    verify_vault.verify_store(folder, keys, checks)
    return [name for name, ok, _ in checks if ok is False]


def test_a_countersigned_checkpoint_is_verified(specimen, vault, tmp_path):
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    once = countersign(specimen.checkpoint.read_bytes(), by=public, sign=key.sign)
    twice = countersign(once, by=public, sign=key.sign)
    (tmp_path / "point").write_bytes(twice)
    memory = {"vault": specimen.keys.vault.hex()}
    checks = verify_log.verify(vault, memory, [tmp_path / "point"]).checks
    assert checks[-1][1:] == (True, "entry 4 of 2026-01-02T12:00:00Z, 2 countersignatures")
    (tmp_path / "point").write_bytes(twice.replace(b'"n":4', b'"n":5'))
    assert verify_log.verify(vault, memory, [tmp_path / "point"]).checks[-1][1] is False


def test_a_log_without_a_state_is_for_backups_only(specimen, vault):
    (vault / "audit.key").unlink()
    assert _run(specimen, vault)[1]["wrong"] == ["log: state"]
    assert _run(specimen, vault, "--backup")[0] == 0
