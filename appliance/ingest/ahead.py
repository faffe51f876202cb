"""Files -> what is in them, parsed in a second thread a few files ahead of whoever asks."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from appliance.errors import Cancelled
from appliance.ingest.walk import Found, digest
from appliance.types import Parsed

Parse = Callable[[Path], tuple[Parsed, str, int]]
"""A path -> what the file holds, its SHA-256 in hex, its size in bytes. Raises ParseError or OSError."""

_WAITING = 2
"""Parsed files that may wait: enough to keep the encoder busy, few enough to bound memory."""
_PATIENCE = 0.1
"""Seconds between two looks at whether to stop."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file's SHA-256, and what it holds: None where a file with that digest is stored already."""

    digest: str
    size: int
    parsed: Parsed | None


class LookAhead:
    """Parses files in order. What went wrong with one is raised when its turn comes."""

    def __init__(
        self,
        files: Sequence[Found],
        *,
        parse: Parse,
        known: frozenset[tuple[int, str]],
        stop: threading.Event,
    ) -> None:
        """Take `known`, the size and digest of what is stored already."""
        self._files = files
        self._parse = parse
        self._known = known
        self._sizes = frozenset(size for size, _ in known)
        self._stop = stop
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._ready: queue.Queue[Seen | Exception] = queue.Queue(_WAITING)

    def __enter__(self) -> LookAhead:
        # A daemon: a parser that runs into its limit must not keep a cancelled program from ending.
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def next(self) -> Seen:
        """Wait for the next file.

        Raises:
            Cancelled: the stop event was set.
            ParseError, OSError: what parsing it raised.
        """
        while True:
            self.check()
            with contextlib.suppress(queue.Empty):
                seen = self._ready.get(timeout=_PATIENCE)
                if isinstance(seen, Exception):
                    raise seen
                return seen

    def parse(self, item: Found) -> Seen:
        """Parse one file now: one that was skipped as stored already and is stored no longer."""
        with self._turn:
            parsed, found, size = self._parse(item.path)
        return Seen(found, size, parsed)

    def check(self) -> None:
        """Raise Cancelled if the stop event was set."""
        if self._stop.is_set():
            raise Cancelled("Stopped. What was stored stays.")

    def _run(self) -> None:
        for item in self._files:
            if not item.problem:
                self._put(self._look(item))
            if self._ended():
                return

    def _look(self, item: Found) -> Seen | Exception:
        try:
            # Of another size it cannot be stored yet: nothing to hash, be it a terabyte or a device's file.
            known = digest(item.path, self._ended) if item.size in self._sizes else None
            if known is not None and (item.size, known) in self._known:
                return Seen(known, item.size, None)
            return self.parse(item)
        except Exception as error:  # noqa: BLE001 - carried to the thread that asks, and raised there
            return error

    def _put(self, seen: Seen | Exception) -> None:
        while not self._ended():
            with contextlib.suppress(queue.Full):
                self._ready.put(seen, timeout=_PATIENCE)
                return

    def _ended(self) -> bool:
        return self._over.is_set() or self._stop.is_set()
