"""This machine and installation -> the checks that `doctor` and `models` print."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance import models, probe, sandbox
from appliance.config import Config
from appliance.errors import ApplianceError, ModelMissing
from appliance.generate.cell import cell_checks
from appliance.retrieve.refusal import SENTENCES_REFUSAL
from appliance.types import Check, Report

_CHOSEN = " (chosen)"
_ENOUGH_ROOM = 512 * 1024 * 1024


def models_report(config: Config) -> Report:
    """Check every installed model against its card, and that the configured ones are there."""
    checks = [_model_check(found, config.models) for found in models.installed(config.model_folders)]
    present = {check.name for check in checks}
    missing = [name for name in config.models if name not in present]
    checks += [
        Check(name, ok=False, detail="configured, but not installed: run `make models`") for name in missing
    ]
    return Report((*checks, *_levels(config)))


def _levels(config: Config) -> tuple[Check, ...]:
    """Say how often each level of refusal was right and wrong, with the reader that is in use."""
    levels = SENTENCES_REFUSAL
    if config.reader and config.rerank:
        with suppress(ModelMissing):
            levels = models.find(config.reader, config.model_folders).card.refusal
    return tuple(
        Check(
            f"refusal {each.level}",
            ok=True,
            detail=each.measured + (_CHOSEN if each.level == config.refusal else ""),
        )
        for each in levels
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the kernel tells about itself; `front_end` is the process that this worker serves."""

    proc: Path = Path("/proc")
    blocks: Path = Path("/sys/block")
    front_end: int = field(default_factory=os.getppid)


def posture_report(config: Config, machine: Machine | None = None) -> Report:
    """Say how well this machine can keep the promises, one line a promise."""
    machine = machine or Machine()
    return Report(
        (
            _sandbox(),
            _probe("parsers' sandbox", probe.parser_checks()),
            _probe("generator's cell", cell_checks(accept_weaker=True)),
            _network(machine),
            _dumps(machine),
            _debuggers(machine),
            _swap(machine),
            _home(config),
            _room(config),
            Check("python", ok=sys.version_info >= (3, 11), detail=".".join(map(str, sys.version_info[:3]))),
        )
    )


def _model_check(found: models.Installed, wanted: Collection[str]) -> Check:
    card = found.card
    chosen = _CHOSEN if card.name in wanted else ""
    try:
        models.verify(found)
    except ApplianceError as error:
        return Check(card.name, ok=False, detail=error.message + chosen)
    told = f"{card.kind}, {card.quantization}, {card.licence}, hashes as on its card"
    return Check(card.name, ok=True, detail=told + chosen)


def _sandbox() -> Check:
    level = sandbox.level()
    missing = "" if level.full else "; documents and models are refused unless --accept-weaker is given"
    return Check("sandbox", ok=level.full, detail=f"{level}{missing}")


def _probe(name: str, results: tuple[Check, ...]) -> Check:
    denied = sum(check.ok for check in results)
    leaks = ", ".join(check.name for check in results if not check.ok)
    detail = f"{denied} of {len(results)} forbidden operations denied" + (f"; not: {leaks}" if leaks else "")
    return Check(name, ok=not leaks, detail=detail)


def _network(machine: Machine) -> Check:
    filtered = {
        "worker": _filters(machine.proc / "self"),
        "front end": _filters(machine.proc / str(machine.front_end)),
    }
    without = [name for name, there in filtered.items() if not there]
    try:
        socket.socket(socket.AF_INET).close()
        without = without or ["worker"]
    except OSError:
        pass
    detail = "worker and front end: the kernel refuses every socket but local ones"
    return Check("network", ok=not without, detail=f"not closed: {', '.join(without)}" if without else detail)


def _filters(process: Path) -> bool:
    """Tell whether the kernel filters the system calls of a process (Seccomp: 2)."""
    return _field(process / "status", "Seccomp") == "2"


def _dumps(machine: Machine) -> Check:
    limit, _ = resource.getrlimit(resource.RLIMIT_CORE)
    if sandbox.dumpable() or limit:
        return Check("core dumps", ok=False, detail="this process may leave one, with keys and text in it")
    # A pattern that begins with a pipe is not held by the limit, only by the process not being dumpable.
    piped = _text(machine.proc / "sys/kernel/core_pattern").startswith("|")
    detail = "off" + ("; the kernel hands those of others to a program" if piped else "")
    return Check("core dumps", ok=True, detail=detail)


def _debuggers(machine: Machine) -> Check:
    closed = not sandbox.dumpable()
    scope = _text(machine.proc / "sys/kernel/yama/ptrace_scope") or "not there"
    detail = "refused to this user's other programs" if closed else "this user's other programs may look in"
    detail += f" (Yama: {scope})" + ("; root may always, and you are root" if os.geteuid() == 0 else "")
    return Check("debuggers", ok=closed, detail=detail)


def _swap(machine: Machine) -> Check:
    """Judge where memory may be written to: encrypted or only compressed in memory will do."""
    devices = [line.split()[0] for line in _text(machine.proc / "swaps").splitlines()[1:]]
    plain = [device for device in devices if not _kept(device, machine)]
    if plain:
        detail = f"in the clear on {', '.join(plain)}: keys and text could be written there; "
        return Check("swap", ok=False, detail=detail + "switch it off (swapoff -a) or encrypt it")
    return Check("swap", ok=True, detail="encrypted, or in memory only" if devices else "none")


def _kept(device: str, machine: Machine) -> bool:
    name = Path(device).name
    # Not every mapped device is encrypted: logical volumes are mapped too.
    return name.startswith("zram") or _text(machine.blocks / name / "dm/uuid").startswith("CRYPT-")


def _field(path: Path, name: str) -> str:
    rows = (line.split(":", 1) for line in _text(path).splitlines() if ":" in line)
    return next((value.strip() for key, value in rows if key == name), "")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


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
