"""Changes to a store -> leaves, nodes, a new head, and the anchor told before and after each commit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from appliance.errors import RolledBack
from appliance.types import Chunk, Matrix
from appliance.vault.database.coarse import quantize
from appliance.vault.database.engine import Change, Database
from appliance.vault.seal.anchor import UNSEALED, Anchor, State
from appliance.vault.seal.ledger import COLUMNS, ENTRY, WORDS_TABLES, Leaves, Ledger, Sealed
from appliance.vault.seal.macs import Sealer, add

_BLOCK: Final = 256
"""Chunks in a block where a whole document is sealed at once; else a block is what was appended at once."""

_Measured = tuple[int, Chunk, bytes, bytes]
_Kept = tuple[State | None, bytes, dict[int, bytes], dict[str, str], dict[int, Sealed], dict[int, Leaves]]


def _content() -> None:
    """Find nothing wrong."""


class Sealing(Ledger):
    """The writing half of the seal. Only who holds the vault's write lock may change anything."""

    def __init__(self, database: Database, sealer: Sealer, anchor: Anchor) -> None:
        super().__init__(database, sealer, anchor)
        self._sum = 0
        self._unread: set[tuple[str, int]] = set()
        database.watch(WORDS_TABLES, self._seen)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Make what happens inside one durable transaction with a new head, all of it or nothing.

        The anchor is told of the new state before the commit, and afterwards that it is the only one. Where
        the commit fails, the anchor keeps knowing both: a write-ahead log whose fsync failed may still be
        taken for whole after a crash.

        Raises:
            RolledBack: the store is not in a state that the anchor knows.
            VaultBusy, StorageFull: nothing was changed.
        """
        before = self._anchor.read()
        with self._all_or_nothing(), self._database.writing():
            if self._follow(before) is not None or self.state not in before.states:
                raise RolledBack("The anchor does not know the state the store is in.")
            changes = self._database.changes()
            yield
            new = self.state if self._database.changes() == changes else self._seal()
            if new != self.state:
                others = [state for state in before.states if state != self.state]
                self._anchor.write([*others, self.state, new])
        self._settled(new)

    @contextmanager
    def sealing_all(self, *, judge: Callable[[], None] = _content) -> Iterator[None]:
        """Seal all that the store holds, right or wrong, after what happens inside, unless `judge` raises.

        Its sequence goes on after whatever the store or the anchor had.
        """
        known = self._anchor.read().states if any(self._anchor.slots()) else (UNSEALED,)
        with self._all_or_nothing(), self._database.writing():
            yield
            before = self._database.row("SELECT sequence, head FROM head")
            states = (*known, State(*before)) if before is not None else known
            self._seal_all()
            judge()
            new = self._write_head(max(state.sequence for state in states) + 1)
            self._anchor.write([*states, new])
        self._settled(new)

    def check_unsealed(self) -> None:
        """Check that the store may be one without seals.

        Raises:
            RolledBack: the anchor knows a sealed one.
        """
        if self._anchor.exists() and UNSEALED not in self._anchor.read().states:
            raise RolledBack("The store is from before it was sealed, and its anchor knows a newer one.")

    def undecided(self) -> bool:
        """Tell whether the anchor knows more than one state that the store may be in."""
        return len(self._anchor.read().states) > 1

    def settle(self, written: Path) -> None:
        """Tell the anchor which of several states it is, once `written`, the store's log, is on the disk."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(written, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # A log that only the page cache holds may go with the power, and the anchor would outlive it.
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        with self.reading():
            self._anchor.write([self.state])

    # What was done to the tables is told here, inside `changing`.

    def added(self, number: int) -> None:
        """Seal a new document that has no chunks yet."""
        self._store(self._measured(number))
        self._leaves[number] = Leaves(np.zeros(0, ENTRY), ())

    def appended(self, number: int, *, ids: Sequence[int], chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Seal chunks that were put at the end of a document, with their unit vectors, shape (n, 384)."""
        rows = zip(ids, chunks, vectors, quantize(vectors), strict=True)
        self._seal_block(number, [(i, c, bits.tobytes(), row.tobytes()) for i, c, row, bits in rows])

    def finished(self, number: int) -> None:
        """Seal that a document is ready."""
        self._store(self._known(number)._replace(state="ready"))

    def erased(self, number: int) -> None:
        """Forget a document; its seal and leaves went with its row."""
        for kept in (self._nodes, self._documents, self._leaves):
            kept.pop(number, None)

    def set(self, key: str, value: str) -> None:
        """Seal a setting."""
        self._settings[key] = value

    # Below here nothing is public.

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Trust again what was trusted before where the transaction inside is given up."""
        kept = self._kept()
        self._forget_changes()
        try:
            yield
        except BaseException:
            self._state, self._words, self._nodes, self._settings, self._documents, self._leaves = kept
            self._index = None
            self._generation += 1
            raise

    def _kept(self) -> _Kept:
        settings, documents = dict(self._settings), dict(self._documents)
        return self._state, self._words, dict(self._nodes), settings, documents, dict(self._leaves)

    def _settled(self, new: State) -> None:
        if new != self._state:
            self._trust(new)
            self._anchor.write([new])

    def _known(self, number: int) -> Sealed:
        sealed = self.document(number)
        if sealed is None:
            raise RolledBack("A document has no seal.")
        return sealed

    def _seen(self, change: Change) -> None:
        """Keep the sum of the words index: what goes is taken off, what comes is added.

        A row changed in place shows only what it was. What it became is read before the sum is stored, unless
        the row changes again: then both are the same and fall out.
        """
        row = (change.table, change.rowid)
        if change.before is not None and row not in self._unread:
            self._sum -= self._sealer.row(change.table, change.before)
        self._unread.discard(row)
        if change.in_place:
            self._unread.add(row)
        elif change.after is not None:
            self._sum += self._sealer.row(change.table, change.after)

    def _forget_changes(self) -> None:
        self._sum = 0
        self._unread.clear()

    def _seal(self) -> State:
        self._database.run(_FLUSH)
        for table, rowid in sorted(self._unread):
            for values in self._database.rows(f"SELECT * FROM {table} WHERE rowid = ?", (rowid,)):  # noqa: S608
                self._sum += self._sealer.row(table, values)
        self._words = add(self._words, self._sum)
        self._forget_changes()
        return self._write_head(self.state.sequence + 1)

    def _write_head(self, sequence: int) -> State:
        head = self._head(sequence, nodes=self._nodes, settings=self._settings, words=self._words)
        self._database.run(
            "INSERT OR REPLACE INTO head (id, sequence, head, words) VALUES (1, ?, ?, ?)",
            (sequence, head, self._words),
        )
        return State(sequence, head)

    def _store(self, sealed: Sealed) -> None:
        node = self._sealer.mac("document", *sealed)
        self._database.run(
            """
            INSERT OR REPLACE INTO seal (document, page_count, text_mac, pages_mac, blocks, node)
            VALUES (?, ?, ?, ?, ?, ?)
            """,
            (sealed.id, sealed.page_count, sealed.text, sealed.pages, sealed.blocks, node),
        )
        self._nodes[sealed.id] = node
        self._documents[sealed.id] = sealed

    def _seal_block(self, number: int, rows: Sequence[_Measured]) -> None:
        """Put leaves for (id, chunk, signs, vector) after those that the document has."""
        entries = np.zeros(len(rows), ENTRY)
        for at, (chunk_id, chunk, _, value) in enumerate(rows):
            entries["id"][at] = chunk_id
            entries["text"][at] = np.frombuffer(self._chunk(number, chunk_id, chunk), np.uint8)
            entries["vector"][at] = np.frombuffer(self._sealer.vector(chunk_id, value), np.uint8)
        signs = self._sealer.mac("signs", number, b"".join(row[2] for row in rows))
        old, sealed = self.leaves(number), self._known(number)
        block = (number, len(old.blocks), entries.tobytes(), signs)
        self._database.run("INSERT INTO leaf (document, number, entries, signs) VALUES (?, ?, ?, ?)", block)
        together = np.concatenate([old.entries, entries])
        self._leaves[number] = Leaves(together, (*old.blocks, (len(entries), signs)))
        self._store(sealed._replace(blocks=sealed.blocks + self._sealer.mac("leaves", *block)))
        self._index = None

    def _chunk(self, number: int, chunk_id: int, chunk: Chunk) -> bytes:
        return self._sealer.mac(
            "chunk",
            *(chunk_id, number, chunk.ordinal, chunk.start, chunk.end),
            *(chunk.page, chunk.heading, chunk.lead, chunk.text),
        )

    def _measured(self, number: int) -> Sealed:
        """Return a document as its tables hold it now, unverified and without leaves."""
        (row,) = self._database.rows(f"SELECT {COLUMNS}, text FROM document WHERE id = ?", (number,))  # noqa: S608
        pages = self._database.rows("SELECT start FROM page WHERE document = ? ORDER BY number", (number,))
        starts = [start for (start,) in pages]
        text = self._sealer.mac("text", number, row[-1])
        pages_mac = self._sealer.mac("pages", number, *starts)
        return Sealed._make((*row[:-1], len(starts), text, pages_mac, b""))

    def _seal_all(self) -> None:
        self._nodes, self._documents, self._leaves = {}, {}, {}
        self._settings = dict(self._database.rows("SELECT key, value FROM setting"))
        self._database.run("DELETE FROM leaf")
        self._database.run("DELETE FROM seal")
        for (number,) in self._database.rows("SELECT id FROM document ORDER BY id"):
            self.added(number)
            rows = self._database.rows(_CHUNKS, (number,))
            for first in range(0, len(rows), _BLOCK):
                block = rows[first : first + _BLOCK]
                self._seal_block(number, [(row[0], Chunk(*row[1:8]), row[8], row[9]) for row in block])
        self._database.run(_FLUSH)
        self._words = self._words_sum()


# FTS5 would otherwise write the last of its rows during the commit, behind the head's back.
_FLUSH: Final = "INSERT INTO words (words) VALUES ('flush')"
_CHUNKS: Final = """
    SELECT chunk.id, ordinal, start, "end", page, heading, lead, text, vector.bits, vector.value
    FROM chunk CROSS JOIN vector ON vector.id = chunk.id WHERE chunk.document = ? ORDER BY ordinal
"""
