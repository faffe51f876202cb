"""A process -> the same process with next to nothing left to do: limits, Landlock, seccomp.

Three layers, each closing what the others leave open. Resource limits bound time, memory and files.
Landlock closes the file system, but leaves UDP, netlink, vsock and io_uring. Seccomp closes the system calls.

The child's filter is an allow-list. A deny-list must know every dangerous call of every later kernel
(io_uring was one once); an allow-list must know the forty that a Python without threads needs to compute,
and a call that it does not know fails with EPERM, which Python turns into an exception. Calls of a foreign
architecture (i386 on x86-64) kill the process; x32 calls get EPERM.

Sources: Linux documentation userspace-api/landlock and userspace-api/seccomp_filter; the struct layouts
and numbers are those of the kernel's uapi headers.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import SandboxUnavailable
from appliance.types import Check

_X86 = platform.machine() in ("x86_64", "amd64")
_AUDIT_ARCH = 0xC000003E if _X86 else 0xC00000B7
_X32_BIT = 0x40000000
_SECCOMP = 317 if _X86 else 277
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_IO_URING = (425, 426, 427)
_SOCKET = 41 if _X86 else 198
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

# What a single-threaded Python needs to compute, to import and to read and write what it holds open:
# name: (x86-64, aarch64); None where the architecture has no such call.
_HARMLESS: dict[str, tuple[int | None, int]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "stat": (4, 79),
    "fstat": (5, 80),
    "lstat": (6, 79),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "getdents64": (217, 61),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "brk": (12, 214),
    "madvise": (28, 233),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, 169),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# Allowed unless the argument (its index first) has one of the bits.
_OPEN_TO_WRITE = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | (os.O_TMPFILE & ~os.O_DIRECTORY)
)
_CAREFUL: dict[str, tuple[tuple[int, int], int, int]] = {
    "openat": ((257, 56), 2, _OPEN_TO_WRITE),
    "mmap": ((9, 222), 2, mmap.PROT_EXEC),
    "mprotect": ((10, 226), 2, mmap.PROT_EXEC),
}

# BPF: opcodes, and the offsets in struct seccomp_data.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _KILL, _DENY = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM

_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a confined process may use. Bytes of address space, seconds of CPU, seconds of wall clock."""

    address_space: int = 1_500_000_000
    cpu_seconds: int = 60
    wall_seconds: float = 120.0
    open_files: int = 32


@dataclass(frozen=True, slots=True)
class Level:
    """What the kernel offers: Landlock's ABI version (0 for none) and whether it filters system calls."""

    landlock: int
    seccomp: bool

    @property
    def full(self) -> bool:
        """Tell whether both layers are there."""
        return self.landlock > 0 and self.seccomp


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("folder", ctypes.c_int32))


def level() -> Level:
    """Ask the kernel what it offers; changes nothing."""
    abi = _libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    # SECCOMP_GET_ACTION_AVAIL (2) of the action that the filters rest on.
    action = ctypes.c_uint32(0x00050000)
    known = _libc.syscall(_SECCOMP, ctypes.c_uint(2), ctypes.c_uint(0), ctypes.byref(action)) == 0
    return Level(landlock=max(abi, 0), seccomp=known and platform.machine() in ("x86_64", "aarch64"))


def require(*, accept_weaker: bool = False) -> Level:
    """Return the level.

    Raises:
        SandboxUnavailable: Landlock or seccomp is missing and nobody accepted less.
    """
    found = level()
    if not found.full and not accept_weaker:
        missing = [
            name for name, there in (("Landlock", found.landlock), ("seccomp", found.seccomp)) if not there
        ]
        raise SandboxUnavailable(
            f"This kernel offers no {' and no '.join(missing)}: documents cannot be confined."
        )
    return found


def no_network() -> None:
    """Let this process, its threads and its children make AF_UNIX sockets only, for ever.

    io_uring is closed too: it can open sockets without the call that the filter sees. Sockets that are
    open already stay open.

    Raises:
        SandboxUnavailable: the kernel did not take the filter.
    """
    deny_uring = [step for number in _IO_URING for step in _when(number, [(_RETURN, 0, 0, _DENY)])]
    only_unix = [
        (_LOAD, 0, 0, _ARGUMENTS),
        (_EQUAL, 1, 0, socket.AF_UNIX),
        (_RETURN, 0, 0, _DENY),
        (_RETURN, 0, 0, _ALLOW),
    ]
    _no_new_privileges()
    _install([*_prologue(), *deny_uring, *_when(_SOCKET, only_unix), (_RETURN, 0, 0, _ALLOW)])


