"""A process -> the same process with next to nothing left to do: limits, Landlock, seccomp.

Three layers, each closing what the others leave open. Resource limits bound time, memory and files.
Landlock closes the file system, but leaves UDP, netlink, vsock and io_uring. Seccomp closes the system calls.

    front ends      no_network, harden
    worker          no_network, harden, confine_worker       it holds the key, so it keeps what a store needs
    parser child    confine                                  one thread, modules to import, nothing else
    generator cell  confine_cell                             threads, no file at all

The filter of a child is an allow-list. A deny-list must know every dangerous call of every later kernel
(io_uring was one once); an allow-list must know the forty that a Python without threads needs to compute,
and a call that it does not know fails with EPERM, which Python turns into an exception.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import signal
import socket
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance import kernel
from appliance.errors import SandboxUnavailable
from appliance.kernel import Numbers, Program

_PR_SET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 1, 3, 4
_SOCKET: Numbers = (41, 198)
IO_URING: tuple[Numbers, ...] = ((425, 425), (426, 426), (427, 427))

# What a single-threaded Python needs to compute, to import and to read and write what it holds open.
_HARMLESS: dict[str, Numbers] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
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
    "time": (201, None),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# Allowed unless the argument (its index first) has one of the bits.
_OPEN_TO_WRITE = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | (os.O_TMPFILE & ~os.O_DIRECTORY)
)
_CAREFUL: dict[str, tuple[Numbers, int, int]] = {
    "openat": ((257, 56), 2, _OPEN_TO_WRITE),
    "mmap": ((9, 222), 2, mmap.PROT_EXEC),
    "mprotect": ((10, 226), 2, mmap.PROT_EXEC),
}
# What the threads of a generator need besides, and to look whether its pipe has something to say.
_FOR_THREADS: dict[str, Numbers] = {
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "sched_getaffinity": (204, 123),
    "poll": (7, None),
    "ppoll": (271, 73),
    "sysinfo": (99, 179),
}
_CLONE: Numbers = (56, 220)
# clone3 takes its flags from memory, where no filter can see them; without it the C library takes clone.
_CLONE3: Numbers = (435, 435)
# The flags by which the GNU C library makes a thread, and nothing but a thread: CLONE_VM, FS, FILES, SYSVSEM,
# SIGHAND, THREAD, SETTLS, PARENT_SETTID, CHILD_CLEARTID.
_A_THREAD = 0x003D0F00

# What the holder of the key never does: talk to another program, look into one, or change the machine.
_NEVER_IN_THE_WORKER: dict[str, Numbers] = {
    "socket": _SOCKET,
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
}
_SOCKETPAIR: Numbers = (53, 199)
_DATAGRAM_BIT = int(socket.SOCK_DGRAM)  # SOCK_STREAM and SOCK_SEQPACKET have it not

_ANY_FILE = kernel.READ_FILE | kernel.WRITE_FILE | kernel.TRUNCATE
_ANY_FOLDER = (
    _ANY_FILE
    | kernel.READ_FOLDER
    | kernel.REMOVE_FILE
    | kernel.REMOVE_FOLDER
    | kernel.MAKE_FILE
    | kernel.MAKE_FOLDER
    | kernel.MOVE
)


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

    def __str__(self) -> str:
        filters = "seccomp" if self.seccomp else "no seccomp"
        return f"Landlock ABI {self.landlock}, {filters}" if self.landlock else f"no Landlock, {filters}"


def level() -> Level:
    """Ask the kernel what it offers; changes nothing."""
    return Level(landlock=kernel.landlock_version(), seccomp=kernel.knows_filters())


def require(*, accept_weaker: bool = False) -> Level:
    """Return the level; whoever accepts a weaker one records it, by its text, in the audit log.

    Raises:
        SandboxUnavailable: Landlock or seccomp is missing and nobody accepted less.
    """
    found = level()
    if not found.full and not accept_weaker:
        missing = [
            name for name, there in (("Landlock", found.landlock), ("seccomp", found.seccomp)) if not there
        ]
        raise SandboxUnavailable(
            f"This kernel offers no {' and no '.join(missing)}: "
            "neither what reads documents nor what writes answers can be confined.",
            hint="Nothing was done. A kernel from 5.13 on with Landlock switched on is needed, or "
            "--accept-weaker, which is recorded in the audit log.",
        )
    return found


def no_network() -> None:
    """Let this process, its threads and its children make AF_UNIX sockets only, for ever.

    io_uring is closed too: it can open sockets without the call that the filter sees. Sockets that are
    open already stay open.

    Raises:
        SandboxUnavailable: the kernel did not take the filter.
    """
    program = Program()
    for call in IO_URING:
        program = program.deny(call)
    kernel.install(program.allow_only(_SOCKET, 0, socket.AF_UNIX), allow_others=True)


def harden() -> None:
    """Keep this process's memory to itself: no core dump, no debugger of the same user.

    Raises:
        SandboxUnavailable: the kernel refused.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kernel.prctl(_PR_SET_DUMPABLE, 0)


