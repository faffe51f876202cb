"""The product as a reviewer holds it: an installed command, a folder on disk, a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
MODELS = Path(sys.prefix) / "share" / "appliance" / "models"
SHARED = ROOT.parent / "shared" / "data"
COMMAND = Path(sys.executable).with_name("appliance")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
PASSPHRASE = b"seven brass valves under the stair"


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended: its exit code (negative: the signal), what it wrote, how long it took."""

    code: int
    out: bytes
    err: bytes
    seconds: float

    @property
    def said(self) -> str:
        """Both streams as text."""
        return (self.out + self.err).decode("utf-8", "replace")

    def json(self) -> Any:
        """The object on stdout."""
        return json.loads(self.out)


class Box:
    """A user with a home folder, a cache and a temporary folder of their own, all under `root`.

    What the user brings along (documents, the passphrase's file) lies in `luggage`, which holds plaintext by
    right; everything else under `root` was written by the program.
    """

    def __init__(self, root: Path, *, passphrase: bytes = PASSPHRASE) -> None:
        self.root = root
        self.luggage = root / "luggage"
        self.state = root / "user" / "state"
        self.temporary = root / "tmp"
        for folder in (self.luggage, root / "user" / "cache", self.temporary):
            folder.mkdir(parents=True, exist_ok=True)
        self.secret = self.luggage / "secret"
        self.secret.write_bytes(passphrase + b"\n")
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(root / "user"),
            "XDG_CACHE_HOME": str(root / "user" / "cache"),
            "APPLIANCE_HOME": str(self.state),
            "TMPDIR": str(self.temporary),
            "TERM": "xterm-256color",
        }

    @property
    def vault(self) -> Path:
        """The folder of the default vault."""
        return self.state / "vaults" / "main"

    def write(self, name: str, data: bytes | str) -> Path:
        """Put a document into the luggage."""
        path = self.luggage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
        return path

    def argv(self, *words: object, secret: bool = True) -> list[str]:
        """The command line; `secret` names the passphrase's file."""
        opening = ["--passphrase-file", str(self.secret)] if secret else []
        return [str(COMMAND), *opening, *map(str, words)]

    def run(
        self,
        *words: object,
        given: bytes = b"",
        secret: bool = True,
        before: Sequence[str] = (),
        timeout: float = 180,
        environment: dict[str, str] | None = None,
    ) -> Done:
        """Run one command to its end; `before` is put in front of it (strace, unshare)."""
        started = time.monotonic()
        done = subprocess.run(
            [*before, *self.argv(*words, secret=secret)],
            input=given,
            capture_output=True,
            env={**self.environment, **(environment or {})},
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - started)

    def start(self, *words: object, **options: Any) -> subprocess.Popen[bytes]:
        """Start one command in a group of its own and return it."""
        return subprocess.Popen(
            self.argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
            start_new_session=True,
            **options,
        )

    def init(self) -> None:
        """Make the default vault.

        Raises:
            RuntimeError: it was refused.
        """
        done = self.run("init")
        if done.code != 0:
            raise RuntimeError(f"init ended with {done.code}: {done.said[:300]}")

    def add(self, *paths: Path) -> dict[str, Any]:
        """Add documents and return what `--json` says."""
        return dict(self.run("add", "--json", *paths, timeout=580).json())

    def ask(self, *questions: str) -> list[dict[str, Any]]:
        """Ask in one process and return the answers."""
        lines = "\n".join(questions).encode()
        out = self.run("ask", "--json", "-", given=lines, timeout=580).out
        return [json.loads(line) for line in _objects(out)]

    def files(self) -> list[Path]:
        """Every file that the program may have written."""
        return [
            path
            for path in self.root.rglob("*")
            if path.is_file() and not path.is_symlink() and self.luggage not in path.parents
        ]


def _objects(out: bytes) -> Iterator[str]:
    """Cut a stream of JSON objects into one text each."""
    decoder, text, at = json.JSONDecoder(), out.decode("utf-8"), 0
    while at < len(text.rstrip()):
        _, end = decoder.raw_decode(text, at)
        yield text[at:end]
        at = end + 1


@contextlib.contextmanager
def box(**options: Any) -> Iterator[Box]:
    """Yield a fresh box and remove it."""
    root = Path(tempfile.mkdtemp(prefix="box-"))
    try:
        yield Box(root, **options)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def offspring(process: int) -> list[psutil.Process]:
    """Return a process and everything it started, the workers in their own sessions too."""
    try:
        first = psutil.Process(process)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 a command and all it started, at one moment as far as that is possible."""
    for each in offspring(process.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            os.kill(each.pid, signal.SIGKILL)
    process.wait()


class Terminal:
    """A command on a real pty of 80 by 24; all bytes are kept."""

    def __init__(self, owner: Box, *words: object, secret: bool = True) -> None:
        self.raw = b""
        self._end, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            owner.argv(*words, secret=secret),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=owner.environment,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        kill(self.process)
        os.close(self._end)

    def type(self, keys: str) -> None:
        """Send keys."""
        os.write(self._end, keys.encode())

    def wait(self, until: str | Callable[[], bool], *, seconds: float = 60) -> bool:
        """Read until the output of this call holds `until`, or the process has ended, or the time is over."""
        seen, deadline = len(self.raw), time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self._end], [], [], 0.1)[0]:
                try:
                    self.raw += os.read(self._end, 65536)
                except OSError:
                    break
            if self._met(until, seen):
                return True
        return self._met(until, seen)

    def _met(self, until: str | Callable[[], bool], seen: int) -> bool:
        if callable(until):
            return until()
        return until in _STYLE.sub("", self.raw[seen:].decode("utf-8", "replace"))


class Peak:
    """The most memory that a command and its children hold together, looked at every few milliseconds."""

    def __init__(self, process: int) -> None:
        self.bytes = 0
        self._process, self._stop = process, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for each in offspring(self._process)[1:]:
                with contextlib.suppress(psutil.Error):
                    self.bytes = max(self.bytes, each.memory_info().rss)
