"""Drafts and vectors -> an encrypted store that holds them whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from appliance.errors import StoreDamaged, UsageError, VaultBusy, VaultExists
from appliance.types import Check, Chunk, Document, Draft, Matrix
from appliance.vault import schema
from appliance.vault.coarse import quantize
from appliance.vault.engine import PAGE_BYTES, Database
from appliance.vault.keyfile import wipe
from appliance.vault.keys import Clock, DataKey
from appliance.vault.library import Library, check_vectors

FILE: Final = "store.db"
LOCK: Final = "write.lock"
# Taking a row's terms out in place costs about 1.4 ms a row, rewriting the whole index about 3.5 us a row.
_REWRITE: Final = 400


@dataclass(frozen=True, slots=True)
class Resume:
    """Where to go on: `done` chunks of the pending document are stored durably, ordinals 0 to done - 1."""

    document_id: int
    done: int


def create_store(folder: Path, key: DataKey, *, clock: Clock) -> Store:
    """Make an empty store in `folder` and open it.

    Raises:
        VaultExists: there is a store already.
    """
    for name in (FILE, LOCK):
        try:
            # Before SQLite does, which would take the umask's mode; the log and its index follow the file's.
            os.close(os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            raise VaultExists("There is a store in this folder already.") from None
    return _open(folder, key, clock)


def open_store(folder: Path, key: DataKey, *, clock: Clock) -> Store:
    """Open the store in `folder`.

    Raises:
        StoreDamaged: it is missing, not of this key, or damaged.
        UsageError: a newer program wrote it.
    """
    path = folder / FILE
    if not path.is_file():
        raise StoreDamaged(f"The store of the vault {folder.name!r} is missing.")
    with path.open("rb") as file:
        # AEGIS and ChaCha20 do not look at these bytes when the key is given: nobody else would see a change.
        if file.read(16) != bytes(key.page_salt()):
            raise StoreDamaged("The store does not belong to this key file, or its first bytes were changed.")
    _complete_last_page(path, folder / LOCK)
    return _open(folder, key, clock)


def _complete_last_page(path: Path, lock: Path) -> None:
    """Fill a last page that is cut short with zeros, so that its MAC is looked at.

    The cipher layer hands out what is left of such a page as it lies there, undecrypted: an attacker could
    write text of his own. A power cut during a checkpoint may leave one too; then the log holds the page.
    """
    if path.stat().st_size % PAGE_BYTES == 0:
        return
    descriptor = _locked(lock)
    try:
        size = path.stat().st_size
        os.truncate(path, size + -size % PAGE_BYTES)
    finally:
        os.close(descriptor)


def _open(folder: Path, key: DataKey, clock: Clock) -> Store:
    page_key, salt = key.page_key(), key.page_salt()
    try:
        database = Database(folder / FILE, cipher=key.cipher, key=page_key, salt=salt)
    finally:
        wipe(page_key)
    store = Store(database, folder / LOCK, clock)
    try:
        store.migrate()
    except Exception:
        store.close()
        raise
    return store


class Store(Library):
    """Everything one vault holds, to read and to write; one process writes at a time."""

    def __init__(self, database: Database, lock: Path, clock: Clock) -> None:
        super().__init__(database)
        self._lock = lock
        self._clock = clock
        self._held = 0
        self._descriptor = -1
        self._beside: Callable[[], Iterable[Check]] = tuple

    def check_also(self, beside: Callable[[], Iterable[Check]]) -> None:
        """Have `check` begin with `beside`: what lies by the store, and only its opener can judge."""
        self._beside = beside

    def check(self, *, full: bool) -> Iterator[Check]:
        """Yield what was looked at and what was found, beside the store and in it."""
        yield from self._beside()
        yield from super().check(full=full)

    def migrate(self) -> None:
        """Bring an older schema up to date; take the write lock only where there is something to do.

        Raises:
            UsageError: a newer program wrote it.
        """
        if schema.version(self._database) == len(schema.MIGRATIONS):
            return
        with self.writing():
            schema.migrate(self._database)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the vault's write lock; nests. Every writing method takes it for itself where it is not held.

        Raises:
            VaultBusy: another process holds it.
        """
        if not self._held:
            self._descriptor = _locked(self._lock)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held:
                os.close(self._descriptor)

    def begin(self, draft: Draft, *, model: str) -> Resume:
        """Start storing `draft`, or go on with it where the very same draft was begun before.

        `model` names the encoder of the vectors to come. A pending draft of the same source that differs in
        anything is erased first. A ready version stays searchable until `finish`.

        Raises:
            UsageError: the draft cannot be stored (text that is not Unicode).
            VaultBusy, StorageFull: nothing was changed.
        """
        fingerprint = _fingerprint(draft, model)
        with self._change():
            pending = self._database.row(
                "SELECT id, fingerprint FROM document WHERE source = ? AND state = 'pending'", (draft.source,)
            )
            if pending is not None and pending[1] == fingerprint:
                return Resume(pending[0], self._stored(pending[0]))
            if pending is not None:
                self._erase(pending[0])
            return Resume(self._insert(draft, model, fingerprint), 0)

    def append(self, document_id: int, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Store the next `chunks` with their unit `vectors`, shape (n, 384), in one durable transaction.

        Raises:
            UsageError: not a pending document, not its next chunks, or not that many unit vectors.
            VaultBusy, StorageFull: nothing of it was stored.
        """
        check_vectors(vectors, len(chunks))
        with self._change():
            self._check_next(document_id, chunks)
            ids = [self._insert_chunk(document_id, chunk) for chunk in chunks]
            self._database.run_each(
                "INSERT INTO words (rowid, context, body) SELECT id, context, body FROM passage WHERE id = ?",
                [(chunk,) for chunk in ids],
            )
            rows = np.ascontiguousarray(vectors, dtype="<f4")
            self._database.run_each(
                "INSERT INTO vector (id, bits, value) VALUES (?, vec_bit(?), ?)",
                [(i, b.tobytes(), v.tobytes()) for i, b, v in zip(ids, quantize(rows), rows, strict=True)],
            )

    def finish(self, document_id: int) -> Document:
        """Make a pending document ready and erase the older version of its source, in one transaction.

        Raises:
            UsageError: not a pending document, or chunks are missing.
        """
        with self._change():
            source, expected = self._pending(document_id)
            if self._stored(document_id) != expected:
                raise UsageError(f"Document {document_id} is not complete.")
            older = self.by_source(source)
            if older is not None:
                self._erase(older.id)
            self._database.run("UPDATE document SET state = 'ready' WHERE id = ?", (document_id,))
        if older is not None:
            self._database.checkpoint()
        return self.document(document_id)

    def discard(self, document_id: int) -> None:
        """Erase a pending document; a ready one or none is left as it is."""
        self._remove(document_id, "id = ? AND state = 'pending'")

    def remove(self, document_id: int) -> None:
        """Erase a document: rows, terms, vectors, free pages, log. None of that id is no error."""
        self._remove(document_id, "id = ?")

    def set_setting(self, key: str, value: str) -> None:
        """Keep a setting inside the vault."""
        with self._change():
            self._database.run("INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)", (key, value))

    # Below here nothing is public.

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self.writing(), self._database.writing():
            yield

    def _pending(self, document_id: int) -> tuple[str, int]:
        row = self._database.row(
            "SELECT source, chunks FROM document WHERE id = ? AND state = 'pending'", (document_id,)
        )
        if row is None:
            raise UsageError(f"Document {document_id} is not being added.")
        return row[0], row[1]

    def _stored(self, document_id: int) -> int:
        return int(self._database.value("SELECT count(*) FROM chunk WHERE document = ?", (document_id,)))

    def _check_next(self, document_id: int, chunks: Sequence[Chunk]) -> None:
        _, expected = self._pending(document_id)
        done = self._stored(document_id)
        if [chunk.ordinal for chunk in chunks] != list(range(done, done + len(chunks))):
            raise UsageError(f"These are not the next chunks of document {document_id}: {done} are stored.")
        if done + len(chunks) > expected:
            raise UsageError(f"Document {document_id} has only {expected} chunks.")

    def _insert(self, draft: Draft, model: str, fingerprint: bytes) -> int:
        added = self._clock().isoformat()
        document_id = self._database.run(
            """
            INSERT INTO document (state, source, name, title, digest, size, model, chunks, added, lost, flags,
                                  fingerprint, text)
            VALUES ('pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                *(
                    draft.source,
                    draft.name,
                    draft.title,
                    draft.digest,
                    draft.size,
                    model,
                    len(draft.chunks),
                    added,
                ),
                *(json.dumps(draft.lost), json.dumps(draft.flags), fingerprint, draft.text),
            ),
        )
        self._database.run_each(
            "INSERT INTO page (document, number, start) VALUES (?, ?, ?)",
            [(document_id, number, start) for number, start in enumerate(draft.page_starts, 1)],
        )
        return document_id

    def _insert_chunk(self, document_id: int, chunk: Chunk) -> int:
        return self._database.run(
            """
            INSERT INTO chunk (document, ordinal, start, "end", page, heading, lead, text)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                *(document_id, chunk.ordinal, chunk.start, chunk.end),
                *(chunk.page, chunk.heading, chunk.lead, chunk.text),
            ),
        )

    def _remove(self, document_id: int, where: str) -> None:
        with self._change():
            known = self._database.row(f"SELECT id FROM document WHERE {where}", (document_id,))  # noqa: S608
            if known is not None:
                self._erase(document_id)
        # Even where it was gone: the program may have been killed between the erasure and this.
        self._database.checkpoint()

    def _erase(self, document_id: int) -> None:
        """Take a document out of both indexes and all tables; the terms first, they need its text."""
        self._erase_terms(document_id)
        self._database.run(
            "DELETE FROM vector WHERE id IN (SELECT id FROM chunk WHERE document = ?)", (document_id,)
        )
        self._database.run("DELETE FROM document WHERE id = ?", (document_id,))

    def _erase_terms(self, document_id: int) -> None:
        """Leave none of its terms in the words index: in place for a few rows, rewritten for many."""
        rewrite = self._stored(document_id) * _REWRITE > int(self._database.value(_ALL_CHUNKS))
        if rewrite:
            self._database.run("INSERT INTO words (words, rank) VALUES ('secure-delete', 0)")
        self._database.run(_DELETE_TERMS, (document_id,))
        if rewrite:
            self._database.run("INSERT INTO words (words) VALUES ('optimize')")
            self._database.run("INSERT INTO words (words, rank) VALUES ('secure-delete', 1)")


_ALL_CHUNKS: Final = "SELECT count(*) FROM chunk"
_DELETE_TERMS: Final = """
    INSERT INTO words (words, rowid, context, body)
    SELECT 'delete', passage.id, context, body
    FROM passage JOIN chunk ON chunk.id = passage.id WHERE chunk.document = ?
"""


def _locked(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(
            f"The vault cannot be locked for writing: {error.strerror}.",
            hint="Check the folder's permissions.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise VaultBusy("Another process is writing to the vault.") from None
    return descriptor


def _fingerprint(draft: Draft, model: str) -> bytes:
    try:
        return hashlib.sha256(json.dumps([asdict(draft), model], ensure_ascii=False).encode("utf-8")).digest()
    except UnicodeEncodeError:
        raise UsageError("The document's text is not Unicode and cannot be stored.") from None
