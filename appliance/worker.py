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
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from appliance import config, sandbox, wire
from appliance.errors import ApplianceError, unexpected
from appliance.secret import Secret, wipe
from appliance.session import CALLS, Replies, Session

Call = tuple[dict[str, Any], threading.Event]
FAREWELL_S = 1.5


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
                for name in message["secrets"]:  # each follows in a frame of its own
                    message["arguments"][name] = _secret(wire.receive(self._link))
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
    """Run one call; yield its events, each as it happens, and its result."""
    arguments = message["arguments"]
    try:
        replies = CALLS[message["call"]](session, stop, **arguments)
        result = (yield from _events(replies)) if isinstance(replies, Generator) else replies
        yield {"result": result}
    except ApplianceError as error:
        yield {"error": {"name": type(error).__name__, "message": error.message, "hint": error.hint}}
    except Exception as error:  # noqa: BLE001 - the report must hold no content, and the session goes on
        yield {"error": {"name": "ApplianceError", "message": unexpected(error), "hint": ApplianceError.hint}}
    finally:
        for argument in arguments.values():
            if isinstance(argument, Secret):
                argument.wipe()


def _events(replies: Replies) -> Generator[dict[str, Any], None, Any]:
    """Yield events and return the result. None waits for the next: the quote is there before a word is."""
    while True:
        try:
            event = next(replies)
        except StopIteration as end:
            return end.value
        yield {"event": event}


def _secret(frame: dict[str, Any] | bytearray) -> Secret:
    if isinstance(frame, dict):
        raise ValueError("a secret was expected")  # noqa: TRY004 - a frame that is not one of ours, as in wire.py
    try:
        return Secret.unpack(frame)
    finally:
        wipe(frame)


def main() -> None:
    """Serve the socket named by the arguments: home folder, descriptor, folders that may be written to."""
    sandbox.harden()
    sandbox.no_network()
    # `doctor` must run on any kernel: what reads strangers' files asks for all of it again.
    sandbox.confine_worker([Path(folder) for folder in sys.argv[3:]], accept_weaker=True)
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
