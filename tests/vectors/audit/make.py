"""Write the audit log vectors: `python -m tests.vectors.audit.make`. Boxes are random: no two runs agree.

A vector is one scenario: lines `name: value`, an empty line, then the log's bytes. `expect` are the kinds of
findings (trail.Kind), or success; `level` is locked, seed (000102..1f) or reviewer; `state` is audit.key in
hexadecimal, or missing; `checkpoint`, where there is one, is its file in hexadecimal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from appliance.vault.audit import entry
from appliance.vault.audit.auditlog import AuditLog
from appliance.vault.audit.entry import Entry, State, line_hash
from appliance.vault.audit.logfile import KEY, LOG
from appliance.vault.audit.reviewer import Reviewer
from tests.audit_tamper import (
    BAD,
    OTHER_SEED,
    SEED,
    VAULT,
    Clock,
    Files,
    Scene,
    a_log,
    a_scene,
    lines_of,
    on_disk_now,
    rechained,
)

HERE = Path(__file__).parent
K0 = entry.first_key(SEED)
HEX16, HEX32 = b"ab" * 16, b"ab" * 32
FORMS: dict[str, tuple[bytes, bytes]] = {
    "space": (b":", b": "),
    "order": (b'"action":"lock","outcome":"ok"', b'"outcome":"ok","action":"lock"'),
    "unknown_field": (b'"prev"', b'"more":1,"prev"'),
    "double_field": (b'"outcome":"ok"', b'"outcome":"no","outcome":"ok"'),
    "missing_field": (b'"outcome":"ok",', b""),
    "float": (b'"n":10', b'"n":10.0'),
    "leading_zero": (b'"n":10', b'"n":010'),
    "negative": (b'"n":10', b'"n":-10'),
    "big": (b'"n":10', b'"n":1000000001'),
    "huge": (b'"n":10', b'"n":' + b"1" * 5000),
    "true": (b'"n":10', b'"n":true'),
    "escape": (b'"lock"', b'"l\\u006fck"'),
    "time_zone": (b'Z"', b'+00:00"'),
    "time_fraction": (b'Z"', b'.000Z"'),
    "no_day": (b"2026-01-02", b"2026-02-30"),
    "action_capital": (b'"lock"', b'"LOCK"'),
    "outcome_text": (b'"outcome":"ok"', b'"outcome":"Where is the valve?"'),
    "empty_list": (b'"prev"', b'"chunks":[],"prev"'),
    "zero_back": (b'"prev"', b'"back":0,"prev"'),
    "null_store": (b'"prev"', b'"store":null,"prev"'),
    "models_unsorted": (b'"prev"', b'"models":{"b":"%s","a":"%s"},"prev"' % (HEX32, HEX32)),
    "model_capitals": (b'"prev"', b'"models":{"a":"%s"},"prev"' % HEX32.upper()),
    "short_chunk": (b'"prev"', b'"chunks":["%s"],"prev"' % (b"ab" * 15)),
    "hex_spaces": (b'"prev"', b'"chunks":["%s"],"prev"' % (b"ab " * 16)),
    "fault": (b'"prev"', b'"fault":"tired","prev"'),
    "not_ascii": (b'"lock"', '"löck"'.encode()),
    "nul": (b'"lock"', b'"lo\0ck"'),
    "base64": (b'"mac"', b'"sealed":[["%s","AAA"]],"mac"' % HEX16),
    "base64_bits": (b'"mac"', b'"sealed":[["%s","AAB="]],"mac"' % HEX16),
    "format": (b'"prev"', b'"format":2,"vault":"%s","signer":"%s","prev"' % (HEX16, HEX32)),
    "carriage_return": (b"}\n", b"}\r\n"),
}
WHOLE_LINES = {"array": b"[]\n", "deep": b"[" * 10000 + b"\n", "empty_line": b"\n", "string": b'"x"\n'}


@dataclass(frozen=True)
class Vector:
    """One scenario."""

    name: str
    expect: str
    comment: str
    files: Files
    level: str = "locked"
    checkpoint: bytes = b""

    def text(self) -> bytes:
        state = "missing" if self.files.state is None else self.files.state.hex()
        head = f"expect: {self.expect}\nlevel: {self.level}\nstate: {state}\n"
        head += f"checkpoint: {self.checkpoint.hex()}\n" if self.checkpoint else ""
        return f"{head}comment: {self.comment}\n\n".encode() + self.files.log


def vectors(scene: Scene, foreign: Scene, folder: Path) -> Iterator[Vector]:
    """All of them."""
    yield from good(scene)
    yield from forms(scene)
    yield from lines(scene, foreign)
    yield from states(scene, foreign)
    yield from forged(scene)
    yield from against_checkpoints(scene, foreign)
    yield from histories(folder)
    yield from unusual(folder)


def good(scene: Scene) -> Iterator[Vector]:
    files = scene.files
    for level in ("locked", "seed", "reviewer"):
        yield Vector(f"good_{level}", "success", "an honest log", files, level)
    yield Vector("good_checkpoint", "success", "and its own checkpoint", files, "seed", scene.checkpoints[0])
    for name, torn in (("torn", b'{"n":11,"time":"2026-01-'), ("torn_one_byte", b"{")):
        comment = "killed while the next line was written"
        yield Vector(f"good_{name}", "success", comment, Files(files.log + torn, files.state))
    late = Files(files.log, scene.states[-2])
    yield Vector("good_late", "success", "killed between the line and the state", late)


def forms(scene: Scene) -> Iterator[Vector]:
    *kept, last = lines_of(scene.files.log)
    changed = {name: last.replace(old, new, 1) for name, (old, new) in FORMS.items()} | WHOLE_LINES
    changed |= {"bom": b"\xef\xbb\xbf" + last, "mac_short": last[:-37] + b'"}\n'}
    for name, line in changed.items():
        files = Files(b"".join([*kept, line]), scene.files.state)
        yield Vector(f"form_{name}", "form state", f"the last line: {name.replace('_', ' ')}", files)


def lines(scene: Scene, foreign: Scene) -> Iterator[Vector]:
    all_, state = lines_of(scene.files.log), scene.files.state
    spaced = all_[5].replace(b'"outcome":', b'"outcome" :')
    ok = all_[1].replace(b'"failed"', b'"ok"')
    show = all_[-1].replace(b'"lock"', b'"show"')
    for name, expect, comment, changed in (
        ("form_middle", "form chain", "not the one encoding in the middle", [*all_[:5], spaced, *all_[6:]]),
        ("deleted_first", "first order chain signer", "the first line is gone", all_[1:]),
        ("deleted_middle", "order chain", "the fifth line is gone", all_[:4] + all_[5:]),
        ("deleted_last", "state", "the last line is gone", all_[:-1]),
        ("deleted_half", "state", "the last five lines are gone", all_[:-5]),
        ("doubled", "order chain", "a line twice", [*all_[:6], all_[5], *all_[6:]]),
        ("swapped", "order chain clock", "two lines", [*all_[:7], all_[8], all_[7], *all_[9:]]),
        ("changed_outcome", "chain", "failed became ok", [all_[0], ok, *all_[2:]]),
        ("changed_last", "state", "the last line says something else", [*all_[:-1], show]),
        ("cut_line_feed", "state", "the last line feed is gone", [*all_[:-1], all_[-1][:-1]]),
        ("torn_foreign", "state", "the end is no beginning of an entry", [*all_, b"xyz"]),
        ("torn_other_number", "state", "the end begins as another entry would", [*all_, b'{"n":12,']),
        ("empty_log", "first state signer", "nothing is there", []),
        ("only_line_feed", "form state signer", "one line feed", [b"\n"]),
        ("foreign_log", "state signer", "the log of another vault", [foreign.files.log]),
    ):
        yield Vector(name, expect, comment, Files(b"".join(changed), state))


def states(scene: Scene, foreign: Scene) -> Iterator[Vector]:
    log, data = scene.files.log, scene.files.state or b""
    state = entry.parse_state(data)
    for name, expect, comment, changed in (
        ("missing", "state", "audit.key is not there", None),
        ("empty", "state", "audit.key is empty", b""),
        ("torn", "state", "half of audit.key is zeros", data[:60] + bytes(452)),
        ("older", "state", "audit.key of three entries ago", scene.states[-4]),
        ("foreign", "state signer", "audit.key of another vault", foreign.states[-1]),
        ("signer", "signer", "another signing key", entry.encode_state(replace(state, signing=BAD))),
        ("ahead", "state", "knows of more entries", entry.encode_state(replace(state, n=state.n + 3))),
        ("far", "state", "a number far off", entry.encode_state(replace(state, n=entry.MAX_N))),
    ):
        yield Vector(f"state_{name}", expect, comment, Files(log, changed))
    other = Files(log, entry.encode_state(replace(state, key=BAD)))
    yield Vector("state_key", "state", "another MAC key, seen with the seed", other, "seed")


def forged(scene: Scene) -> Iterator[Vector]:
    entries = _entries(scene)
    state = entry.parse_state(scene.files.state or b"")
    comment = "by who holds audit.key: chain and state fit, old MACs cannot"
    edit = rechained(_edited(entries, 6), scene, lambda _: state.key)
    gone = rechained(entries[:5] + entries[6:], scene, lambda _: state.key)
    cut = rechained(entries[:-3], scene, None)
    for level in ("seed", "reviewer"):
        yield Vector(f"forged_edit_{level}", "mac", comment, edit, level)
        yield Vector(f"forged_deletion_{level}", "mac state", comment, gone, level)
        yield Vector(f"forged_truncation_{level}", "state", comment, cut, level)


def against_checkpoints(scene: Scene, foreign: Scene) -> Iterator[Vector]:
    entries, point = _entries(scene), scene.checkpoints[0]
    edit = rechained(_edited(entries, 4), scene, lambda n: entry.next_key(K0, n))
    cut = rechained(entries[:5], scene, lambda n: entry.next_key(K0, n))
    yield Vector("rewrite_unseen", "success", "by who holds the vault's key: nobody can tell", edit, "seed")
    yield Vector("rewrite_checkpoint", "checkpoint", "but a checkpoint can", edit, "seed", point)
    yield Vector("rewrite_truncated", "checkpoint", "the checkpoint lies beyond the end", cut, "seed", point)
    for name, other in (
        ("foreign", foreign.checkpoints[0]),
        ("changed", point.replace(b'"n":6', b'"n":5')),
        ("unsigned", point.split(b',"signature"')[0] + b"}\n"),
        ("twice", point + point),
    ):
        comment = f"the log is honest, the checkpoint is {name}"
        yield Vector(f"checkpoint_{name}", "checkpoint", comment, scene.files, "locked", other)


def histories(folder: Path) -> Iterator[Vector]:
    log, place = _begun(folder, "repaired")
    (place / KEY).unlink()
    log.record("unlock", "failed")
    log.repair(SEED, vault=VAULT)
    yield Vector("mark_repaired", "mark", "state lost, then repaired", on_disk_now(place), "seed")
    log, place = _begun(folder, "gap")
    log.record("ask", "ok")
    (place / LOG).write_bytes(b"".join(lines_of((place / LOG).read_bytes())[:-1]))
    log.record("unlock", "ok")
    yield Vector("mark_gap", "mark order", "lines went, then the log went on", on_disk_now(place), "seed")
    place = folder / "clock"
    place.mkdir()
    clock = Clock()
    log = AuditLog.create(place, SEED, clock, vault=VAULT)
    clock.now -= timedelta(days=3650)
    log.record("ask", "ok")
    files = on_disk_now(place)
    yield Vector("good_clock_back", "success", "the clock went back ten years", files, "seed")
    wrong = Files(files.log.replace(b'"back":', b'"back":1', 1), files.state)
    yield Vector("clock_wrong", "clock state", "it went back by another time than is said", wrong)


def unusual(folder: Path) -> Iterator[Vector]:
    log, place = _begun(folder, "stranger")
    yield Vector("stranger", "mac", "the reviewer was never brought in", on_disk_now(place), "reviewer")
    log.reviewers = (Reviewer(bytes(range(1, 129))).public,)
    log.record("ask", "ok", content={"q": 1})
    files = on_disk_now(place)
    yield Vector("sealed_stranger", "sealed", "content sealed to somebody unknown", files, "seed")
    _, place = _begun(folder, "two")
    two = [entry.parse(line) for line in lines_of(on_disk_now(place).log)]
    again = _followed(two[0], replace(two[1], action="init"))
    yield Vector("first_twice", "first", "a second beginning", again, "seed")
    dream = _followed(two[0], replace(two[1], action="dream"))
    yield Vector("good_unknown_action", "success", "an action that is only shown", dream, "seed")


def _begun(folder: Path, name: str) -> tuple[AuditLog, Path]:
    (folder / name).mkdir()
    log = a_log(folder / name)
    log.record("ask", "ok")
    return log, folder / name


def _entries(scene: Scene) -> list[Entry]:
    return [entry.parse(line) for line in lines_of(scene.files.log)]


def _edited(entries: list[Entry], n: int) -> list[Entry]:
    return [*entries[:n], replace(entries[n], outcome="failed"), *entries[n + 1 :]]


def _followed(first: Entry, second: Entry) -> Files:
    key = entry.next_key(K0)
    second = replace(second, mac=entry.mac(key, entry.encode_body(second)))
    line = entry.encode(second)
    state = State(2, VAULT, line_hash(line), entry.next_key(key), entry.signing_key(SEED))
    return Files(entry.encode(first) + line, entry.encode_state(state))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("scene", "foreign"):
            (folder / part).mkdir()
        scene, foreign = a_scene(folder / "scene"), a_scene(folder / "foreign", seed=OTHER_SEED)
        for vector in vectors(scene, foreign, folder):
            (HERE / f"{vector.name}.vector").write_bytes(vector.text())


if __name__ == "__main__":
    main()
