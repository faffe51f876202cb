"""Rows 27, 28 and 32: what is recorded, what of it can be changed unseen, what a guesser meets."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests import audit_tamper
from tests.security.box import Box, box
from tests.security.registry import Scale, Tried, row
from tests.security.rest import word
from tests.security.scan import Haystack, forms


def entries(owner: Box) -> list[dict[str, object]]:
    """Read the log's lines as anybody can, without a secret."""
    return [json.loads(line) for line in (owner.vault / "audit.log").read_text("ascii").splitlines()]


@row(27, "Sensitive reads are recorded")
def recorded(scale: Scale) -> Tried:
    """Do everything there is to do and count the entries, without a secret, while the vault is locked."""
    tried = Tried()
    canary = word()
    with box() as owner:
        page = owner.write("docs/manual.md", f"# Pump\n\nThe shut-off head is 42 m. The {canary} opens.\n")
        owner.init()
        owner.add(page)
        count = scale.of(20, least=3)
        owner.ask(*[f"What is the shut-off head {n}?" for n in range(count)])
        other = owner.write("other", b"another passphrase\n")
        doings = (
            *(
                ("show", "manual.md"),
                ("list",),
                ("verify",),
                ("keys", "add", "passphrase", "--new-passphrase-file", other),
            ),
            *(
                ("keys", "remove", 2),
                ("audit", "checkpoint", "--to", owner.luggage / "point"),
                ("keys", "rotate"),
            ),
            *(("backup", owner.luggage / "copy"), ("remove", "manual.md")),
        )
        for words in doings:
            done = owner.run(*words)
            tried.case(done.code == 0, f"{words[:2]} ended with {done.code}: {done.said[:200]}")
        owner.secret.write_bytes(b"wrong\n")
        owner.run("list")
        seen = Counter(str(each["action"]) for each in entries(owner))
        outcomes = Counter((str(each["action"]), str(each["outcome"])) for each in entries(owner))
        wanted = {
            "ask": count,
            "init": 1,
            "add": 1,
            "show": 1,
            "verify": 1,
            "keys": 2,
            "rotate": 1,
            "backup": 1,
        }
        wanted |= {"checkpoint": 1, "remove": 1, "unlock": 8}
        for action, least in wanted.items():
            tried.cases += least - 1
            tried.case(seen[action] >= least, f"{action}: {seen[action]} of {least} recorded")
        failed = sum(
            number for (action, outcome), number in outcomes.items() if action == "unlock" and outcome != "ok"
        )
        tried.case(failed == 1, f"the failed unlock was recorded {failed} times")
        hits = list(Haystack(forms(canary).items()).search((owner.vault / "audit.log").read_bytes(), "log"))
        tried.case(
            not hits and b"shut-off" not in (owner.vault / "audit.log").read_bytes(), "content in the log"
        )
        locked = owner.run("audit", "verify", secret=False)
        tried.case(locked.code == 0, f"verifying while locked ended with {locked.code}: {locked.said[:300]}")
        missing = {action for action, least in wanted.items() if seen[action] < least}
    tried.note = f"{seen.total()} entries, missing {len(missing)}"
    return tried


