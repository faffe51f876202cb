"""What happened, one class per happening: the worker's events come down, the widgets' wishes go up.

`job` is the number that Link gave the call; a screen ignores messages of a job that is not its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from appliance.types import (
    Added,
    Answer,
    Checking,
    Document,
    DocumentPage,
    Evidence,
    FileResult,
    Passage,
    Progress,
    Report,
)

# From the worker, posted by Link to the screen that asked.


@dataclass
class FromWorker(Message):
    """The root of what the worker says."""

    job: int


@dataclass
class Unlocked(FromWorker):
    """The vault is open."""


@dataclass
class Locked(FromWorker):
    """The worker that held the key is gone."""


@dataclass
class PassagesFound(FromWorker):
    """The passages, best first."""

    passages: tuple[Passage, ...]


@dataclass
class EvidenceArrived(FromWorker):
    """The quote to show first."""

    evidence: Evidence


@dataclass
class DraftGrew(FromWorker):
    """More of the unchecked draft."""

    text: str


@dataclass
class AnswerReady(FromWorker):
    """The checked answer takes the draft's place."""

    answer: Answer


@dataclass
class AddMoved(FromWorker):
    """How far an add has come."""

    progress: Progress


@dataclass
class FileEnded(FromWorker):
    """A file was added, or was not."""

    result: FileResult


@dataclass
class AddEnded(FromWorker):
    """An add came to its end."""

    added: Added


@dataclass
class DocumentsListed(FromWorker):
    """What the library holds."""

    documents: tuple[Document, ...]


@dataclass
class PagesRead(FromWorker):
    """The text of a document, page by page."""

    pages: tuple[DocumentPage, ...]


@dataclass
class DocumentRemoved(FromWorker):
    """A document and everything derived from it is gone."""


@dataclass
class CheckMoved(FromWorker):
    """A verification has come a little further."""

    progress: Checking


@dataclass
class Reported(FromWorker):
    """A verification or a look at the machine has ended."""

    report: Report


@dataclass
class Stopped(FromWorker):
    """The user stopped the job."""


@dataclass
class Failed(FromWorker):
    """The job failed; `message` and `hint` are cleaned and hold no document text."""

    message: str
    hint: str
    wrong_secret: bool = False


# From the widgets, going up to their screen.


@dataclass
class QuestionAsked(Message):
    """The user wants an answer."""

    question: str


@dataclass
class ListWanted(Message):
    """Down was pressed in the question: the user wants to move in the passages."""


@dataclass
class PassageChosen(Message):
    """The user moved to passage `n`, counted from 1."""

    n: int


@dataclass
class PassageOpened(Message):
    """The user wants to read the page of passage `n`."""

    n: int


@dataclass
class DocumentOpened(Message):
    """The user wants to read the document in row `index` of the table."""

    index: int


# From a screen, going up to the application.


@dataclass
class VaultOpened(Message):
    """The way to the documents is free."""


@dataclass
class PageWanted(Message):
    """The user wants to read a document; with a passage, at its quote."""

    document_id: int
    name: str
    passage: Passage | None = None
    span: tuple[int, int] | None = None


@dataclass
class LibraryChanged(Message):
    """Documents were added or removed."""

    documents: int