def dumpable() -> bool:
    """Tell whether a debugger of the same user may read this process's memory."""
    return kernel.prctl(_PR_GET_DUMPABLE) != 0


def close_files(readable: Iterable[Path]) -> None:
    """Close the file system to this process but for reading beneath the folders `readable`, for ever.

    Raises:
        SandboxUnavailable: the process has several threads, or the kernel did not take the rules.
    """
    kernel.restrict(kernel.reading(readable))


def confine(limits: Limits, *, accept_weaker: bool = False) -> None:
    """Confine this process for ever: limits, no privileges, no files, few system calls.

    It must have one thread. Reading the interpreter's own library folders stays possible, for imports.

    Raises:
        SandboxUnavailable: a layer is missing and nobody accepted less, or the kernel did not take it.
    """
    found = require(accept_weaker=accept_weaker)
    _bound(
        {
            resource.RLIMIT_AS: limits.address_space,
            resource.RLIMIT_CPU: limits.cpu_seconds,
            resource.RLIMIT_NOFILE: limits.open_files,
            resource.RLIMIT_NPROC: 0,
        }
    )
    _close(found, library_folders(), _allow(_HARMLESS))


def confine_cell(*, address_space: int, accept_weaker: bool = False) -> None:
    """Confine this process, which may make threads but opens no file: what it needs it holds already.

    There is no limit on its computing time, for it lives as long as the vault is open: the other side of its
    pipe watches the clock. A sealed memory file that it holds open can still be read.

    Raises:
        SandboxUnavailable: a layer is missing and nobody accepted less, or the kernel did not take it.
    """
    found = require(accept_weaker=accept_weaker)
    _bound({resource.RLIMIT_AS: address_space, resource.RLIMIT_NOFILE: 16})
    program = _allow(_HARMLESS | _FOR_THREADS).deny(_CLONE3, error=errno.ENOSYS)
    _close(found, (), program.allow_only(_CLONE, 0, _A_THREAD))


def confine_worker(writable: Sequence[Path], *, accept_weaker: bool = False) -> Level:
    """Take from the holder of the key what it never needs, for ever; its children inherit that.

    It may read every file, for a user names what is added, but write only beneath the folders `writable` (of
    one that is not there yet, beneath the nearest that is). It may run this Python interpreter and no other
    program, and reaches no other process: not by a socket, local ones included, nor by a signal where the
    kernel is new enough (ABI 6). It must have one thread.

    Raises:
        SandboxUnavailable: a layer is missing and nobody accepted less, or the kernel did not take it.
    """
    found = require(accept_weaker=accept_weaker)
    if found.landlock:
        rules = kernel.reading([Path("/")])
        rules |= {_existing(folder): _ANY_FOLDER for folder in writable}
        rules[Path(os.devnull)] = _ANY_FILE
        programs = kernel.programs_needed(Path(sys.executable))
        kernel.restrict(rules | dict.fromkeys(programs, kernel.EXECUTE | kernel.READ_FILE))
    if found.seccomp:
        program = Program()
        for call in (*IO_URING, *_NEVER_IN_THE_WORKER.values()):
            program = program.deny(call)
        # A datagram socket, one of a pair too, can send to any local socket by name.
        kernel.install(program.allow_without(_SOCKETPAIR, 1, _DATAGRAM_BIT), allow_others=True)
    return found


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread of process `parent` that started it ends."""
    kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def library_folders() -> tuple[Path, ...]:
    """Return the folders that Python imports from, and that of this package."""
    named = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(sorted(folder for folder in {*named, Path(__file__).parent} if folder.is_dir()))


def _close(found: Level, readable: Iterable[Path], program: Program) -> None:
    """Put on the layers that a child of any kind gets."""
    harden()
    if found.landlock:
        close_files(readable)
    if found.seccomp:
        kernel.install(program, allow_others=False)


def _allow(calls: Mapping[str, Numbers]) -> Program:
    program = Program()
    for numbers in calls.values():
        program = program.allow(numbers)
    for numbers, argument, bits in _CAREFUL.values():
        program = program.allow_without(numbers, argument, bits)
    return program


def _bound(limits: Mapping[int, int]) -> None:
    for kind, wanted in {**limits, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}.items():
        hard = resource.getrlimit(kind)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (most, most))


def _existing(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
