"""A vault's folder -> what nobody can open any more, with a record of what that promises (NIST SP 800-88)."""

from __future__ import annotations

import json
import os
import shutil
import stat
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from appliance import durable
from appliance.errors import UsageError, VaultErased, VaultMissing
from appliance.vault.access.keys import COPIES, Clock
from appliance.vault.access.lease import Lease, sole

RECORD: Final = "erased.json"
_MOST: Final = 1 << 16
_NOT_PROMISED: Final = (
    "Copies and backups made before are not reached: whoever has one and its secret can open it.",
    "A disk that does not overwrite in place (flash, SSD), a file system that copies on write, or a snapshot "
    "may keep the old bytes of the key files; only erasing or destroying the whole medium reaches those.",
    f"Of a file over {durable.MOST_BLANKED >> 20} MiB only the beginning was overwritten; none holds a key.",
    "The store's pages were removed without being overwritten: without the key they are random bytes.",
    "The audit log stays: anybody reads its times, actions and hashes, the reviewer what was sealed to them.",
)
# What holds a key, and what holds pages under one. The log's key goes too: nobody can sign in its name again.
# In this order: what somebody planted, and cannot be removed, must not keep the key files from going.
_SECRET: Final = (
    *COPIES,
    *("keys*", "anchor*", "audit.key*", ".*.tmp", "next/keys*", "next/anchor*", "next/.*.tmp"),
)
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
    finish_erasure(folder)
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
    """Check that there is a vault at `folder` that was not erased. Nothing is changed.

    Raises:
        VaultMissing: there is none.
        VaultErased: it was erased; the message says when.
        UsageError: there is a record that is none of ours.
    """
    if not folder.is_dir():
        raise VaultMissing(f"There is no vault {folder.name!r}.")
    record = _read(folder)
    if record is not None:
        raise VaultErased(f"The vault {folder.name!r} was erased on purpose at {_when(record)}.")


def finish_erasure(folder: Path) -> None:
    """Finish an erasure that a crash cut off, where the record is one that `erase` wrote.

    Only for a vault's own folder: a backup, or what is called one, is only read.
    """
    record = _read(folder) if folder.is_dir() else None
    if record is None or record["finished"]:
        return
    lease = Lease(folder)
    try:
        if lease.alone():
            _finish(folder, record)
    finally:
        lease.close()


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
    found = dict.fromkeys(path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return [str(path.relative_to(folder)) for path in found if stat.S_ISREG(path.lstat().st_mode)]


def _when(record: dict[str, Any]) -> str:
    return datetime.fromisoformat(record["erased"]).isoformat(" ", "seconds")


def _write(folder: Path, record: dict[str, Any]) -> None:
    durable.replace(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())


def _read(folder: Path) -> dict[str, Any] | None:
    """Return the record, None where there is none.

    Raises:
        UsageError: it is not one that `erase` writes. An empty file that a failed copy left must not be taken
            for the wish to destroy the keys.
    """
    try:
        descriptor = durable.open_regular(folder / RECORD, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(_MOST)
    try:
        record = json.loads(data)
        datetime.fromisoformat(record["erased"])
        names = [*record["overwritten_and_removed"], *record["removed"]]
        if type(record["finished"]) is bool and all(type(name) is str for name in names):
            return dict(record)
    except (ValueError, KeyError, TypeError, IndexError):
        pass
    raise UsageError(
        f"There is a file {RECORD} in the vault's folder that is no record of an erasure.",
        hint="Nothing was changed. If nobody erased this vault, move that file away.",
    )
