"""A command -> every socket that it or a child of it asked the kernel for.

Through strace where it is installed. Only the calls that make, connect or feed a socket are looked at, so
that the program runs at nearly its own speed.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STRACE = shutil.which("strace")
UNSHARE = shutil.which("unshare")
_CALLS = "socket,connect,sendto,sendmsg,sendmmsg,bind,listen,io_uring_setup"
_LINE = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)$")
_FAMILY = re.compile(r"\b((?:AF|PF)_[A-Z0-9]+)\b")
_LOCAL = {"AF_UNIX", "PF_UNIX", "AF_LOCAL", "AF_UNSPEC"}


@dataclass(slots=True)
class Sockets:
    """What was asked for: counts by call and family; `opened` are foreign sockets that were granted."""

    calls: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)


def prefix(log: Path) -> list[str]:
    """What to put in front of a command so that `log` tells of its sockets."""
    return [str(STRACE), "-f", "-qq", "-e", f"trace={_CALLS}", "-e", "signal=none", "-o", str(log)]


def read(log: Path) -> Sockets:
    """Count what a log tells."""
    seen = Sockets()
    for line in log.read_text("utf-8", "replace").splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        call, rest = found.groups()
        families = set(_FAMILY.findall(rest))
        seen.calls[f"{call} {' '.join(sorted(families))}".strip()] += 1
        if call == "io_uring_setup" or families - _LOCAL:
            refused = re.search(r"= -1 (?:EPERM|EACCES)", rest)
            (seen.refused if refused else seen.opened).append(line[:160])
    return seen


def watched(run: Callable[[list[str]], Any]) -> tuple[Any, Sockets]:
    """Call `run` with the prefix; return its result and the sockets."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log"
        log.touch()
        result = run(prefix(log))
        return result, read(log)


# A network namespace with nothing in it: whatever is sent anywhere finds no way out and is counted.
COUNTERS = r"""
import json, subprocess, sys
def counted():
    found = {}
    lines = open("/proc/net/snmp").read().splitlines()
    for names, values in zip(lines[::2], lines[1::2]):
        kind = names.split(":")[0]
        for name, value in zip(names.split()[1:], values.split()[1:]):
            if name in ("OutRequests", "OutNoRoutes", "OutDatagrams", "OutSegs", "ActiveOpens", "OutMsgs"):
                found[kind + name] = int(value)
    for line in open("/proc/net/snmp6"):
        name, value = line.split()
        if name in ("Ip6OutRequests", "Ip6OutNoRoutes", "Udp6OutDatagrams", "Icmp6OutMsgs"):
            found[name] = int(value)
    return found
before = counted()
done = subprocess.run(sys.argv[1:], stdin=sys.stdin, capture_output=True)
after = counted()
sent = {name: after[name] - before[name] for name in after if after[name] != before[name]}
said = (done.stdout + done.stderr).decode("utf-8", "replace")[-500:]
print(json.dumps({"code": done.returncode, "said": said, "sent": sent}))
"""
