"""The audit log's lines, its state and whatever secret there is -> what is wrong with it. Reads no file.

Three levels, each finding what those before cannot (AUDIT.md): without a secret form, sequence, chain, state
and signer; with the vault's seed or a reviewer's credential every MAC; with earlier checkpoints a rewrite
by whoever holds the vault's key.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from appliance.errors import AuditDamaged
from appliance.types import Check
from appliance.vault.audit import checkpoint, entry
from appliance.vault.audit.checkpoint import Checkpoint
from appliance.vault.audit.entry import MAX_JUMP, START, At, Entry, Fault, State, line_hash
from appliance.vault.audit.reviewer import Reviewer

Kind = Literal[
    "form", "first", "order", "chain", "clock", "state", "signer", "mark", "sealed", "mac", "checkpoint"
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `line` counts from 1, 0 where it is about the whole."""

    kind: Kind
    line: int
    detail: str


@dataclass(frozen=True, slots=True)
class Tail:
    """A log's end: `size` in bytes, `partial` of them after the last line feed, `head` the last line's hash.

    `torn` is how the partial line begins. `entry` is the last line's, None where it cannot be read; `next`
    the number that would follow.
    """

    size: int
    partial: int
    torn: bytes
    head: bytes
    entry: Entry | None
    next: int


@dataclass(frozen=True, slots=True)
class Next:
    """What the next entry is written with. `state` is None where nothing can be authenticated.

    `cut` bytes of a torn line go first; `late` tells that the state must be written before anything else.
    """

    n: int
    state: State | None
    fault: Fault | None = None
    cut: int = 0
    late: bool = False


def delay_s(failures_in_a_row: int) -> float:
    """Return the seconds to wait after so many failed unlocks: none for three, then 2, 4, 8, 16, 30."""
    if failures_in_a_row <= 3:
        return 0.0
    return min(30.0, 2.0 ** min(failures_in_a_row - 3, 5))


def follow(tail: Tail, state: State | Fault) -> Next:
    """Decide with which number, key and marks to go on after whatever the log ends in.

    It always can: a damaged log must not keep its owner out. What does not fit leaves a mark for good, and
    numbers are never used again, so that missing entries stay missing.
    """
    if not isinstance(state, State):
        return Next(tail.next, None, state)
    ahead = state.n - tail.next
    if ahead < -MAX_JUMP:  # a forged line with a huge number
        return Next(state.n, state, "wrong")
    if ahead > MAX_JUMP:
        return Next(tail.next, None, "wrong")
    if ahead > 0:
        return Next(state.n, state, "ahead")
    if ahead == 0:
        return _cut(tail, Next(state.n, state), honest=tail.head == state.head)
    late = _evolved(state, -ahead, tail.head)
    if is_late(tail, state):  # killed between the line and the state
        return _cut(tail, Next(late.n, late, late=True), honest=True)
    return Next(late.n, late, "behind")


def _cut(tail: Tail, after: Next, *, honest: bool) -> Next:
    """Take a partial line for a torn one only where it begins as the next entry would."""
    start = entry.beginning(after.n)
    if honest and start.startswith(tail.torn[: len(start)]):
        return replace(after, cut=tail.partial)
    return replace(after, fault="damaged")


def is_late(tail: Tail, state: State) -> bool:
    """Tell whether exactly one line is there that the state does not know of, and is authentic."""
    last = tail.entry
    if last is None or last.mac is None or (last.n, last.prev) != (state.n, state.head):
        return False
    return hmac.compare_digest(last.mac, entry.mac(state.key, entry.encode_body(last)))


def content_of(found: Entry, reviewer: Reviewer) -> dict[str, Any] | None:
    """Return the content that `found` sealed to this reviewer, None where there is none.

    Raises:
        AuditDamaged: it was changed, or belongs to another entry.
    """
    for box in found.boxes:
        if box.to == reviewer.public.fingerprint:
            return entry.unpad(reviewer.open(box.box, entry.content_info(found, "content")))
    return None


def verify(
    lines: Iterable[bytes],
    *,
    state: State | Fault | None,
    seed: bytes | None = None,
    reviewer: Reviewer | None = None,
    checkpoints: Sequence[bytes] = (),
    known: At | None = None,
) -> Iterator[Check]:
    """Yield what was looked at, in whole sentences, and at last which level that was.

    Arguments are those of `Examination`; each line ends in a line feed but for a torn last one.
    """
    seen = Examination(state, seed, reviewer, checkpoints, known)
    for line in lines:
        seen.read(line)
    seen.finish()
    yield from _reported(seen)


