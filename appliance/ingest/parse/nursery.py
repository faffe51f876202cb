"""A path -> Parsed, by way of a confined child that never shares memory with this process.

Trust ends at the pipe: what a child sends is length-limited, parsed line by line, and checked field by field
before it becomes a Parsed. JSON only: a compromised child must not be able to make objects here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from appliance.errors import Cancelled, LimitExceeded, NoText, ParseError, SandboxUnavailable, by_name
from appliance.ingest.parse.blocks import Bounds
from appliance.ingest.screen import screen
from appliance.sandbox import Limits, require
from appliance.types import Block, BlockKind, Parsed

_KINDS: dict[str, BlockKind] = {kind: kind for kind in ("heading", "paragraph", "item", "table", "code")}
_LONGEST_LINE = 16_000_000
_START_SECONDS = 60.0
_TICK_SECONDS = 0.05
"""How often a stop is looked for."""
_GRACE_SECONDS = 10.0
"""The helper kills its child at the wall clock's limit; this process kills the helper so much later."""


class Nursery:
    """Hold the helper process, starting it when it is first needed and again when it has died.

    One document at a time: a second thread waits. `stop`, once set, kills the child that is at work and
    raises Cancelled.

    Raises:
        SandboxUnavailable: the kernel cannot confine, and `accept_weaker` was not given.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        bounds: Bounds | None = None,
        *,
        accept_weaker: bool = False,
        stop: threading.Event | None = None,
    ) -> None:
        require(accept_weaker=accept_weaker)
        self.limits = limits or Limits()
        self.bounds = bounds or Bounds()
        self._accept_weaker = accept_weaker
        self._stop = stop or threading.Event()
        self._turn = threading.Lock()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def __enter__(self) -> Nursery:
        with self._turn:
            self._ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the helper and its child for good, and reap it; a thread in `run` gets Cancelled."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._turn:
            self._discard()

    def run(self, document: int, name: str) -> Parsed:
        """Have the open file `document` parsed; `name` tells apart formats that look alike.

        Raises:
            ParseError: it cannot be read; the subclass says why.
            Cancelled: `stop` was set, or the nursery was closed.
        """
        with self._turn:
            control = self._ready()
            try:
                data, ended = self._exchange(control, document, name)
            except (OSError, ValueError) as error:
                self._discard()
                self._check()
                raise ParseError(
                    "The process that parses documents died; it is started again for the next."
                ) from error
            except BaseException:
                self._discard()
                raise
        _raise_for(ended, self.limits)
        return decode(data, self.bounds)

    def _exchange(self, control: socket.socket, document: int, name: str) -> tuple[bytes, dict[str, Any]]:
        reader, writer = os.pipe()
        try:
            try:
                socket.send_fds(control, [self._header(name)], [document, writer])
            finally:
                os.close(writer)
            return self._receive(reader), self._answer(control)
        finally:
            os.close(reader)

    def _discard(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _check(self) -> None:
        if self._closed or self._stop.is_set():
            raise Cancelled("Parsing was stopped.")

    def _ready(self) -> socket.socket:
        self._check()
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._discard()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-m", "appliance.ingest.parse.helper", *self._options()],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # numpy comes along with the nouns; its thread pool must not be there when the helper forks.
                env={"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                cwd="/",
                close_fds=True,
            )
        self._control = ours
        if not self._wait_for(ours, time.monotonic() + _START_SECONDS) or not ours.recv(1024):
            self._discard()
            self._check()
            raise SandboxUnavailable(
                "The process that parses documents did not start.", hint="See `appliance doctor`."
            )
        return ours

    def _options(self) -> list[str]:
        return ["--accept-weaker"] if self._accept_weaker else []

    def _header(self, name: str) -> bytes:
        name = name.encode("utf-8", "replace").decode()[-255:]
        return json.dumps(
            {"name": name, "limits": asdict(self.limits), "bounds": asdict(self.bounds)}
        ).encode()

    def _receive(self, reader: int) -> bytes:
        """Read the result to its end, within the wall clock's limit and the length limit."""
        end = time.monotonic() + self.limits.wall_seconds + _GRACE_SECONDS
        most = 4 * self.bounds.characters + (1 << 26)
        data = bytearray()
        while self._wait_for(reader, end):
            piece = os.read(reader, 1 << 20)
            if not piece:
                return bytes(data)
            data += piece
            if len(data) > most:
                raise LimitExceeded("The document's text is longer than a document's may be.")
        raise LimitExceeded(_too_slow(self.limits))

    def _answer(self, control: socket.socket) -> dict[str, Any]:
        # The child has closed the pipe, but it may live on: a compromised one would.
        if not self._wait_for(control, time.monotonic() + self.limits.wall_seconds + _GRACE_SECONDS):
            raise LimitExceeded(_too_slow(self.limits))
        answer = json.loads(control.recv(4096))
        if not isinstance(answer, dict):
            raise ValueError("not an answer")  # noqa: TRY004  (it came off a pipe: a bad value, not a bad call)
        return answer

    def _wait_for(self, readable: socket.socket | int, end: float) -> bool:
        poll = select.poll()
        poll.register(readable, select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            self._check()
            if poll.poll(min(left, _TICK_SECONDS) * 1000):
                return True
        return False


def parse_file(nursery: Nursery, path: Path) -> tuple[Parsed, str, int]:
    """Parse and screen the file at `path`: (what was read, SHA-256 of the file in hex, its size in bytes).

    The bytes that are hashed and those that are parsed come from one open file. A link is not followed: what
    may be was resolved before (ingest.walk), and a medium could put one there since. A FIFO or a device is
    never waited for.

    Raises:
        ParseError: it cannot be read, is no regular file, is too large, or changed meanwhile.
        Cancelled: the nursery's `stop` was set.
    """
    try:
        document = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ParseError("This is a link, which is not followed.") from error
        raise ParseError(f"The file cannot be opened: {os.strerror(error.errno or 0)}.") from error
    try:
        before = os.fstat(document)
        _refuse(before, nursery.bounds)
        digest = _digest(document)
        # Screened on this side of the pipe: a compromised child must not decide what is clean.
        parsed = screen(nursery.run(document, path.name))
        if not parsed.blocks:
            raise NoText("No text was found but characters that cannot be seen.")
        if _identity(os.fstat(document)) != _identity(before):
            raise ParseError(
                "The file changed while it was read.", hint="Add it again when nothing writes to it."
            )
        return parsed, digest, before.st_size
    finally:
        os.close(document)


def decode(data: bytes, bounds: Bounds) -> Parsed:
    """Turn the lines of a child into a Parsed, believing none of them.

    Raises:
        ParseError: the child reports one, or its answer has not the agreed form.
    """
    try:
        lines = data.split(b"\n")
        if lines.pop() or not lines:
            raise ValueError("cut short")
        head = _line(lines[0])
        if isinstance(head, dict) and "error" in head:
            raise _reported(head)
        return _parsed(head, lines[1:], bounds)
    except (ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise ParseError("The process that read the document gave no usable answer.") from error


def _parsed(head: Any, lines: list[bytes], bounds: Bounds) -> Parsed:
    if not isinstance(head, dict) or head.keys() != {"title", "pages", "lost", "flags", "blocks"}:
        raise ValueError("not a head")
    pages = head["pages"]
    if pages is not None:
        _whole(pages, most=bounds.pages)
    if head["blocks"] != len(lines):
        raise ValueError("blocks missing")
    blocks = tuple(_block(_line(line), pages) for line in lines)
    if sum(len(block.text) for block in blocks) > 2 * bounds.characters:
        raise ValueError("too long")
    return Parsed(
        title=_text(head["title"], most=1000),
        blocks=blocks,
        pages=pages,
        lost=_texts(head["lost"]),
        flags=_texts(head["flags"]),
    )


def _block(row: Any, pages: int | None) -> Block:
    kind, text, page, depth, header_rows = row
    if pages is None and page is not None:
        raise ValueError("a page in a format without pages")
    return Block(
        kind=_KINDS[_text(kind, most=20)],
        text=_text(text, most=_LONGEST_LINE),
        page=None if page is None else _whole(page, least=1, most=pages or 0),
        level=_whole(depth, most=100),
        header_rows=_whole(header_rows, most=1000),
    )


def _line(line: bytes) -> Any:
    if len(line) > _LONGEST_LINE:
        raise ValueError("a line too long")
    return json.loads(line)


def _text(value: object, *, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError("not a text")
    # JSON can carry halves of surrogate pairs, which no file and no database can.
    return value.encode("utf-8", "replace").decode() if not value.isascii() else value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 1000:
        raise ValueError("not a list")
    return tuple(_text(item, most=1000) for item in value)


def _whole(value: object, *, least: int = 0, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError("not a number in its range")
    return value


def _reported(head: dict[str, Any]) -> ParseError:
    kind = by_name(_text(head["error"], most=50))
    message = _text(head["message"], most=1000)
    return kind(message) if issubclass(kind, ParseError) else ParseError(message)


def _raise_for(ended: dict[str, Any], limits: Limits) -> None:
    code = _whole(ended.get("code", 1), least=-64, most=255)
    if ended.get("late"):
        raise LimitExceeded(_too_slow(limits))
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        raise LimitExceeded(f"Reading took more than {limits.cpu_seconds} s of computing time.")
    if code < 0:
        with contextlib.suppress(ValueError):
            raise ParseError(f"The document made its reader crash ({signal.Signals(-code).name}).")
    if code:
        raise ParseError("The document made its reader fail.")


def _too_slow(limits: Limits) -> str:
    return f"Reading took more than {limits.wall_seconds:g} s."


def _refuse(found: os.stat_result, bounds: Bounds) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ParseError("This is not a regular file.")
    if found.st_size == 0:
        raise ParseError("The file is empty.")
    if found.st_size > bounds.file_bytes:
        raise LimitExceeded(f"The file is larger than {bounds.file_bytes // 1_000_000} MB.")


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _digest(document: int) -> str:
    digest = hashlib.sha256()
    at = 0
    while piece := os.pread(document, 1 << 20, at):
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest()
