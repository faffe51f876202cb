"""The facade: ask, add, look, remove, verify -> events; the whole contract for every front end."""

from __future__ import annotations

import collections.abc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from appliance import models
from appliance.brevity import asks_for_more
from appliance.config import Config
from appliance.custody import attempt, now
from appliance.engines import Engines
from appliance.errors import AuditDamaged, Cancelled, GeneratorDied, NoRoom
from appliance.generate.brief import in_words, may_answer
from appliance.generate.check import Checked, PageOf, check, quoted, to_the_point
from appliance.generate.llm import Generator
from appliance.generate.prompt import compose, enough
from appliance.ingest.parse.nursery import Nursery, parse_file
from appliance.ingest.pipeline import Ingest
from appliance.journal import Journal
from appliance.retrieve.retriever import Retrieval, Retriever
from appliance.secret import Secret
from appliance.types import (
    PASSAGES,
    Answer,
    Answered,
    Check,
    Checking,
    Delta,
    Document,
    DocumentPage,
    Event,
    Evidence,
    EvidenceFound,
    Level,
    Models,
    Prompt,
    Report,
    Retrieved,
    Timings,
    Tokens,
)
from appliance.vault.access.keyfile import Cipher, Kdf
from appliance.vault.audit.reviewer import ReviewerPublic
from appliance.vault.folder import create_vault, open_vault, unlocked
from appliance.vault.store import Store, reanchor

UNFINISHED = "not finished: add it again to go on, or remove it"
_LOOK_S = 0.1
"""How often a stop is looked for while the generator loads."""
MAX_TOKENS = 96
"""Two sentences and their citations; what runs on is not an answer."""


