"""An open store -> documents, ranked chunk ids, passages: all that a reader may do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from appliance.errors import StoreDamaged, UsageError
from appliance.types import Check, Document, DocumentPage, Hit, Matrix, Passage, Vector
from appliance.vault import checks, schema
from appliance.vault.coarse import CoarseIndex
from appliance.vault.engine import Database, Row

COARSE: Final = 256
_MAX_PHRASES: Final = 256
_DOCUMENT: Final = "id, name, title, source, digest, size, chunks, added, lost, flags"
_PAGES: Final = "(SELECT nullif(count(*), 0) FROM page WHERE page.document = document.id)"
_LISTED: Final = "(SELECT value FROM json_each(?))"


class Library:
    """The reading half of a vault. For one thread at a time; other processes may read and write meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._coarse: tuple[tuple[int, int], CoarseIndex] | None = None

    def close(self) -> None:
        """Close the store; the object is of no further use."""
        self._coarse = None
        self._database.close()

    # Documents

    def documents(self) -> tuple[Document, ...]:
        """Return all ready documents in the order in which they were added."""
        return self._documents("state = 'ready' ORDER BY id", ())

    def unfinished(self) -> tuple[Document, ...]:
        """Return the documents whose adding was interrupted: nothing searches them, `remove` erases them."""
        return self._documents("state = 'pending' ORDER BY id", ())

    def document(self, document_id: int) -> Document:
        """Return one ready document.

        Raises:
            UsageError: there is none of that id.
        """
        found = self._documents("id = ? AND state = 'ready'", (document_id,))
        if not found:
            raise UsageError(
                f"There is no document {document_id}.", hint="`appliance list` shows what there is."
            )
        return found[0]

    def by_source(self, source: str) -> Document | None:
        """Return the ready document from `source`, None where there is none."""
        return next(iter(self._documents("source = ? AND state = 'ready'", (source,))), None)

    def by_digest(self, digest: str) -> Document | None:
        """Return the first ready document with the file hash `digest` (hex), None where there is none."""
        return next(iter(self._documents("digest = ? AND state = 'ready' ORDER BY id", (digest,))), None)

    def text(self, document_id: int) -> str:
        """Return a ready document's canonical text.

        Raises:
            UsageError: there is none of that id.
        """
        self.document(document_id)
        return str(self._database.value("SELECT text FROM document WHERE id = ?", (document_id,)))

    def pages(self, document_id: int) -> tuple[DocumentPage, ...]:
        """Return a ready document's text by pages; one page with `page` None where the format has none.

        Raises:
            UsageError: there is none of that id.
        """
        with self._database.reading():
            document, text = self.document(document_id), self.text(document_id)
            query = "SELECT start FROM page WHERE document = ? ORDER BY number"
            starts = [start for (start,) in self._database.rows(query, (document_id,))]
        if not starts:
            return (DocumentPage(document, None, text),)
        ends = [*starts[1:], len(text)]
        return tuple(
            DocumentPage(document, number, text[start:end])
            for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
        )

    # Searching

    def chunk_count(self) -> int:
        """Return the number of chunks of ready documents."""
        return int(self._database.value("SELECT ifnull(sum(chunks), 0) FROM document WHERE state = 'ready'"))

    def analyse(self, text: str) -> list[str]:
        """Split `text` into the words the index knows: folded, not stemmed.

        Stemming twice is not stemming once, so it is left to `match` and `document_frequency`.
        """
        return self._database.words(text)

    def document_frequency(self, terms: Sequence[str]) -> dict[str, int]:
        """Return for each of `terms` in how many chunks it occurs, in any inflection.

        A term that is several words to the index counts as its rarest; one that is none counts 0.
        """
        return {term: self._frequency(term) for term in terms}

    def match(self, query: Sequence[Sequence[str]], limit: int) -> list[tuple[int, float]]:
        """Return up to `limit` (chunk id, score), best first, of chunks with at least one of the phrases.

        A phrase is a sequence of words in a row. The score is BM25 with the context (title, headings)
        weighing twice; higher is better. Nothing in a word is syntax.
        """
        phrases = [phrase for phrase in (_quoted(words) for words in query[:_MAX_PHRASES]) if phrase]
        if not phrases or limit < 1:
            return []
        rows = self._database.rows(
            """
            SELECT rowid, -rank FROM words
            WHERE words MATCH ? AND rowid NOT IN (
                SELECT chunk.id FROM chunk JOIN document ON document.id = chunk.document
                WHERE document.state = 'pending')
            ORDER BY rank LIMIT ?
            """,
            (" OR ".join(phrases), limit),
        )
        return [(int(chunk), float(score)) for chunk, score in rows]

    def nearest(self, vector: Vector, limit: int, *, coarse: int = COARSE) -> list[tuple[int, float]]:
        """Return up to `limit` (chunk id, cosine similarity), best first, for a unit `vector`, shape (384,).

        Two passes: the `coarse` nearest by the signs alone, then those by their full vectors.

        Raises:
            UsageError: not a finite unit vector of 384 dimensions.
        """
        check_vectors(np.asarray(vector)[None, :], 1)
        with self._database.reading():
            candidates = self._signs().nearest(vector, max(coarse, limit))
            found = self._vectors(candidates)
        if not found or limit < 1:
            return []
        ids = np.fromiter(found, dtype=np.int64)
        scores = np.clip(np.stack(list(found.values())) @ vector, -1.0, 1.0)
        order = np.lexsort((ids, -scores))[:limit]
        return [(int(ids[i]), float(scores[i])) for i in order]

    def vectors(self, chunk_ids: Sequence[int]) -> Matrix:
        """Return the unit vectors of `chunk_ids` in their order, shape (n, 384).

        Raises:
            UsageError: one of them is not there.
        """
        with self._database.reading():
            found = self._vectors(chunk_ids)
        if any(chunk not in found for chunk in chunk_ids):
            raise UsageError("One of these chunks is not in the vault.")
        return np.array([found[chunk] for chunk in chunk_ids], dtype=np.float32).reshape(
            -1, schema.DIMENSIONS
        )

    def passages(self, hits: Sequence[Hit]) -> tuple[Passage, ...]:
        """Return what the hits point at, in their order; a chunk removed meanwhile is left out."""
        rows = self._database.rows(
            f"""
            SELECT chunk.id, document.id, document.name, chunk.page, chunk.heading, chunk.lead, chunk.text,
                   chunk.start
            FROM chunk JOIN document ON document.id = chunk.document
            WHERE chunk.id IN {_LISTED} AND document.state = 'ready'
            """,  # noqa: S608
            (_list(hit.chunk for hit in hits),),
        )
        found = {row[0]: row for row in rows}
        return tuple(_passage(found[hit.chunk], hit) for hit in hits if hit.chunk in found)

    def neighbours(self, chunk_id: int) -> tuple[int, ...]:
        """Return the ids of the chunks just before and after in the same document, in that order."""
        rows = self._database.rows(
            """
            SELECT other.id FROM chunk JOIN chunk AS other ON other.document = chunk.document
            WHERE chunk.id = ? AND abs(other.ordinal - chunk.ordinal) = 1 ORDER BY other.ordinal
            """,
            (chunk_id,),
        )
        return tuple(found for (found,) in rows)

    # Settings and health

    def setting(self, key: str) -> str | None:
        """Return a setting kept inside the vault, None where there is none."""
        row = self._database.row("SELECT value FROM setting WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def check(self, *, full: bool) -> Iterator[Check]:
        """Yield what was looked at and what was found: the counts; with `full` every page and row."""
        yield from checks.run(self._database, full=full)

    # Below here nothing is public.

    def _documents(self, where: str, values: Sequence[object]) -> tuple[Document, ...]:
        rows = self._database.rows(f"SELECT {_DOCUMENT}, {_PAGES} FROM document WHERE {where}", values)  # noqa: S608
        return tuple(_document(row) for row in rows)

    def _frequency(self, term: str) -> int:
        rows = [
            self._database.row("SELECT doc FROM term WHERE term = ?", (stem,))
            for stem in self._database.stems(term)
        ]
        return min((0 if row is None else int(row[0]) for row in rows), default=0)

    def _vectors(self, chunk_ids: Sequence[int]) -> dict[int, Vector]:
        # A cross join keeps the order: one point read for each id, where IN would scan the whole table.
        rows = self._database.rows(
            "SELECT v.id, v.value FROM json_each(?) AS wanted CROSS JOIN vector AS v ON v.id = wanted.value",
            (_list(chunk_ids),),
        )
        return {chunk: np.frombuffer(value, dtype="<f4") for chunk, value in rows}

    def _signs(self) -> CoarseIndex:
        """Return the coarse index, read anew where anyone has changed the store since."""
        now = self._database.changes()
        if self._coarse is None or self._coarse[0] != now:
            self._coarse = (now, _read_signs(self._database))
        return self._coarse[1]


def _read_signs(database: Database) -> CoarseIndex:
    """Read vec0's bit column a block at a time: 20 ms for 100k chunks, not one query for each."""
    rows = database.rows(
        """
        SELECT block.rowids, block.validity, bits.vectors
        FROM vector_chunks AS block JOIN vector_vector_chunks00 AS bits ON bits.rowid = block.chunk_id
        """
    )
    pending = database.rows(
        """
        SELECT chunk.id FROM chunk JOIN document ON document.id = chunk.document
        WHERE document.state = 'pending'
        """
    )
    ids = np.frombuffer(b"".join(row[0] for row in rows), dtype="<i8")
    used = np.unpackbits(np.frombuffer(b"".join(row[1] for row in rows), dtype=np.uint8), bitorder="little")
    bits = np.frombuffer(b"".join(row[2] for row in rows), dtype=np.uint8).reshape(-1, schema.DIMENSIONS // 8)
    if not len(ids) == len(used) == len(bits):
        raise StoreDamaged("The vectors' index does not agree with itself.")
    wanted = used.astype(bool) & ~np.isin(ids, np.array([chunk for (chunk,) in pending], dtype=np.int64))
    return CoarseIndex(ids[wanted], np.ascontiguousarray(bits[wanted]))


def check_vectors(vectors: Matrix, count: int) -> None:
    """Check that these are `count` unit vectors.

    Raises:
        UsageError: they are not.
    """
    if vectors.shape != (count, schema.DIMENSIONS) or vectors.dtype != np.float32:
        raise UsageError(f"{count} vectors of {schema.DIMENSIONS} float32 are needed, not {vectors.shape}.")
    if not checks.are_unit(vectors):
        raise UsageError("The vectors must be finite and of length 1.")


def _document(row: Row) -> Document:
    document_id, name, title, source, digest, size, chunks, added, lost, flags, pages = row
    return Document(
        id=document_id,
        name=name,
        title=title,
        source=source,
        digest=digest,
        size=size,
        pages=pages,
        chunks=chunks,
        added=datetime.fromisoformat(added),
        lost=tuple(json.loads(lost)),
        flags=tuple(json.loads(flags)),
    )


def _passage(row: Row, hit: Hit) -> Passage:
    chunk, document_id, document, page, heading, lead, text, start = row
    return Passage(
        chunk, document_id, document, page, heading, lead, text, start, score=hit.score, found_by=hit.found_by
    )


def _list(ids: Iterable[int]) -> str:
    return json.dumps([int(number) for number in ids])


def _quoted(words: Sequence[str]) -> str:
    """Return the words as one FTS5 string: inside quotes nothing is an operator, a column or a wildcard."""
    phrase = " ".join(words).replace("\0", " ").replace('"', '""').strip()
    return f'"{phrase}"' if phrase else ""
