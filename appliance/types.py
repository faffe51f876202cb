"""The nouns, in the order in which they meet. All frozen; none knows a file, a clock or a screen.

A *block* is what a parser saw, a *chunk* a stored span, a *hit* a ranked chunk id, a *passage* a chunk
that was retrieved, *evidence* a passage with the span that answers, a *citation* a passage the answer used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:  # the front ends need no arrays, and NumPy costs them 70 ms of start-up
    import numpy as np
    import numpy.typing as npt

Vector: TypeAlias = "npt.NDArray[np.float32]"
"""One unit vector, shape (d,)."""
Matrix: TypeAlias = "npt.NDArray[np.float32]"
"""Rows of unit vectors, shape (n, d)."""

PASSAGES: Final = 6
"""Passages shown with an answer, unless the caller wants more or fewer."""

BlockKind = Literal["heading", "paragraph", "item", "table", "code"]
Finder = Literal["words", "vectors"]
FileStatus = Literal["ok", "partial", "no-text", "duplicate", "failed"]
Span: TypeAlias = tuple[int, int]
"""The offsets of the first character and of the one after the last."""
Level = Literal["strict", "balanced", "open"]
"""How much must speak for an answer before one is given: strict refuses most."""


@dataclass(frozen=True, slots=True)
class Block:
    """One run of text of one kind, in reading order.

    `page` is 1-based, None where the format has no pages. `level` is the depth of a heading (1 is the top).
    A table's text is one row a line, cells parted by " | "; its first `header_rows` lines are its header.
    """

    kind: BlockKind
    text: str
    page: int | None = None
    level: int = 0
    header_rows: int = 0


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed file: blocks in reading order. `pages` is None where the format has none.

    `lost` says in words what could not be read; a non-empty one makes the file's status "partial".
    `flags` names what looks meant to deceive (hidden or control characters), for the user to see.
    """

    title: str
    blocks: tuple[Block, ...]
    pages: int | None
    lost: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored span of a document: `text == document.text[start:end]`, `page` is that of `start`.

    `heading` is the path of headings above it, joined by " > ". `lead` is a table's header rows, repeated
    for a chunk that continues the table, else "". What is embedded is `chunk_input(chunk, title)`.
    """

    ordinal: int
    start: int
    end: int
    page: int | None
    heading: str
    lead: str
    text: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A document ready to be stored, all but its vectors.

    `source` is where it came from and identifies it; `name` is what people see; `digest` is the SHA-256 of
    the file, hex. `text` is the canonical text; `page_starts[i]` is the offset in it where page i+1 begins
    (empty where the format has no pages).
    """

    source: str
    name: str
    title: str
    digest: str
    size: int
    text: str
    page_starts: tuple[int, ...]
    chunks: tuple[Chunk, ...]
    lost: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document. `size` in bytes; `pages` None where it has none; `model` is its vectors' encoder."""

    id: int
    name: str
    title: str
    source: str
    digest: str
    size: int
    pages: int | None
    chunks: int
    added: datetime
    lost: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked chunk: `score` is comparable only inside one ranking, higher is better."""

    chunk: int
    score: float
    found_by: tuple[Finder, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that was retrieved, with what a reader needs to find it in the document.

    `score` in [0, 1]. `start` is the offset of `text` in the document's canonical text.
    """

    chunk: int
    document_id: int
    document: str
    page: int | None
    heading: str
    lead: str
    text: str
    start: int
    score: float
    found_by: tuple[Finder, ...]


CHOICES = 8  # the most words of a passage among which a generator may choose


