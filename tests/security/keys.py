"""Rows 4, 5, 6 and 8: secrets that are not the secret, key files that are not the key file, nonces."""

from __future__ import annotations

import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from appliance.errors import ApplianceError, WrongSecret
from appliance.vault.access import keyfile, keys
from appliance.vault.access.keyfile import FLOOR, Cipher
from appliance.vault.database.engine import PAGE_BYTES, Database
from tests.security.box import PASSPHRASE, ROOT, Peak, box
from tests.security.opened import data_key, now, secret
from tests.security.registry import Scale, Tried, row
from tests.security.rest import word

_SLOT_COST = 38 + 14  # where the first slot keeps memory, passes, lanes
_FORBIDDEN = {
    "1 MiB": (1024, 3, 4),
    "95 GiB": (95 * 1024 * 1024, 3, 4),
    "2 passes": (65536, 2, 4),
    "1 lane": (65536, 3, 1),
    "no memory": (0, 3, 4),
    "4 billion passes": (65536, 2**32 - 1, 4),
    "4 TiB": (2**32 - 1, 3, 4),
}


def near_misses(right: bytes, count: int) -> Iterator[bytes]:
    """Yield wrong passphrases, the most tempting first."""
    text = right.decode()
    yield from (b"", b" ", b"\0", right + b" ", b" " + right, right[:-1], right[1:], right + right)
    yield from (text.upper().encode(), text.title().encode(), text.replace(" ", "").encode(), b"x" * 4000)
    yield from (
        right + b"\0",
        right.replace(b"e", "é".encode()),
        text.encode("utf-16-le"),
        b"\xff\xfe" + right,
    )
    while count > 16:
        yield word().encode()
        count -= 1


