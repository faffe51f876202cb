"""A confined process -> what came of eighteen operations that it must not be able to do.

`python -m appliance.probe` confines itself as a document's parser is confined, tries them all and prints
what came of each. The generator's cell tries the same in its own process (generate/inmate.py).
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.kernel import X86, Numbers, checked, libc
from appliance.sandbox import Limits, confine
from appliance.types import Check

_PTRACE: Numbers = (101, 117)
_BPF: Numbers = (321, 280)
_KEYCTL: Numbers = (250, 219)
_USERFAULTFD: Numbers = (323, 282)
_IO_URING_SETUP: Numbers = (425, 425)
_SECONDS = 30
MOST_ROWS = 64


def parser_checks() -> tuple[Check, ...]:
    """Try the forbidden operations in a confined child and return one check each, ok where it was denied.

    A process is started for it by exec, so that the caller's memory is not copied.
    """
    command = [sys.executable, "-I", "-m", "appliance.probe"]
    try:
        done = subprocess.run(
            command,
            env={},
            cwd="/",
            capture_output=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        return checks(json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return (Check("sandbox", ok=False, detail=f"the probe did not run: {type(error).__name__}"),)


def checks(rows: Any) -> tuple[Check, ...]:
    """Turn what a confined process reports into checks.

    Raises:
        ValueError: it is no list of (name, outcome).
    """
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_ROWS:
        raise ValueError("not a probe's report")
    found = []
    for row in rows:
        if not isinstance(row, list) or [type(item) for item in row] != [str, str]:
            raise ValueError("not a probe's report")
        name, detail = row
        found.append(Check(name[:80], ok=detail.startswith("denied"), detail=detail[:80]))
    return tuple(found)


def attempts() -> dict[str, Callable[[], object]]:
    """Return the eighteen operations that no parser and no generator has any business with."""
    parent = os.getppid()
    return {
        "read a file outside": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "list a folder outside": lambda: next(Path("/").iterdir()),
        "create a file": lambda: os.open("/tmp", os.O_TMPFILE | os.O_WRONLY, 0o600),  # noqa: S108
        "TCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "UDP socket": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        "Unix socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "vsock socket": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
        "io_uring": lambda: _call(_IO_URING_SETUP, 1, ctypes.create_string_buffer(120)),
        "start a process": _fork,
        "run a program": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "trace the parent": lambda: _call(_PTRACE, 0x4206, parent, 0, 0),
        "signal the parent": lambda: os.kill(parent, 0),
        "load a BPF program": lambda: _call(_BPF, 0, ctypes.create_string_buffer(72), 72),
        "read the keyring": lambda: _call(_KEYCTL, 0, -3, 0),
        "userfaultfd": lambda: _call(_USERFAULTFD, 1),
        "mount": lambda: checked(libc.mount(b"none", b"/tmp", b"tmpfs", ctypes.c_ulong(32), None)),
        "executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    }


def report() -> list[tuple[str, str]]:
    """Try every operation in this very process; return (name, outcome)."""
    return [(name, outcome(attempt)) for name, attempt in attempts().items()]


def outcome(attempt: Callable[[], object]) -> str:
    """Say what came of `attempt`: "denied (EPERM)", "permitted", or another error that proves nothing."""
    try:
        attempt()
    except OSError as error:
        denied = error.errno in (errno.EPERM, errno.EACCES)
        return f"{'denied' if denied else 'failed'} ({errno.errorcode.get(error.errno or 0, 'unknown')})"
    return "permitted"


def _call(numbers: Numbers, *arguments: object) -> int:
    return checked(libc.syscall(numbers[0] if X86 else numbers[1], *arguments))


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _main() -> None:
    confine(Limits(), accept_weaker=True)  # a weaker kernel shall be shown for what it lets through
    sys.stdout.write(json.dumps(report()))


if __name__ == "__main__":
    _main()
