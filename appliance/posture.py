"""This machine and installation -> the checks that `doctor` and `models` print."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from pathlib import Path

from appliance import models, sandbox
from appliance.config import Config
from appliance.errors import ApplianceError
from appliance.types import Check, Report

_ENOUGH_ROOM = 512 * 1024 * 1024


def models_report(config: Config) -> Report:
    """Check every installed model against its card, and that the configured ones are there."""
    checks = [_model_check(found) for found in models.installed(config.model_folders)]
    present = {check.name for check in checks}
    wanted = (config.embedding, config.reader, config.generator)
    missing = [name for name in wanted if name and name not in present]
    checks += [
        Check(name, ok=False, detail="configured, but not installed: run `make models`") for name in missing
    ]
    return Report(tuple(checks))


def posture_report(config: Config) -> Report:
    """Say how well this machine can keep the promises, one line a promise."""
    return Report(
        (
            _sandbox(),
            *_probe(),
            _cores(),
            _swap(Path("/proc/swaps")),
            _home(config),
            _room(config),
            Check("python", ok=sys.version_info >= (3, 11), detail=".".join(map(str, sys.version_info[:3]))),
        )
    )


def _model_check(found: models.Installed) -> Check:
    card = found.card
    try:
        models.verify(found)
    except ApplianceError as error:
        return Check(card.name, ok=False, detail=error.message)
    return Check(
        card.name, ok=True, detail=f"{card.kind}, {card.quantization}, {card.licence}, hashes as on its card"
    )


def _sandbox() -> Check:
    level = sandbox.level()
    detail = f"Landlock ABI {level.landlock}, seccomp {'yes' if level.seccomp else 'no'}"
    return Check("sandbox", ok=level.full, detail=detail)


def _probe() -> tuple[Check, ...]:
    try:
        results = sandbox.probe()
    except ApplianceError as error:
        return (Check("sandbox probe", ok=False, detail=error.message),)
    denied = sum(check.ok for check in results)
    leaks = ", ".join(check.name for check in results if not check.ok)
    detail = f"{denied} of {len(results)} forbidden operations denied" + (f"; not: {leaks}" if leaks else "")
    return (Check("sandbox probe", ok=not leaks, detail=detail),)


def _cores() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_CORE)
    return Check("core dumps", ok=soft == 0, detail="off" if soft == 0 else "this process may leave one")


def _swap(table: Path) -> Check:
    try:
        devices = table.read_text("utf-8").splitlines()[1:]
    except OSError:
        return Check("swap", ok=True, detail="unknown: no /proc/swaps")
    plain = [line.split()[0] for line in devices if "/dm-" not in line and "zram" not in line]
    detail = (
        f"on {', '.join(plain)}: keys could reach it; use encrypted swap or none"
        if plain
        else "none in the clear"
    )
    return Check("swap", ok=not plain, detail=detail)


def _home(config: Config) -> Check:
    folder = config.home
    if not folder.exists():
        return Check("state folder", ok=True, detail=f"{folder} (not made yet)")
    mode = folder.stat().st_mode & 0o077
    mine = folder.stat().st_uid == os.getuid()
    detail = f"{folder}" + ("" if mine and not mode & 0o022 else ": others could write there")
    return Check("state folder", ok=mine and not mode & 0o022, detail=detail)


def _room(config: Config) -> Check:
    folder = config.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Check("free disk", ok=free > _ENOUGH_ROOM, detail=f"{free / 1e9:.1f} GB")
