"""An action -> a line on the disk before its effect is shown; what cannot be recorded is refused.

The files are `audit.log` and `audit.key` in the vault's folder; AUDIT.md is their specification. Nothing here
needs the vault to be open: a failed unlock is recorded like everything else. `trail.py` decides, this does.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self, get_args

from appliance import durable
from appliance.errors import AuditDamaged, UsageError, VaultExists
from appliance.types import Check
from appliance.vault.access.keys import Clock
from appliance.vault.audit import checkpoint, entry, logfile, trail
from appliance.vault.audit.checkpoint import Checkpoint
from appliance.vault.audit.entry import (
    START,
    Action,
    At,
    Box,
    Entry,
    Fault,
    Introduction,
    State,
)
from appliance.vault.audit.logfile import KEY, LOG
from appliance.vault.audit.reviewer import Reviewer, ReviewerPublic
from appliance.vault.audit.trail import Next, Tail

SEED_BYTES: Final = 32
_WHILE_LOCKED: Final = frozenset({"unlock", "lock", "verify", "export"})
"""What may be recorded without a MAC when the state is lost: what needs no open vault."""
_LATER: Final = datetime.fromtimestamp(0, UTC)
"""What a draft has for its time, until it is written."""
_UNLOCKING: Final = re.compile(rb'"action":"(?:unlock|init)"')
_LOOK_BACK: Final = 1 << 20


class AuditLog:
    """The log of one vault. It holds no file open; every call locks, appends, flushes and unlocks.

    Content is sealed to `reviewers`, which the caller keeps inside the store: nobody can exchange them while
    the vault is locked. Without any, content is not recorded at all.
    """

    def __init__(self, folder: Path, clock: Clock, reviewers: Sequence[ReviewerPublic] = ()) -> None:
        self._folder = folder
        self._clock = clock
        self.reviewers = tuple(reviewers)

    @classmethod
    def create(
        cls,
        folder: Path,
        seed: bytes,
        clock: Clock,
        *,
        vault: bytes,
        reviewers: Sequence[ReviewerPublic] = (),
    ) -> Self:
        """Begin a log with its entry "init". The caller keeps `seed` (32 random bytes) inside the store.

        Raises:
            VaultExists: there is a log or a state already.
            StorageFull, AuditDamaged: it cannot be written.
        """
        if any((folder / name).exists() for name in (LOG, KEY)):
            raise VaultExists("There is an audit log in this folder already.")
        if len(seed) != SEED_BYTES:
            raise UsageError("The seed of an audit log has 32 bytes.")
        log = cls(folder, clock, reviewers)
        signing = entry.signing_key(seed)
        with logfile.translated(), logfile.locked(folder) as descriptor:
            logfile.put_state(folder, State(0, vault, START, entry.first_key(seed), signing))
            first = _draft("init", "ok", vault=vault, signer=entry.verifier(signing))
            log._append(descriptor, first, introduced=log.reviewers)
            durable.sync(folder)
        return log

    @classmethod
    def open(cls, folder: Path, clock: Clock, *, reviewers: Sequence[ReviewerPublic] = ()) -> Self:
        """Return the log of the vault in `folder`; nothing is read yet."""
        return cls(folder, clock, reviewers)

    def record(
        self,
        action: Action,
        outcome: str,
        *,
        models: Mapping[str, str] | None = None,
        chunks: Sequence[bytes] = (),
        store: At | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> int:
        """Append an entry and return its number; it is on the disk when this returns.

        `models` are names and SHA-256 in hex, `chunks` 16-byte leaves, `store` its sequence and head,
        `outcome` a word or two of small letters. Only `content` may hold words of the user or a document.

        Raises:
            StorageFull, AuditDamaged: it is not recorded, so the action must be refused.
            UsageError: an unknown action, or fields that do not fit (AUDIT.md).
        """
        if action not in get_args(Action):
            raise UsageError(f"The audit log knows no action {action!r}.")
        draft = _draft(action, outcome, models=models or {}, chunks=tuple(chunks), store=store)
        try:
            padded = entry.pad(content) if content is not None and self.reviewers else None
        except (ValueError, TypeError):
            raise UsageError("This is too long to be recorded.", hint="Shorten it.") from None
        with logfile.translated(), logfile.locked(self._folder) as descriptor:
            return self._append(descriptor, draft, padded=padded)[0].n

    def add_reviewer(self, public: ReviewerPublic) -> int:
        """Bring a reviewer in: from this entry on they can check MACs and read content.

        Raises:
            AuditDamaged: the state is lost (`repair` first), or the log cannot be written.
            UsageError: they are in already, or there are four.
        """
        if public in self.reviewers or len(self.reviewers) == entry.MAX_REVIEWERS:
            raise UsageError("This reviewer is on record already, or there are four.")
        with logfile.translated(), logfile.locked(self._folder) as descriptor:
            written, _ = self._append(descriptor, _draft("reviewer", "added"), introduced=(public,))
        self.reviewers += (public,)
        return written.n

    def checkpoint(self, store: At | None = None) -> bytes:
        """Record a checkpoint and return its file, signed, to be kept where the vault's owner cannot reach.

        Raises:
            AuditDamaged: the state is lost, or the log cannot be written.
        """
        draft = _draft("checkpoint", "ok", store=store)
        with logfile.translated(), logfile.locked(self._folder) as descriptor:
            written, state = self._append(descriptor, draft)
        if state is None:
            raise AuditDamaged("The audit log's state is lost; unlock the vault to repair it.")
        point = Checkpoint(
            vault=state.vault,
            n=written.n,
            head=entry.line_hash(entry.encode(written)),
            time=written.time,
            signer=entry.verifier(state.signing),
            store=store,
        )
        return checkpoint.make(point, key=state.key, signing=state.signing)

    def repair(
        self, seed: bytes, *, vault: bytes, restored: bool = False, known: At | None = None
    ) -> Fault | None:
        """Make the state anew where it is not what `seed` says it should be, record it, say what was wrong.

        To be called after every unlock; 2 microseconds an entry where nothing is wrong. A vault that was just
        `restored` has no state, because a backup holds none: that is recorded as such, and is no fault.

        Raises:
            StorageFull, AuditDamaged: the log cannot be written.
        """
        with logfile.translated(), logfile.locked(self._folder) as descriptor:
            tail, after = _look(descriptor, self._folder)
            if known is not None and after.n > known[0] + entry.MAX_JUMP:
                # A forged line with a huge number: its keys would take hours, and no number would be left.
                after = Next(known[0] + 1, None, "wrong")
            right = State(after.n, vault, tail.head, b"", entry.signing_key(seed))
            right = replace(right, key=entry.next_key(entry.first_key(seed), after.n))
            if after.state == right and after.fault is None:
                return None
            fault = None if restored and after.fault == "missing" else after.fault or "wrong"
            after = Next(after.n, right, fault, after.cut)
            draft = _draft("repair" if fault else "restore", "ok")
            self._append(descriptor, draft, after=after, tail=tail)
            durable.sync(self._folder)
        return fault

    def last(self) -> At | None:
        """Return the last entry's number and its line's hash, None where there is none that can be read.

        A caller who keeps it inside the store with a commit can later tell that log and state were both put
        back (`known` of `verify`).
        """
        with logfile.translated(), logfile.reading(self._folder / LOG) as log, logfile.shared(log):
            tail = logfile.tail_of(log)
        return (tail.entry.n, tail.head) if tail.entry else None

    def holds(self, known: At) -> bool:
        """Tell whether the log still has the entry of that number and hash, looking back from its end."""
        with logfile.translated(), logfile.reading(self._folder / LOG) as log, logfile.shared(log):
            for line in logfile.backwards(log, os.fstat(log).st_size, limit=os.fstat(log).st_size):
                found = logfile.parsed(line)
                if found is not None and found.n == known[0] and entry.line_hash(line) == known[1]:
                    return True
        return False

    def fault(self) -> Fault | None:
        """Return what is wrong with the log's state as far as it can be told without the seed."""
        with logfile.translated(), logfile.reading(self._folder / LOG) as log, logfile.shared(log):
            return trail.follow(logfile.tail_of(log), logfile.read_state(self._folder)).fault

    def last_of(self, action: Action) -> Entry | None:
        """Return the last entry of an action, None where the log's last MiB has none."""
        with logfile.translated(), logfile.reading(self._folder / LOG) as log, logfile.shared(log):
            for line in logfile.backwards(log, os.fstat(log).st_size, limit=_LOOK_BACK):
                found = logfile.parsed(line)
                if found is not None and found.action == action:
                    return found
        return None

    @staticmethod
    def clear(folder: Path) -> None:
        """Remove a log begun by nobody who kept its seed: a creation that was killed, or a forgery."""
        for name in (LOG, KEY):
            (folder / name).unlink(missing_ok=True)

    def failures(self) -> int:
        """Return how many unlocks failed in a row since the last good one, as far as the last MiB tells."""
        count = 0
        with (
            logfile.translated(),
            contextlib.suppress(FileNotFoundError),
            logfile.reading(self._folder / LOG) as log,
        ):
            for line in logfile.backwards(log, os.fstat(log).st_size, limit=_LOOK_BACK):
                found = logfile.parsed(line) if _UNLOCKING.search(line) else None
                if found is None:
                    continue
                if found.outcome == "ok":
                    break
                count += 1
        return count

    def _append(
        self,
        descriptor: int,
        draft: Entry,
        *,
        padded: bytes | None = None,
        introduced: Sequence[ReviewerPublic] = (),
        tail: Tail | None = None,
        after: Next | None = None,
    ) -> tuple[Entry, State | None]:
        """Write the entry, then the state that follows it; return both as they were for it."""
        if tail is None or after is None:
            tail, after = _look(descriptor, self._folder)
        if after.state is None and draft.action not in _WHILE_LOCKED:
            raise AuditDamaged("The audit log's state is lost; unlock the vault to repair it.")
        if after.late and after.state:
            logfile.put_state(self._folder, after.state)
        written = _sealed(self._placed(draft, tail, after), after.state, introduced, (padded, self.reviewers))
        line = entry.encode(written)
        logfile.append(descriptor, line, tail, after)
        if after.state:
            logfile.put_state(self._folder, _following(after.state, line))
        return written, after.state

    def _placed(self, draft: Entry, tail: Tail, after: Next) -> Entry:
        now = self._clock().replace(microsecond=0)
        back = int((tail.entry.time - now).total_seconds()) if tail.entry else 0
        return replace(
            draft,
            n=after.n,
            time=now,
            prev=tail.head,
            back=max(0, back),
            cut=after.cut,
            fault=after.fault,
        )


