"""A generator's card -> a generator that runs in a process of its own, without the key and locked in.

llama.cpp is a large C++ library that reads untrusted text and, at worst, an untrusted model. It gets neither
the key nor the store nor a file: this side verifies the model's bytes, hands them over as a sealed memory
file, and believes nothing that comes back. A cell that was taken over can give bad text, which is checked
against the passages like any other (check.py), or none.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Self

from appliance import probe
from appliance.errors import ApplianceError, GeneratorDied, ModelMismatch, NoRoom
from appliance.generate import frames
from appliance.generate.choice import LIKELIHOOD
from appliance.generate.llm import CONTEXT, known_template
from appliance.models import Installed, open_verified
from appliance.sandbox import require
from appliance.types import Check, Prompt, Tokens

_ROOM = 2 << 30
"""Bytes of address space beside the weights: interpreter, library, keys and values, working memory."""
_START_SECONDS = 120.0
_SILENCE_SECONDS = 120.0
"""Reading the longest prompt on the slowest machine takes less; a cell that is silent longer is killed."""
_STOP_SECONDS = 0.9
_TICK_SECONDS = 0.05
"""How often a stop is looked for."""
_MOST_CONTEXT = 1 << 20
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    # Idle threads sleep (llm.py says why); no arena of 64 MB for each against the limit on address space.
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_ARENA_MAX": "2",
}
Look = Callable[[], None]


class CellGenerator:
    """The Generator whose model is in a cell; a cell that died is made anew when it is next needed."""

    def __init__(self, found: Installed, *, threads: int, accept_weaker: bool = False) -> None:
        """Take the model; `load` starts the cell.

        Raises:
            UsageError: its card names no template of ours.
            SandboxUnavailable: the kernel cannot confine, and nobody accepted less.
        """
        require(accept_weaker=accept_weaker)
        known_template(found.card.template)
        self.usage, self.sure = Tokens(), 0.0
        self._found = found
        self._threads = threads
        self._accept_weaker = accept_weaker
        self._context = min(found.card.context or CONTEXT, CONTEXT)
        self._cell: _Cell | None = None

    @classmethod
    def load(cls, found: Installed, *, threads: int, accept_weaker: bool = False) -> Self:
        """Start a cell with the model in it.

        Raises:
            ModelMissing: its file is not there.
            ModelMismatch: its file is not the one its card names, or no model that llama.cpp can load.
            GeneratorDied: the cell did not start.
            SandboxUnavailable: the kernel cannot confine, and nobody accepted less.
        """
        made = cls(found, threads=threads, accept_weaker=accept_weaker)
        made._ready()
        return made

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self._found.card.name

    @property
    def context(self) -> int:
        """Return how many tokens prompt and answer may have together."""
        return self._context

    @property
    def brief(self) -> bool:
        """Tell whether it was trained on the appliance's own prompts."""
        return known_template(self._found.card.template).brief

    @property
    def pid(self) -> int:
        """Return the process of the cell, started if there is none."""
        return self._ready().pid

    def close(self) -> None:
        """End the cell and give its memory back; idempotent."""
        if self._cell is not None:
            self._cell.end()
            self._cell = None

    def count(self, text: str) -> int:
        """Return how many tokens `text` has.

        Raises:
            GeneratorDied: the cell did not answer as agreed.
        """
        most = len(text.encode("utf-8", "replace")) + 8
        with _Guarded(self):
            return _whole(self._ready().ask({"count": text})["count"], most=most)

    def stream(self, prompt: Prompt, *, max_tokens: int, stop: threading.Event) -> Iterator[str]:
        """Yield the answer piece by piece; end quietly, within a second, once `stop` is set.

        Raises:
            NoRoom: the prompt leaves no room for an answer.
            GeneratorDied: the library failed, or the cell died, fell silent or did not answer as agreed.
        """
        self.usage, self.sure = Tokens(), 0.0
        if stop.is_set():
            return
        with _Guarded(self):
            cell = self._ready()
            asked = {
                "system": prompt.system,
                "user": prompt.user,
                "shown": prompt.shown,
                "choices": prompt.choices,
                "most": max_tokens,
            }
            cell.say({"write": asked})
            written = _Written(cell, most=max_tokens, context=self._context)
            try:
                yield from written.pieces(stop)
            finally:
                clean = written.finish()
                self.usage, self.sure = written.usage, written.sure
                if not clean:
                    self.close()

    def probe(self) -> tuple[Check, ...]:
        """Try the forbidden operations in the very process that holds the model; ok where it was denied."""
        with _Guarded(self):
            return probe.checks(self._ready().ask({"probe": True})["probe"])

    def _ready(self) -> _Cell:
        if self._cell is not None and self._cell.unwell():
            self.close()
        if self._cell is None:
            self._cell = _started(self._found, self._order())
            self._context = self._cell.context
        return self._cell

    def _order(self) -> dict[str, object]:
        card = self._found.card
        size = card.file("model.gguf").bytes
        return {
            "name": card.name,
            "template": card.template,
            "threads": self._threads,
            "context": self._context,
            "likelihood": LIKELIHOOD if card.likelihood is None else card.likelihood,
            "address_space": 2 * size + _ROOM,
            "accept_weaker": self._accept_weaker,
        }


