"""The facade: ask, add, look, remove, verify -> events; the whole contract for every front end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from appliance import models
from appliance.config import Config
from appliance.errors import Cancelled, ModelMissing
from appliance.generate.check import Checked, check, quoted, to_the_point
from appliance.generate.llm import Generator, LlamaGenerator
from appliance.generate.prompt import compose, enough
from appliance.ingest.parse.nursery import Nursery, parse_file
from appliance.ingest.pipeline import Ingest
from appliance.retrieve.reader import TrainedReader
from appliance.retrieve.retriever import Retrieval, Retriever
from appliance.types import (
    Answer,
    Answered,
    Delta,
    Document,
    DocumentPage,
    Event,
    EvidenceFound,
    Models,
    Report,
    Retrieved,
    Timings,
    Tokens,
)
from appliance.vault.folder import create_vault, open_vault
from appliance.vault.store import Store

if TYPE_CHECKING:  # loading the engine takes a third of a second, which a thread spends beside the key
    from appliance.embed import Encoder

UNFINISHED = "not finished: add it again to go on, or remove it"
MAX_TOKENS = 96
"""Two sentences and their citations; what runs on is not an answer."""


class Engines:
    """The models, each loaded once and only when wanted, in the background.

    The encoder is wanted by nearly every call and starts loading at once, while a passphrase is typed. The
    generator loads at the first question, beside the search, so that an `add` never pays for its memory.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="load")
        self._encoder = self._pool.submit(_load_encoder, config)
        self._reader = self._pool.submit(_load_reader, config)
        self._generator: Future[Generator | None] | None = None

    def encoder(self) -> Encoder:
        """Wait for the encoder.

        Raises:
            ModelMissing: it is not installed.
            ModelMismatch: its file is not the one its card names.
        """
        return self._encoder.result()

    def reader(self) -> TrainedReader | None:
        """Wait for the trained reader; None where none is configured or installed.

        Raises:
            ModelMismatch: its file is not the one its card names.
        """
        return self._reader.result()

    def generator(self) -> Future[Generator | None]:
        """Start loading the generator unless that was done; None where none is configured or installed."""
        if self._generator is None:
            self._generator = self._pool.submit(_load_generator, self._config)
        return self._generator


def _load_encoder(config: Config) -> Encoder:
    # Imported here: the ONNX runtime takes a third of a second, spent beside the key derivation this way.
    from appliance.embed import load

    return load(models.find(config.embedding, config.model_folders), threads=config.cores)


def _load_reader(config: Config) -> TrainedReader | None:
    if not config.reader:
        return None
    # Imported here for the same reason.
    from appliance.retrieve.cross import load

    try:
        found = models.find(config.reader, config.model_folders)
    except ModelMissing:
        return None  # sentences are ranked without it; the answer's `models` says that none is there
    return load(found, threads=config.cores)


def _load_generator(config: Config) -> Generator | None:
    if not config.generator:
        return None
    try:
        found = models.find(config.generator, config.model_folders)
    except ModelMissing:
        return None  # quotes alone still answer; `doctor` and the answer's `models` say that none is there
    return LlamaGenerator.load(found, threads=config.cores)


