"""Children that die: killed without warning after a number of calls, or denied room to write."""

from __future__ import annotations

import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable

FINISHED, FAILED = 0, 3


def killed_after(calls: int, act: Callable[[], object], *, within: tuple[str, ...] = ("/vault/",)) -> bool:
    """Run `act` in a child, killed at its `calls`-th call in files of these names; tell whether it was."""

    def suicidal() -> None:
        left = calls

        def count(frame, event, _argument) -> None:
            nonlocal left
            if event in ("call", "c_call", "c_return") and any(
                name in frame.f_code.co_filename for name in within
            ):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        act()

    status = in_child(suicidal)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == FAILED:
        raise AssertionError("the child failed by itself")
    return os.WIFSIGNALED(status)


def without_room(limit: int, act: Callable[[], object], *, expected: type[Exception]) -> bool:
    """Run `act` in a child whose files cannot pass `limit` bytes; tell whether it raised `expected`."""

    def cramped() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            act()
        except expected:
            os._exit(FINISHED)
        os._exit(1)

    return in_child(cramped) == FINISHED


def in_child(act: Callable[[], object]) -> int:
    """Run `act` in a child and return its wait status."""
    with warnings.catch_warnings():
        # Later Pythons warn of threads in the parent (numpy's); the child uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = FAILED
    try:
        act()
        code = FINISHED
    finally:
        os._exit(code)
