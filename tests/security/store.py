"""Rows 2, 3, 9 to 13 and 44: the store under tampering, kills, faults, rewriting, and other people's eyes."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import permutations
from pathlib import Path

from appliance.vault.access import keyfile
from tests import killing, scenarios, tamper
from tests.killing import Tally
from tests.security import byhand
from tests.security.box import PASSPHRASE, ROOT, Box, box, kill
from tests.security.registry import Scale, Tried, row
from tests.tamper import Files, Specimen

CIPHERS = ("sqlcipher", "aegis", "chacha20")
MEMORY = Path("/dev/shm")


def _room() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)


# --- 2 and 3


@row(2, "Any changed byte is an error or has no effect")
def changed_bytes(scale: Scale) -> Tried:
    """Flip bits, zero and exchange pages of every profile; ask all that can be asked, row by row."""
    tried, seen = Tried(), Counter[str]()
    for cipher in CIPHERS:
        with _room() as name:
            specimen = _specimen(Path(name), cipher)
            count = scale.of(3000, least=20)
            cases = [tamper.flips(specimen, count, seed=secrets.randbits(32)), _beginning(specimen, scale)]
            cases += [tamper.torn_pages(specimen, count // 7, seed=secrets.randbits(32))]
            for each in cases:
                seen += _counted(tried, cipher, each, Path(name) / "put", specimen)
    tried.case(seen["refused"] and seen["not opened"], f"no change was noticed at all: {seen}")
    tried.note = (
        f"{seen.total()} changes, {len(specimen.asked)} questions each: wrong {seen['wrong']} ({_told(seen)})"
    )
    return tried


@row(3, "Older page, file or cut log is noticed")
def older_state(scale: Scale) -> Tried:
    """Put back each older page, file, log and anchor; cut the log at each frame."""
    tried, seen = Tried(), Counter[str]()
    for cipher in CIPHERS:
        with _room() as name:
            specimen, place = _specimen(Path(name), cipher), Path(name) / "put"
            step = 1 if scale.factor >= 1 else 40
            seen += _counted(tried, cipher, list(tamper.older_pages(specimen))[::step], place, specimen)
            for make in (tamper.older_files, tamper.older_logs, tamper.cut_logs, tamper.other_anchors):
                cases = list(make(specimen))[::step]
                found = _counted(tried, f"{cipher}, {make.__name__}", cases, place, specimen)
                noticed = found["not opened"] == found.total()
                tried.case(
                    noticed, f"{cipher}, {make.__name__}: not all noticed at the opening: {_told(found)}"
                )
                seen += found
            sound = _counted(tried, cipher, [specimen.whole[-1]], place, specimen)
            tried.case(sound == {"right": 1}, f"{cipher}: the newest files are not right: {sound}")
    tried.note = (
        f"{seen.total()} put back: wrong {seen['wrong']} ({_told(seen)}); store, log or anchor put back: all"
    )
    return tried


def _specimen(folder: Path, cipher: str) -> Specimen:
    (folder / "past").mkdir()
    return tamper.build(folder / "past", cipher)


def _beginning(specimen: Specimen, scale: Scale) -> Iterator[Files]:
    """Change every one of the first hundred bytes."""
    for at in range(0, 100, 1 if scale.factor >= 1 else 20):
        data = bytearray(specimen.whole[-1]["store.db"])
        data[at] ^= 0xFF
        yield specimen.whole[-1] | {"store.db": bytes(data)}


def _counted(
    tried: Tried, what: str, cases: Iterable[Files], place: Path, specimen: Specimen
) -> Counter[str]:
    found = tamper.count(place, specimen, cases)
    tried.cases += found.total()
    if found["wrong"]:
        tried.failures.append(f"{what}: {found['wrong']} silent wrong answers of {found.total()}")
    return found


def _told(seen: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(seen.items()) if name != "wrong")


# --- 9, 11, 13, 44: through the command


def library(owner: Box) -> None:
    """Make a vault with a few documents in it."""
    for number in range(3):
        lines = [f"Pump {number}-{n} delivers {n} litres at {number} bar.\n" for n in range(60)]
        owner.write(f"docs/manual{number}.md", f"# Manual {number}\n\n" + "\n".join(lines))
    owner.init()
    owner.add(owner.luggage / "docs")


@row(9, "Crypto agility: profiles convert, content equal")
def agility(_: Scale) -> Tried:
    """Convert a vault from each profile to each other and compare the content digest."""
    tried = Tried()
    with box() as owner:
        library(owner)
        told = owner.run("keys", "rotate", "--json").json()
        digest, seconds, size = told["digest"], 0.0, 0
        done = set()
        for way in _conversions():
            began = time.monotonic()
            told = owner.run("keys", "rotate", "--cipher", way[1], "--json").json()
            seconds, size = seconds + time.monotonic() - began, size + told.get("bytes", 0)
            tried.case(told.get("digest") == digest, f"{way[0]} to {way[1]}: {told}")
            cipher = keyfile.parse((owner.vault / "keys").read_bytes()).cipher
            tried.case(cipher == way[1], f"the key file says {cipher} after a conversion to {way[1]}")
            done.add(way)
        tried.case(len(done) == 6, f"only {len(done)} conversions were tried")
        tried.case(owner.run("verify", "--full").code == 0, "the vault does not verify afterwards")
        answer = owner.ask("How much does Pump 2-30 deliver?")[0]
        tried.case("30 litres" in answer["answer"], f"it answers: {answer['answer'][:100]}")
    tried.note = f"6 of 6 conversions equal; {size / 1e6 / seconds:.2f} MB/s with two derivations each"
    return tried


def _conversions() -> list[tuple[str, str]]:
    """Return a walk that begins at sqlcipher and takes every ordered pair of profiles once."""
    left, at, walk = set(permutations(CIPHERS, 2)), "sqlcipher", []
    walk_plan = ("aegis", "sqlcipher", "chacha20", "aegis", "chacha20", "sqlcipher")
    for following in walk_plan:
        walk.append((at, following))
        left.discard((at, following))
        at = following
    return walk if not left else []


@row(11, "Crypto-erase")
def erasing(scale: Scale) -> Tried:
    """Erase a vault with several slots; try every former secret, look for slot bytes, kill it on the way."""
    tried = Tried()
    with box() as owner:
        library(owner)
        other = owner.write("other", b"another passphrase\n")
        owner.run("keys", "add", "passphrase", "--new-passphrase-file", other)
        owner.run("keys", "add", "key-file", "--new-key-file", owner.luggage / "token")
        shutil.copy(owner.vault / "keys", owner.luggage / "stolen keys")  # what no erasure can reach
        file = keyfile.parse((owner.vault / "keys").read_bytes())
        needles = [part for slot in file.slots for part in (slot.sealed, getattr(slot, "salt", b"")) if part]
        tried.case(len(file.slots) == 3, f"{len(file.slots)} slots were made instead of 3")
        refused = owner.run("keys", "erase", "--yes", "other")
        tried.case(refused.code == 2, f"erased without its name ({refused.code})")
        done = owner.run("keys", "erase", "--yes", "main")
        tried.case(done.code == 0, f"erase ended with {done.code}: {done.said[:200]}")
        for path in owner.files():
            data = path.read_bytes()
            for needle in [*needles, file.mac]:
                tried.case(needle not in data, f"a slot's bytes are left in {path.name}")
        for opening in (
            ["--passphrase-file", owner.secret],
            ["--passphrase-file", other],
            ["--key-file", owner.luggage / "token"],
        ):
            said = owner.run(*opening, "list", secret=False)
            tried.case(
                said.code != 0 and b"manual" not in said.out,
                f"{opening[0]} still opens it: {said.said[:100]}",
            )
        tried.case(not (owner.vault / "keys").exists(), "the key file is still there")
        record = json.loads((owner.vault / "erased.json").read_text())
        tried.case(record.get("finished"), f"the record: {record}")
    with _room() as name:
        killing.quick_slots()
        _take(tried, killing.kills(scenarios.ERASE, Path(name)))
    tried.note = (
        f"{len(needles)} slot values looked for in every file;"
        " a backup, or a key file that was copied before, outlives it"
    )
    return tried


@row(13, "Backup and restore verified, encrypted, own salt")
def backup(_: Scale) -> Tried:
    """Back up, also while documents are added, restore, compare digests, verify in full."""
    tried = Tried()
    with box() as owner:
        library(owner)
        began = time.monotonic()
        made = owner.run("backup", owner.luggage / "copy", "--json").json()
        seconds = time.monotonic() - began
        back = owner.run("--vault", "again", "restore", owner.luggage / "copy", "--json").json()
        tried.case(made.get("digest") and made["digest"] == back.get("digest"), f"digests: {made} {back}")
        log = owner.vault.with_name("again") / "audit.log"
        tried.case(
            '"action":"restore"' in log.read_text("ascii").replace(" ", ""), "the restore is in no log"
        )
        checked = owner.run("--vault", "again", "verify", "--full")
        tried.case(checked.code == 0, f"the restored vault: {checked.said[-300:]}")
        salts = {
            path.read_bytes()[:16]
            for path in (
                owner.vault / "store.db",
                owner.luggage / "copy" / "store.db",
                owner.vault.with_name("again") / "store.db",
            )
        }
        tried.case(len(salts) == 3, "two of the three stores share a salt, and with it a key")
        for path in (owner.luggage / "copy").iterdir():
            tried.case(b"delivers" not in path.read_bytes(), f"plaintext in the backup's {path.name}")
        listed = owner.run("list", "--json").out
        tried.case(
            json.loads(owner.run("--vault", "again", "list", "--json").out) == json.loads(listed),
            "lists differ",
        )
        _damaged_backup(tried, owner)
        for number in range(30):
            owner.write(
                f"more/m{number}.md", f"# More {number}\n\n" + f"Fan {number} turns at {number} rpm.\n\n" * 80
            )
        adding = owner.start("add", owner.luggage / "more")
        time.sleep(3)
        during = owner.run("backup", owner.luggage / "during", "--json")
        kill(adding)
        tried.case(
            during.code in (0, 2), f"a backup during writes ended with {during.code}: {during.said[:200]}"
        )
        if during.code == 0:
            other = owner.run("--vault", "during", "restore", owner.luggage / "during")
            tried.case(other.code == 0, f"what was backed up during writes: {other.said[:200]}")
    size = made.get("bytes", 0) / 1e9
    took = f"{seconds:.1f} s for {1000 * size:.1f} MB, most of it deriving keys"
    tried.note = f"digests equal; {took}; during writes: {'refused' if during.code else 'sound'}"
    return tried


def _damaged_backup(tried: Tried, owner: Box) -> None:
    """Restore nothing from a copy in which one byte is different."""
    path = owner.luggage / "copy" / "store.db"
    good = path.read_bytes()
    for number, at in enumerate((20, len(good) // 2, len(good) - 100)):
        changed = bytearray(good)
        changed[at] ^= 1
        path.write_bytes(changed)
        done = owner.run("--vault", f"bad{number}", "restore", owner.luggage / "copy")
        tried.case(done.code == 6, f"a backup with byte {at} changed: restore ended with {done.code}")
        tried.case(not owner.vault.with_name(f"bad{number}").exists(), "half a vault was left")
    path.write_bytes(good)


@row(44, "A third party can check the store")
def third_party(_: Scale) -> Tried:
    """Read a store by the format's description alone, and with the stock tool where it is installed."""
    tried, notes = Tried(), []
    with box() as owner:
        library(owner)
        began = time.monotonic()
        key, salt = byhand.page_keys(owner.vault, PASSPHRASE)
        found = byhand.documents(byhand.decrypted(owner.vault / "store.db", key, salt))
        seconds = time.monotonic() - began
        listed = {each["name"]: each for each in owner.run("list", "--json").json()["documents"]}
        tried.case(set(found) == set(listed), f"documents: {sorted(found)} and {sorted(listed)}")
        for name, (text, chunks) in found.items():
            shown = owner.run("show", name, "--json").json()
            tried.case(
                "\n".join(page["text"] for page in shown["text"]).strip() == text.strip(), f"{name}: the text"
            )
            tried.case(len(chunks) == listed[name]["chunks"], f"{name}: {len(chunks)} chunks")
            tried.case(all(chunk in text for chunk in chunks), f"{name}: a chunk is no span of the text")
        notes.append(f"by the format alone: {len(found)} documents equal in {seconds:.1f} s")
        _changed_page(tried, owner, key, salt)
        script = ROOT / "scripts" / "verify_vault.py"
        if script.exists():
            command = [
                sys.executable,
                str(script),
                str(owner.vault),
                "--passphrase-file",
                str(owner.secret),
                "--json",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            tried.case(done.returncode == 0, f"verify_vault: {(done.stdout + done.stderr)[-300:]}")
            told = owner.run("backup", owner.luggage / "copy", "--json").json()["digest"]
            tried.case(json.loads(done.stdout)["digest"] == told, "verify_vault has another content digest")
            notes.append("scripts/verify_vault.py agrees, digest equal")
        else:
            tried.failures.append("scripts/verify_vault.py is not built yet")
        _stock(tried, owner, notes)
    tried.note = "; ".join(notes)
    return tried


def _changed_page(tried: Tried, owner: Box, key: bytes, salt: bytes) -> None:
    """See that the stranger's reader notices a changed page, so that its agreement means something."""
    copy = owner.luggage / "changed.db"
    data = bytearray((owner.vault / "store.db").read_bytes())
    data[5000] ^= 1
    copy.write_bytes(data)
    try:
        byhand.decrypted(copy, key, salt)
        tried.case(ok=False, failure="the reader by hand did not notice a changed page")
    except ValueError:
        tried.cases += 1


def _stock(tried: Tried, owner: Box, notes: list[str]) -> None:
    tool = shutil.which("sqlcipher")
    version = _said([tool, ":memory:"], "PRAGMA cipher_version;").strip() if tool else ""
    if tool is None or version < "4":  # 3 has another format; Debian 12 still ships it
        tried.skip(f"the stock sqlcipher tool, version 4 (here: {version or 'none'})")
        return
    exported = owner.luggage / "page key"
    owner.run("keys", "export", "--to", exported)
    sql = f'PRAGMA key = "{exported.read_text().strip()}"; SELECT count(*) FROM document;'
    said = _said([tool, owner.vault / "store.db"], sql)
    tried.case("3" in said.split(), f"sqlcipher: {said[-300:]}")
    notes.append(f"the stock tool {version} opens it")


def _said(argv: list[str | Path], sql: str) -> str:
    """Return what a command says to `sql` on its standard input."""
    done = subprocess.run(argv, input=sql, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


# --- 10 and 12: killed, refused, cut off


@row(10, "Rotation and revocation survive kill -9")
def rotation(scale: Scale) -> Tried:
    """Kill a rotation before and in each durable step, cut its power, and kill the real command."""
    tried = Tried()
    killing.quick_slots()
    with _room() as name:
        room = Path(name)
        steps = killing.count(scenarios.ROTATE, room)
        few = None if scale.factor >= 0.5 else range(1, steps + 1, 20)
        kills = [
            _take(tried, killing.kills(scenarios.ROTATE, room, at=few, torn=torn)) for torn in (False, True)
        ]
        kills += [_take(tried, killing.kills(scenarios.SLOTS, room, at=None if few is None else (1, 5)))]
        cuts = _take(
            tried,
            killing.power_cuts(
                scenarios.ROTATE, room, cases=scale.of(780, least=5), seed=secrets.randbits(32)
            ),
        )
    real = _killed_command(tried, scale.of(6, least=1))
    tried.note = f"{sum(kills)} kills at {steps} steps, {cuts} power cuts, {real} kills of the command"
    return tried


def _killed_command(tried: Tried, count: int) -> int:
    """Kill `appliance keys rotate` at random moments; the same secret must open the same content."""
    with box() as owner:
        library(owner)
        before = owner.run("list", "--json").json()
        for number in range(count):
            running = owner.start("keys", "rotate")
            time.sleep(0.3 + 4 * secrets.randbelow(1000) / 1000)
            kill(running)
            after = owner.run("list", "--json")
            tried.case(after.code == 0, f"kill {number}: ended with {after.code}: {after.said[:200]}")
            tried.case(after.code == 0 and after.json() == before, f"kill {number}: the documents differ")
        tried.case(owner.run("verify", "--full").code == 0, "it does not verify afterwards")
        left = [path.name for path in owner.vault.iterdir() if ".next" in path.name]
        tried.case(not left, f"left lying about: {left}")
    return count


@row(12, "No acknowledged commit lost, no corruption")
def faults(scale: Scale) -> Tried:
    """Kill, refuse and cut off from power every durable step of everything a vault does."""
    tried, totals = Tried(), Counter[str]()
    killing.quick_slots()
    for scenario in (
        scenarios.ADD,
        scenarios.REMOVE,
        scenarios.SLOTS,
        scenarios.BACKUP,
        scenarios.RESTORE,
        scenarios.CREATE,
    ):
        with _room() as name:
            room = Path(name)
            at = _some(killing.count(scenario, room), scale)
            totals["kills"] += _take(tried, killing.kills(scenario, room, at=at))
            totals["kills"] += _take(tried, killing.kills(scenario, room, at=at, torn=True))
            for how in ("io", "full", "short"):
                totals["faults"] += _take(tried, killing.refusals(scenario, room, how=how, at=at[::_EVERY]))
            totals["faults"] += _take(
                tried, killing.refusals(scenario, room, how="full", lasting=True, at=at[::_EVERY])
            )
            cuts = killing.power_cuts(scenario, room, cases=scale.of(60, least=2), seed=secrets.randbits(32))
            totals["power cuts"] += _take(tried, cuts)
    _small_memory(tried)
    tried.note = ", ".join(f"{number} {name}" for name, number in totals.items())
    return tried


_EVERY = 2


def _some(steps: int, scale: Scale) -> list[int]:
    return list(range(1, steps + 1, 1 if scale.factor >= 0.5 else max(1, round(0.5 / scale.factor))))


def _take(tried: Tried, tally: Tally) -> int:
    """Add a tally to the row; return how many cases it had."""
    tried.cases += tally.cases
    tried.failures += [f"{tally.scenario}, {tally.how}: {fault}" for fault in tally.faults]
    return tally.cases


def _small_memory(tried: Tried) -> None:
    """Let an add run out of memory at different sizes; what was stored before must be whole."""
    with box() as owner:
        library(owner)
        before = owner.run("list", "--json").json()
        big = owner.write("big.md", "# Big\n\n" + "The pump hums along the long pipe.\n\n" * 20_000)
        for megabytes in (400, 900, 1500):
            limited = ["bash", "-c", f'ulimit -v {megabytes * 1024}; exec "$@"', "-"]
            done = owner.run("add", big, before=limited, timeout=300)
            tried.case(done.code != -11, f"at {megabytes} MB it crashed")
            after = owner.run("list", "--json").json()["documents"]
            names = {each["name"] for each in after if each["name"] != "big.md"}
            tried.case(names == {each["name"] for each in before["documents"]}, f"at {megabytes} MB: {names}")
        tried.case(owner.run("verify", "--full").code == 0, "after running out of memory it does not verify")
