"""What of a store is trusted: a head that the anchor knows, and all that hangs from it.

Nothing read from the database is believed before it agrees with the head, a node or a leaf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from appliance.errors import RolledBack, UsageError, VaultBusy
from appliance.types import Chunk, Vector
from appliance.vault.database import schema
from appliance.vault.database.engine import Database
from appliance.vault.seal.anchor import Anchor, Record, State
from appliance.vault.seal.macs import LEAF_BYTES, MAC_BYTES, Sealer, Value, add

WORDS_TABLES: Final = ("words_data", "words_idx", "words_docsize", "words_config")
_TRIES: Final = 1000
_SINGLY: Final = 32
"""Up to so many documents are read one by one, more in one query for all."""
Entries = npt.NDArray[np.void]
ENTRY: Final = np.dtype([("id", "<i8"), ("text", "u1", LEAF_BYTES), ("vector", "u1", LEAF_BYTES)])
"""What a block of leaves holds for each chunk."""
Signs = npt.NDArray[np.uint8]
_Anything = TypeVar("_Anything")


class Sealed(NamedTuple):
    """A document's row but for its text, and the MACs of what belongs to it; its node is over all of this."""

    id: int
    state: str
    source: str
    name: str
    title: str
    digest: str
    size: int
    model: str
    chunks: int
    added: str
    lost: str
    flags: str
    fingerprint: bytes
    page_count: int
    text: bytes
    pages: bytes
    blocks: bytes
    """The MACs of its blocks of leaves, one after the other."""


class Leaves(NamedTuple):
    """A document's chunks in their order: ids and leaves; and of each block its size and its signs' MAC."""

    entries: Entries
    blocks: tuple[tuple[int, bytes], ...]


class Index(NamedTuple):
    """The leaves of all documents by ascending chunk id, and the document of each."""

    ids: npt.NDArray[np.int64]
    entries: Entries
    documents: npt.NDArray[np.int64]


