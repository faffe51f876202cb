"""A command -> what it said and when, and the most memory that it and its descendants held at once."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EVERY_S = 0.02
"""Seconds between two looks at the memory."""
_PROPORTIONAL = 10
"""Every how many looks shared pages are divided among those who share them, which costs the kernel a walk."""
_PAGE = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, slots=True)
class Said:
    """One event: `at` is seconds since the command was started."""

    at: float
    event: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """Bytes that a process tree held `at` seconds after its start.

    `rss` counts a page once for every process that maps it; `pss` once in all, None where nobody looked.
    """

    at: float
    rss: int
    pss: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished command said, and the memory it held meanwhile."""

    said: tuple[Said, ...]
    looks: tuple[Look, ...]

    def peak_mb(self, *, since: float = 0.0) -> float:
        """Return the largest sum of the resident sizes, in MB, from `since` on."""
        return max(look.rss for look in self.looks if look.at >= since) / 1e6

    def shared_peak_mb(self) -> float | None:
        """Return the same with shared pages counted once; None where the kernel let nobody look.

        The worker is not dumpable, so only the superuser may.
        """
        found = [look.pss for look in self.looks if look.pss is not None]
        return max(found) / 1e6 if found else None

    def named(self, event: str) -> list[Said]:
        """Return the events of one name, in order."""
        return [said for said in self.said if said.event == event]


class Memory:
    """Watches a process tree from a thread of its own."""

    def __init__(self, root: int, began: float) -> None:
        self.looks: list[Look] = []
        self._root = root
        self._began = began
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            at = time.perf_counter() - self._began
            processes = list(tree(self._root))
            rss = sum(resident(process) for process in processes)
            pss = _shared(processes) if len(self.looks) % _PROPORTIONAL == 0 else None
            self.looks.append(Look(at, rss, pss))


def _shared(processes: Sequence[int]) -> int | None:
    try:
        return sum(proportional(process) for process in processes)
    except PermissionError:
        return None


def run(command: Sequence[str], *, cwd: Path) -> Outcome:
    """Run `command`, which prints JSON lines with an "event" each, to its end.

    Raises:
        RuntimeError: it failed; the message holds the end of what it wrote to stderr.
    """
    if not Path("/proc/thread-self/children").exists():
        raise RuntimeError("This kernel does not list a process's children, so memory cannot be summed.")
    with tempfile.TemporaryFile() as complaints:
        began = time.perf_counter()
        with (
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=complaints, text=True, cwd=cwd
            ) as process,
            Memory(process.pid, began) as memory,
            _killed_on_error(process),
        ):
            said = tuple(_listen(process, began))
        if process.returncode != 0:
            complaints.seek(0)
            end = complaints.read().decode("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{end}")
    return Outcome(said, tuple(memory.looks))


@contextlib.contextmanager
def _killed_on_error(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    except BaseException:  # Ctrl+C too: nothing of it may go on computing beside the next measurement
        process.kill()
        raise


def _listen(process: subprocess.Popen[str], began: float) -> Iterator[Said]:
    for line in process.stdout or ():
        at = time.perf_counter() - began
        values = json.loads(line)
        yield Said(at, values.pop("event"), values)


def tree(root: int) -> Iterator[int]:
    """Yield the process and all its descendants that live now."""
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{process}/task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    waiting += [int(child) for child in (task / "children").read_text().split()]


def resident(process: int) -> int:
    """Return the bytes of memory that the process maps now, 0 where it is gone (proc(5), statm)."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def proportional(process: int) -> int:
    """Return the same with shared pages divided among the processes that share them (proc(5), smaps_rollup).

    Raises:
        PermissionError: the process is not dumpable and this user is not privileged.
    """
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