def harden() -> None:
    """Keep this process's memory to itself: no core dump, no debugger of the same user.

    Raises:
        SandboxUnavailable: the kernel refused.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def close_files(readable: Iterable[Path]) -> None:
    """Close the file system to this process but for reading beneath the folders `readable`, for ever.

    Where the kernel is new enough (ABI 4, 6) TCP, abstract sockets and signals to strangers are closed too.

    Raises:
        SandboxUnavailable: the kernel did not take the rules.
    """
    abi = level().landlock
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    rules = _Ruleset(files=(1 << bits) - 1, net=3 if abi >= 4 else 0, scoped=3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _checked(
        _libc.syscall(_LANDLOCK_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    )
    try:
        for folder in readable:
            _allow_reading(ruleset, folder)
        _no_new_privileges()
        _required(_libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)


def confine(limits: Limits, *, accept_weaker: bool = False) -> None:
    """Confine this process for ever: limits, no privileges, no files, few system calls.

    It must have one thread. Reading the interpreter's own library folders stays possible, for imports.

    Raises:
        SandboxUnavailable: a layer is missing and nobody accepted less, or the kernel did not take it.
    """
    found = require(accept_weaker=accept_weaker)
    _bound(limits)
    _no_new_privileges()
    _prctl(_PR_SET_DUMPABLE, 0)
    if found.landlock:
        close_files(library_folders())
    if found.seccomp:
        _install(_allow_list())


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent, the process `parent`, ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def library_folders() -> tuple[Path, ...]:
    """Return the folders that Python imports from, and that of this package."""
    named = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(sorted(folder for folder in {*named, Path(__file__).parent} if folder.is_dir()))


def probe() -> tuple[Check, ...]:
    """Try the forbidden operations in a confined child and return one check each, ok where it was denied.

    A process is started for it by exec, so that the caller's memory is not copied.
    """
    command = [sys.executable, "-I", "-m", "appliance.sandbox"]
    try:
        done = subprocess.run(
            command, env={}, cwd="/", capture_output=True, timeout=30, stdin=subprocess.DEVNULL, check=True
        )
        rows = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return (Check("sandbox", ok=False, detail=f"the probe did not run: {type(error).__name__}"),)
    return tuple(
        Check(str(name), ok=detail.startswith("denied"), detail=str(detail)) for name, detail in rows
    )


def attempts() -> dict[str, Callable[[], object]]:
    """Return the eighteen operations that no document parser has any business with."""
    parent = os.getppid()
    raw = {"ptrace": (101, 117), "bpf": (321, 280), "keyctl": (250, 219), "userfaultfd": (323, 282)}
    number = {name: pair[0] if _X86 else pair[1] for name, pair in raw.items()}
    return {
        "read a file outside": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "list a folder outside": lambda: next(Path("/").iterdir()),
        "create a file": lambda: os.open("/tmp", os.O_TMPFILE | os.O_WRONLY, 0o600),  # noqa: S108
        "TCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "UDP socket": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        "Unix socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "vsock socket": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
        "io_uring": lambda: _checked(_libc.syscall(_IO_URING[0], 1, ctypes.create_string_buffer(120))),
        "start a process": _fork,
        "run a program": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "trace the parent": lambda: _checked(_libc.syscall(number["ptrace"], 0x4206, parent, 0, 0)),
        "signal the parent": lambda: os.kill(parent, 0),
        "load a BPF program": lambda: _checked(
            _libc.syscall(number["bpf"], 0, ctypes.create_string_buffer(72), 72)
        ),
        "read the keyring": lambda: _checked(_libc.syscall(number["keyctl"], 0, -3, 0)),
        "userfaultfd": lambda: _checked(_libc.syscall(number["userfaultfd"], 1)),
        "mount": lambda: _checked(_libc.mount(b"none", b"/tmp", b"tmpfs", ctypes.c_ulong(32), None)),
        "executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    }


def outcome(attempt: Callable[[], object]) -> str:
    """Say what came of `attempt`: "denied (EPERM)", "permitted", or another error that proves nothing."""
    try:
        attempt()
    except OSError as error:
        denied = error.errno in (errno.EPERM, errno.EACCES)
        return f"{'denied' if denied else 'failed'} ({errno.errorcode.get(error.errno or 0, 'unknown')})"
    return "permitted"


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _bound(limits: Limits) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, limits.address_space),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def _allow_reading(ruleset: int, folder: Path) -> None:
    handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _Beneath(access=_READ_FILE | _READ_FOLDER, folder=handle)
        _checked(
            _libc.syscall(_LANDLOCK_ADD, ctypes.c_int(ruleset), 1, ctypes.byref(rule), ctypes.c_uint32(0))
        )
    finally:
        os.close(handle)


def _prologue() -> list[tuple[int, int, int, int]]:
    """Kill foreign architectures, refuse x32, leave the call's number loaded."""
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT_ARCH),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    return [*steps, (_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _DENY)] if _X86 else steps


def _when(number: int, then: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Do `then`, which must return, where the call is `number`."""
    return [(_EQUAL, 0, len(then), number), *then]


def _allow_list() -> list[tuple[int, int, int, int]]:
    program = _prologue()
    plain = {pair[0] if _X86 else pair[1] for pair in _HARMLESS.values()}
    for number in sorted(number for number in plain if number is not None):
        program += _when(number, [(_RETURN, 0, 0, _ALLOW)])
    for pair, argument, bits in _CAREFUL.values():
        unless = [
            (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
            (_ANY_BIT, 0, 1, bits),
            (_RETURN, 0, 0, _DENY),
            (_RETURN, 0, 0, _ALLOW),
        ]
        program += _when(pair[0] if _X86 else pair[1], unless)
    return [*program, (_RETURN, 0, 0, _DENY)]


def _install(program: list[tuple[int, int, int, int]]) -> None:
    code = (_Instruction * len(program))(*(_Instruction(*step) for step in program))
    filled = _Program(len(program), ctypes.cast(code, ctypes.POINTER(_Instruction)))
    # SECCOMP_SET_MODE_FILTER, for all threads at once (SECCOMP_FILTER_FLAG_TSYNC).
    result = _libc.syscall(_SECCOMP, ctypes.c_uint(1), ctypes.c_uint(1), ctypes.byref(filled))
    if result > 0:
        raise SandboxUnavailable("A thread of this process has filters of its own, so none could be added.")
    _required(result)


def _no_new_privileges() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _required(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero))


def _required(result: int) -> int:
    """Pass on the result of a call that confines; its failure must never go unseen."""
    try:
        return _checked(result)
    except OSError as error:
        raise SandboxUnavailable(f"The kernel did not confine this process: {error.strerror}.") from error


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _main() -> None:
    confine(Limits())
    rows = [(name, outcome(attempt)) for name, attempt in attempts().items()]
    sys.stdout.write(json.dumps(rows))


if __name__ == "__main__":
    _main()
