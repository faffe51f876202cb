"""Frames in -> calls on the assistant -> frames out, in the process that holds the key.

Started by `client.py` with its end of a socket pair. It ends when the front end does, and with it the key.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from appliance import config, sandbox, wire
from appliance.assistant import Assistant, Engines
from appliance.errors import ApplianceError, UsageError, unexpected
from appliance.posture import models_report, posture_report
from appliance.types import Report

Reply = Any
Call = tuple[dict[str, Any], threading.Event]
FAREWELL_S = 1.5


class Session:
    """The calls a front end may make. `secret` is wiped when the call that brought it ends."""

    def __init__(self, settings: config.Config) -> None:
        self._config = settings
        self._engines = Engines(settings)
        self._open: Assistant | None = None

    def init(self, _: threading.Event, *, vault: str, secret: bytearray) -> Iterator[Reply]:
        """Make a vault and open it."""
        self.close()
        self._open = Assistant.create(self._config, vault, secret, self._engines)
        yield None

    def unlock(self, _: threading.Event, *, vault: str, secret: bytearray) -> Iterator[Reply]:
        """Open a vault."""
        self.close()
        self._open = Assistant.unlock(self._config, vault, secret, self._engines)
        yield None

    def ask(self, stop: threading.Event, *, question: str) -> Iterator[Reply]:
        """Answer one question."""
        yield from self._vault.ask(question, stop=stop)
        yield None

    def add(self, stop: threading.Event, *, paths: tuple[str, ...]) -> Iterator[Reply]:
        """Store documents."""
        yield from self._vault.add([Path(path) for path in paths], stop=stop)
        yield None

    def documents(self, _: threading.Event) -> Iterator[Reply]:
        """List the documents."""
        yield self._vault.documents()

    def pages(self, _: threading.Event, *, document_id: int) -> Iterator[Reply]:
        """Give a document's text."""
        yield self._vault.pages(document_id)

    def remove(self, _: threading.Event, *, document_id: int) -> Iterator[Reply]:
        """Erase a document."""
        self._vault.remove(document_id)
        yield None

    def verify(self, stop: threading.Event, *, full: bool) -> Iterator[Reply]:
        """Check the store."""
        yield self._vault.verify(full=full, stop=stop)

    def models(self, _: threading.Event) -> Iterator[Reply]:
        """Check the installed models."""
        yield models_report(self._config)

    def doctor(self, _: threading.Event) -> Iterator[Reply]:
        """Report the posture."""
        yield Report(posture_report(self._config).checks + models_report(self._config).checks)

    @property
    def _vault(self) -> Assistant:
        if self._open is None:
            raise UsageError("The vault is locked.", hint="Unlock it first.")
        return self._open

    def close(self) -> None:
        """Close the store, if one is open."""
        if self._open is not None:
            self._open.close()
            self._open = None


CALLS: dict[str, Callable[..., Iterator[Reply]]] = {
    name: call for name, call in vars(Session).items() if not name.startswith("_") and name != "close"
}


class Desk:
    """One thread listens, so that a cancel or the front end's death is heard while a call runs."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def calls(self) -> Iterator[Call]:
        """Yield each call with the event that cancels it, until the front end is gone."""
        return iter(self._calls.get, None)

    def _listen(self) -> None:
        try:
            while True:
                message = wire.receive(self._link)
                if not isinstance(message, dict):
                    break
                if "cancel" in message:
                    self._stop.set()
                    continue
                if message["secret"]:
                    message["arguments"]["secret"] = wire.receive(self._link)
                self._stop = threading.Event()
                self._calls.put((message, self._stop))
        except (wire.Closed, ValueError, KeyError):
            pass
        # Nobody is there to answer, and the key must not outlive the front end: a moment to close the store.
        self._stop.set()
        self._calls.put(None)
        time.sleep(FAREWELL_S)
        os._exit(0)


def answer(session: Session, message: dict[str, Any], stop: threading.Event) -> Iterator[dict[str, Any]]:
    """Run one call; its last reply is the result, those before are events."""
    arguments = message["arguments"]
    try:
        replies = CALLS[message["call"]](session, stop, **arguments)
        result = next(replies)
        for reply in replies:
            yield {"event": result}
            result = reply
        yield {"result": result}
    except ApplianceError as error:
        yield {"error": {"name": type(error).__name__, "message": error.message, "hint": error.hint}}
    except Exception as error:  # noqa: BLE001 - the report must hold no content, and the session goes on
        yield {"error": {"name": "ApplianceError", "message": unexpected(error), "hint": ApplianceError.hint}}
    finally:
        secret = arguments.get("secret")
        if isinstance(secret, bytearray):
            secret[:] = bytes(len(secret))


def main() -> None:
    """Serve the socket named by the arguments: home folder, descriptor."""
    sandbox.harden()
    sandbox.no_network()
    link = socket.socket(fileno=int(sys.argv[2]))
    desk = Desk(link)
    session = Session(config.load(Path(sys.argv[1])))
    with contextlib.suppress(wire.Closed):
        for message, stop in desk.calls():
            for reply in answer(session, message, stop):
                wire.send(link, reply)
    session.close()
    os._exit(0)  # without waiting for what still loads


if __name__ == "__main__":
    main()
