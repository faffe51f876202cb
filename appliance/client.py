"""Calls -> the worker process -> events: the front ends' end of the pipe.

The worker holds the key; ending it is the one reliable way to forget it. This side imports no engine.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from appliance import wire
from appliance.config import Config
from appliance.errors import ApplianceError, Cancelled, by_name
from appliance.types import Document, DocumentPage, Event, Report

_GRACE_S = 2.0


class Client:
    """One worker process, started at once so that it can load its models while a passphrase is typed.

    One call is in flight at a time; `cancel` may come from any thread.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._calling = threading.Lock()
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        command = [
            sys.executable,
            "-P",
            "-m",
            "appliance.worker",
            str(self._config.home),
            str(theirs.fileno()),
        ]
        self._process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # an engine's chatter could quote a document
            start_new_session=True,  # Ctrl+C is ours to hear; the worker is told by `cancel`
        )
        theirs.close()
        self._link = ours

    def init(self, vault: str, passphrase: bytearray) -> None:
        """Make a new vault and leave it unlocked.

        Raises:
            VaultExists: there is one of that name.
        """
        self._one("init", secret=passphrase, vault=vault)

    def unlock(self, vault: str, passphrase: bytearray) -> None:
        """Open a vault.

        Raises:
            VaultMissing: there is none of that name.
            WrongSecret: the passphrase opens no slot.
            IntegrityError: the key file or the store is not what was written.
        """
        self._one("unlock", secret=passphrase, vault=vault)

    def ask(self, question: str) -> Iterator[Event]:
        """Yield Retrieved, EvidenceFound, Delta..., Answered; an abstention has no evidence and no delta."""
        return self._events("ask", question=question)

    def add(self, paths: Sequence[Path]) -> Iterator[Event]:
        """Yield Progress and FileDone as they come, and Added at the end."""
        return self._events("add", paths=[str(path.absolute()) for path in paths])

    def documents(self) -> tuple[Document, ...]:
        """Return every document as it was added, and behind them those whose adding was interrupted."""
        return self._one("documents")  # type: ignore[no-any-return]

    def pages(self, document_id: int) -> tuple[DocumentPage, ...]:
        """Return the text of a document, page by page."""
        return self._one("pages", document_id=document_id)  # type: ignore[no-any-return]

    def remove(self, document_id: int) -> None:
        """Erase a document and everything derived from it."""
        self._one("remove", document_id=document_id)

    def verify(self, *, full: bool) -> Report:
        """Check the store; `full` reads every page, chunk and vector."""
        return self._one("verify", full=full)  # type: ignore[no-any-return]

    def models(self) -> Report:
        """Check every installed model against its card."""
        return self._one("models")  # type: ignore[no-any-return]

    def doctor(self) -> Report:
        """Report the posture of this machine and installation; needs no vault."""
        return self._one("doctor")  # type: ignore[no-any-return]

    def cancel(self) -> None:
        """End the call in flight with Cancelled, within a second or so."""
        with contextlib.suppress(wire.Closed):
            wire.send(self._link, {"cancel": True})

    def lock(self) -> None:
        """End the worker, which forgets the key, and start a fresh one without it."""
        self.close()
        self._start()

    def close(self) -> None:
        """End the worker; safe at any time and more than once."""
        with contextlib.suppress(OSError):
            self._link.shutdown(
                socket.SHUT_RDWR
            )  # wakes a call that waits in another thread; close would not
        self._link.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _one(self, call: str, *, secret: bytearray | None = None, **arguments: object) -> Any:
        return list(self._replies(call, secret=secret, arguments=arguments))[-1]

    def _events(self, call: str, **arguments: object) -> Iterator[Event]:
        replies = self._replies(call, secret=None, arguments=arguments)
        return (reply for reply in replies if reply is not None)

    def _replies(self, call: str, *, secret: bytearray | None, arguments: dict[str, Any]) -> Iterator[Any]:
        with self._calling:
            link = self._link  # a lock in another thread may put a new one in its place
            finished = False
            try:
                wire.send(link, {"call": call, "arguments": arguments, "secret": secret is not None})
                if secret is not None:
                    wire.send_secret(link, secret)
                while not finished:
                    message = _receive(link)
                    finished = "event" not in message
                    yield message["event"] if not finished else _result(message)
            except wire.Closed:
                finished = True
                raise ApplianceError("The worker process ended unexpectedly.") from None
            finally:
                if not finished:  # the caller walked away: leave the pipe clean for the next call
                    _drain(link)


def _receive(link: socket.socket) -> dict[str, Any]:
    message = wire.receive(link)
    if isinstance(message, bytearray):
        raise ApplianceError("The worker sent something unexpected.")
    return message


def _drain(link: socket.socket) -> None:
    try:
        wire.send(link, {"cancel": True})
        while "event" in _receive(link):
            pass
    except (wire.Closed, ApplianceError):
        pass
    except ValueError:  # Ctrl+C fell into the middle of a frame: nothing more can be understood
        link.shutdown(socket.SHUT_RDWR)


def _result(message: dict[str, Any]) -> Any:
    if "error" not in message:
        return message["result"]
    kind = by_name(message["error"]["name"])
    if kind is Cancelled:
        raise Cancelled("Stopped.")
    raise kind(message["error"]["message"], hint=message["error"]["hint"])