@row(28, "Audit log tamper-evident, survives truncation")
def tampering(scale: Scale) -> Tried:
    """Change logs as a stranger, as the machine's holder, as the key's holder; and through the command."""
    tried = Tried()
    with tempfile.TemporaryDirectory() as name:
        scene = audit_tamper.a_scene(_made(Path(name) / "a"))
        foreign = audit_tamper.a_scene(_made(Path(name) / "b"), seed=audit_tamper.OTHER_SEED)
    notes = []
    upto = len(audit_tamper.lines_of(scene.files.log)) - 2
    levels = (
        ("a stranger", audit_tamper.on_disk(scene, foreign), {}),
        ("a stranger", audit_tamper.at_random(scene, foreign, count=scale.of(20_000, least=200)), {}),
        ("the machine's holder", audit_tamper.forged(scene), {"seed": audit_tamper.SEED}),
        ("the machine's holder", audit_tamper.forged(scene), {"reviewer": audit_tamper.CREDENTIAL}),
        (
            "the key's holder",
            audit_tamper.rewritten(scene, upto=upto),
            {"checkpoints": scene.checkpoints[-1:]},
        ),
    )
    for who, cases, level in levels:
        count, missed = audit_tamper.undetected(cases, scene.files, **level)
        tried.cases += count
        tried.failures += [f"{who}: {each} was not detected" for each in missed[:5]]
        notes.append(f"{who} {count}")
    notes.append(f"a stranger, through the command, {_through_the_command(tried, scale)}")
    tried.note = f"manipulations by {', by '.join(notes)}"
    return tried


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _through_the_command(tried: Tried, scale: Scale) -> int:
    """Change the log of a real vault and let `audit verify` look, while it is locked."""
    count = 0
    with box() as owner:
        page = owner.write("docs/manual.md", "# Pump\n\nThe shut-off head is 42 m.\n")
        owner.init()
        owner.add(page)
        owner.run("audit", "checkpoint", "--to", owner.luggage / "point")
        early = {name: (owner.vault / name).read_bytes() for name in ("audit.log", "audit.key")}
        for _ in range(3):
            owner.run("show", "manual.md")
        owner.run("audit", "checkpoint", "--to", owner.luggage / "later")
        sound = owner.run("audit", "verify", "--checkpoint", owner.luggage / "later", secret=False)
        tried.case(sound.code == 0, f"the honest log: {sound.said[:300]}")
        good = (owner.vault / "audit.log").read_bytes()
        cases = list(_changes(good))
        for what, log in cases[:: 1 if scale.factor >= 0.5 else 4]:
            (owner.vault / "audit.log").write_bytes(log)
            done = owner.run("audit", "verify", secret=False)
            tried.case(done.code == 6, f"{what}: `audit verify` ended with {done.code}")
            count += 1
        for (
            name,
            data,
        ) in early.items():  # log and state put back together: only a checkpoint outside can tell
            (owner.vault / name).write_bytes(data)
        done = owner.run("audit", "verify", "--checkpoint", owner.luggage / "later", secret=False)
        tried.case(done.code == 6, f"log and state put back: against a checkpoint {done.code}")
    return count + 1


def _changes(log: bytes) -> Iterator[tuple[str, bytes]]:
    lines = log.splitlines(keepends=True)
    for number in range(1, len(lines)):
        yield f"line {number} deleted", b"".join(lines[:number] + lines[number + 1 :])
        if number + 1 < len(lines):
            moved = [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]
            yield f"line {number} moved", b"".join(moved)
        yield f"truncated to {number} lines", b"".join(lines[:number])
        flipped = bytearray(log)
        flipped[sum(map(len, lines[:number])) + 30] ^= 1
        yield f"line {number} changed", bytes(flipped)


@row(32, "Failed unlocks limited and recorded")
def guessing(scale: Scale) -> Tried:
    """Guess again and again through the command; then open it rightly."""
    tried, times = Tried(), []
    with box() as owner:
        owner.init()
        tries = scale.of(8, least=5)
        right = owner.secret.read_bytes()
        for number in range(tries):
            owner.secret.write_bytes(f"wrong {number}\n".encode())
            began = time.monotonic()
            done = owner.run("list")
            times.append(time.monotonic() - began)
            tried.case(done.code == 5, f"try {number} ended with {done.code}")
        failed = [each for each in entries(owner) if each["action"] == "unlock" and each["outcome"] != "ok"]
        tried.case(len(failed) == tries, f"{len(failed)} of {tries} are recorded")
        first, last = sum(times[:3]) / 3, times[-1]
        tried.case(
            last - first > min(2 ** (tries - 4), 30) * 0.7, f"no delay: {[round(each, 1) for each in times]}"
        )
        shutil.copy(owner.vault / "audit.log", owner.luggage / "log")
        owner.secret.write_bytes(right)
        tried.case(owner.run("list").code == 0, "the right passphrase no longer opens it")
        began = time.monotonic()
        tried.case(
            owner.run("list").code == 0 and time.monotonic() - began < first + 3, "the delay did not end"
        )
    tried.note = (
        f"records {len(failed)} of {tries}; seconds a try: {', '.join(f'{each:.0f}' for each in times)}"
    )
    return tried
