"""A vault's folder or a copy of its log, and a reviewer's credential -> what can be said without the key.

Nothing here opens the vault or reads a document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from appliance import durable
from appliance.custody import now
from appliance.errors import UsageError
from appliance.secret import Secret
from appliance.types import Check, Report
from appliance.vault import audit, keys, logfile, reviewer, trail
from appliance.vault.audit import AuditLog
from appliance.vault.entry import Entry
from appliance.vault.erasure import RECORD
from appliance.vault.reviewer import Reviewer, ReviewerPublic

_MOST: Final = 1 << 16


def verify(path: Path, *, checkpoints: Sequence[Path] = (), who: Reviewer | None = None) -> Report:
    """Check the log of a vault's folder or a copy of one: every line, and every MAC that `who` may check.

    Raises:
        AuditDamaged: there is no log, or it cannot be read.
    """
    points = [read_small(point) for point in checkpoints]
    return Report(tuple(audit.verify(path, reviewer=who, checkpoints=points)))


def show(path: Path, *, last: int, who: Reviewer | None = None) -> tuple[dict[str, Any], ...]:
    """Return the last entries, oldest first, with what was sealed to `who` opened.

    Raises:
        AuditDamaged: there is no log, or it cannot be read; or sealed content was changed.
    """
    found: list[Entry | None] = []
    for entry in audit.entries(path):
        found = [*found[-last + 1 :], entry] if last > 1 else [entry]
    return tuple(_fields(entry, who) for entry in found)


def checkpoint(folder: Path, target: Path) -> Path:
    """Write a signed checkpoint of the log to the file or into the folder `target`; return where.

    Raises:
        AuditDamaged: the log's state is lost, or the log cannot be written. StorageFull: no room.
    """
    return audit.save_checkpoint(AuditLog.open(folder, now).checkpoint(), target)


def export(folder: Path, target: Path) -> None:
    """Copy the log as it stands to `target`, on record.

    Raises:
        UsageError: there is something at `target`.
        AuditDamaged: there is no log. StorageFull: no room.
    """
    if target.exists():
        raise UsageError(f"There is something at {target} already; nothing was overwritten.")
    AuditLog.open(folder, now).record("export", "log")
    with logfile.translated(), logfile.reading(folder / logfile.LOG) as log, logfile.shared(log):
        durable.replace(target, (folder / logfile.LOG).read_bytes())


def make_credential(private: Path, public: Path, words: Secret | None) -> str:
    """Make a reviewer's credential: two new files; return the public key's fingerprint.

    Raises:
        UsageError: one of the files is there already.
    """
    for path in (private, public):
        if path.exists():
            raise UsageError(f"There is something at {path} already; nothing was overwritten.")
    secret, shared = reviewer.generate(words.words if words is not None else None)
    durable.replace(private, secret)
    durable.replace(public, shared, mode=0o644)
    return ReviewerPublic.load(shared).fingerprint


def load_credential(private: Path, words: Secret | None) -> Reviewer:
    """Read a reviewer's credential.

    Raises:
        AuditDamaged: the file is none. WrongSecret: the passphrase does not open it.
    """
    return Reviewer.load(read_small(private), words.words if words is not None else None)


def load_public(public: Path) -> ReviewerPublic:
    """Read the public half of a reviewer's credential.

    Raises:
        AuditDamaged: the file is none.
    """
    return ReviewerPublic.load(read_small(public))


def vault_report(folder: Path) -> Report:
    """Say what a locked vault shows of itself: cipher, slots, cost, log, when it was last verified."""
    if not folder.is_dir():
        return Report((Check("vault", ok=True, detail=f"{folder.name}: not made yet"),))
    if (folder / RECORD).exists():
        return Report((Check("vault", ok=True, detail=f"{folder.name}: erased on purpose"),))
    return Report(tuple(_vault_checks(folder)))


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


def _vault_checks(folder: Path) -> Iterator[Check]:
    described = keys.described(folder)
    yield Check("vault", ok=True, detail=f"{folder.name}, cipher profile {described.cipher}")
    kinds = ", ".join(slot.kind for slot in described.slots)
    yield Check("slots", ok=True, detail=f"{len(described.slots)}: {kinds}")
    costs = [slot.kdf for slot in described.slots if slot.kdf]
    if costs:
        memory, passes, lanes = min(costs)
        detail = f"Argon2id {memory // 1024} MiB, {passes} passes, {lanes} lanes"
        yield Check("key derivation", ok=True, detail=detail)
    yield from _log_checks(folder)


def _log_checks(folder: Path) -> Iterator[Check]:
    log = AuditLog.open(folder, now)
    if not (folder / logfile.LOG).exists():
        yield Check("audit log", ok=False, detail="none; it is begun when the vault is next opened")
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
