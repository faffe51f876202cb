"""Verify a vault by its written format alone (appliance/vault/FORMAT.md), with none of the program's code.

    python scripts/verify_vault.py FOLDER (--passphrase-file F | --data-key-hex-file F | --page-key-file F)
        [--checkpoint F]... [--backup] [--json]

One line a check, then the content digest. Exit status: 0 all is as it was written, 6 something is not, 5 the
secret does not open the vault, 2 it could not be tried. Needs apsw-sqlite3mc and cryptography. The folder is
only read: a store with a write-ahead log is copied to memory, encrypted as it is. What needs the data key
(header MAC, seal, anchor) is left out without it. verify_log.py, for the audit log, can be run alone as well.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import hmac
import itertools
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import unicodedata
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import apsw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Wrong(Exception):
    """Something is not as the format says."""


FAULTS: Final = (Wrong, apsw.Error, FileNotFoundError, ValueError, LookupError, TypeError, struct.error)
Checks = list[tuple[str, bool | None, str]]  # name, whether it is right (None: not tried), detail


def need(fact: object, why: str) -> None:
    """Raise `Wrong` saying `why` where `fact` is not so."""
    if not fact:
        raise Wrong(why)


@contextmanager
def checking(checks: Checks, name: str) -> Iterator[Callable[[str], None]]:
    """Note whether the block inside, which says details, ends without a fault."""
    said: list[str] = []
    try:
        yield said.append
        checks.append((name, True, "; ".join(said)))
    except FAULTS as error:
        checks.append((name, False, str(error) or type(error).__name__))


CIPHERS: Final = {1: "sqlcipher", 2: "aegis", 3: "chacha20"}
SLOT_BYTES: Final = dict.fromkeys((1, 2, 3, 7), (98,)) | dict.fromkeys((4, 6), range(103, 615)) | {8: (2394,)}


@dataclass(frozen=True)
class KeyFile:
    """What a key file says; `page` (key and salt in hexadecimal) and `seal` once they are known."""

    cipher: str
    vault: bytes
    slots: list[tuple[int, bytes]]
    signed: bytes
    mac: bytes
    page: str = ""
    seal: bytes = b""

    def derived(self, data_key: bytes, label: str, length: int = 32) -> bytes:
        """Return the key of that label."""
        info = f"appliance vault 1 {self.cipher} {label}".encode()
        return HKDF(hashes.SHA256(), length, salt=self.vault, info=info).derive(data_key)

    def unlocked(self, passphrase: str) -> bytes:
        """Return the data key, nothing where no slot opens."""
        for _, slot in (each for each in self.slots if each[0] == 1):
            memory, passes, lanes = struct.unpack(">III", slot[14:26])
            kdf = Argon2id(salt=slot[26:42], length=32, iterations=passes, lanes=lanes, memory_cost=memory)
            cipher = AESGCM(kdf.derive(unicodedata.normalize("NFC", passphrase).encode()))
            with suppress(InvalidTag):
                return cipher.decrypt(slot[42:54], slot[54:], self.signed[:36] + slot[:42])
        return b""

    def verified(self, data_key: bytes) -> KeyFile:
        """Return it with its keys; raise `Wrong` where the header MAC is not the one under them."""
        mac = hmac.digest(self.derived(data_key, "header mac"), self.signed, "sha256")
        need(hmac.compare_digest(mac, self.mac), "the header MAC is not the one under the data key")
        page = self.derived(data_key, "page key") + self.derived(data_key, "page salt", 16)
        return replace(self, page=page.hex(), seal=self.derived(data_key, "mac tree"))


def parse_key_file(data: bytes) -> KeyFile:
    """Take a key file apart; raise `Wrong` where it is not the one encoding of anything."""
    need(len(data) > 70 and data[:10] == b"APLKEYS\n\0\1", "not a key file of version 1")
    profile, vault, latest, count = struct.unpack(">H16sQH", data[10:38])
    need(profile in CIPHERS and 1 <= count <= 8, "unknown cipher, or another number of slots than can be")
    slots: list[tuple[int, bytes]] = []
    at, last = 38, -1
    for _ in range(count):
        kind, length, number, made = struct.unpack(">HHHQ", data[at : at + 14])
        need(length in SLOT_BYTES.get(kind, ()) and number > last, "a slot of unknown form or out of order")
        slot = data[at : at + 4 + length]
        slots.append((kind, slot))
        if kind in (1, 2, 3, 7):
            costs = zip(struct.unpack(">III", slot[14:26]), (65536, 3, 4), (1 << 20, 16, 16), strict=True)
            need(all(low <= cost <= high for cost, low, high in costs), "a slot's cost is out of bounds")
        at, last, latest = at + 4 + length, number, max(latest, made)
    need(len(data) == at + 32 and latest <= 253402300799, "the length or a time is out of bounds")
    return KeyFile(CIPHERS[profile], vault, slots, data[:at], data[at:])


def read_keys(options: argparse.Namespace, checks: Checks) -> KeyFile | None:
    """Check both copies of the key file; return the keys from the first that is right, None without one."""
    files: dict[str, KeyFile] = {}
    for name in ("keys", "keys.bak"):
        with checking(checks, name) as say:
            files[name] = parse_key_file((options.folder / name).read_bytes())
            say(f"{files[name].cipher}, {len(files[name].slots)} slots")
    if options.page_key_file:
        page = options.page_key_file.read_text().strip().removeprefix("x'").removesuffix("'")
        return next((replace(file, page=page) for file in files.values()), None)
    if options.data_key_hex_file:
        data_key = bytes.fromhex(options.data_key_hex_file.read_text())
    else:
        passphrase = options.passphrase_file.read_text().removesuffix("\n")
        data_key = next(filter(None, (file.unlocked(passphrase) for file in files.values())), b"")
    if files and not data_key:
        print("This secret does not open the vault.", file=sys.stderr)
        sys.exit(5)
    found: list[KeyFile] = []
    for name, file in files.items():
        with checking(checks, f"{name}: header MAC"):
            found = [*found, file.verified(data_key)]
    return found[0] if found else None


@contextmanager
def opened(folder: Path, keys: KeyFile) -> Iterator[apsw.Connection]:
    """Open the store read-only: in place, or a copy of it in memory where it has a write-ahead log."""
    with ExitStack() as stack:
        path, log, way = folder / "store.db", folder / "store.db-wal", "mode=ro&immutable=1"
        if log.exists() and log.stat().st_size:
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
            shutil.copyfile(log, copy / log.name)
            path, way = shutil.copyfile(path, copy / path.name), "mode=rw"
        with path.open("rb") as file:
            need(file.read(16).hex() == keys.page[64:], "its first 16 bytes are not the page salt")
        need(path.stat().st_size % 4096 == 0, "the last page is cut short")
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
        db = apsw.Connection(f"{path.absolute().as_uri()}?{way}", flags=flags)
        stack.callback(db.close)
        db.pragma("cipher", keys.cipher)
        if keys.cipher == "sqlcipher":
            db.pragma("legacy", 4)  # the file format of SQLCipher 4
        db.pragma("key", f"x'{keys.page}'")
        db.execute("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -131072")
        db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        yield db


def one(db: apsw.Connection, query: str, *values: Any) -> Any:
    """Return the one row that there must be."""
    rows = list(db.execute(query, values))
    need(len(rows) == 1, f"{len(rows)} rows instead of one: {query} {values}")
    return rows[0]


def check_structure(db: apsw.Connection) -> str:
    """Let SQLite read each page in use, and hold tables and indexes against each other."""
    found = [*db.execute("PRAGMA integrity_check"), *db.execute("PRAGMA foreign_key_check")]
    need(found == [("ok",)], f"it is not whole: {found[:3]}")
    need(one(db, "PRAGMA user_version") == (2,), "it is of another schema version than 2")
    return f"{one(db, 'PRAGMA page_count')[0]} pages"


def check_words(db: apsw.Connection) -> None:
    """Index all texts anew in memory; hold each occurrence of each term against the words index."""
    db.execute("""
        ATTACH ':memory:' AS anew;
        CREATE VIRTUAL TABLE anew.w USING
            fts5(context, body, tokenize='porter unicode61 remove_diacritics 2');
        INSERT INTO anew.w(rowid, context, body) SELECT id, context, body FROM main.passage;
        CREATE VIRTUAL TABLE temp.has USING fts5vocab(anew, w, instance);
        CREATE VIRTUAL TABLE temp.had USING fts5vocab(main, words, instance)""")
    for tables in (("w_docsize", "words_docsize"), ("has", "had")):
        rows = (db.execute(f"SELECT * FROM {table}") for table in tables)  # noqa: S608
        for true, there in itertools.zip_longest(*rows):
            need(true == there, f"the words index has {there}, the texts {true}")


VECTORS: Final = """SELECT validity, rowids, signs.vectors, floats.vectors
    FROM vector_chunks, vector_vector_chunks00 AS signs, vector_vector_chunks01 AS floats
    WHERE chunk_id = ?1 AND signs.rowid = ?1 AND floats.rowid = ?1"""
BELONG: Final = """SELECT (SELECT count(*) FROM document) - (SELECT count(*) FROM seal),
    (SELECT count(*) FROM chunk) - (SELECT count(*) FROM vector_rowids)"""
SHORT: Final = ("chunk", "vector", "signs", "leaves", "text", "pages")


def encoded(*values: Any) -> bytes:
    """Return the one encoding of a list of values."""
    data = b""
    for value in values:
        if isinstance(value, int):
            data += b"i" + value.to_bytes(8, "big", signed=True)
        elif value is not None:
            kind, raw = (b"t", value.encode()) if isinstance(value, str) else (b"b", value)
            data += kind + len(raw).to_bytes(8, "big") + raw
        else:
            data += b"n"
    return data


@dataclass
class Content:
    """The store read once, document by document; without the seal's key only what needs none is checked."""

    db: apsw.Connection
    keys: KeyFile
    digest: Any = field(default_factory=hashlib.sha256)
    nodes: list[bytes] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    block: tuple[Any, ...] = (None,)

    def mac(self, name: str, *values: Any) -> bytes:
        """Return a MAC; without the seal's key one that nothing is compared with."""
        data, size = b"".join(values) if name == "vector" else encoded(*values), 16 if name in SHORT else 32
        salt, person = self.keys.vault, name.encode()
        return hashlib.blake2b(data, digest_size=size, key=self.keys.seal, salt=salt, person=person).digest()

    def read(self) -> str:
        """Verify all documents, chunks and vectors, and take them into the digest."""
        self.settings = list(itertools.chain(*self.db.execute("SELECT key, value FROM setting ORDER BY key")))
        pairs = zip(self.settings[::2], self.settings[1::2], strict=True)
        kept = [
            pair for pair in pairs if pair[0] != "audit"
        ]  # what is remembered of the log changes too often
        self.digest.update(encoded(len(kept), *itertools.chain(*kept)))
        for row in self.db.execute("SELECT * FROM document ORDER BY id"):
            self.document(row[:-1], row[-1])
        need(one(self.db, BELONG) == (0, 0), "there are seals or vectors of nothing")
        return f"{len(self.nodes)} documents"

    def document(self, row: tuple[Any, ...], text: str) -> None:
        """Verify one document."""
        own, state, chunks = row[0], row[1], row[8]
        pages = "SELECT start FROM page WHERE document = ? ORDER BY number"
        starts = list(itertools.chain(*self.db.execute(pages, (own,))))
        (count,) = one(self.db, "SELECT count(*) FROM chunk WHERE document = ?", own)
        need(count == chunks or (state == "pending" and count < chunks), f"document {own} lacks chunks")
        self.digest.update(encoded(*row[1:], text, len(starts), *starts, count))
        macs = (self.mac("text", own, text), self.mac("pages", own, *starts), self.leaves(own, text))
        self.nodes.append(own.to_bytes(8, "big") + self.mac("document", *row, len(starts), *macs))
        sealed = (own, len(starts), *macs, self.nodes[-1][8:])
        fits = one(self.db, "SELECT * FROM seal WHERE document = ?", own) == sealed
        need(fits or not self.keys.seal, f"document {own} does not fit its seal")

    def leaves(self, own: int, text: str) -> bytes:
        """Verify the chunks of a document, block by block; return the MACs of the blocks."""
        macs, found = b"", self.entries(own, text)
        blocks = "SELECT number, entries, signs FROM leaf WHERE document = ? ORDER BY number"
        for at, (number, entries, signs) in enumerate(self.db.execute(blocks, (own,))):
            block = list(itertools.islice(found, len(entries) // 40))
            fits = number == at and entries == b"".join(entry for entry, _ in block)
            fits = fits and signs == self.mac("signs", own, b"".join(bits for _, bits in block))
            need(fits or not self.keys.seal, f"block {at} of document {own} does not fit its leaves")
            macs += self.mac("leaves", own, number, entries, signs)
        need(next(found, None) is None, f"document {own} has chunks without a leaf")
        return macs

    def entries(self, own: int, text: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield the leaf and the sign bits of each chunk, its text and vector being right."""
        chunks = "SELECT * FROM chunk WHERE document = ? ORDER BY ordinal"
        for at, row in enumerate(self.db.execute(chunks, (own,))):
            number = row[0]
            same = row[2] == at and row[8] == text[row[3] : row[4]]
            need(same, f"chunk {number} is not what stands in its document")
            bits, vector = self.vector(number)
            self.digest.update(encoded(*row[2:], vector))
            macs = self.mac("chunk", *row) + self.mac("vector", number.to_bytes(8, "big"), vector)
            yield number.to_bytes(8, "little") + macs, bits

    def vector(self, chunk: int) -> tuple[bytes, bytes]:
        """Return signs and floats of a chunk out of sqlite-vec's own tables."""
        block, at = one(self.db, "SELECT chunk_id, chunk_offset FROM vector_rowids WHERE rowid = ?", chunk)
        if self.block[0] != block:
            self.block = (block, *one(self.db, VECTORS, block))
        _, valid, ids, signs, floats = self.block
        need(valid[at // 8] >> at % 8 & 1, f"chunk {chunk} has no vector")
        need(struct.unpack_from("<q", ids, 8 * at) == (chunk,), f"chunk {chunk} has another's vector")
        bits, vector = signs[48 * at : 48 * at + 48], floats[1536 * at : 1536 * at + 1536]
        values = array("f", vector)
        positive = sum(1 << i for i, value in enumerate(values) if value > 0)
        unit = abs(sum(each * each for each in values) - 1) < 2e-3
        need(unit and positive.to_bytes(48, "little") == bits, f"chunk {chunk}: length or signs are wrong")
        return bits, vector

    def head(self) -> tuple[int, bytes]:
        """Compute the head anew; return the state that the store is in."""
        sequence, head, words = one(self.db, "SELECT sequence, head, words FROM head")
        tables = ("words_data", "words_idx", "words_docsize", "words_config")
        rows = ((name, row) for name in tables for row in self.db.execute(f"SELECT * FROM {name}"))  # noqa: S608
        total = sum(int.from_bytes(self.mac("words", name, *row), "big") for name, row in rows)
        need(words == (total % 2**256).to_bytes(32, "big"), "the words index does not fit its sum")
        counters = itertools.chain(*self.db.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name"))
        values = (sequence, 2, self.mac("settings", *self.settings), words, *counters)
        need(head == self.mac("head", *values, b"".join(self.nodes)), "the head is not that of what is there")
        return sequence, head

    def anchor(self, data: bytes, now: tuple[int, bytes]) -> str:
        """Hold the state `now` against those that the anchor knows."""
        slots = [s for s in (data[:512], data[4096:4608]) if self.mac("anchor", s[:480]) == s[480:]]
        need(len(data) == 8192 and slots, "no slot of the anchor is authentic")
        slot = max(slots, key=lambda slot: slot[12:20])
        need(slot[:10] == b"APLANCH\n\0\1", "it is not of version 1")
        states = [struct.unpack_from(">Q32s", slot, 20 + 40 * n) for n in range(slot[11])]
        need(now in states, f"the store is at change {now[0]}, the anchor knows {[n for n, _ in states]}")
        return f"change {now[0]}, head {now[1].hex()}"


def verify_store(folder: Path, keys: KeyFile, checks: Checks) -> tuple[str | None, dict[str, Any]]:
    """Verify store, seal and anchor; return the content digest and what is remembered of the audit log."""
    digest, settings = None, {}
    with checking(checks, "store"), opened(folder, keys) as db:
        with checking(checks, "pages") as say:
            say(check_structure(db))
        content = Content(db, keys)
        with checking(checks, "content") as say:
            say(content.read())
            digest = content.digest.hexdigest()
        with checking(checks, "words"):
            check_words(db)
        with checking(checks, "seal and anchor") as say:
            say(content.anchor((folder / "anchor").read_bytes(), content.head()))
        if not keys.seal:
            checks[-1] = ("seal and anchor", None, "needs the data key")
        settings = dict(zip(content.settings[::2], content.settings[1::2], strict=True))
    return digest, json.loads(settings.get("audit", "{}")) | {"vault": keys.vault.hex()}


def verify_log(options: argparse.Namespace, memory: dict[str, Any], checks: Checks) -> None:
    """Run the verifier of the audit log; the seed goes to it through a pipe, where nobody else sees it."""
    beside = Path(__file__).with_name("verify_log.py")
    command = [sys.executable, str(beside), str(options.folder), "--json", "--memory", "-"]
    command += [part for path in options.checkpoint for part in ("--checkpoint", str(path))]
    command += ["--backup"] if options.backup else []
    with checking(checks, "audit log"):
        done = subprocess.run(command, input=json.dumps(memory), stdout=subprocess.PIPE, text=True)
        checks.extend((f"log: {name}", ok, detail) for name, ok, detail in json.loads(done.stdout)["checks"])


def verified(options: argparse.Namespace, checks: Checks) -> str | None:
    """Verify everything, while nobody else has the vault open; return the content digest."""
    lock, digest = options.folder / "open.lock", None
    with ExitStack() as stack:
        if lock.exists():  # who has the vault open shares it, and could write while we read
            fcntl.flock(stack.enter_context(lock.open("rb")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        keys = read_keys(options, checks)
        if keys:
            digest, memory = verify_store(options.folder, keys, checks)
            verify_log(options, memory, checks)
    return digest


def main() -> int:
    """Verify one vault and print what was found."""
    parser, checks = argparse.ArgumentParser(description="Verify a vault by its written format."), Checks()
    parser.add_argument("folder", type=Path)
    secret = parser.add_mutually_exclusive_group(required=True)
    for name in ("--passphrase-file", "--data-key-hex-file", "--page-key-file"):
        secret.add_argument(name, type=Path, metavar="FILE")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--backup", action="store_true", help="a backup: its log has no state")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        digest = verified(options, checks)
    except OSError as error:
        print(f"The vault is open somewhere, or cannot be read: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"checks": checks, "digest": digest}))
    else:
        shown = {True: "ok", False: "WRONG", None: "-"}
        print(*(f"{shown[ok]:6}{name}: {detail}" for name, ok, detail in checks), sep="\n")
        print(f"digest {digest}")
    return 6 if any(ok is False for _, ok, _ in checks) else 0


if __name__ == "__main__":
    sys.exit(main())