def cell_checks(*, accept_weaker: bool = False) -> tuple[Check, ...]:
    """Try the forbidden operations in a cell without a model; one check each, ok where it was denied."""
    cell = _Cell()
    try:
        cell.begin({"address_space": _ROOM, "accept_weaker": accept_weaker}, None)
        return probe.checks(cell.ask({"probe": True})["probe"])
    except (ApplianceError, frames.Gone, ValueError, KeyError):
        return (Check("cell", ok=False, detail="the cell gave no usable answer"),)
    finally:
        cell.end()


class _Guarded:
    """Turns whatever a cell did wrong within the block into GeneratorDied, and ends that cell."""

    def __init__(self, owner: CellGenerator) -> None:
        self._owner = owner

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, frames.Gone | ValueError | KeyError | TypeError):
            self._owner.close()
            raise GeneratorDied("The process that writes answers ended or gave no usable answer.") from None


class _Cell:
    """One process and this side's end of its pipe."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _spawn(theirs)
            except BaseException:
                self._link.close()
                raise
        self._poll = select.poll()
        self._poll.register(self._link, select.POLLIN)
        self.context = 0

    def begin(self, order: dict[str, object], model: int | None) -> None:
        """Hand the process `order` and the model's descriptor, and wait until it is locked in and ready.

        Raises:
            ModelMismatch: it read the model and could not load it.
            GeneratorDied: it did not live through that, or takes too long: the machine may have been short.
        """
        try:
            files = [] if model is None else [model]
            socket.send_fds(self._link, [json.dumps(order).encode("ascii")], files)
            said = self.hear(_START_SECONDS)
            if said.get("failed") == "model":
                raise ModelMismatch("The generator's file is not a model that llama.cpp can load.")
            self.context = _whole(said["context"], most=_MOST_CONTEXT)
        except (frames.Gone, ValueError, KeyError, OSError) as error:
            raise GeneratorDied("The process that writes answers did not start.") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, message: dict[str, object]) -> dict[str, Any]:
        """Send one message and wait for its answer."""
        self.say(message)
        return self.hear(_SILENCE_SECONDS)

    def say(self, message: dict[str, object]) -> None:
        """Send one message."""
        frames.send(self._link.fileno(), frames.encode(message, most=frames.MOST_ASKED))

    def hear(self, seconds: float, *, look: Look = lambda: None) -> dict[str, Any]:
        """Wait for one message, at most so long; `look` is called many times a second.

        Raises:
            Gone: the cell has ended, or has been silent for too long.
            ValueError: what it said is no message.
        """
        end = time.monotonic() + seconds

        def wait() -> None:
            while True:
                look()
                if self._poll.poll(_TICK_SECONDS * 1000):
                    return
                if time.monotonic() > end:
                    raise frames.Gone

        return frames.receive(self._link.fileno(), most=frames.MOST_ANSWERED, wait=wait)

    def unwell(self) -> bool:
        """Tell whether a cell that was asked nothing has ended, or speaks."""
        return bool(self._poll.poll(0))

    def end(self) -> None:
        """Kill the process and wait until it has gone; idempotent."""
        self._link.close()
        self._process.kill()
        self._process.wait()


class _Written:
    """One answer on its way out of a cell: counted and measured, for the cell may say anything."""

    def __init__(self, cell: _Cell, *, most: int, context: int) -> None:
        self._cell = cell
        self._most = most
        self._context = context
        self._stopped_at = 0.0
        self._ended = False
        self.usage, self.sure = Tokens(), 0.0

    def pieces(self, stop: threading.Event) -> Iterator[str]:
        """Yield what the cell writes until it has ended, at most `most` pieces."""

        def look() -> None:
            if stop.is_set():
                self._stop()

        for _ in range(self._most + 1):
            try:
                piece = self._next(look)
            except frames.Gone:
                if self._stopped_at:  # it was to end, and it is ended
                    return
                raise
            if piece is None:
                return
            if not self._stopped_at:
                yield piece
        raise ValueError("more pieces than tokens")

    def finish(self) -> bool:
        """Take what is still to come, which nobody wants; tell whether the pipe is clean now."""
        with contextlib.suppress(frames.Gone, ValueError, KeyError, TypeError):
            for _ in range(self._most + 1):
                if self._ended:
                    return True
                self._stop()
                self._next(self._stop)
        return self._ended

    def _next(self, look: Look) -> str | None:
        said = self._cell.hear(_SILENCE_SECONDS, look=look)
        if "piece" in said:
            return _text(said["piece"])
        if "end" in said:
            read, written, sure = said["end"]
            self.usage = Tokens(_whole(read, most=self._context), _whole(written, most=self._most))
            self.sure = _share(sure)
            self._ended = True
            return None
        self._ended = True
        if said["failed"] == "room":
            raise NoRoom("The prompt is longer than the model's context.")
        raise GeneratorDied("The generator failed.")

    def _stop(self) -> None:
        """Tell the cell to stop, once; a cell that has not stopped in time is as good as dead."""
        now = time.monotonic()
        if not self._stopped_at:
            self._stopped_at = now
            self._cell.say({"stop": True})
        elif now - self._stopped_at > _STOP_SECONDS:
            raise frames.Gone


def _started(found: Installed, order: dict[str, object]) -> _Cell:
    try:
        cell = _Cell()  # it loads the library while the model is verified here
        try:
            with open_verified(found, "model.gguf") as path:
                model = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                cell.begin(order, model)
            finally:
                os.close(model)
        except BaseException:
            cell.end()
            raise
    except (OSError, MemoryError) as error:  # no process, no descriptor, no memory: the quote still answers
        raise GeneratorDied("The process that writes answers did not start.") from error
    return cell


def _spawn(pipe: socket.socket) -> subprocess.Popen[bytes]:
    """Start the cell from a thread that lives as long as it does.

    The kernel kills a child with the thread that started it, not with the process (PR_SET_PDEATHSIG).
    """
    started: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-m", "appliance.generate.inmate", str(os.getpid())],
                stdin=pipe.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
                close_fds=True,
            )
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            started.set_exception(error)
            return
        started.set_result(process)
        process.wait()

    threading.Thread(target=keep, daemon=True, name="cell").start()
    return started.result()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004  (it came off a pipe: a bad value, not a bad call)
    # JSON can carry halves of surrogate pairs, which no terminal and no database can.
    return value.encode("utf-8", "replace").decode()


def _whole(value: object, *, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("not a number in its range")
    return value


def _share(value: object) -> float:
    if not isinstance(value, float) or not 0 <= value <= 1:  # NaN is neither
        raise ValueError("not a share")
    return value
