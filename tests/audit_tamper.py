"""Manipulates audit logs, by rule and at random, and counts what each level of verification misses.

`on_disk` and `at_random` change files without knowing a secret: level 1 must find all. `forged` knows the
audit.key of the locked machine and recomputes whatever it can: level 2 must find all. `rewritten` knows the
vault's key: level 3, an earlier checkpoint, must find all. `undetected` returns the names of what was missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from appliance.errors import AuditDamaged
from appliance.vault.audit import entry
from appliance.vault.audit.auditlog import AuditLog
from appliance.vault.audit.entry import START, Entry, Introduction, State, line_hash
from appliance.vault.audit.logfile import KEY, LOG
from appliance.vault.audit.reviewer import Reviewer, ReviewerPublic
from appliance.vault.audit.trail import Examination

SEED = bytes(range(32))
VAULT = bytes(range(16))
OTHER_SEED = bytes(32)
PRIVATE = bytes(range(100, 228))
CREDENTIAL = Reviewer(PRIVATE)
FIRST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BAD = b"\x07" * 32


@dataclass(frozen=True)
class Files:
    """A log and its state as they lie on the disk; `state` None where the file is not there."""

    log: bytes
    state: bytes | None


@dataclass(frozen=True)
class Scene:
    """An honest log, its state after each entry, and checkpoints taken on the way."""

    files: Files
    states: tuple[bytes, ...]
    checkpoints: tuple[bytes, ...]


Case = tuple[str, Files]


class Clock:
    """Goes one minute on with each look; `step` back is one thing a test may set."""

    def __init__(self, now: datetime = FIRST) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


def a_log(folder: Path, *, seed: bytes = SEED, reviewers: tuple[ReviewerPublic, ...] = ()) -> AuditLog:
    """A log with its first entry."""
    return AuditLog.create(folder, seed, Clock(), vault=VAULT, reviewers=reviewers)


def a_scene(folder: Path, *, seed: bytes = SEED) -> Scene:
    """A dozen entries of all kinds; the reviewer comes in early, checkpoints in the middle and at the end."""
    log = a_log(folder, seed=seed)
    states = [(folder / KEY).read_bytes()]
    points: list[bytes] = []
    steps = [
        lambda: log.record("unlock", "failed"),
        lambda: log.record("unlock", "ok"),
        lambda: log.add_reviewer(CREDENTIAL.public),
        lambda: log.record("add", "ok", store=(1, b"\x01" * 32), content={"names": ["a.pdf"]}),
        lambda: log.record("ask", "ok", models={"e5": "ab" * 32, "reader": "cd" * 32}),
        lambda: points.append(log.checkpoint((1, b"\x01" * 32))),
        lambda: log.record("answer", "abstained", chunks=[b"\x02" * 16, b"\x03" * 16]),
        lambda: log.record("config", "ok"),
        lambda: points.append(log.checkpoint()),
        lambda: log.record("lock", "ok"),
    ]
    for step in steps:
        step()
        states.append((folder / KEY).read_bytes())
    return Scene(on_disk_now(folder), tuple(states), tuple(points))


def on_disk_now(folder: Path) -> Files:
    """What lies in the folder."""
    key = folder / KEY
    return Files((folder / LOG).read_bytes(), key.read_bytes() if key.exists() else None)


def lines_of(log: bytes) -> list[bytes]:
    """The lines with their line feeds; the last may have none."""
    return [line + b"\n" for line in log.split(b"\n")[:-1]] + (
        [log.split(b"\n")[-1]] if log[-1:] != b"\n" else []
    )


def kinds(files: Files, **level) -> set[str]:
    """The kinds of findings at a level: `seed`, `reviewer`, `checkpoints`, `known` of an Examination."""
    try:
        state = "missing" if files.state is None else entry.parse_state(files.state)
    except AuditDamaged:
        state = "torn"
    seen = Examination(state=state, **level)
    for line in lines_of(files.log) if files.log else []:
        seen.read(line)
    seen.finish()
    return set(seen.counts)


def undetected(cases: Iterable[Case], honest: Files, **level) -> tuple[int, list[str]]:
    """How many cases there were that changed anything, and the names of those nobody noticed."""
    count, missed = 0, []
    for name, files in cases:
        if files != honest:
            count += 1
            missed += [] if kinds(files, **level) else [name]
    return count, missed


def on_disk(scene: Scene, foreign: Scene) -> Iterator[Case]:
    """A flip in every 7th byte, of each bit of the state; each line deleted, doubled, moved; truncations."""
    log, state = scene.files.log, scene.files.state
    assert state is not None
    for at in range(0, len(log), 7):
        yield f"flip {at}", Files(_flipped(log, at * 8 + at // 7 % 8), state)
    for bit in range(len(state) * 8):
        yield f"flip state {bit}", Files(log, _flipped(state, bit))
    for name, lines in _lines_changed(lines_of(log), lines_of(foreign.files.log)):
        yield name, Files(b"".join(lines), state)
    for at in range(0, len(log), 11):
        yield f"cut at {at}", Files(log[:at], state)
    for at in range(len(log) - 900, len(log)):
        yield f"cut at {at}", Files(log[:at], state)
    yield "replaced log", Files(foreign.files.log, state)
    yield "replaced state", Files(log, foreign.files.state)
    yield "replaced both, other vault's state", Files(log, foreign.states[3])
    yield "no state", Files(log, None)
    yield "empty state", Files(log, b"")
    yield "doubled state", Files(log, state * 2)
    for back, old in enumerate(
        scene.states[:-2]
    ):  # one entry behind is what a kill leaves, and loses nothing
        yield f"older state {back}", Files(log, old)


def at_random(scene: Scene, foreign: Scene, *, count: int, seed: int = 2026) -> Iterator[Case]:
    """So many random overwritings, insertions, deletions, splices, blocks moved, of log or state."""
    rng = np.random.default_rng(seed)
    state = scene.files.state
    assert state is not None
    for n in range(count):
        if n % 10 == 0:
            yield f"random {n}", Files(scene.files.log, _mutated(state, foreign.states[-1], rng))
        else:
            yield f"random {n}", Files(_mutated(scene.files.log, foreign.files.log, rng), state)


def forged(scene: Scene) -> Iterator[Case]:
    """What the holder of the locked machine can do: chain, numbers and state are right, old MACs not."""
    entries = [entry.parse(line) for line in lines_of(scene.files.log)]
    state = entry.parse_state(scene.files.state or b"")
    for n in range(len(entries)):
        for name, changed in _edits(entries, n):
            for key in (state.key, entry.parse_state(scene.states[0]).signing):
                yield f"{name}, {key.hex()[:4]}", rechained(changed, scene, lambda _, key=key: key)
    for n in range(1, len(entries)):
        yield f"forged truncation to {n}", rechained(entries[:n], scene, None)
    yield "another key in the state", Files(scene.files.log, entry.encode_state(replace(state, key=BAD)))


def rewritten(scene: Scene, *, upto: int) -> Iterator[Case]:
    """What the holder of the vault's key can do: everything before entry `upto` as they like, MACs right."""
    entries = [entry.parse(line) for line in lines_of(scene.files.log)]
    k0 = entry.first_key(SEED)
    for n in range(upto):
        for name, changed in _edits(entries, n):
            yield f"rewrite: {name}", rechained(changed, scene, lambda at: entry.next_key(k0, at))
    for n in range(1, upto):
        yield f"rewrite: truncation to {n}", rechained(entries[:n], scene, lambda at: entry.next_key(k0, at))