class Assistant:
    """One open vault with the engines. One call at a time."""

    def __init__(self, store: Store, journal: Journal, engines: Engines) -> None:
        self._store = store
        self._journal = journal
        self._engines = engines

    @classmethod
    def create(
        cls, config: Config, name: str, secret: Secret, engines: Engines, *, cipher: Cipher, kdf: Kdf
    ) -> Self:
        """Make a vault, open it and wipe `secret`.

        Raises:
            VaultExists: there is one of that name.
        """
        folder = config.vault_folder(name)
        store = create_vault(folder, secret, clock=now, cipher=cipher, kdf=kdf)
        return cls._opened(config, folder, store, engines)

    @classmethod
    def unlock(
        cls,
        config: Config,
        name: str,
        secret: Secret,
        engines: Engines,
        *,
        stop: threading.Event,
        restored: bool = False,
    ) -> Self:
        """Open a vault and wipe `secret`; a wrong one is on record, and after several it takes longer.

        One that was just `restored` from a backup gets its log's state back.

        Raises:
            VaultMissing: there is none of that name.
            WrongSecret: the secret opens no slot.
            IntegrityError: the key file, the store or the log is not what was written.
            Cancelled: `stop` was set before the secret was tried.
        """
        folder = config.vault_folder(name)
        with attempt(folder, stop=stop):
            store = open_vault(folder, secret, clock=now)
        return cls._opened(config, folder, store, engines, restored=restored)

    @classmethod
    def repair(
        cls, config: Config, name: str, secret: Secret, engines: Engines, *, stop: threading.Event
    ) -> Self:
        """Open a vault whose store or log is not the one it knew last, and accept it as it is, on record.

        The way out after an older copy was put back, or where anchor or log were lost. `secret` is wiped.

        Raises:
            VaultMissing, WrongSecret: as unlocking does. VaultBusy: it is open somewhere.
            StoreDamaged: the store's parts do not agree with each other; nothing was changed.
        """
        folder, again = config.vault_folder(name), secret.copy()
        try:
            with attempt(folder, stop=stop) as log, unlocked(folder, secret, alone=True) as key:
                with suppress(AuditDamaged):  # it may be the log that is to be repaired
                    log.record("repair", "begun")
                reanchor(folder, key, clock=now).close()
            store = open_vault(folder, again, clock=now)  # others may have it open from here on
        finally:
            again.wipe()
        return cls._opened(config, folder, store, engines, accept=True)

    @classmethod
    def _opened(
        cls,
        config: Config,
        folder: Path,
        store: Store,
        engines: Engines,
        *,
        accept: bool = False,
        restored: bool = False,
    ) -> Self:
        try:
            journal = Journal.open(
                folder,
                store,
                clock=now,
                config=config.digest(),
                models=models.hashes(config.models, config.model_folders),
                accept=accept,
                restored=restored,
            )
            store.prepare()
            if engines.accept_weaker:
                journal.record("policy", "weaker sandbox accepted")
        except BaseException:
            store.close()
            raise
        return cls(store, journal, engines)

    def add_reviewer(self, public: ReviewerPublic) -> None:
        """Let a reviewer check the log's MACs and read its content from now on; they can read no document.

        Raises:
            UsageError: they are in already, or there are four.
        """
        self._journal.add_reviewer(public)

    def close(self) -> None:
        """Close the store, on record."""
        try:
            self._journal.close()
        finally:
            self._store.close()

    def ask(
        self,
        question: str,
        *,
        stop: threading.Event,
        passages: int = PASSAGES,
        generate: bool = True,
        level: Level = "balanced",
    ) -> Iterator[Event]:
        """Yield Retrieved, EvidenceFound, Delta..., Answered; an abstention has no evidence and no delta.

        At most `passages` are shown; without `generate` the quote is the answer; `level` is how much must
        speak for an answer.

        Raises:
            Cancelled: `stop` was set; it is honoured within a second.
            StorageFull, AuditDamaged: the question cannot be recorded, so it is not answered.
        """
        return self._journal.asking(
            question, self._asked(question, stop, passages=passages, generate=generate, level=level)
        )

    def _asked(
        self, question: str, stop: threading.Event, *, passages: int, generate: bool, level: Level
    ) -> Iterator[Event]:
        watch = Stopwatch()
        brief = generate and self._engines.brief()
        wanted = generate and not (brief and asks_for_more(question))
        generator = self._engines.generator() if wanted else None
        retriever = Retriever(self._store, self._engines.encoder(), self._engines.reader())
        found = retriever.retrieve(question, most=passages, level=level)
        yield Retrieved(found.passages)
        if found.evidence is None:
            yield Answered(self._answer(question, found, watch.timings(found), None, None))
            return
        watch.evidence()
        evidence = found.evidence
        yield EvidenceFound(evidence)
        if brief and not may_answer(question, found.passages, evidence):
            generator = None  # the quote answers, whatever it would take
        checked = quoted(found.passages, evidence)
        try:
            writer = _loaded(generator, stop) if generator else None
            if writer is not None:
                checked, evidence = yield from _written(
                    writer, question, found, evidence, page_of=retriever.page_of, watch=watch, stop=stop
                )
        except (GeneratorDied, NoRoom):
            writer = None  # the quote still answers; the next question starts a new cell
        _raise_if(stop)
        found = replace(found, evidence=evidence)
        yield Answered(self._answer(question, found, watch.timings(found), checked, writer))

    def add(self, paths: Sequence[Path], *, stop: threading.Event) -> Iterator[Event]:
        """Yield Progress and FileDone as files come to their end, and Added last.

        Raises:
            VaultBusy: another process is adding or removing.
            Cancelled: `stop` was set; what was committed stays.
            SandboxUnavailable: the kernel cannot confine the parsers.
            StorageFull: no room; what was committed stays.
        """
        with self._store.writing(), Nursery(stop=stop, accept_weaker=self._engines.accept_weaker) as nursery:
            ingest = Ingest(
                self._store, self._engines.encoder(), lambda path: parse_file(nursery, path), time.monotonic
            )
            yield from self._journal.adding(paths, ingest.add(paths, stop=stop))

    def documents(self) -> tuple[Document, ...]:
        """Return every document, and behind them those whose adding was interrupted, marked as such."""
        unfinished = (replace(item, lost=(UNFINISHED, *item.lost)) for item in self._store.unfinished())
        return (*self._store.documents(), *unfinished)

    def pages(self, document_id: int) -> tuple[DocumentPage, ...]:
        """Return the text of a document, page by page."""
        found = self._store.pages(document_id)
        self._journal.shown(found[0].document)
        return found

    def remove(self, document_id: int) -> None:
        """Erase a document and everything derived from it; one that is not there is no error."""
        known = [item for item in self.documents() if item.id == document_id]
        with self._store.writing(), ExitStack() as records:
            for document in known:
                records.enter_context(self._journal.removing(document))
            self._store.remove(document_id)

    def verify(self, *, full: bool, stop: threading.Event, tell: Callable[[Checking], None]) -> Report:
        """Check the store and the log; `full` reads every page, chunk and vector. `tell` hears how far it is.

        Raises:
            Cancelled: `stop` was set.
        """

        def progress(name: str, done: int, total: int) -> None:
            _raise_if(stop)
            tell(Checking(name, done, total))

        checks = [*self._store.check(full=full, progress=progress), *self._journal.check()]
        if full and all(check.ok for check in checks):
            # What scripts/verify_vault.py prints too, and rotating, converting and copying keep.
            checks.append(Check("content digest", ok=True, detail=self._store.content_digest()))
        report = Report(tuple(checks))
        self._journal.verified(report, full=full)
        return report

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
            verdict=found.verdict,
            evidence=found.evidence,
            searched_for=None if found.searched == question else found.searched,
            nearest=() if checked else found.nearest(),
        )

    def _models(self, writer: Generator | None) -> Models:
        reader = self._engines.reader()
        return Models(
            self._engines.encoder().name, reader.name if reader else None, writer.name if writer else None
        )


