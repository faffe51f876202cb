"""Calls of the facade, which block, -> thread workers -> messages to the screen that asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump

from appliance.clean import clean_line
from appliance.errors import ApplianceError, Cancelled, WrongSecret
from appliance.secret import Secret
from appliance.types import (
    Added,
    Answered,
    Checking,
    Delta,
    Document,
    DocumentPage,
    Event,
    EvidenceFound,
    FileDone,
    Progress,
    Report,
    Retrieved,
)
from tui import messages as said

Clock = Callable[[], float]
DELTA_S = 0.1
"""Pieces of a draft are posted at most this often: each paints a pane, and SSH carries every paint."""

PATIENCE_S = 1.5
"""A cancelled call ends within a second; one that does not is ended with its process."""


class Client(Protocol):
    """What the screens need of the facade. Every call blocks; `cancel` comes from any thread."""

    def unlock(self, vault: str, secret: Secret, *, accept_weaker: bool) -> None:
        """Open a vault; `accept_weaker` works where the kernel cannot confine, on record."""

    def ask(self, question: str) -> Iterator[Event]:
        """Yield Retrieved, EvidenceFound, Delta..., Answered."""

    def add(self, paths: Sequence[Path]) -> Iterator[Event]:
        """Yield Progress and FileDone, and Added at the end."""

    def documents(self) -> tuple[Document, ...]:
        """Return every document."""

    def pages(self, document_id: int) -> tuple[DocumentPage, ...]:
        """Return the text of a document, page by page."""

    def remove(self, document_id: int) -> None:
        """Erase a document."""

    def verify(self, *, full: bool) -> Iterator[Checking | Report]:
        """Check the store and the log; yield how far it is, and the report last."""

    def doctor(self) -> Report:
        """Look at this machine."""

    def cancel(self) -> None:
        """End the call in flight with Cancelled."""

    def lock(self) -> None:
        """End the worker that holds the key."""

    def close(self) -> None:
        """End the worker for good."""


class Link:
    """Runs one call at a time, in the order in which they came; each has a job number.

    `accept_weaker` goes with every unlocking: a lock ends the worker, and the next one knows nothing of it.
    """

    def __init__(self, app: App[int], client: Client, *, clock: Clock, accept_weaker: bool = False) -> None:
        self._app = app
        self._client = client
        self._clock = clock
        self._accept_weaker = accept_weaker
        self._jobs = count(1)
        self._turn = threading.Lock()
        self._stopped: set[int] = set()
        self._current: int | None = None

    def unlock(self, screen: MessagePump, vault: str, secret: Secret) -> int:
        """Open `vault`, then wipe `secret`; says Unlocked or Failed."""

        def call(job: int) -> Iterator[Message]:
            try:
                self._client.unlock(vault, secret, accept_weaker=self._accept_weaker)
            finally:
                secret.wipe()
            yield said.Unlocked(job)

        return self._start(screen, call)

    def ask(self, screen: MessagePump, question: str) -> int:
        """Answer `question`; says PassagesFound, EvidenceArrived, DraftGrew..., AnswerReady."""
        return self._start(screen, lambda job: self._spoken(job, self._client.ask(question)))

    def add(self, screen: MessagePump, paths: Sequence[Path]) -> int:
        """Add files and folders; says AddMoved and FileEnded, and AddEnded at the end."""
        return self._start(screen, lambda job: self._spoken(job, self._client.add(paths)))

    def documents(self, screen: MessagePump) -> int:
        """List the library; says DocumentsListed."""
        return self._once(screen, lambda job: said.DocumentsListed(job, self._client.documents()))

    def pages(self, screen: MessagePump, document_id: int) -> int:
        """Fetch the text of a document; says PagesRead."""
        return self._once(screen, lambda job: said.PagesRead(job, self._client.pages(document_id)))

    def remove(self, screen: MessagePump, document_id: int) -> int:
        """Erase a document; says DocumentRemoved."""

        def call(job: int) -> Message:
            self._client.remove(document_id)
            return said.DocumentRemoved(job)

        return self._once(screen, call)

    def verify(self, screen: MessagePump, *, full: bool) -> int:
        """Check the store and the log; says CheckMoved, and Reported at the end."""

        def call(job: int) -> Iterator[Message]:
            for event in self._client.verify(full=full):
                if job in self._stopped:
                    self._client.cancel()
                if isinstance(event, Checking):
                    yield said.CheckMoved(job, event)
                else:
                    yield said.Reported(job, event)

        return self._start(screen, call)

    def doctor(self, screen: MessagePump) -> int:
        """Look at this machine; says Reported."""
        return self._once(screen, lambda job: said.Reported(job, self._client.doctor()))

    def cancel(self, job: int) -> None:
        """Stop a job, whether it runs or still waits for its turn; it says Stopped."""
        self._stopped.add(job)
        if self._current == job:
            self._client.cancel()

    def lock(self, screen: MessagePump) -> int:
        """Stop everything and end the worker; says Locked."""

        def call() -> None:
            with self._last_turn():
                self._report(screen, job, self._locked)

        job = next(self._jobs)
        self._stopped.update(range(1, job))
        self._app.run_worker(call, thread=True, exit_on_error=False, group="link")
        return job

    def close(self) -> None:
        """Stop everything and end the worker for good."""
        self._stopped.update(range(1, next(self._jobs)))
        with self._last_turn():
            self._client.close()

    @contextmanager
    def _last_turn(self) -> Iterator[None]:
        """Stop the call in flight and wait for it, but only so long: the worker ends in any case."""
        if self._current is not None:
            self._client.cancel()
        taken = self._turn.acquire(timeout=PATIENCE_S)
        try:
            yield
        finally:
            if taken:
                self._turn.release()

    def _locked(self, job: int) -> Iterator[Message]:
        self._client.lock()
        yield said.Locked(job)

    def _once(self, screen: MessagePump, call: Callable[[int], Message]) -> int:
        def answer(job: int) -> Iterator[Message]:
            yield call(job)

        return self._start(screen, answer)

    def _start(self, screen: MessagePump, call: Callable[[int], Iterator[Message]]) -> int:
        job = next(self._jobs)

        def work() -> None:
            with self._turn:
                self._current = job
                self._report(screen, job, call)
                self._current = None

        self._app.run_worker(work, thread=True, exit_on_error=False, group="link")
        return job

    def _report(self, screen: MessagePump, job: int, call: Callable[[int], Iterator[Message]]) -> None:
        try:
            if job in self._stopped:
                raise Cancelled("Stopped.")
            for message in call(job):
                screen.post_message(message)
        except Cancelled:
            screen.post_message(said.Stopped(job))
        except ApplianceError as error:
            wrong = isinstance(error, WrongSecret)
            screen.post_message(said.Failed(job, clean_line(str(error)), clean_line(error.hint), wrong))
        except Exception as error:  # noqa: BLE001 - the last line before the screen: nobody is shown a traceback
            name = clean_line(type(error).__name__)
            screen.post_message(
                said.Failed(job, f"Something unexpected happened ({name}).", ApplianceError.hint)
            )

    def _spoken(self, job: int, events: Iterator[Event]) -> Iterator[Message]:
        """Turn events into messages, the pieces of a draft gathered; end at once when the job is stopped."""
        draft, last = "", float("-inf")
        for event in events:
            if job in self._stopped:  # a cancel that came before the worker had heard of the call
                self._client.cancel()
            if isinstance(event, Delta):
                draft += event.text
                if self._clock() - last < DELTA_S:
                    continue
                last = self._clock()
            if draft:
                yield said.DraftGrew(job, draft)
                draft = ""
            if not isinstance(event, Delta):
                yield _message(job, event)


def _message(job: int, event: Event) -> Message:
    match event:
        case Retrieved(passages):
            return said.PassagesFound(job, passages)
        case EvidenceFound(evidence):
            return said.EvidenceArrived(job, evidence)
        case Delta(text):
            return said.DraftGrew(job, text)
        case Answered(answer):
            return said.AnswerReady(job, answer)
        case Progress():
            return said.AddMoved(job, event)
        case FileDone(result):
            return said.FileEnded(job, result)
        case Added():
            return said.AddEnded(job, event)