def _edits(entries: list[Entry], n: int) -> Iterator[tuple[str, list[Entry]]]:
    one = entries[n]
    changes = [replace(one, outcome="other"), replace(one, time=one.time + timedelta(seconds=1))]
    changes += [replace(one, action="show")] if n else []
    changes += [replace(one, boxes=())] if one.boxes else []
    for at, change in enumerate(changes):
        yield f"edit {n}.{at}", [*entries[:n], change, *entries[n + 1 :]]
    if n:
        yield f"delete {n}", entries[:n] + entries[n + 1 :]
        yield f"insert {n}", [*entries[:n], replace(one, action="show", boxes=(), reviewers=()), *entries[n:]]
    if n > 1:
        yield f"swap {n}", [*entries[: n - 1], entries[n], entries[n - 1], *entries[n + 1 :]]


def rechained(entries: list[Entry], scene: Scene, key_of) -> Files:
    """Number and chain anew; with `key_of` make MACs and boxes wherever a line is not just as it was."""
    kept, state = set(lines_of(scene.files.log)), entry.parse_state(scene.files.state or b"")
    head, last, lines = START, None, []
    for n, one in enumerate(entries):
        back = int((last - one.time).total_seconds()) if last else 0
        made = replace(one, n=n, prev=head, back=max(0, back))
        line = entry.encode(made)
        if key_of and line not in kept:
            made = _keyed(made, key_of(n))
            line = entry.encode(made)
        lines.append(line)
        head, last = line_hash(line), made.time
    key = key_of(len(entries)) if key_of else state.key
    now = State(len(entries), state.vault, head, key, state.signing)
    return Files(b"".join(lines), entry.encode_state(now))


