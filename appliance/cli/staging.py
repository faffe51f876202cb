"""The folder in which a run lays its documents for the parser: one run's alone, and gone when that ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from appliance.durable import translated
from appliance.errors import VaultBusy

_ENDS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make `folder` for one run, and take it away at its end. What is beside it and no run has goes too.

    Documents lie there in the clear while they are added: those of a run that was killed must not stay.
    The system drops the lock with the process, and so tells the dead from the living.

    Raises:
        VaultBusy: another run has it.
        UsageError: it cannot be made.
    """
    with translated():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _waited_for(folder.parent):  # nobody makes or removes a folder between our two steps
            _sweep(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = _locked(folder)
    if descriptor is None:
        raise VaultBusy(
            "Another run of `appliance eval` is asking about these documents.", hint="Wait for its end."
        )
    try:
        yield
    finally:
        with suppress(OSError), _waited_for(folder.parent):
            shutil.rmtree(folder)
        os.close(descriptor)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have a request to end, or a line that was hung up, do what Ctrl+C does, once: all is cleaned up."""

    def once(*_: object) -> None:
        for each in _ENDS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.getsignal(each) for each in _ENDS}
    for each, handler in before.items():
        if handler == signal.SIG_DFL:  # whoever had them ignored, as nohup does, wants something else
            signal.signal(each, once)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _sweep(root: Path) -> None:
    """Take away every folder in `root` that no living run has."""
    for folder in root.iterdir():
        with suppress(OSError):  # a link or a file is none of ours
            descriptor = _locked(folder)
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


@contextmanager
def _waited_for(root: Path) -> Iterator[None]:
    """Hold the lock of `root`; whoever has it needs it for a moment only."""
    descriptor = _opened(root)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Return a descriptor of `folder` that holds its lock, None where another process has it."""
    descriptor = _opened(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
