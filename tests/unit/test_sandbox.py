"""The sandbox is asked for what it forbids, in a process that it holds."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import kernel, probe, sandbox
from appliance.errors import SandboxUnavailable
from appliance.probe import outcome
from appliance.sandbox import Level, Limits

pytestmark = pytest.mark.skipif(not sandbox.level().full, reason="needs a kernel with Landlock and seccomp")


def confined(code: str, limits: Limits | None = None) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that has confined itself."""
    setup = "import json, os, sys\nfrom appliance import sandbox\n"
    setup += f"sandbox.confine(sandbox.{limits or Limits()!r})\n"
    return subprocess.run(
        [sys.executable, "-I", "-c", setup + code],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )


def test_eighteen_of_eighteen_forbidden_operations_are_denied() -> None:
    checks = probe.parser_checks()
    assert len(checks) == 18
    assert [check for check in checks if not check.ok] == []


def test_the_probe_can_fail() -> None:
    # Not confined, the harmless ones succeed: a probe that always says "denied" would be caught.
    attempts = probe.attempts()
    harmless = ("read a file outside", "list a folder outside", "create a file", "start a process")
    code = f"for name in {harmless!r}: print(probe.outcome(probe.attempts()[name]))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"from appliance import probe\n{code}"], capture_output=True, text=True
    )
    assert set(attempts) >= set(harmless)
    assert done.stdout.split() == ["permitted"] * 4


def test_an_error_that_is_no_denial_is_not_counted_as_one() -> None:
    def fails() -> None:
        raise OSError(22, "Invalid argument")

    assert outcome(fails) == "failed (EINVAL)"
    assert outcome(lambda: None) == "permitted"


def test_a_confined_process_still_computes_and_imports() -> None:
    done = confined("import colorsys, encodings.cp437\nprint(colorsys.__name__, b'\\x81'.decode('cp437'))")
    assert done.stdout.split() == ["colorsys", "\u00fc"], done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/hostname')",
        "open('/tmp/x', 'w')",
        "os.stat('/etc') and os.listdir('/etc')",
        "os.listdir('/proc/self')",
        "os.fork()",
        "__import__('threading').Thread(target=print).start()",
        "os.pipe()",
        "os.memfd_create('x')",
        "os.truncate(sandbox.__file__, 0)",
        "os.kill(os.getpid(), 9)",
        "__import__('resource').setrlimit(4, (1, 1))",
    ],
)
def test_what_no_parser_needs_fails(code: str) -> None:
    done = confined(code + "\nprint('did it')")
    assert done.stdout == ""
    assert done.returncode == 1, done
    assert "Error" in done.stderr


def test_memory_is_bounded() -> None:
    done = confined("b'x' * 2_000_000_000", Limits(address_space=500_000_000))
    assert "MemoryError" in done.stderr


def test_computing_time_is_bounded() -> None:
    done = confined("while True: pass", Limits(cpu_seconds=1))
    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)


@pytest.mark.skipif(not kernel.X86, reason="x32 is a dialect of x86-64")
def test_the_x32_dialect_is_no_way_around() -> None:
    code = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    code += "print(libc.syscall(0x40000000 + 41, 2, 1, 0), ctypes.get_errno())"
    assert confined(code).stdout.split() == ["-1", "1"]


def test_no_network_holds_threads_and_children() -> None:
    code = """
import socket, subprocess, sys, threading
from appliance import sandbox
asked, done = threading.Event(), threading.Event()
def attempt():
    asked.wait()
    try: socket.socket(socket.AF_INET)
    except PermissionError: print("thread refused", flush=True)
thread = threading.Thread(target=attempt); thread.start()
sandbox.no_network()
asked.set(); thread.join()
socket.socketpair()[0].close()
child = "import socket\\ntry: socket.socket(socket.AF_INET6)\\nexcept PermissionError: print('child refused')"
print(subprocess.run([sys.executable, "-I", "-c", child], capture_output=True, text=True).stdout)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.split("\n")[:2] == ["thread refused", "child refused"], done.stderr


def test_no_network_leaves_local_sockets() -> None:
    with socket.socket(socket.AF_UNIX) as local:
        assert local.family == socket.AF_UNIX


@pytest.mark.parametrize("level", [Level(0, seccomp=True), Level(5, seccomp=False), Level(0, seccomp=False)])
def test_a_kernel_that_offers_less_is_refused(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "level", lambda: level)
    with pytest.raises(SandboxUnavailable, match=r"Landlock|seccomp"):
        sandbox.require()
    assert sandbox.require(accept_weaker=True) == level


def test_a_child_does_not_outlive_its_parent() -> None:
    # The parent is named wrongly, as it would be had it died meanwhile: the child must end at once.
    code = "from appliance import sandbox\nsandbox.die_with_parent(1)\nprint('alive')"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "") or os.getpid() == 1


def test_the_report_is_plain_data() -> None:
    rows = [(check.name, check.ok, check.detail) for check in probe.parser_checks()]
    assert json.loads(json.dumps(rows)) == [list(row) for row in rows]


HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h"))


@pytest.mark.skipif(not all(path.exists() for path in HEADERS), reason="needs the kernel's uapi headers")
def test_every_call_has_the_number_that_the_kernel_s_headers_give_it() -> None:
    # A wrong number in an allow-list opens some other call, and on one architecture only.
    defined = [
        {name: int(n) for name, n in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text())}
        for path in HEADERS
    ]
    defined[1]["newfstatat"] = defined[1]["fstatat"]
    ours = sandbox._HARMLESS | sandbox._FOR_THREADS | sandbox._NEVER_IN_THE_WORKER
    ours |= {name: numbers for name, (numbers, _, _) in sandbox._CAREFUL.items()}
    ours |= {"clone": sandbox._CLONE, "clone3": sandbox._CLONE3, "socketpair": sandbox._SOCKETPAIR}
    wrong = {
        (name, number)
        for name, numbers in ours.items()
        for number, table in zip(numbers, defined, strict=True)
        if number is not None and table.get(name) != number
    }
    assert wrong == set()