def _keyed(made: Entry, key: bytes) -> Entry:
    info = entry.content_info(made, "key")
    boxes = tuple(Introduction(who.public, who.public.seal(key, info)) for who in made.reviewers)
    made = replace(made, reviewers=boxes)
    return replace(made, mac=entry.mac(key, entry.encode_body(made)))


def _lines_changed(lines: list[bytes], foreign: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    for n, line in enumerate(lines):
        yield f"delete {n}", lines[:n] + lines[n + 1 :]
        yield f"foreign {n}", [*lines[:n], foreign[n], *lines[n + 1 :]]
        yield f"empty line {n}", [*lines[:n], b"\n", *lines[n:]]
        yield f"garbage line {n}", [*lines[:n], b"{}\n", *lines[n:]]
        yield f"carriage return {n}", [*lines[:n], line[:-1] + b"\r\n", *lines[n + 1 :]]
        yield f"space {n}", [*lines[:n], line[:-1] + b" \n", *lines[n + 1 :]]
        yield f"other encoding {n}", [*lines[:n], line.replace(b'":', b'": ', 1), *lines[n + 1 :]]
        for at in range(len(lines) + 1):
            yield f"double {n} at {at}", [*lines[:at], line, *lines[at:]]
            moved = lines[:n] + lines[n + 1 :]
            yield f"move {n} to {at}", [*moved[:at], line, *moved[at:]]
    for n in range(len(lines)):
        for at in range(n):
            yield f"delete {at} to {n}", lines[:at] + lines[n + 1 :]
    yield "all twice", lines * 2
    yield "backwards", lines[::-1]


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _mutated(data: bytes, other: bytes, rng) -> bytes:
    a, b = sorted(int(n) for n in rng.integers(0, len(data) + 1, size=2))
    noise = rng.bytes(int(rng.integers(1, 9)))
    c = int(rng.integers(0, len(data)))
    changes = [
        data[:a] + noise + data[a + len(noise) :],
        data[:a] + noise + data[a:],
        data[:a] + data[b:],
        data[:a] + other[a:b] + data[b:],
        data[:a] + other[a:],
        data[:a] + bytes(b - a) + data[b:],
        data[:c] + data[a:b] + data[c:],
        data[:a] + data[a:b][::-1] + data[b:],
        data + noise,
        _flipped(data, int(rng.integers(len(data) * 8))),
    ]
    return changes[int(rng.integers(len(changes)))]
