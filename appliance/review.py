"""A vault's folder or a copy of its log, and a reviewer's credential -> what can be said without the key.

Nothing here opens the vault or reads a document.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from appliance import durable
from appliance.custody import now, outside, refuse_taken, write_new
from appliance.errors import ApplianceError, AuditDamaged, UsageError
from appliance.secret import Secret
from appliance.types import Check, Report
from appliance.vault.access import keys
from appliance.vault.audit import auditlog, logfile, reviewer, trail
from appliance.vault.audit.auditlog import AuditLog
from appliance.vault.audit.entry import Entry
from appliance.vault.audit.reviewer import Reviewer, ReviewerPublic
from appliance.vault.erasure import RECORD, refuse_erased

_MOST: Final = 1 << 16


def verify(path: Path, *, checkpoints: Sequence[Path] = (), who: Reviewer | None = None) -> Report:
    """Check the log of a vault's folder or a copy of one: every line, and every MAC that `who` may check.

    An erased vault's is read like a copy: its state was destroyed with the keys.

    Raises:
        AuditDamaged: there is no log, or it cannot be read.
    """
    points = [read_small(point) for point in checkpoints]
    path = path / logfile.LOG if _erased(path) else path
    return Report(tuple(auditlog.verify(path, reviewer=who, checkpoints=points)))


def show(path: Path, *, last: int, who: Reviewer | None = None) -> tuple[dict[str, Any], ...]:
    """Return the last entries, oldest first, with what was sealed to `who` opened.

    Raises:
        AuditDamaged: there is no log, or it cannot be read; or sealed content was changed.
    """
    return tuple(_fields(entry, who) for entry in deque(auditlog.entries(path), maxlen=last))


def checkpoint(folder: Path, target: Path) -> Path:
    """Write a signed checkpoint of the log to the file or into the folder `target`; return where.

    Raises:
        VaultMissing: there is no such vault, or it was erased: nobody can sign in its name any more.
        UsageError: there is something at `target` that is no folder, or it cannot be written.
        AuditDamaged: the log's state is lost, or the log cannot be written. StorageFull: no room.
    """
    if not target.is_dir():
        refuse_taken(target)
    with durable.translated():
        refuse_erased(folder)
    point = AuditLog.open(folder, now).checkpoint()
    with outside(target):
        return auditlog.save_checkpoint(point, target)


def export(folder: Path, target: Path) -> None:
    """Copy the log as it stands to `target`, on record unless the vault was erased.

    Raises:
        UsageError: there is something at `target`, or it cannot be written.
        AuditDamaged: there is no log. StorageFull: no room.
    """
    refuse_taken(target)
    with logfile.translated(), logfile.reading(folder / logfile.LOG):
        pass  # there is one: recording would begin another
    if not _erased(folder):
        AuditLog.open(folder, now).record("export", "log")
    with logfile.translated(), logfile.reading(folder / logfile.LOG) as log, logfile.shared(log):
        data = (folder / logfile.LOG).read_bytes()
    write_new(target, data)


def make_credential(private: Path, public: Path, words: Secret | None) -> str:
    """Make a reviewer's credential: two new files; return the public key's fingerprint.

    Raises:
        UsageError: one of the files is there already, or cannot be written.
    """
    refuse_taken(private, public)
    secret, shared = reviewer.generate(words.words if words is not None else None)
    write_new(private, secret)
    write_new(public, shared, mode=0o644)
    return ReviewerPublic.load(shared).fingerprint


def load_credential(private: Path, words: Secret | None) -> Reviewer:
    """Read a reviewer's credential.

    Raises:
        AuditDamaged: the file is none. WrongSecret: the passphrase does not open it.
    """
    data = read_small(private)
    if data.startswith(reviewer.TITLE_PUBLIC):
        raise UsageError("This is the public half of a credential.", hint="Give the private file.")
    with _told_as_mistakes():
        return Reviewer.load(data, words.words if words is not None else None)


def load_public(public: Path) -> ReviewerPublic:
    """Read the public half of a reviewer's credential.

    Raises:
        AuditDamaged: the file is none.
    """
    data = read_small(public)
    if data.startswith(reviewer.TITLE_PRIVATE):
        raise UsageError(
            "This is the private half of a credential.",
            hint="It stays with the reviewer: give the public file.",
        )
    with _told_as_mistakes():
        return ReviewerPublic.load(data)


@contextmanager
def _told_as_mistakes() -> Iterator[None]:
    """Take a file that is no credential for somebody's mistake: it says nothing of the vault."""
    try:
        yield
    except AuditDamaged as error:
        raise UsageError(error.message, hint="Look at the file's name. The vault is not concerned.") from None


