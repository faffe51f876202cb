"""Fakes that behave, shared by all tests; none of them is a mock."""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from appliance.errors import Cancelled, WrongSecret
from appliance.secret import Secret
from appliance.types import (
    PASSAGES,
    Added,
    Answer,
    Answered,
    Check,
    Checking,
    Citation,
    Delta,
    Document,
    DocumentPage,
    Event,
    Evidence,
    EvidenceFound,
    FileDone,
    FileResult,
    Level,
    Matrix,
    Models,
    Passage,
    Progress,
    Prompt,
    Report,
    Retrieved,
    Timings,
    Tokens,
    Verdict,
)
from tests.stores import ENCODER
from tests.stores import FakeStore as FakeStore

PASSPHRASE = b"correct horse"
MANUAL = "pump-manual.pdf"
TEXT = (
    "The pump is rated for clean water up to 60 C. Before each start the valve V-12 must be open. "
    "The shut-off head is 42 m at 2900 rpm. Running against a closed valve for more than 30 s "
    "damages the shaft seal. The seal is replaced every 4000 hours."
)
QUOTE = "The shut-off head is 42 m at 2900 rpm."


class FakeClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Gate:
    """Holds a fake call until the test opens it or the call is cancelled."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.reached = threading.Event()
        self.cancelled = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        if not self.opened.wait(20):
            raise TimeoutError("The test never opened the gate.")
        if self.cancelled.is_set():
            raise Cancelled("Stopped.")

    def cancel(self) -> None:
        self.cancelled.set()
        self.opened.set()


def fake_document(number: int = 1, name: str = MANUAL) -> Document:
    return Document(
        id=number,
        name=name,
        title=name,
        source=f"/media/{name}",
        digest="0" * 64,
        size=120_000,
        pages=3,
        chunks=12,
        added=datetime(2026, 3, 4, 9, 30, tzinfo=UTC),
    )


def fake_passage(
    n: int = 1, *, text: str = TEXT, document: str = MANUAL, heading: str = "Data > Head"
) -> Passage:
    return Passage(
        chunk=n,
        document_id=1,
        document=document,
        page=n + 1,
        heading=heading,
        lead="",
        text=text,
        start=0,
        score=round(0.95 - 0.1 * n, 2),
        found_by=(("words", "vectors"), ("words",), ("vectors",))[n % 3],
    )


def fake_evidence(passage: Passage, quote: str = QUOTE, *, n: int = 1) -> Evidence:
    start = passage.text.index(quote)
    return Evidence(n, start, start + len(quote), quote, passage.document, passage.page, passage.heading, 0.9)


def fake_answer(
    question: str,
    passages: tuple[Passage, ...],
    *,
    text: str = "The shut-off head is 42 m at 2900 rpm [1].",
    quote: str = QUOTE,
    unsupported: tuple[str, ...] = (),
    abstained: bool = False,
) -> Answer:
    first = passages[0]
    citation = Citation(1, first.document, first.page, first.heading, quote, supported=True)
    return Answer(
        question=question,
        answer="" if abstained else text,
        abstained=abstained,
        citations=() if abstained else (citation,),
        passages=passages,
        unsupported=unsupported,
        timings=Timings(4.0, 6.0, 2.0, 84.0, None if abstained else 1250.0, 8100.0),
        tokens=Tokens() if abstained else Tokens(700, 48),
        models=Models("fake", None, "fake"),
        verdict=Verdict("balanced", 0.12 if abstained else 0.93, 0.31),
    )


@dataclass
class FakeClient:
    """The facade with canned events. `gates[call]` makes a call wait, `errors[call]` makes it fail."""

    passages: tuple[Passage, ...] = field(
        default_factory=lambda: tuple(fake_passage(n) for n in (1, 2, 3, 4))
    )
    library: list[Document] = field(default_factory=lambda: [fake_document()])
    page_texts: tuple[str, ...] = ("Contents", "Safety first.", "x", f"Head.\n\n{TEXT}")
    draft: tuple[str, ...] = ("The shut-off ", "head is 42 m ", "at 2900 rpm [1].")
    unsupported: tuple[str, ...] = ()
    abstains: bool = False
    searched_for: str | None = None
    mark: tuple[int, int] | None = None
    chosen: tuple[int, int] | None = None
    files: tuple[FileResult, ...] = (
        FileResult("/media/usb/a.pdf", "ok", 3, 12),
        FileResult("/media/usb/b.pdf", "failed", reason="needs a password"),
    )
    gates: dict[str, Gate] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    secrets: list[bytearray] = field(default_factory=list)
    weaker: list[bool] = field(default_factory=list)
    in_flight: str | None = None

    def _enter(self, call: str) -> None:
        self.calls.append(call)
        self.in_flight = call
        if call in self.gates:
            self.gates[call].wait()
        if call in self.errors:
            raise self.errors[call]

    def unlock(self, vault: str, secret: Secret, *, accept_weaker: bool = False) -> None:
        self.secrets.append(secret.words)
        self.weaker.append(accept_weaker)
        self._enter("unlock")
        if bytes(secret.words) != PASSPHRASE:
            raise WrongSecret(f"No slot of {vault} opens.")

    def ask(
        self,
        question: str,
        *,
        passages: int = PASSAGES,
        generate: bool = True,
        level: Level | None = None,
    ) -> Iterator[Event]:
        self._enter("ask")
        shown = self.passages[:passages]
        yield Retrieved(shown)
        if not self.abstains:
            first = shown[0]
            quote = QUOTE if QUOTE in first.text else first.text
            yield EvidenceFound(replace(fake_evidence(first, quote), mark=self.mark))
            for number, text in enumerate(self.draft if generate else ()):
                self._enter(f"delta {number}")
                yield Delta(text)
        self._enter("answer")
        given = fake_answer(question, shown, unsupported=self.unsupported, abstained=self.abstains)
        if self.chosen is not None:
            given = replace(given, evidence=replace(fake_evidence(shown[0]), mark=self.chosen))
        yield Answered(replace(given, searched_for=self.searched_for))

    def add(self, paths: Sequence[Path]) -> Iterator[Event]:
        self._enter("add")
        for number, result in enumerate(self.files):
            yield Progress(number, len(self.files), 12 * number, result.path, 90.0 - 10 * number)
            self._enter(f"file {number}")
            yield FileDone(result)
        self.library.append(fake_document(2, "a.pdf"))
        yield Added(self.files, 3.5, 41.0)

    def documents(self) -> tuple[Document, ...]:
        self._enter("documents")
        return tuple(self.library)

    def pages(self, document_id: int) -> tuple[DocumentPage, ...]:
        self._enter("pages")
        document = next(each for each in self.library if each.id == document_id)
        return tuple(DocumentPage(document, n, text) for n, text in enumerate(self.page_texts, start=1))

    def remove(self, document_id: int) -> None:
        self._enter("remove")
        self.library = [each for each in self.library if each.id != document_id]

    def verify(self, *, full: bool) -> Iterator[Checking | Report]:
        self._enter(f"verify full={full}")
        yield Checking("pages", 1, 2)
        yield Report((Check("store", ok=True, detail="every page authentic"),))

    def doctor(self) -> Report:
        self._enter("doctor")
        return Report(
            (Check("sandbox", ok=True, detail="Landlock 6"), Check("swap", ok=False, detail="plain"))
        )

    def cancel(self) -> None:
        self.calls.append("cancel")
        for gate in self.gates.values():
            gate.cancel()

    def lock(self) -> None:
        self._enter("lock")

    def close(self) -> None:
        self.calls.append("close")
        self.cancel()


class FakeEncoder:
    """Words hashed into a vector: texts that share words are near, the same text is always the same."""

    name = ENCODER
    dimensions = 384

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return unit rows, shape (len(texts), 384)."""
        self.batches.append(len(texts))
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in ["", *re.findall(r"\w+", text.lower())]:
                row[zlib.crc32(word.encode()) % self.dimensions] += 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return words and two special tokens."""
        return [len(re.findall(r"\w+", text)) + 2 for text in texts]


class FakeGenerator:
    """Writes the draft it was given, a word a token."""

    def __init__(
        self, draft: str = f"{QUOTE} [1]", *, context: int = 2048, brief: bool = False, sure: float = 0.9
    ) -> None:
        self.name = "fake-generator"
        self.context = context
        self.brief = brief
        self.usage = Tokens()
        self.sure = 0.0
        self._sure = sure
        self.prompts: list[Prompt] = []
        self.closed = False
        self._draft = draft

    def count(self, text: str) -> int:
        return len(text.split())

    def stream(self, prompt: Prompt, *, max_tokens: int, stop: threading.Event) -> Iterator[str]:
        self.prompts.append(prompt)
        self.usage = Tokens(prompt=self.count(prompt.system) + self.count(prompt.user))
        self.sure = self._sure if prompt.choices else 0.0
        short = [each for each in prompt.choices if self.count(each[0]) < max_tokens]
        said = "" if prompt.choices else self._draft
        if short:
            said = f"{max(short, key=lambda each: each[1])[0]} [{prompt.shown[0]}]"
        for piece in re.findall(r"\s*\S+", said)[:max_tokens]:
            if stop.is_set():
                return
            self.usage = Tokens(self.usage.prompt, self.usage.output + 1)
            yield piece

    def close(self) -> None:
        self.closed = True
