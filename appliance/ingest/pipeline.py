"""Paths -> documents in the store, with one honest line about every file.

A second thread looks ahead: it hashes and parses the next files while this one embeds and stores. A document
is stored in batches, each durable when it returns, and shows only when the last has arrived: a run that was
killed goes on with the first batch that is missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import NoText, ParseError
from appliance.ingest.ahead import LookAhead, Parse, Seen
from appliance.ingest.chunk import chunks
from appliance.ingest.walk import Found, found, readable, unique
from appliance.types import (
    Added,
    Chunk,
    Document,
    Draft,
    Event,
    FileDone,
    FileResult,
    FileStatus,
    Matrix,
    Progress,
    chunk_input,
)
from appliance.vault.store import Store

if TYPE_CHECKING:  # loading the engine takes a third of a second, which a thread spends beside the key
    from appliance.embed import Encoder

BATCH = 64
"""Chunks in one durable write: what a kill can cost."""
_SHORT, _LONG, _SHARE = 5.0, 60.0, 20
"""Seconds before time is judged: the less, if a twentieth of the bytes is done; the more, however few are."""
_STEP = 16
"""Chunks embedded between two looks at the stop event; neighbours in length, so that little is padding."""


@dataclass(slots=True)
class _Tally:
    """How far the run is: `bytes` of the files that came to their end, `chunks` embedded, `names` taken.

    `begun` are the names of unfinished documents, by their source; they are taken too. `total` is the bytes
    of all: added up once, for a medium may hold a million files.
    """

    began: float
    files: tuple[Found, ...]
    total: int
    names: set[str]
    begun: dict[str, str]
    results: list[FileResult] = field(default_factory=list)
    chunks: int = 0
    bytes: int = 0

    def progress(self, item: Found, *, now: float, share: float) -> Progress:
        """Report; `share` of `item` is done, and what is left is judged by the bytes so far."""
        done = self.bytes + share * item.size
        spent = now - self.began
        # The first files may be tiny, and what each costs whatever its size says nothing of the large ones.
        enough = spent >= _LONG or (spent >= _SHORT and done * _SHARE >= self.total)
        eta = max(spent * (self.total - done) / done, 0.0) if done and enough else None
        return Progress(len(self.results), len(self.files), self.chunks, item.name, eta)

    def name(self, item: Found) -> str:
        """Take a name for `item` that no other document has; one that was begun keeps its own."""
        if item.source in self.begun:
            return self.begun[item.source]
        name = unique(item, self.names.__contains__)
        self.names.add(name)
        return name

    def close(self, item: Found, result: FileResult) -> FileDone:
        """Count the file as done."""
        self.results.append(result)
        self.bytes += item.size
        return FileDone(result)


class Ingest:
    """Adds files to a store. `parse` is called from a second thread; `clock` gives seconds."""

    def __init__(self, store: Store, encoder: Encoder, parse: Parse, clock: Callable[[], float]) -> None:
        self._store = store
        self._encoder = encoder
        self._parse = parse
        self._clock = clock

    def add(self, paths: Sequence[Path], *, stop: threading.Event) -> Iterator[Event]:
        """Add every visible file under `paths`; yield Progress and FileDone, and Added at the end.

        The caller holds `store.writing()`. A file that cannot be read is reported and stops nothing.

        Raises:
            Cancelled: `stop` was set; every batch that was stored stays.
            StorageFull: no room left; the same holds.
            IntegrityError: the store is damaged.
        """
        documents = self._store.documents()
        hidden: list[Path] = []
        files = found(paths, hidden=hidden)
        unfinished = self._store.unfinished()  # listed and removed by name like any other
        names = {document.name for document in (*documents, *unfinished)}
        begun = {document.source: document.name for document in unfinished}
        tally = _Tally(self._clock(), files, sum(file.size for file in files), names, begun)
        own = (document for document in documents if document.model == self._encoder.name)
        known = frozenset((document.size, document.digest) for document in own)
        ahead = LookAhead(tally.files, parse=self._parse, known=known, stop=stop)
        with ahead:
            for item in tally.files:
                yield tally.progress(item, now=self._clock(), share=0.0)
                outcome = self._read(item, ahead, tally)
                if isinstance(outcome, Draft):
                    outcome = yield from self._keep(item, outcome, tally, ahead)
                yield tally.close(item, outcome)
        seconds = self._clock() - tally.began
        rate = tally.chunks / seconds if seconds > 0 else 0.0
        yield Added(tuple(tally.results), seconds, rate, hidden=len(set(hidden)))

    def _read(self, item: Found, ahead: LookAhead, tally: _Tally) -> Draft | FileResult:
        """Return what is to be stored of a file, or the line about it where nothing is."""
        if item.problem:
            return FileResult(item.source, "failed", reason=item.problem)
        try:
            seen = ahead.next()
            if seen.parsed is None and self._stored(seen.digest) is None:
                seen = ahead.parse(item)  # it was stored when the run began, under a name replaced since
        except (ParseError, OSError) as error:
            return self._failure(item, error)
        return self._same(item, seen.digest) or self._draft(item, seen, tally)

    def _failure(self, item: Found, error: ParseError | OSError) -> FileResult:
        reason = (
            error.message if isinstance(error, ParseError) else f"{error.strerror or 'It cannot be read'}."
        )
        if self._store.by_source(item.source) is not None:
            reason += " The version that was added before stays."
        return FileResult(item.source, "no-text" if isinstance(error, NoText) else "failed", reason=reason)

    def _same(self, item: Found, digest: str) -> FileResult | None:
        """Return the line for a file whose content is stored already, None for any other.

        What another encoder embedded is not: its vectors are compared with no question's any more.
        """
        before = self._store.by_source(item.source)
        if before is not None and (before.digest, before.model) == (digest, self._encoder.name):
            return _duplicate(item, before, "unchanged")
        other = self._stored(digest)
        if other is None:
            return None
        if before is None:
            return _duplicate(item, other, f"The same content as {other.name}.")
        # What the old version says stands in the file no longer.
        self._store.remove(before.id)
        return _duplicate(
            item, other, f"Now the same content as {other.name}; its older version was removed."
        )

    def _stored(self, digest: str) -> Document | None:
        return self._store.by_digest(digest, self._encoder.name)

    def _draft(self, item: Found, seen: Seen, tally: _Tally) -> Draft | FileResult:
        parsed = seen.parsed
        text, page_starts, pieces = chunks(parsed) if parsed else ("", (), ())
        if parsed is None or not pieces:
            return self._failure(item, NoText("It holds no text."))
        if not _is_unicode(text):
            return self._failure(item, ParseError("Its text is not Unicode."))
        before = self._store.by_source(item.source)
        return Draft(
            source=item.source,
            name=before.name if before else tally.name(item),
            title=readable(parsed.title),
            digest=seen.digest,
            size=seen.size,
            text=text,
            page_starts=page_starts,
            chunks=pieces,
            lost=parsed.lost,
            flags=parsed.flags,
        )

    def _keep(
        self, item: Found, draft: Draft, tally: _Tally, ahead: LookAhead
    ) -> Generator[Event, None, FileResult]:
        """Embed and store what is missing of `draft`, batch by batch."""
        resume = self._store.begin(draft, model=self._encoder.name)
        for first in range(resume.done, len(draft.chunks), BATCH):
            batch = draft.chunks[first : first + BATCH]
            self._store.append(resume.document_id, batch, self._embed(batch, draft.title, ahead))
            tally.chunks += len(batch)
            share = (first + len(batch)) / len(draft.chunks)
            yield tally.progress(item, now=self._clock(), share=share)
        self._store.finish(resume.document_id)
        status: FileStatus = "partial" if draft.lost else "ok"
        pages = len(draft.page_starts) or None
        return FileResult(item.source, status, pages, len(draft.chunks), _remarks(draft))

    def _embed(self, batch: Sequence[Chunk], title: str, ahead: LookAhead) -> Matrix:
        texts = [chunk_input(chunk, title) for chunk in batch]
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        rows: list[Matrix] = []
        for first in range(0, len(order), _STEP):
            ahead.check()
            rows.append(self._encoder.encode([texts[index] for index in order[first : first + _STEP]]))
        vectors = np.concatenate(rows)
        return vectors[np.argsort(order)]


def _remarks(draft: Draft) -> str:
    """Return what the user is told of a document that was stored: what was lost, what looks hidden in it."""
    flagged = f"flagged: {', '.join(draft.flags)}" if draft.flags else ""
    return "; ".join(part for part in (*draft.lost, flagged) if part)


def _duplicate(item: Found, document: Document, reason: str) -> FileResult:
    return FileResult(item.source, "duplicate", document.pages, document.chunks, reason)


def _is_unicode(text: str) -> bool:
    """Tell whether the text can be stored: lone surrogates, which some formats can smuggle in, cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
