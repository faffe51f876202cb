"""A vault's folder -> what nobody can open any more, with a record of what that promises (NIST SP 800-88)."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from appliance import durable
from appliance.errors import VaultErased, VaultMissing
from appliance.vault.keys import Clock
from appliance.vault.lease import Lease, sole

RECORD: Final = "erased.json"
_NOT_PROMISED: Final = (
    "Copies and backups made before are not reached: whoever has one and its secret can open it.",
    "A disk that does not overwrite in place (flash, SSD), a file system that copies on write, or a snapshot "
    "may keep the old bytes of the key files; only erasing or destroying the whole medium reaches those.",
    "The store's pages were removed without being overwritten: without the key they are random bytes.",
    "The audit log stays: anybody reads its times, actions and hashes, the reviewer what was sealed to them.",
)
# What holds a key, and what holds pages under one. The log's key goes too: nobody can sign in its name again.
_SECRET: Final = ("keys*", "anchor*", "audit.key*", ".*.tmp", "next/keys*", "next/anchor*", "next/.*.tmp")
_PAGES: Final = ("next/*", "store.db*")


@durable.translated()
def erase(folder: Path, *, clock: Clock) -> dict[str, Any]:
    """Destroy the keys of the vault at `folder`, remove its store, and return the record that stays.

    The record is written first. From then on the vault counts as erased: whoever opens it after a crash
    finishes the work. Nobody needs a secret to destroy a vault whose files they may write.

    Raises:
        VaultMissing: there is none, or it was erased before.
        VaultBusy: it is open somewhere.
    """
    refuse_erased(folder)
    lease = sole(folder)
    try:
        secret, pages = _files(folder, _SECRET), _files(folder, _PAGES)
        record = {
            "erased": clock().isoformat(),
            "finished": False,
            "overwritten_and_removed": {name: (folder / name).stat().st_size for name in secret},
            "removed": {name: (folder / name).stat().st_size for name in pages},
            "not_promised": _NOT_PROMISED,
        }
        _write(folder, record)
        return _finish(folder, record)
    finally:
        lease.close()


def refuse_erased(folder: Path) -> None:
    """Check that there is a vault at `folder` that was not erased; finish an erasure that a crash cut off.

    Raises:
        VaultMissing: there is none.
        VaultErased: it was erased; the message says when.
    """
    if not folder.is_dir():
        raise VaultMissing(f"There is no vault {folder.name!r}.")
    if not (folder / RECORD).exists():
        return
    lease = Lease(folder)
    try:
        record = _read(folder)
        if not record.get("finished") and lease.alone():
            record = _finish(folder, record)
    finally:
        lease.close()
    raise VaultErased(f"The vault {folder.name!r} was erased on purpose at {_when(record)}.")


def _finish(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    for name in _files(folder, _SECRET):
        durable.shred(folder / name)
    for name in _files(folder, _PAGES):
        (folder / name).unlink()
    shutil.rmtree(folder / "next", ignore_errors=True)
    durable.sync(folder)
    finished = record | {"finished": True}
    _write(folder, finished)
    return finished


def _files(folder: Path, patterns: tuple[str, ...]) -> list[str]:
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(str(path.relative_to(folder)) for path in found)


def _when(record: dict[str, Any]) -> str:
    try:
        return datetime.fromisoformat(record["erased"]).isoformat(" ", "seconds")
    except (KeyError, TypeError, ValueError):
        return "a time that cannot be read"


def _write(folder: Path, record: dict[str, Any]) -> None:
    durable.replace(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())


def _read(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