@dataclass(frozen=True, slots=True)
class Choice:
    """Words of a passage that may answer, in the eyes of a trained reader.

    `span` are offsets in the passage's text, `margin` is the logit of their being the answer over there being
    none.
    """

    span: Span
    margin: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """The span of one passage that best answers: `quote == passages[n - 1].text[start:end]`.

    `n` is the passage's 1-based number, `page` the page on which the quote begins, `near` in [0, 1] how
    near the best passage is to the question. `mark` are the words in the quote that answer, as offsets in
    the passage's text too; None where no trained reader pointed at them. `choices` may answer, best first.
    `goes_on` warns that what is told goes on behind the quote: steps are missing.
    """

    n: int
    start: int
    end: int
    quote: str
    document: str
    page: int | None
    heading: str
    near: float
    mark: Span | None = None
    choices: tuple[Choice, ...] = ()
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the generator sees: a fixed system prefix, and the passages with the question.

    `shown` are the numbers of the passages that are in it, the evidence's first: only they may be cited.
    The answer is one of the `choices`, words of the evidence's passage with the reader's margin, if any.
    """

    system: str
    user: str
    shown: tuple[int, ...] = ()
    choices: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage the answer used, `n` as in "[n]"; `supported` is the verdict of the mechanical check."""

    n: int
    document: str
    page: int | None
    heading: str
    quote: str
    supported: bool


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds since the question arrived, or spent in the stage named; None where it did not run."""

    embed_ms: float = 0.0
    search_ms: float = 0.0
    read_ms: float = 0.0
    first_evidence_ms: float = 0.0
    first_token_ms: float | None = None
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens the generator read and wrote."""

    prompt: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class Models:
    """Names of the models that took part, None where none did: not every answer is written by one."""

    embedding: str
    reader: str | None
    generator: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer was given: `near`, in [0, 1], estimates that one is there, `needed` is the least."""

    level: Level = "balanced"
    near: float = 0.0
    needed: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The checked answer. `unsupported` holds the generated sentences that the check turned away.

    An abstention has `abstained`, no citations, no evidence, the nearest passages and of each the `nearest`
    sentence. `searched_for` is what was searched for where that is not what was asked: misspelt words.
    """

    question: str
    answer: str
    abstained: bool
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    unsupported: tuple[str, ...]
    timings: Timings
    tokens: Tokens
    models: Models
    verdict: Verdict = Verdict()
    evidence: Evidence | None = None
    searched_for: str | None = None
    nearest: tuple[str, ...] = ()


# Events: the whole contract between the facade and every front end.


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The passages, best first; they are numbered from 1 in this order."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class EvidenceFound:
    """The quote to show first. It arrives before the generator's first token."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the draft as the generator writes it, unchecked."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The last event of a question: the checked answer takes the draft's place."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class FileResult:
    """One honest line about one file. `reason` says why in words wherever status is not "ok"."""

    path: str
    status: FileStatus
    pages: int | None = None
    chunks: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an add has come. `eta_s` is None while there is nothing to judge by."""

    files_done: int
    files_total: int
    chunks_done: int
    current: str
    eta_s: float | None


@dataclass(frozen=True, slots=True)
class FileDone:
    """A file came to its end, well or badly."""

    result: FileResult


@dataclass(frozen=True, slots=True)
class Added:
    """The last event of an add. `hidden` names, files' and folders', began with a dot and were left out."""

    files: tuple[FileResult, ...]
    seconds: float
    chunks_per_second: float
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """The text of one page for `show`; a document without pages is one page with `page` None."""

    document: Document
    page: int | None
    text: str


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """One way to open a vault, as anybody who has its folder can read it. It is not authenticated.

    `kdf` is Argon2id's cost (KiB, passes, lanes), None for an officer's or a device's slot; `officer` the
    fingerprint of an officer's public key; `device` what a device is asked, in hexadecimal.
    """

    number: int
    kind: str
    created: datetime
    kdf: tuple[int, int, int] | None
    officer: str | None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What a rewrite of a vault made: `dropped` slots open it no longer, `size` is the new store's, in bytes.

    `digest` is its content digest: that of the store it was made from.
    """

    dropped: tuple[SlotInfo, ...]
    size: int
    seconds: float
    digest: str


@dataclass(frozen=True, slots=True)
class Checking:
    """How far one check of a verification has come."""

    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a verification or a posture report."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` and `doctor` found, in the order it was looked at."""

    checks: tuple[Check, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Tell whether every check passed."""
        return all(check.ok for check in self.checks)


Event = Retrieved | EvidenceFound | Delta | Answered | Progress | FileDone | Added


def chunk_input(chunk: Chunk, title: str) -> str:
    """Return the text that is embedded for `chunk`: title and heading path, table header, text.

    Source: Anthropic, "Contextual retrieval" (2024): context in front of the chunk cuts retrieval failures.
    """
    path = " > ".join(part for part in (title, chunk.heading) if part)
    return "\n".join(part for part in (path, chunk.lead, chunk.text) if part)
