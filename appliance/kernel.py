"""Rules -> the kernel: Landlock, seccomp and prctl by their bare system calls, and nothing about policy.

Sources: Linux documentation userspace-api/landlock and userspace-api/seccomp_filter; the struct layouts
and numbers are those of the kernel's uapi headers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from appliance.errors import SandboxUnavailable

X86 = platform.machine() in ("x86_64", "amd64")
_AUDIT_ARCH = 0xC000003E if X86 else 0xC00000B7
_X32_BIT = 0x40000000
_SECCOMP = 317 if X86 else 277
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

Step: TypeAlias = tuple[int, int, int, int]
"""One BPF instruction: code, jump if true, jump if false, constant."""
Numbers: TypeAlias = tuple[int | None, int | None]
"""A system call's number on x86-64 and on aarch64; None where the architecture has no such call."""

# BPF: opcodes, and the offsets in struct seccomp_data.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ERRNO, _ALLOW, _KILL = 0x00050000, 0x7FFF0000, 0x80000000

# Landlock's rights over files, by their bit.
EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_FOLDER, REMOVE_FILE, MAKE_FOLDER, MAKE_FILE = 1 << 4, 1 << 5, 1 << 7, 1 << 8
MOVE, TRUNCATE = 1 << 13, 1 << 14

libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Program:
    """A seccomp filter in the making: first match decides, `otherwise` what nothing matched."""

    steps: tuple[Step, ...] = ()

    def allow(self, numbers: Numbers) -> Program:
        """Allow the call."""
        return self._when(numbers, ((_RETURN, 0, 0, _ALLOW),))

    def deny(self, numbers: Numbers, *, error: int = errno.EPERM) -> Program:
        """Refuse the call with `error`."""
        return self._when(numbers, ((_RETURN, 0, 0, _ERRNO | error),))

    def allow_without(self, numbers: Numbers, argument: int, bits: int) -> Program:
        """Allow the call unless its argument (counted from 0, low 32 bits) has one of `bits`."""
        return self._when(numbers, _tested(argument, (_ANY_BIT, 0, 1, bits)))

    def allow_only(self, numbers: Numbers, argument: int, value: int) -> Program:
        """Allow the call only where its argument (counted from 0, low 32 bits) is `value`."""
        return self._when(numbers, _tested(argument, (_EQUAL, 1, 0, value)))

    def _when(self, numbers: Numbers, then: Sequence[Step]) -> Program:
        number = numbers[0] if X86 else numbers[1]
        if number is None:
            return self
        return Program((*self.steps, (_EQUAL, 0, len(then), number), *then))


def _tested(argument: int, test: Step) -> tuple[Step, ...]:
    denied: Step = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    return ((_LOAD, 0, 0, _ARGUMENTS + 8 * argument), test, denied, (_RETURN, 0, 0, _ALLOW))


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("place", ctypes.c_int32))


def landlock_version() -> int:
    """Return the version of Landlock's interface, 0 where the kernel has none."""
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(int(version), 0)


def knows_filters() -> bool:
    """Tell whether the kernel filters system calls on an architecture whose numbers are known here."""
    # SECCOMP_GET_ACTION_AVAIL (2) of the action that the filters rest on.
    action = ctypes.c_uint32(_ERRNO)
    known = libc.syscall(_SECCOMP, ctypes.c_uint(2), ctypes.c_uint(0), ctypes.byref(action)) == 0
    return known and platform.machine() in ("x86_64", "amd64", "aarch64")


