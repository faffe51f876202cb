"""Drafts and vectors -> an encrypted store that holds them whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from appliance import durable
from appliance.errors import StoreDamaged, UsageError, VaultBusy, VaultExists
from appliance.secret import wipe
from appliance.types import Check, Chunk, Document, Draft, Matrix
from appliance.vault.access.keys import Clock, DataKey
from appliance.vault.database import rows, schema
from appliance.vault.database.engine import PAGE_BYTES, Database
from appliance.vault.library import Library, check_vectors
from appliance.vault.seal import checks, copying
from appliance.vault.seal.anchor import Anchor
from appliance.vault.seal.checks import Progress, nothing
from appliance.vault.seal.ledger import Sealed
from appliance.vault.seal.macs import Sealer
from appliance.vault.seal.sealing import Sealing

FILE: Final = "store.db"
LOCK: Final = "write.lock"
ANCHOR: Final = "anchor"


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
    return _opened(folder, key, clock, begin=Store.open)


def open_store(folder: Path, key: DataKey, *, clock: Clock, suffix: str = "") -> Store:
    """Open the store in `folder`; a rewrite builds one there whose files' names end with `suffix`.

    Raises:
        StoreDamaged: it is missing, not of this key, or damaged.
        RolledBack: it is not in the state that its anchor knows, or parts of it are not.
        UsageError: a newer program wrote it.
    """
    _check_file(folder, key, suffix)
    return _opened(folder, key, clock, suffix, begin=Store.open)


def seal_anew(folder: Path, key: DataKey, *, clock: Clock, suffix: str = "") -> Store:
    """Open a store as `open_store` does, whatever its seal says, and seal all that it holds under `key`.

    For a store that was just written from one that was verified. Its sequence goes on after what the store
    and the anchor had.

    Raises:
        StoreDamaged: it is missing, not of this key, or damaged.
    """
    _check_file(folder, key, suffix)
    return _opened(folder, key, clock, suffix, begin=Store.seal_anew)


def reanchor(folder: Path, key: DataKey, *, clock: Clock) -> Store:
    """Open a store that `open_store` calls rolled back, and accept its present state as the newest.

    The way out where somebody put back an older copy on purpose, or where the anchor was lost. What the store
    holds is taken for true: only its pages' authenticity and its own consistency can still be checked. The
    words index is built anew from the text. The caller lets the key holder decide, and records it.

    Raises:
        StoreDamaged: it is missing, not of this key, or its parts do not agree with each other.
    """
    durable.set_aside(folder / ANCHOR)
    _check_file(folder, key)
    return _opened(folder, key, clock, begin=Store.reanchor)


def _check_file(folder: Path, key: DataKey, suffix: str = "") -> None:
    path = folder / f"{FILE}{suffix}"
    for end in ("-wal", "-shm"):
        # A folder in its place would keep the owner out.
        durable.set_aside(path.with_name(f"{path.name}{end}"))
    if not path.is_file():
        raise StoreDamaged(f"The store of the vault {folder.name!r} is missing.")
    with path.open("rb") as file:
        # AEGIS and ChaCha20 do not look at these bytes when the key is given: nobody else would see a change.
        if file.read(16) != bytes(key.page_salt()):
            raise StoreDamaged("The store does not belong to this key file, or its first bytes were changed.")
    _complete_last_page(path, folder / LOCK)


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


def _opened(
    folder: Path, key: DataKey, clock: Clock, suffix: str = "", *, begin: Callable[[Store], None]
) -> Store:
    path, anchor = folder / f"{FILE}{suffix}", folder / f"{ANCHOR}{suffix}"
    page_key, salt, tree_key = key.page_key(), key.page_salt(), key.tree_key()
    try:
        database = Database(path, cipher=key.cipher, key=page_key, salt=salt)
        sealer = Sealer(tree_key, key.vault)
    finally:
        wipe(page_key)
        wipe(tree_key)
    store = Store(path, database, Sealing(database, sealer, Anchor(anchor, sealer)), clock=clock)
    try:
        begin(store)
    except BaseException:
        store.close()
        raise
    return store


class Store(Library):
    """Everything one vault holds, to read and to write; one process writes at a time."""

    def __init__(self, path: Path, database: Database, sealing: Sealing, *, clock: Clock) -> None:
        super().__init__(database, sealing)
        self._sealing = sealing
        self._path = path
        self._clock = clock
        self._held = 0
        self._descriptor = -1
        self._beside: Callable[[], Iterable[Check]] = tuple
        self._afterwards: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Bring an older store up to date, and hold its head against the anchor.

        Raises:
            RolledBack: it is not what was stored last.
            UsageError: a newer program wrote it.
        """
        self._migrate()
        with self._sealing.reading():
            pass
        if self._sealing.undecided():  # a writer was killed, or is at it: then it will settle it
            with contextlib.suppress(VaultBusy), self.writing():
                self._sealing.settle(self._path.with_name(f"{self._path.name}-wal"))

    def seal_anew(self) -> None:
        """Bring an older store up to date and seal all that it holds, whatever its seal says."""
        self._migrate()
        self.reseal()

    def reseal(self) -> None:
        """Make every leaf, node, sum and the head anew from what the store holds, right or wrong."""
        with self.writing(), self._sealing.sealing_all():
            pass

    def reanchor(self) -> None:
        """Accept the store as it is for the newest, if it agrees with itself; build the words index anew.

        Raises:
            StoreDamaged: its parts do not agree with each other.
        """
        with self.writing():
            self._migrate()
            with self._sealing.sealing_all(judge=self._judge):
                self._database.run("INSERT INTO words (words) VALUES ('rebuild')")

    def _judge(self) -> None:
        wrong = [check.name for check in checks.inside(self._database, self._sealing) if not check.ok]
        if wrong:
            raise StoreDamaged(f"The store does not agree with itself: {', '.join(wrong)}.")

    def copy_to(self, path: Path, key: DataKey, *, tick: Callable[[], None]) -> str:
        """Write all that is stored now as the file `path` under `key`; return its content digest, verified.

        `seal_anew` has to follow: the copy's seals are still this vault's. `tick` is called now and then.

        Raises:
            RolledBack, StoreDamaged: the copy is not what was stored.
            StorageFull: no room.
        """
        return copying.copy(self._database, self._sealing, path, key, tick=tick)

    @property
    def vault(self) -> bytes:
        """The vault's random 16-byte id; no secret."""
        return self._sealing.vault

    def close_also(self, afterwards: Callable[[], None]) -> None:
        """Have `close` end with `afterwards`: the opener lets go of the vault."""
        self._afterwards = afterwards

    def close(self) -> None:
        """Close the store; the object is of no further use."""
        super().close()
        afterwards, self._afterwards = self._afterwards, lambda: None
        afterwards()

    def check_also(self, beside: Callable[[], Iterable[Check]]) -> None:
        """Have `check` begin with `beside`: what lies by the store, and only its opener can judge."""
        self._beside = beside

    def check(self, *, full: bool, progress: Progress = nothing) -> Iterator[Check]:
        """Yield what was looked at and what was found, beside the store and in it.

        `progress` is told a check's name, how much of it is done, and of how much.
        """
        yield from self._beside()
        yield from super().check(full=full, progress=progress)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the vault's write lock; nests. Every writing method takes it for itself where it is not held.

        Raises:
            VaultBusy: another process holds it.
        """
        if not self._held:
            self._descriptor = _locked(self._path.with_name(LOCK))
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
        fingerprint = rows.fingerprint(draft, model)
        with self._change():
            pending = next((found for found in self._of("pending") if found.source == draft.source), None)
            if pending is not None and pending.fingerprint == fingerprint:
                return Resume(pending.id, self._stored(pending.id))
            if pending is not None:
                self._erase(pending.id)
            added = self._clock()
            number = rows.insert(self._database, draft, model=model, fingerprint=fingerprint, added=added)
            self._sealing.added(number)
            return Resume(number, 0)

    def append(self, document_id: int, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Store the next `chunks` with their unit `vectors`, shape (n, 384), in one durable transaction.

        Raises:
            UsageError: not a pending document, not its next chunks, or not that many unit vectors.
            VaultBusy, StorageFull: nothing of it was stored.
        """
        check_vectors(vectors, len(chunks))
        with self._change():
            self._check_next(document_id, chunks)
            self._sealing.trust_words()
            unit = np.ascontiguousarray(vectors, dtype="<f4")
            ids = rows.append(self._database, document_id, chunks=chunks, vectors=unit)
            self._sealing.appended(document_id, ids=ids, chunks=chunks, vectors=unit)

    def finish(self, document_id: int) -> Document:
        """Make a pending document ready and erase the older version of its source, in one transaction.

        Raises:
            UsageError: not a pending document, or chunks are missing.
        """
        with self._change():
            pending = self._pending(document_id)
            if self._stored(document_id) != pending.chunks:
                raise UsageError(f"Document {document_id} is not complete.")
            older = self.by_source(pending.source)
            if older is not None:
                self._erase(older.id)
            self._database.run("UPDATE document SET state = 'ready' WHERE id = ?", (document_id,))
            self._sealing.finished(document_id)
        if older is not None:
            self._database.checkpoint()
        return self.document(document_id)

    def discard(self, document_id: int) -> None:
        """Erase a pending document; a ready one or none is left as it is."""
        self._remove(document_id, {"pending"})

    def remove(self, document_id: int) -> None:
        """Erase a document: rows, terms, vectors, free pages, log. None of that id is no error."""
        self._remove(document_id, {"pending", "ready"})

    def set_setting(self, key: str, value: str) -> None:
        """Keep a setting inside the vault."""
        with self._change():
            self._database.run("INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)", (key, value))
            self._sealing.set(key, value)

    # Below here nothing is public.

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self.writing(), self._sealing.changing():
            yield

    def _migrate(self) -> None:
        """Bring an older schema up to date; take the write lock only where there is something to do.

        Raises:
            RolledBack: the store is from before there were seals, and its anchor knows a newer one.
            UsageError: a newer program wrote it.
        """
        if schema.version(self._database) != len(schema.MIGRATIONS):
            with self.writing():
                schema.migrate(self._database, self._migrating)

    def _migrating(self, number: int) -> AbstractContextManager[None]:
        if number < schema.SEALED:
            return self._database.writing()
        if number == schema.SEALED:
            self._sealing.check_unsealed()
            return self._sealing.sealing_all()
        return self._sealing.changing()

    def _pending(self, document_id: int) -> Sealed:
        sealed = self._sealing.document(document_id)
        if sealed is None or sealed.state != "pending":
            raise UsageError(f"Document {document_id} is not being added.")
        return sealed

    def _stored(self, document_id: int) -> int:
        return len(self._sealing.leaves(document_id).entries)

    def _check_next(self, document_id: int, chunks: Sequence[Chunk]) -> None:
        expected = self._pending(document_id).chunks
        done = self._stored(document_id)
        if [chunk.ordinal for chunk in chunks] != list(range(done, done + len(chunks))):
            raise UsageError(f"These are not the next chunks of document {document_id}: {done} are stored.")
        if done + len(chunks) > expected:
            raise UsageError(f"Document {document_id} has only {expected} chunks.")

    def _remove(self, document_id: int, states: Collection[str]) -> None:
        with self._change():
            known = self._sealing.document(document_id)
            if known is not None and known.state in states:
                self._erase(document_id)
        # Even where it was gone: the program may have been killed between the erasure and this.
        self._database.checkpoint()

    def _erase(self, document_id: int) -> None:
        self._sealing.trust_words()
        self._sealing.chunks_of(document_id)  # taking out the terms of another text would spoil the index
        rows.erase(self._database, document_id, chunks=self._stored(document_id))
        self._sealing.erased(document_id)


def _locked(path: Path) -> int:
    try:
        durable.set_aside(path)
        descriptor = durable.open_regular(path, os.O_RDWR | os.O_CREAT)
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