def verify(
    path: Path,
    *,
    seed: bytes | None = None,
    reviewer: Reviewer | None = None,
    checkpoints: Sequence[bytes] = (),
    known: At | None = None,
) -> Iterator[Check]:
    """Yield what `trail.verify` finds in a vault's folder, or in a copy of its log, which has no state.

    The log is read as it stood at the call; a writer may go on meanwhile.

    Raises:
        AuditDamaged: there is no such file, or it cannot be read.
    """
    state: State | Fault | None = None
    folder = path.is_dir()
    with logfile.translated(), logfile.reading(path / LOG if folder else path) as log:
        with logfile.shared(log):
            size = os.fstat(log).st_size
            state = logfile.read_state(path) if folder else None
        lines = logfile.lines(log, size)
        yield from trail.verify(
            lines, state=state, seed=seed, reviewer=reviewer, checkpoints=checkpoints, known=known
        )


def entries(path: Path) -> Iterator[Entry | None]:
    """Yield the entries of a vault's folder or a copy of its log, None for a line that cannot be read.

    Raises:
        AuditDamaged: there is no such file, or it cannot be read.
    """
    with logfile.translated(), logfile.reading(path / LOG if path.is_dir() else path) as log:
        for line in logfile.lines(log, os.fstat(log).st_size):
            yield logfile.parsed(line)