def vault_report(folder: Path) -> Report:
    """Say what a locked vault shows of itself: cipher, slots, cost, log, when it was last verified."""
    if not folder.is_dir():
        return Report((Check("vault", ok=True, detail=f"{folder.name}: not made yet"),))
    if _erased(folder):
        return Report((Check("vault", ok=True, detail=f"{folder.name}: erased on purpose"),))
    parts: tuple[tuple[str, Callable[[Path], Iterator[Check]]], ...] = (
        ("vault", _key_checks),
        ("audit log", _log_checks),
    )
    return Report(tuple(check for name, look in parts for check in _looked(name, look, folder)))


def _looked(name: str, look: Callable[[Path], Iterator[Check]], folder: Path) -> Iterator[Check]:
    """Yield what `look` finds; what it cannot look at is a failed check, and the next goes on."""
    try:
        with durable.translated():
            yield from look(folder)
    except ApplianceError as error:
        yield Check(name, ok=False, detail=error.message)


def read_small(path: Path) -> bytes:
    """Read a key or a checkpoint.

    Raises:
        UsageError: it cannot be read, or is too large to be one.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    if len(data) > _MOST:
        raise UsageError(f"{path} is too large for a key or a checkpoint.")
    return data


def _erased(folder: Path) -> bool:
    return (folder / RECORD).exists()


def _key_checks(folder: Path) -> Iterator[Check]:
    described = keys.described(folder)
    yield Check("vault", ok=True, detail=f"{folder.name}, cipher profile {described.cipher}")
    kinds = ", ".join(slot.kind for slot in described.slots)
    yield Check("slots", ok=True, detail=f"{len(described.slots)}: {kinds}")
    costs = [slot.kdf for slot in described.slots if slot.kdf]
    if costs:
        memory, passes, lanes = min(costs)
        detail = f"Argon2id {memory // 1024} MiB, {passes} passes, {lanes} lanes"
        yield Check("key derivation", ok=True, detail=detail)


def _log_checks(folder: Path) -> Iterator[Check]:
    log = AuditLog.open(folder, now)
    if not (folder / logfile.LOG).exists():
        yield Check("audit log", ok=False, detail="there is none: it was never begun, or it was removed")
        return
    last, fault = log.last(), log.fault()
    count = last[0] + 1 if last else 0
    failures = log.failures()
    detail = f"{count} entries" + (f", state {fault}: opening the vault repairs it" if fault else "")
    detail += f"; {failures} failed unlocks in a row" if failures else ""
    yield Check("audit log", ok=fault is None, detail=detail)
    seen = log.last_of("verify")
    never = "never, as far as the log's end tells"
    when = f"{seen.time:%Y-%m-%d %H:%M} UTC, {seen.outcome}" if seen else never
    yield Check("last verified", ok=seen is None or seen.outcome.startswith("ok"), detail=when)


def _fields(found: Entry | None, who: Reviewer | None) -> dict[str, Any]:
    if found is None:
        return {"n": None, "action": "unreadable", "outcome": "this line is not an entry"}
    fields: dict[str, Any] = {
        "n": found.n,
        "time": found.time.isoformat(),
        "action": found.action,
        "outcome": found.outcome,
        "models": dict(found.models),
        "chunks": [chunk.hex() for chunk in found.chunks],
        "store": [found.store[0], found.store[1].hex()] if found.store else None,
        "authenticated": found.mac is not None,
        "sealed": len(found.boxes),
    }
    marks = {"clock_back_s": found.back, "cut_bytes": found.cut, "fault": found.fault}
    fields |= {name: value for name, value in marks.items() if value}
    if found.reviewers:
        fields["reviewers"] = [each.public.fingerprint for each in found.reviewers]
    if who is not None and found.boxes:
        fields["content"] = trail.content_of(found, who)
    return fields
