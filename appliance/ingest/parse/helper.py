"""The clean process beside the one that holds the key: it forks one confined child for each document.

It is started by exec, so nothing of the key's process is in its memory, and it imports the readers once, so
that a fork costs milliseconds. It never reads a document itself. A job is one message on the socket that is
its standard input: a JSON header, and two open files: the document and the pipe for the result, which the
child writes to and this process does not. It answers with one JSON line on how the child ended.
"""

from __future__ import annotations

import codecs
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from appliance import sandbox
from appliance.errors import LimitExceeded, ParseError
from appliance.ingest.parse import formats
from appliance.ingest.parse.blocks import Bounds
from appliance.types import Parsed

_WARM: tuple[tuple[str, bytes], ...] = (
    ("a.md", b"---\nt: 1\n---\n# A\n\n- b\n\n|c|d|\n|-|-|\n|e|f|\n\n```\ng\n```\n"),
    ("a.rst", b"A\n=\n\n.. note:: b\n\n.. list-table::\n\n   * - c\n\n:ref:`x` *y* ``z``\n"),
    ("a.html", b"<html><body><h1>A</h1><table><tr><td>b</table></body></html>"),
    ("a.csv", b"a,b\nc,d\n"),
    ("a.txt", "A\n\nb\xe9 caf\xe9 na\xefve\n".encode("latin-1")),
)
_COMPILED_CHARSETS = ("gb18030", "big5", "big5hkscs", "shift_jis", "euc_kr", "iso2022_jp")


def main() -> None:
    """Serve jobs until the other side closes."""
    control = socket.socket(fileno=0)
    accept_weaker = "--accept-weaker" in sys.argv[1:]
    found = sandbox.require(accept_weaker=accept_weaker)
    _warm()
    sandbox.harden()
    if found.landlock:
        sandbox.close_files(sandbox.library_folders())
    if found.seccomp:
        sandbox.no_network()
    gc.collect()
    gc.freeze()  # so that a child's collections do not copy these pages
    control.send(b'{"ready": true}')
    while True:
        message, files, _, _ = socket.recv_fds(control, 65536, 2)
        if not message:
            return
        try:
            answer = _serve(json.loads(message), files, control, accept_weaker=accept_weaker)
        finally:
            for file in files:
                os.close(file)
        control.send(json.dumps(answer).encode())


def _warm() -> None:
    """Load now what loads late: a child may read modules, but map no new machine code."""
    for charset in _COMPILED_CHARSETS:
        codecs.lookup(charset)
    for name, data in _WARM:
        formats.parse(data, name, Bounds())


def _serve(
    job: dict[str, Any], files: list[int], control: socket.socket, *, accept_weaker: bool
) -> dict[str, Any]:
    document, result = files
    me = os.getpid()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            control.close()
            sandbox.die_with_parent(me)
            sandbox.confine(sandbox.Limits(**job["limits"]), accept_weaker=accept_weaker)
            _write(result, _result(document, job))
            os._exit(0)
        os._exit(1)
    return _wait(child, control, seconds=job["limits"]["wall_seconds"])


def _wait(child: int, control: socket.socket, *, seconds: float) -> dict[str, Any]:
    """Reap the child, killing it at the time limit or when the other side has gone."""
    end = time.monotonic() + seconds
    handle = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.register(control, select.POLLHUP)
        ready = {number for number, _ in poll.poll(max(0.0, end - time.monotonic()) * 1000)}
    finally:
        os.close(handle)
    if child not in ready and handle not in ready:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "late": not ready,
        "peak_kb": usage.ru_maxrss,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


def _result(document: int, job: dict[str, Any]) -> bytes:
    """Parse in the child; whatever happens becomes lines of JSON."""
    try:
        data = _read(document)
        return encode(formats.parse(data, job["name"], Bounds(**job["bounds"])))
    except ParseError as error:
        return _failed(type(error).__name__, error.message)
    except MemoryError:
        return _failed(LimitExceeded.__name__, "The document asks for more memory than a document may have.")
    except RecursionError:
        return _failed(LimitExceeded.__name__, "The document is nested too deeply.")
    except Exception as error:  # noqa: BLE001  (a reader's own fault: its type says enough, its text may quote)
        return _failed(
            ParseError.__name__, f"The document is damaged: its reader stopped at {type(error).__name__}."
        )


def _failed(kind: str, message: str) -> bytes:
    return json.dumps({"error": kind, "message": message}).encode() + b"\n"


def encode(parsed: Parsed) -> bytes:
    """Write a result: one line of JSON for the document, one for each block."""
    head = {
        "title": parsed.title,
        "pages": parsed.pages,
        "lost": parsed.lost,
        "flags": parsed.flags,
        "blocks": len(parsed.blocks),
    }
    rows: list[object] = [head]
    rows += [(block.kind, block.text, block.page, block.level, block.header_rows) for block in parsed.blocks]
    return b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for row in rows)


def _read(document: int) -> bytes:
    size = os.fstat(document).st_size
    pieces = []
    at = 0
    while at < size and (piece := os.pread(document, min(size - at, 1 << 24), at)):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)


def _write(result: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(result, view) :]


if __name__ == "__main__":
    main()