def save_checkpoint(data: bytes, target: Path) -> Path:
    """Write a checkpoint to the file `target`, or into the folder `target` under a name with its number.

    Raises:
        AuditDamaged: `data` is none. StorageFull: no room.
    """
    point = checkpoint.parse(data)
    if target.is_dir():
        target = target / f"audit-{point.vault.hex()[:8]}-{point.n:09}.checkpoint"
    durable.replace(target, data)
    return target


def _draft(
    action: Action,
    outcome: str,
    *,
    vault: bytes = b"",
    signer: bytes = b"",
    models: Mapping[str, str] | None = None,
    chunks: tuple[bytes, ...] = (),
    store: At | None = None,
) -> Entry:
    return Entry(
        n=0,
        time=_LATER,
        action=action,
        outcome=outcome,
        prev=START,
        vault=vault,
        signer=signer,
        models=models or {},
        chunks=chunks,
        store=store,
    )


def _sealed(
    placed: Entry,
    state: State | None,
    introduced: Sequence[ReviewerPublic],
    content: tuple[bytes | None, Sequence[ReviewerPublic]],
) -> Entry:
    """Return the entry with its boxes and MAC, having read it back as strictly as anybody will."""
    padded, readers = content
    if padded is not None:
        info = entry.content_info(placed, "content")
        boxes = tuple(Box(reader.fingerprint, reader.seal(padded, info)) for reader in readers)
        placed = replace(placed, boxes=boxes)
    if introduced and state:
        info = entry.content_info(placed, "key")
        placed = replace(
            placed, reviewers=tuple(Introduction(who, who.seal(state.key, info)) for who in introduced)
        )
    if state:
        placed = replace(placed, mac=entry.mac(state.key, entry.encode_body(placed)))
    try:
        return entry.parse(entry.encode(placed))
    except AuditDamaged:
        raise UsageError("The audit log cannot hold such an entry.") from None


def _following(state: State, line: bytes) -> State:
    return State(state.n + 1, state.vault, entry.line_hash(line), entry.next_key(state.key), state.signing)


def _look(log: int, folder: Path) -> tuple[Tail, Next]:
    tail = logfile.tail_of(log)
    return tail, trail.follow(tail, logfile.read_state(folder))