@row(4, "Wrong key never opens; one message for all")
def wrong_keys(scale: Scale) -> Tried:
    """Try wrong passphrases and changed headers, by hand at the floor's cost and through the command."""
    tried, messages, times = Tried(), set(), {"wrong": [], "changed": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys.create(folder, secret(), clock=now, kdf=FLOOR).wipe()
        good = (folder / "keys").read_bytes()

        def attempt(words: bytes, kind: str, what: str) -> None:
            began = time.perf_counter()
            try:
                data_key(folder, words).wipe()
                tried.case(ok=False, failure=f"opened: {what}")
            except WrongSecret as error:
                messages.add((error.message, error.hint))
                tried.case(ok=True, failure="")
            except ApplianceError as error:
                tried.case(ok=kind == "changed", failure=f"{what}: {type(error).__name__}: {error.message}")
            times[kind].append(time.perf_counter() - began)

        for wrong in near_misses(PASSPHRASE, scale.of(1000, least=20)):
            attempt(wrong, "wrong", f"{wrong[:20]!r}")
        for at in range(_SLOT_COST + 12, len(good) - 32, max(1, round(2 / scale.factor))):
            changed = bytearray(good)
            changed[at] ^= 1 << at % 8
            for copy in keys.COPIES:
                (folder / copy).write_bytes(changed)
            attempt(PASSPHRASE, "changed", f"byte {at} of the slot changed")
    with box() as owner:
        owner.init()
        for wrong in list(near_misses(PASSPHRASE, 0))[3 : 3 + scale.of(6, least=1)]:
            owner.secret.write_bytes(wrong + b"\n")
            done = owner.run("list")
            tried.case(
                done.code == 5, f"the command ended with {done.code} for {wrong[:20]!r}: {done.said[:200]}"
            )
            messages.add(
                tuple(line.strip().removeprefix("appliance: ") for line in done.said.splitlines()[-2:])
            )
    tried.case(len(messages) == 1, f"{len(messages)} different messages: {messages}")
    slower = statistics.median(times["changed"]) / statistics.median(times["wrong"])
    few = len(times["wrong"]) < 50  # on a busy machine
    tried.case(
        few or 0.5 < slower < 2,
        f"a changed slot takes {slower:.2f} times as long to refuse as a wrong secret",
    )
    tried.note = f"{len(messages)} message, a changed slot takes {slower:.2f} times a wrong secret"
    return tried


@row(5, "Malformed key files are refused cleanly")
def malformed(scale: Scale) -> Tried:
    """Run the committed vectors and many mutations of key files with every kind of slot."""
    tried = Tried()
    count = scale.of(1_000_000, least=2000)
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutations", str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    tried.cases += seen["tried"]
    tried.case(seen["refused"] == seen["tried"], f"not refused cleanly: {seen}")
    if scale.factor < 0.1:  # `make test` runs the vectors itself
        return tried
    command = [sys.executable, "-m", "pytest", "-q", "tests/unit/test_vault_vectors.py"]
    kit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    vectors = len(list((ROOT / "tests" / "vectors" / "keys").glob("*.vector")))
    tried.cases += vectors
    tried.case(kit.returncode == 0, f"the vector files: {kit.stdout[-300:]}")
    tried.note = f"{vectors} vector files, {seen['tried']} mutations, accepted {seen.get('accepted', 0)}"
    return tried


@row(6, "Argon2id at the floor or above; no KDF bomb")
def cost(scale: Scale) -> Tried:
    """Forge costs below the floor and far above the ceiling; measure what refusing them takes."""
    tried, seconds = Tried(), []
    with box() as owner:
        owner.init()
        for path in (owner.vault / name for name in keys.COPIES):
            kdfs = [slot.kdf for slot in keyfile.parse(path.read_bytes()).slots]
            tried.case(
                all(keyfile.allowed(kdf) for kdf in kdfs), f"{path.name} has a slot below the floor: {kdfs}"
            )
        for _ in range(scale.of(5, least=1)):
            began = time.perf_counter()
            data_key(owner.vault).wipe()
            seconds.append(time.perf_counter() - began)
        good = (owner.vault / "keys").read_bytes()
        for name, values in _FORBIDDEN.items():
            forged = bytearray(good)
            struct.pack_into(">III", forged, _SLOT_COST, *values)
            for copy in keys.COPIES:
                (owner.vault / copy).write_bytes(forged)
            running = owner.start("list")
            with Peak(running.pid) as peak:
                code = running.wait(60)
            tried.case(code == 6, f"{name}: ended with {code}")
            tried.case(peak.bytes < 2 << 30, f"{name}: took {peak.bytes >> 20} MiB")
            began = time.perf_counter()
            try:
                data_key(owner.vault)
                tried.case(ok=False, failure=f"{name}: opened")
            except ApplianceError as error:
                quick = time.perf_counter() - began < min(seconds) / 5
                tried.case(
                    error.exit_code == 6 and quick, f"{name}: {error.message}, not refused before deriving"
                )
    tried.note = f"{1000 * statistics.median(seconds):.0f} ms a derivation at this vault's cost"
    return tried


@row(8, "Nonces never repeat")
def nonces(scale: Scale) -> Tried:
    """Write pages again and again and slots anew; collect every IV and nonce that reaches the disk."""
    tried, notes = Tried(), []
    for cipher in ("sqlcipher", "aegis", "chacha20"):
        columns, writes = _reserved_bytes(cipher, scale.of(34_000, least=300))
        tried.cases += writes
        for at, column in enumerate(columns):
            tried.case(
                len(column) == writes, f"{cipher}: bytes {16 * at} ff. repeat {writes - len(column)} times"
            )
        notes.append(f"{cipher} {writes}")
    with tempfile.TemporaryDirectory() as name:
        count, numbers = scale.of(100, least=5), set()
        for each in range(count):
            folder = Path(name) / str(each)
            folder.mkdir()
            keys.create(folder, secret(), clock=now, kdf=FLOOR).wipe()
            slot = keyfile.parse((folder / "keys").read_bytes()).slots[0]
            numbers |= {slot.nonce, slot.salt}
        tried.cases += count
        tried.case(len(numbers) == 2 * count, "a slot's nonce or salt repeats")
    tried.note = f"pages: {', '.join(notes)}; {count} slots"
    return tried


def _reserved_bytes(cipher: Cipher, writes: int) -> tuple[list[set[bytes]], int]:
    """Rewrite a hundred pages until so many went through the log; return what stood in their reserved ends.

    Nonce and tag lie there, in an order that differs by cipher: sixteen bytes at each place, none of which
    may come twice at its place.
    """
    total = 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "store.db"
        path.touch()
        opened = Database(path, cipher=cipher, key=bytearray(range(32)), salt=bytearray(range(16)))
        opened.run("PRAGMA wal_autocheckpoint = 0")
        opened.run("CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB)")
        reserved = opened.image()[20]  # the file format's offset of "bytes unused at the end of each page"
        columns: list[set[bytes]] = [set() for _ in range(reserved // 16)]
        while total < writes:
            with opened.writing():
                for number in range(100):
                    opened.run("INSERT OR REPLACE INTO t VALUES (?, zeroblob(3000))", (number,))
            log = path.with_name("store.db-wal").read_bytes()
            for end in range(32 + 24 + PAGE_BYTES, len(log) + 1, 24 + PAGE_BYTES):
                for at, column in enumerate(columns):
                    begin = end - reserved + 16 * at
                    column.add(log[begin : begin + 16])
                total += 1
            opened.checkpoint()
        opened.close()
    return columns, total