class Assistant:
    """One open vault with the engines. One call at a time."""

    def __init__(self, store: Store, engines: Engines) -> None:
        self._store = store
        self._engines = engines

    @classmethod
    def create(cls, config: Config, name: str, passphrase: bytearray, engines: Engines) -> Self:
        """Make a vault and open it.

        Raises:
            VaultExists: there is one of that name.
        """
        folder = config.vault_folder(name)
        return cls(create_vault(folder, passphrase, clock=_now), engines)

    @classmethod
    def unlock(cls, config: Config, name: str, passphrase: bytearray, engines: Engines) -> Self:
        """Open a vault.

        Raises:
            VaultMissing: there is none of that name.
            WrongSecret: the passphrase opens no slot.
            IntegrityError: the key file or the store is not what was written.
        """
        return cls(open_vault(config.vault_folder(name), passphrase, clock=_now), engines)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def ask(self, question: str, *, stop: threading.Event) -> Iterator[Event]:
        """Yield Retrieved, EvidenceFound, Delta..., Answered; an abstention has no evidence and no delta.

        Raises:
            Cancelled: `stop` was set; it is honoured within a second.
        """
        watch = Stopwatch()
        generator = self._engines.generator()
        retriever = Retriever(self._store, self._engines.encoder(), self._engines.reader())
        found = retriever.retrieve(question)
        yield Retrieved(found.passages)
        if found.evidence is None:
            yield Answered(self._answer(question, found, watch.timings(found), None, None))
            return
        watch.evidence()
        yield EvidenceFound(found.evidence)
        writer = generator.result()
        checked = quoted(found.passages, found.evidence)
        if writer is not None:
            draft = ""
            prompt = compose(
                question, found.passages, found.evidence, count=writer.count, context=writer.context
            )
            for piece in writer.stream(prompt, max_tokens=MAX_TOKENS, stop=stop):
                watch.token()
                draft += piece
                yield Delta(piece)
                if enough(draft):
                    break
            _raise_if(stop)
            drafted = check(
                draft, found.passages, found.evidence, shown=prompt.shown, page_of=retriever.page_of
            )
            checked = to_the_point(drafted, found.passages, found.evidence)
        yield Answered(self._answer(question, found, watch.timings(found), checked, writer))

    def add(self, paths: Sequence[Path], *, stop: threading.Event) -> Iterator[Event]:
        """Yield Progress and FileDone as files come to their end, and Added last.

        Raises:
            VaultBusy: another process is adding or removing.
            Cancelled: `stop` was set; what was committed stays.
            SandboxUnavailable: the kernel cannot confine the parsers.
            StorageFull: no room; what was committed stays.
        """
        with self._store.writing(), Nursery(stop=stop) as nursery:
            ingest = Ingest(
                self._store, self._engines.encoder(), lambda path: parse_file(nursery, path), time.monotonic
            )
            yield from ingest.add(paths, stop=stop)

    def documents(self) -> tuple[Document, ...]:
        """Return every document, and behind them those whose adding was interrupted, marked as such."""
        unfinished = (replace(item, lost=(UNFINISHED, *item.lost)) for item in self._store.unfinished())
        return (*self._store.documents(), *unfinished)

    def pages(self, document_id: int) -> tuple[DocumentPage, ...]:
        """Return the text of a document, page by page."""
        return self._store.pages(document_id)

    def remove(self, document_id: int) -> None:
        """Erase a document and everything derived from it."""
        with self._store.writing():
            self._store.remove(document_id)

    def verify(self, *, full: bool, stop: threading.Event) -> Report:
        """Check the store; `full` reads every page, chunk and vector."""
        checks = []
        for found in self._store.check(full=full):
            _raise_if(stop)
            checks.append(found)
        return Report(tuple(checks))

    def _answer(
        self,
        question: str,
        found: Retrieval,
        timings: Timings,
        checked: Checked | None,
        writer: Generator | None,
    ) -> Answer:
        return Answer(
            question=question,
            answer=checked.text if checked else "",
            abstained=checked is None,
            citations=checked.citations if checked else (),
            passages=found.passages,
            unsupported=checked.unsupported if checked else (),
            timings=timings,
            tokens=writer.usage if writer else Tokens(),
            models=self._models(writer),
        )

    def _models(self, writer: Generator | None) -> Models:
        reader = self._engines.reader()
        return Models(
            self._engines.encoder().name, reader.name if reader else None, writer.name if writer else None
        )


class Stopwatch:
    """Milliseconds since the question arrived."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._evidence: float | None = None
        self._token: float | None = None

    def evidence(self) -> None:
        """Note that the evidence is there."""
        self._evidence = self._elapsed()

    def token(self) -> None:
        """Note the first token."""
        self._token = self._token or self._elapsed()

    def timings(self, found: Retrieval) -> Timings:
        """Return all that is known by now; an abstention's evidence time is that of its verdict."""
        total = self._elapsed()
        evidence = self._evidence or total
        return replace(found.timings, first_evidence_ms=evidence, first_token_ms=self._token, total_ms=total)

    def _elapsed(self) -> float:
        return (time.perf_counter() - self._start) * 1000


def _now() -> datetime:
    return datetime.now(UTC)


def _raise_if(stop: threading.Event) -> None:
    if stop.is_set():
        raise Cancelled("Stopped.")