def install(program: Program, *, allow_others: bool) -> None:
    """Filter the system calls of all threads of this process, and of its children, for ever.

    Calls of a foreign architecture (i386 on x86-64) kill the process; x32 calls get EPERM.

    Raises:
        SandboxUnavailable: the kernel did not take the filter.
    """
    last = _ALLOW if allow_others else _ERRNO | errno.EPERM
    steps = (*_prologue(), *program.steps, (_RETURN, 0, 0, last))
    code = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    filled = _Filter(len(steps), ctypes.cast(code, ctypes.POINTER(_Instruction)))
    no_new_privileges()
    # SECCOMP_SET_MODE_FILTER, for all threads at once (SECCOMP_FILTER_FLAG_TSYNC).
    result = libc.syscall(_SECCOMP, ctypes.c_uint(1), ctypes.c_uint(1), ctypes.byref(filled))
    if result > 0:
        raise SandboxUnavailable("A thread of this process has filters of its own, so none could be added.")
    required(result)


def restrict(rules: Mapping[Path, int]) -> None:
    """Close the file system to this process but for the rights over each path and beneath it, for ever.

    Where the kernel is new enough (ABI 4, 6) TCP, abstract sockets and signals to strangers are closed too.
    Landlock holds only the thread that asks (until ABI 8), so there must be no other.

    Raises:
        SandboxUnavailable: the process has several threads, or the kernel did not take the rules.
    """
    _alone()
    abi = landlock_version()
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    handled = _Ruleset(files=(1 << bits) - 1, net=3 if abi >= 4 else 0, scoped=3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = required(
        libc.syscall(_LANDLOCK_CREATE, ctypes.byref(handled), ctypes.c_size_t(size), ctypes.c_uint32(0))
    )
    try:
        for path, rights in rules.items():
            _add(ruleset, path, rights & handled.files)
        no_new_privileges()
        required(libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)


def programs_needed(program: Path) -> tuple[Path, ...]:
    """Return the files that the kernel itself must execute for `program`: it and its ELF interpreter."""
    found = program.resolve()
    with found.open("rb") as file:
        head = file.read(4096)
    table, size, count = (int.from_bytes(head[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    entries = (head[table + n * size : table + (n + 1) * size] for n in range(count))
    for entry in entries:
        if entry[:4] == b"\x03\0\0\0":  # PT_INTERP
            at, length = (int.from_bytes(entry[a : a + 8], "little") for a in (8, 32))
            return found, Path(os.fsdecode(head[at : at + length].rstrip(b"\0"))).resolve()
    return (found,)


def no_new_privileges() -> None:
    """Let no program that this process runs gain privileges (PR_SET_NO_NEW_PRIVS)."""
    prctl(38, 1)


def prctl(option: int, value: int = 0) -> int:
    """Call prctl.

    Raises:
        SandboxUnavailable: the kernel refused.
    """
    zero = ctypes.c_ulong(0)
    return required(libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero))


def required(result: int) -> int:
    """Pass on the result of a call that confines; its failure must never go unseen."""
    try:
        return checked(result)
    except OSError as error:
        raise SandboxUnavailable(f"The kernel did not confine this process: {error.strerror}.") from error


def checked(result: int) -> int:
    """Pass on the result of a system call; raise OSError where it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def reading(folders: Iterable[Path]) -> dict[Path, int]:
    """Return the rules that let files be read and folders be listed beneath `folders`."""
    return dict.fromkeys(folders, READ_FILE | READ_FOLDER)


def _add(ruleset: int, path: Path, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _Beneath(access=rights, place=handle)
        required(
            libc.syscall(_LANDLOCK_ADD, ctypes.c_int(ruleset), 1, ctypes.byref(rule), ctypes.c_uint32(0))
        )
    finally:
        os.close(handle)


def _alone() -> None:
    # The links of this folder are 2 and the threads: unlike a listing, Landlock leaves a stat alone.
    if Path("/proc/self/task").stat().st_nlink != 3:
        raise SandboxUnavailable("A process with several threads cannot be confined as a whole.")


def _prologue() -> tuple[Step, ...]:
    """Kill foreign architectures, refuse x32, leave the call's number loaded."""
    steps: tuple[Step, ...] = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT_ARCH),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    )
    denied: Step = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    return (*steps, (_AT_LEAST, 0, 1, _X32_BIT), denied) if X86 else steps