@dataclass(slots=True)
class _Keys:
    """The chain of MAC keys, walked forwards only: `key` is that of entry `n`, None before it is known."""

    n: int = 0
    key: bytes | None = None
    left: int = MAX_JUMP

    def at(self, n: int) -> bytes | None:
        steps = n - self.n
        self.left -= max(0, steps - 1)  # over all leaps: forged numbers must not buy days of work
        if self.key is None or steps < 0 or self.left < 0:
            return None
        self.key, self.n = entry.next_key(self.key, steps), n
        return self.key


@dataclass(slots=True)
class Examination:
    """A log being read from its first line: `read` each line, then `finish`; see `findings`.

    `state` is what audit.key held, None where there is only a copy of the log. `seed` or `reviewer` let it
    check MACs: all of them, or those from the entry on that brought the reviewer in. `known` is what
    `AuditLog.last` once said, remembered inside the store.
    """

    state: State | Fault | None
    seed: bytes | None = None
    reviewer: Reviewer | None = None
    checkpoints: Sequence[bytes] = ()
    known: At | None = None
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    macs: int = 0
    cuts: int = 0
    backs: int = 0
    reached: int = 0
    _line: int = 0
    _last: Entry | None = None
    _head: bytes = START
    _next: int = 0
    _partial: bytes = b""
    _signer: bytes = b""
    _vault: bytes = b""
    _known: set[str] = field(default_factory=set)
    _recalled: bool = False
    _keys: _Keys = field(default_factory=_Keys)
    _points: dict[int, list[Checkpoint]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seed is not None:
            self._keys.key = entry.first_key(self.seed)
        for data in self.checkpoints:
            try:
                point = checkpoint.parse(data)
                self._points.setdefault(point.n, []).append(point)
            except AuditDamaged as error:
                self._find("checkpoint", error.message)

    def read(self, line: bytes) -> None:
        """Take the next line."""
        self._line += 1
        if not line.endswith(b"\n"):
            self._partial = line
            return
        try:
            found = entry.parse(line)
        except AuditDamaged as error:
            self._find("form", error.message)
            self._last, self._next = None, self._next + 1
        else:
            self._look(found, line)
            self._last, self._next = found, found.n + 1
        self._head = line_hash(line)

    def finish(self) -> None:
        """Hold the end against the state, and see that every checkpoint was passed."""
        self._line = 0
        if self._next == 0:
            self._find("first", "there is no entry")
        if self.reviewer and self._keys.key is None:
            self._find("mac", "this credential was never brought in")
        self._compare_state()
        if self.known and not self._recalled:
            self._find("checkpoint", f"entry {self.known[0]}, which the store remembers, is not there")
        for n in sorted(self._points):
            self._find("checkpoint", f"entry {n}, which a checkpoint vouches for, is not there")

    def _look(self, found: Entry, line: bytes) -> None:
        self.entries += 1
        self._compare(found)
        self._introduce(found)
        self._look_at_marks(found)
        self._authenticate(found, line)
        if self.known and self.known[0] == found.n:
            self._recalled = self._recalled or self.known[1] == line_hash(line)
        for point in self._points.pop(found.n, ()):
            self._pass(point, line)

    def _compare(self, found: Entry) -> None:
        first = self._line == 1
        if first != (found.action == "init") or first != bool(found.vault):
            self._find("first", "the log begins elsewhere" if first else "a beginning in the middle")
        if first:
            self._vault, self._signer = found.vault, found.signer
        if found.n != self._next:
            self._find("order", f"entry {found.n} stands where {self._next} should")
        if found.prev != self._head:
            self._find("chain", "the line before is not the one that this entry followed")
        back = int((self._last.time - found.time).total_seconds()) if self._last else found.back
        if found.back != max(0, back):
            self._find("clock", "the clock went back by another time than is said")

    def _introduce(self, found: Entry) -> None:
        for who in found.reviewers:
            self._known.add(who.public.fingerprint)
            if self.reviewer and who.public == self.reviewer.public:
                self._take_key(found, who.box)

    def _take_key(self, found: Entry, box: bytes) -> None:
        try:
            key = self.reviewer.open(box, entry.content_info(found, "key")) if self.reviewer else b""
        except AuditDamaged as error:
            self._find("mac", error.message)
            return
        if self._keys.key is None:
            self._keys.key, self._keys.n = key, found.n
        elif self._keys.at(found.n) != key:
            self._find("mac", "the key that was sealed to the reviewer is not this entry's")

    def _look_at_marks(self, found: Entry) -> None:
        self.cuts += found.cut > 0
        self.backs += found.back > 0
        if found.fault:
            self._find("mark", f"the log or its state was {found.fault} before this entry")
        if found.mac is None:
            self._find("mark", "nothing authenticates this entry")
        if found.action == "repair":
            self._find("mark", "the log's state was made anew here")
        if any(box.to not in self._known for box in found.boxes):
            self._find("sealed", "content was sealed to somebody whom the log does not know")

    def _authenticate(self, found: Entry, line: bytes) -> None:
        key = self._keys.at(found.n)
        if key is None or found.mac is None:
            if self._keys.key is not None and found.mac is not None:
                self._find("mac", "the MAC cannot be checked: the number leaps or falls back")
            return
        if hmac.compare_digest(found.mac, entry.mac(key, entry.body_of(line))):
            self.macs += 1
        else:
            self._find("mac", "this is not the entry that was written")

    def _pass(self, point: Checkpoint, line: bytes) -> None:
        self.reached += 1
        same = (point.vault, point.signer) == (self._vault, self._signer)
        if not same or point.head != line_hash(line):
            self._find("checkpoint", "this is not the entry that a checkpoint vouches for")
        key = self._keys.at(point.n)
        if key is not None and not hmac.compare_digest(point.mac, entry.mac(key, checkpoint.message(point))):
            self._find("checkpoint", "a checkpoint's MAC does not fit")

    def _compare_state(self) -> None:
        if self.state is None:
            return
        if not isinstance(self.state, State):
            self._find("state", f"audit.key is {self.state}")
            return
        tail = Tail(0, len(self._partial), self._partial, self._head, self._last, self._next)
        after = follow(tail, self.state)
        if after.fault:
            self._find("state", f"log and audit.key do not agree: {after.fault}")
        elif self._partial and not after.cut:
            self._find("state", "the log ends in the middle of a line")
        if (entry.verifier(self.state.signing), self.state.vault) != (self._signer, self._vault):
            self._find("signer", "audit.key signs for another log than this")
        key = self._keys.at(after.n)
        if key is not None and after.state and key != after.state.key:
            self._find("state", "audit.key holds another key than should follow")

    def _find(self, kind: Kind, detail: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= _KEPT:
            self.findings.append(Finding(kind, self._line, detail))


_KEPT: Final = 1000
"""Findings of each kind that are kept word for word; all are counted."""
_SHOWN: Final = 3


def _reported(seen: Examination) -> Iterator[Check]:
    checks = seen.macs if seen.seed is not None or seen.reviewer is not None else None
    yield _check(seen, "audit log form", ("form", "first"), f"{seen.entries} entries, each in its one form")
    yield _check(seen, "audit log chain", ("order", "chain", "clock"), _chained(seen))
    what = "not looked at: this is a copy of the log without its state"
    yield _check(
        seen, "audit log state", ("state", "signer"), what if seen.state is None else "agrees with the log"
    )
    yield _check(seen, "audit log marks", ("mark", "sealed"), "nothing was ever lost or made anew")
    unchecked = "not checked: needs the vault's key or a reviewer's credential"
    yield _check(
        seen, "audit log MACs", ("mac",), unchecked if checks is None else _fitting(checks, seen.entries)
    )
    without = "none given: a rewrite by who holds the vault's key, or a copy cut short, would not be noticed"
    if seen.known:
        without = "none given, but what the store remembers is there"
    passed = f"{seen.reached} of {len(seen.checkpoints)} agree" if seen.checkpoints else without
    yield _check(seen, "audit log checkpoints", ("checkpoint",), passed)


def _fitting(checked: int, entries: int) -> str:
    """Say how many MACs fit; a reviewer's credential knows none from before it was let in."""
    older = entries - checked
    return f"all {checked} fit" + (f"; {older} entries are older than this credential" if older else "")


def _chained(seen: Examination) -> str:
    marks = [f"the clock went back {seen.backs} times"] if seen.backs else []
    marks += [f"a torn line was cut off {seen.cuts} times"] if seen.cuts else []
    return "; ".join(["no entry missing, moved or changed", *marks])


def _check(seen: Examination, name: str, kinds: tuple[Kind, ...], fine: str) -> Check:
    total = sum(seen.counts[kind] for kind in kinds)
    if not total:
        return Check(name, ok=True, detail=fine)
    shown = [
        f"line {found.line}: {found.detail}" if found.line else found.detail
        for found in seen.findings
        if found.kind in kinds
    ]
    more = [f"and {total - _SHOWN} more"] if total > _SHOWN else []
    return Check(name, ok=False, detail="; ".join([*shown[:_SHOWN], *more]))


def _evolved(state: State, steps: int, head: bytes) -> State:
    key = entry.next_key(state.key, steps)
    return State(state.n + steps, state.vault, head, key, state.signing)