class Ledger:
    """The trusted view of one database. Another process's commits are followed when they are seen."""

    def __init__(self, database: Database, sealer: Sealer, anchor: Anchor) -> None:
        self._database = database
        self._sealer = sealer
        self._anchor = anchor
        self._state: State | None = None
        self._words = bytes(MAC_BYTES)
        self._words_trusted = False
        self._nodes: dict[int, bytes] = {}
        self._settings: dict[str, str] = {}
        self._documents: dict[int, Sealed] = {}
        self._leaves: dict[int, Leaves] = {}
        self._index: Index | None = None
        self._generation = 0

    # Following the store

    @property
    def state(self) -> State:
        """The sequence and head that everything is held against."""
        if self._state is None:
            raise UsageError("The store was not opened.")
        return self._state

    @property
    def vault(self) -> bytes:
        """The vault's random 16-byte id; no secret."""
        return self._sealer.vault

    @property
    def generation(self) -> int:
        """A number that differs whenever anything trusted has changed."""
        return self._generation

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let all that is read inside come from one moment that the anchor vouches for; nests.

        Raises:
            RolledBack: the store is in a state that the anchor does not know.
        """
        if self._database.in_transaction:
            yield
            return
        with ExitStack() as snapshot:
            seen: Record | None = None
            for _ in range(_TRIES):
                snapshot.enter_context(self._database.reading())
                seen = self._follow(seen)
                if seen is None:
                    break
                snapshot.close()
            else:
                raise VaultBusy("Another process is writing to the vault without a pause.")
            yield

    def _follow(self, before: Record | None) -> Record | None:
        """Trust the open snapshot; return the anchor's record where another process may just be in between.

        `before` is what the anchor said before the snapshot was taken, None where nobody looked. Where it
        says the same afterwards, nobody was in between.
        """
        state = self._stored()
        if state == self._state:
            return None
        now = self._anchor.read()
        if state in now.states:
            self._adopt(state)
            return None
        if now == before:
            raise RolledBack(_older_or_newer(state, now))
        return now

    def _stored(self) -> State:
        row = self._database.row("SELECT sequence, head FROM head")
        if row is None:
            raise RolledBack("The store has lost its head.")
        return State(*row)

    def _adopt(self, state: State) -> None:
        """Trust what the snapshot holds if it adds up to the head that the anchor knows."""
        if self._state is not None and state.sequence < self._state.sequence:
            raise RolledBack("The store went back to an older state while it was open.")
        words = bytes(self._database.value("SELECT words FROM head"))
        nodes: dict[int, bytes] = dict(self._database.rows("SELECT document, node FROM seal"))
        settings: dict[str, str] = dict(self._database.rows("SELECT key, value FROM setting"))
        if self._head(state.sequence, nodes=nodes, settings=settings, words=words) != state.head:
            raise RolledBack("The store's documents and settings are not all of one moment.")
        kept = {number for number, node in nodes.items() if self._nodes.get(number) == node}
        self._documents = _only(self._documents, kept)
        self._leaves = _only(self._leaves, kept)
        self._nodes, self._settings, self._words = nodes, settings, words
        self._trust(state)

    def _trust(self, state: State) -> None:
        self._state = state
        self._index = None
        self._generation += 1

    def _head(
        self, sequence: int, *, nodes: Mapping[int, bytes], settings: Mapping[str, str], words: bytes
    ) -> bytes:
        listed: list[Value] = [item for pair in sorted(settings.items()) for item in pair]
        counters = self._database.rows("SELECT name, seq FROM sqlite_sequence ORDER BY name")
        parts: list[Value] = [schema.version(self._database), self._sealer.mac("settings", *listed), words]
        parts += [item for pair in counters for item in pair]
        return self._sealer.head(sequence, parts=parts, nodes=nodes)

    # What is trusted

    def setting(self, key: str) -> str | None:
        """Return a setting, None where there is none."""
        return self._settings.get(key)

    def settings(self) -> dict[str, str]:
        """Return all settings."""
        return dict(self._settings)

    def document(self, number: int) -> Sealed | None:
        """Return a document by id, pending ones too, None where there is none."""
        if number not in self._nodes:
            return None
        if number not in self._documents:
            self._read_documents([number])
        return self._documents[number]

    def documents(self) -> list[Sealed]:
        """Return all documents by ascending id, pending ones too."""
        missing = [number for number in self._nodes if number not in self._documents]
        if missing:
            self._read_documents(missing)
        return [self._documents[number] for number in sorted(self._nodes)]

    def leaves(self, number: int) -> Leaves:
        """Return the leaves of the document `number`, which must be there."""
        if number not in self._leaves:
            sealed = self.document(number)
            if sealed is None:
                raise UsageError(f"There is no document {number}.")
            rows = self._database.rows(_BLOCKS, (number,))
            self._leaves[number] = self._checked_leaves(sealed, rows)
        return self._leaves[number]

    def index(self) -> Index:
        """Return the leaves of all documents."""
        if self._index is None:
            self._read_leaves()
            numbers = sorted(self._nodes)
            every = [self._leaves[number].entries for number in numbers]
            entries = np.concatenate([np.zeros(0, ENTRY), *every])
            owners = np.repeat(np.array(numbers, dtype=np.int64), [len(found) for found in every])
            order = np.argsort(entries["id"], kind="stable")
            self._index = Index(entries["id"][order].astype(np.int64), entries[order], owners[order])
        return self._index

    def place(self, chunk: int) -> int | None:
        """Return where a chunk is in the index, None where the store holds none of that id."""
        ids = self.index().ids
        at = int(np.searchsorted(ids, chunk))
        return at if at < len(ids) and ids[at] == chunk else None

    def owner(self, chunk: int) -> int | None:
        """Return the id of the document of a chunk, None where the store holds no such chunk."""
        at = self.place(chunk)
        return None if at is None else int(self.index().documents[at])

    def leaf(self, chunk: int) -> bytes | None:
        """Return the leaf of a chunk's text, None where there is none of that id."""
        at = self.place(chunk)
        return None if at is None else bytes(self.index().entries["text"][at])

    # What is read is held against it

    def text(self, number: int) -> str:
        """Return the text of the document `number`, which must be there."""
        sealed = _there(self.document(number))
        row = self._database.row("SELECT text FROM document WHERE id = ?", (number,))
        if row is None or self._sealer.mac("text", number, row[0]) != sealed.text:
            raise RolledBack("A document's text is not the one that was stored last.")
        return str(row[0])

    def starts(self, number: int) -> list[int]:
        """Return where the pages of the document `number` begin in its text."""
        sealed = _there(self.document(number))
        rows = self._database.rows("SELECT start FROM page WHERE document = ? ORDER BY number", (number,))
        starts = [start for (start,) in rows]
        if self._sealer.mac("pages", number, *starts) != sealed.pages:
            raise RolledBack("A document's pages are not those that were stored last.")
        return starts

    def chunks(self, chunk_ids: Sequence[int]) -> dict[int, tuple[int, Chunk]]:
        """Return (document, chunk) for each of `chunk_ids` that the store holds."""
        rows = self._database.rows(_LISTED_CHUNKS, (listed(chunk_ids),))
        found = {row[0]: (row[1], Chunk(*row[2:])) for row in rows if self._is_text(row)}
        self._all_there(chunk_ids, found)
        return found

    def chunks_of(self, number: int) -> list[tuple[int, Chunk]]:
        """Return (id, chunk) for all chunks of the document `number`, in their order."""
        rows = self._database.rows(f"{_CHUNK} WHERE document = ? ORDER BY ordinal", (number,))
        wanted = [int(found) for found in self.leaves(number).entries["id"]]
        if [row[0] for row in rows] != wanted or not all(self._is_text(row) for row in rows):
            raise RolledBack("A document's chunks are not those that were stored last.")
        return [(row[0], Chunk(*row[2:])) for row in rows]

    def vectors(self, chunk_ids: Sequence[int]) -> dict[int, Vector]:
        """Return the vectors of those of `chunk_ids` that the store holds."""
        # A cross join keeps the order: one point read for each id, where IN would scan the whole table.
        rows = self._database.rows(
            "SELECT v.id, v.value FROM json_each(?) AS wanted CROSS JOIN vector AS v ON v.id = wanted.value",
            (listed(chunk_ids),),
        )
        wanted = self._vector_leaves([chunk for chunk, _ in rows])
        if b"".join(self._sealer.vector(chunk, value) for chunk, value in rows) != wanted:
            raise RolledBack("A vector is not the one that was stored last.")
        found: dict[int, Vector] = {chunk: np.frombuffer(value, dtype="<f4") for chunk, value in rows}
        self._all_there(chunk_ids, found)
        return found

    def check_signs(self, number: int, signs: Signs) -> None:
        """Hold the signs of all chunks of a document, in their order, shape (n, 48), against its leaves."""
        at = 0
        for count, mac in self.leaves(number).blocks:
            if self._sealer.mac("signs", number, signs[at : at + count].tobytes()) != mac:
                raise RolledBack("The signs of a document's vectors are not those that were stored last.")
            at += count

    def anchored(self) -> bool:
        """Tell whether the anchor knows the trusted state now."""
        return self.state in self._anchor.read().states

    def trust_words(self) -> None:
        """Read the whole words index and hold it against its sum, unless that was done since the opening."""
        if not self._words_trusted:
            self.check_words()

    def check_words(self) -> None:
        """Read the whole words index and hold it against its sum."""
        if self._words_sum() != self._words:
            raise RolledBack("The words index is not the one that was stored last.")
        self._words_trusted = True

    # Below here nothing is public.

    def _words_sum(self) -> bytes:
        total, row = 0, self._sealer.row
        for table in WORDS_TABLES:
            for values in self._database.each(f"SELECT * FROM {table}"):  # noqa: S608
                total += row(table, values)
        return add(bytes(MAC_BYTES), total)

    def _vector_leaves(self, chunk_ids: Sequence[int]) -> bytes:
        """Return the vectors' leaves one after the other; a chunk that the store does not hold has none."""
        index, ids = self.index(), np.array(chunk_ids, dtype=np.int64)
        at = np.searchsorted(index.ids, ids)
        known = at < len(index.ids)
        known[known] = index.ids[at[known]] == ids[known]
        return index.entries["vector"][at[known]].tobytes()

    def _is_text(self, row: Sequence[Any]) -> bool:
        """Tell whether a chunk is as it was stored; False where it was never stored."""
        at = self.place(row[0])
        if at is None:
            raise RolledBack("There is a chunk in the store that was removed.")
        if self._sealer.mac("chunk", *row) != self.index().entries["text"][at].tobytes():
            raise RolledBack("A chunk is not the one that was stored last.")
        return True

    def _all_there(self, chunk_ids: Sequence[int], found: Mapping[int, object]) -> None:
        for chunk in chunk_ids:
            if chunk not in found and self.place(chunk) is not None:
                raise RolledBack("A chunk is missing from the store.")

    def _read_documents(self, numbers: Sequence[int]) -> None:
        if len(numbers) <= _SINGLY:
            rows = [
                row for number in numbers for row in self._database.rows(f"{_SEALED} WHERE id = ?", (number,))
            ]
        else:
            rows = self._database.rows(_SEALED)
        found = {sealed.id: sealed for sealed in (Sealed(*row) for row in rows)}
        for number in numbers:
            if number not in found or self._sealer.mac("document", *found[number]) != self._nodes[number]:
                raise RolledBack("A document in the list is not as it was stored last.")
            self._documents[number] = found[number]

    def _read_leaves(self) -> None:
        missing = {sealed.id: sealed for sealed in self.documents() if sealed.id not in self._leaves}
        if len(missing) <= _SINGLY:
            for number in missing:
                self.leaves(number)
            return
        rows: dict[int, list[tuple[bytes, bytes]]] = {number: [] for number in missing}
        for number, entries, signs in self._database.rows(_ALL_BLOCKS):
            if number in rows:
                rows[number].append((entries, signs))
        for number, sealed in missing.items():
            self._leaves[number] = self._checked_leaves(sealed, rows[number])

    def _checked_leaves(self, sealed: Sealed, rows: Sequence[Sequence[bytes]]) -> Leaves:
        macs = [self._sealer.mac("leaves", sealed.id, at, *row) for at, row in enumerate(rows)]
        if b"".join(macs) != sealed.blocks:
            raise RolledBack("A document's seal is not the one that was stored last.")
        entries = np.frombuffer(b"".join(row[0] for row in rows), dtype=ENTRY)
        return Leaves(entries, tuple((len(row[0]) // ENTRY.itemsize, row[1]) for row in rows))


def listed(ids: Sequence[int]) -> str:
    """Return ids as JSON, for `json_each`."""
    return f"[{','.join(str(int(number)) for number in ids)}]"


def _only(kept: Mapping[int, _Anything], numbers: set[int]) -> dict[int, _Anything]:
    return {number: value for number, value in kept.items() if number in numbers}


def _there(sealed: Sealed | None) -> Sealed:
    if sealed is None:
        raise UsageError("There is no such document.")
    return sealed


def _older_or_newer(state: State, record: Record) -> str:
    known = max(known.sequence for known in record.states)
    how = "older than" if state.sequence < known else "newer than" if state.sequence > known else "not"
    return f"The store (sequence {state.sequence}) is {how} what its anchor knows (sequence {known})."


COLUMNS: Final = (
    "id, state, source, name, title, digest, size, model, chunks, added, lost, flags, fingerprint"
)
_SEALED: Final = f"""
    SELECT {COLUMNS}, page_count, text_mac, pages_mac, blocks
    FROM document JOIN seal ON seal.document = document.id
"""  # noqa: S608
_CHUNK: Final = 'SELECT id, document, ordinal, start, "end", page, heading, lead, text FROM chunk'
_LISTED_CHUNKS: Final = f"{_CHUNK} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608
_BLOCKS: Final = "SELECT entries, signs FROM leaf WHERE document = ? ORDER BY number"
_ALL_BLOCKS: Final = "SELECT document, entries, signs FROM leaf ORDER BY document, number"