def _loaded(generator: Future[Generator | None], stop: threading.Event) -> Generator | None:
    """Wait for the generator, or for `stop`.

    Raises:
        Cancelled: `stop` was set; it goes on loading, for the next question.
        GeneratorDied: its process did not start.
    """
    while wait([generator], _LOOK_S).not_done:
        _raise_if(stop)
    return generator.result()


def _written(
    writer: Generator,
    question: str,
    found: Retrieval,
    evidence: Evidence,
    *,
    page_of: PageOf,
    watch: Stopwatch,
    stop: threading.Event,
) -> collections.abc.Generator[Event, None, tuple[Checked, Evidence]]:
    """Yield the draft's pieces; return what the check leaves of it, and the evidence for that.

    Raises:
        GeneratorDied: its process ended. NoRoom: its context is too small for the prompt.
    """
    prompt = compose(
        question,
        found.passages,
        evidence,
        telling=found.telling,
        count=writer.count,
        context=writer.context,
        brief=writer.brief,
    )
    draft = yield from _drafted(writer, prompt, watch=watch, stop=stop)
    checked = check(draft, found.passages, evidence, shown=prompt.shown, page_of=page_of)
    if writer.brief:
        return in_words(draft, checked, question, found.passages, evidence, sure=writer.sure)
    return to_the_point(checked, found.passages, evidence), evidence


def _drafted(
    writer: Generator, prompt: Prompt, *, watch: Stopwatch, stop: threading.Event
) -> collections.abc.Generator[Event, None, str]:
    """Yield the draft's pieces, and return it whole."""
    draft = ""
    for piece in writer.stream(prompt, max_tokens=MAX_TOKENS, stop=stop):
        watch.token()
        draft += piece
        yield Delta(piece)
        if enough(draft):
            break
    return draft


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


def _raise_if(stop: threading.Event) -> None:
    if stop.is_set():
        raise Cancelled("Stopped.")
