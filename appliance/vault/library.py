"""An open store -> documents, ranked chunk ids, passages: all that a reader may do."""

from __future__ import annotations

import bisect
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.errors import IntegrityError, RolledBack, StoreDamaged, UsageError
from appliance.types import Check, Chunk, Document, DocumentPage, Hit, Matrix, Passage, Vector
from appliance.vault.database import rating, schema
from appliance.vault.database.coarse import Bits, CoarseIndex
from appliance.vault.database.engine import Database
from appliance.vault.seal import checks, contents
from appliance.vault.seal.checks import Progress, nothing
from appliance.vault.seal.ledger import Ledger, Sealed, listed

COARSE: Final = 256
_MAX_PHRASES: Final = 256


class Library:
    """The reading half of a vault. For one thread at a time; other processes may read and write meanwhile."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger
        self._coarse: tuple[int, CoarseIndex] | None = None

    def close(self) -> None:
        """Close the store; the object is of no further use."""
        self._coarse = None
        self._database.close()

    # Documents

    def documents(self) -> tuple[Document, ...]:
        """Return all ready documents in the order in which they were added."""
        return tuple(_document(sealed) for sealed in self._of("ready"))

    def unfinished(self) -> tuple[Document, ...]:
        """Return the documents whose adding was interrupted: nothing searches them, `remove` erases them."""
        return tuple(_document(sealed) for sealed in self._of("pending"))

    def document(self, document_id: int) -> Document:
        """Return one ready document.

        Raises:
            UsageError: there is none of that id.
        """
        with self._ledger.reading():
            sealed = self._ledger.document(document_id)
        if sealed is None or sealed.state != "ready":
            raise UsageError(
                f"There is no document {document_id}.", hint="`appliance list` shows what there is."
            )
        return _document(sealed)

    def by_source(self, source: str) -> Document | None:
        """Return the ready document from `source`, None where there is none."""
        return next((_document(sealed) for sealed in self._of("ready") if sealed.source == source), None)

    def by_digest(self, digest: str, model: str) -> Document | None:
        """Return the first ready document with the file hash `digest` (hex) and vectors of `model`."""
        found = (sealed for sealed in self._of("ready") if (sealed.digest, sealed.model) == (digest, model))
        return next((_document(sealed) for sealed in found), None)

    def models(self) -> Mapping[str, int]:
        """Return the encoders of the ready documents' vectors, and how many documents each has."""
        return Counter(sealed.model for sealed in self._of("ready"))

    def text(self, document_id: int) -> str:
        """Return a ready document's canonical text.

        Raises:
            UsageError: there is none of that id.
        """
        with self._ledger.reading():
            self.document(document_id)
            return self._ledger.text(document_id)

    def pages(self, document_id: int) -> tuple[DocumentPage, ...]:
        """Return a ready document's text by pages; one page with `page` None where the format has none.

        Raises:
            UsageError: there is none of that id.
        """
        with self._ledger.reading():
            document, text = self.document(document_id), self.text(document_id)
            starts = self._ledger.starts(document_id)
        if not starts:
            return (DocumentPage(document, None, text),)
        ends = [*starts[1:], len(text)]
        return tuple(
            DocumentPage(document, number, text[start:end])
            for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
        )

    def page_at(self, document_id: int, offset: int) -> int | None:
        """Return the page of a ready document on which the character `offset` of its text stands.

        None where the format has no pages. The text is not read.

        Raises:
            UsageError: there is no document of that id.
        """
        with self._ledger.reading():
            self.document(document_id)
            starts = self._ledger.starts(document_id)
        return _page(starts, offset)

    def page_span(self, document_id: int, offset: int) -> tuple[int, int | None] | None:
        """Return where the page begins on which the character `offset` of a ready document's text stands.

        And where the next one does, None for the last; None for both where the format has no pages.

        Raises:
            UsageError: there is no document of that id.
        """
        with self._ledger.reading():
            self.document(document_id)
            starts = self._ledger.starts(document_id)
        page = _page(starts, offset)
        return (starts[page - 1], starts[page] if page < len(starts) else None) if page else None

    # Searching

    def prepare(self) -> None:
        """Read and verify what the first search would otherwise wait for: the words index, signs and leaves.

        Raises:
            RolledBack: something of it is not what was stored last.
        """
        with self._ledger.reading():
            self._ledger.trust_words()
            self._signs()

    def chunk_count(self) -> int:
        """Return the number of chunks of ready documents."""
        return sum(sealed.chunks for sealed in self._of("ready"))

    def analyse(self, text: str) -> list[str]:
        """Split `text` into the words the index knows: folded, not stemmed.

        Stemming twice is not stemming once, so it is left to `match` and `document_frequency`.
        """
        return self._database.words(text)

    def document_frequency(self, terms: Sequence[str]) -> dict[str, int]:
        """Return for each of `terms` in how many chunks it occurs, in any inflection.

        A term that is several words to the index counts as its rarest; one that is none counts 0.
        """
        with self._ledger.reading():
            self._ledger.trust_words()
            return {term: self._frequency(term) for term in terms}

    def match(self, query: Sequence[Sequence[str]], limit: int) -> list[tuple[int, float]]:
        """Return up to `limit` (chunk id, score), best first, of chunks with at least one of the phrases.

        A phrase is a sequence of words in a row. The score is BM25 with the context (title, headings)
        weighing twice; higher is better. Nothing in a word is syntax.
        """
        phrases = [phrase for phrase in (_quoted(words) for words in query[:_MAX_PHRASES]) if phrase]
        if not phrases or limit < 1:
            return []
        with self._ledger.reading():
            self._ledger.trust_words()
            rows = self._database.rows(
                """
                SELECT rowid, -rank FROM words
                WHERE words MATCH ? AND rowid NOT IN (SELECT value FROM json_each(?)) ORDER BY rank LIMIT ?
                """,
                (" OR ".join(phrases), listed(self._pending_chunks()), limit),
            )
        return [(int(chunk), float(score)) for chunk, score in rows]

    def rate(self, weights: Mapping[str, float], chunk_ids: Sequence[int]) -> dict[int, float]:
        """Return the BM25 score of each of `chunk_ids` for words of the given `weights`, in any inflection.

        Unlike `match` it costs the same for words that are everywhere. A chunk that is gone is left out.
        """
        stems: dict[str, float] = {}
        for word, weight in weights.items():
            for stem in self._database.stems(word):
                stems[stem] = max(weight, stems.get(stem, 0.0))
        with self._ledger.reading():
            found = self._ledger.chunks(chunk_ids)
            titles = {number: self._ledger.document(number) for number, _ in found.values()}
        return rating.bm25(
            stems,
            {
                number: (
                    self._database.stems(f"{sealed.title}\n{chunk.heading}"),
                    self._database.stems(f"{chunk.lead}\n{chunk.text}"),
                )
                for number, (owner, chunk) in found.items()
                if (sealed := titles[owner]) is not None
            },
        )

    def nearest(self, vector: Vector, limit: int, *, coarse: int = COARSE) -> list[tuple[int, float]]:
        """Return up to `limit` (chunk id, cosine similarity), best first, for a unit `vector`, shape (384,).

        Two passes: the `coarse` nearest by the signs alone, then those by their full vectors.

        Raises:
            UsageError: not a finite unit vector of 384 dimensions.
        """
        check_vectors(np.asarray(vector)[None, :], 1)
        with self._ledger.reading():
            found = self._ledger.vectors(self._signs().nearest(vector, max(coarse, limit)))
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
        with self._ledger.reading():
            found = self._ledger.vectors(chunk_ids)
        if any(chunk not in found for chunk in chunk_ids):
            raise UsageError("One of these chunks is not in the vault.")
        return np.array([found[chunk] for chunk in chunk_ids], dtype=np.float32).reshape(
            -1, schema.DIMENSIONS
        )

    def passages(self, hits: Sequence[Hit]) -> tuple[Passage, ...]:
        """Return what the hits point at, in their order; a chunk removed meanwhile is left out."""
        with self._ledger.reading():
            found = self._ledger.chunks([hit.chunk for hit in hits])
            owners = {number: self._ledger.document(number) for number, _ in found.values()}
        return tuple(
            _passage(hit, owner, chunk)
            for hit in hits
            if hit.chunk in found
            for number, chunk in (found[hit.chunk],)
            if (owner := owners[number]) is not None and owner.state == "ready"
        )

    def neighbours(self, chunk_id: int) -> tuple[int, ...]:
        """Return the ids of the chunks just before and after in the same document, in that order."""
        with self._ledger.reading():
            owner = self._ledger.owner(chunk_id)
            ids = [] if owner is None else self._ledger.leaves(owner).entries["id"].tolist()
        at = ids.index(chunk_id) if ids else 0
        return (*ids[max(at - 1, 0) : at], *ids[at + 1 : at + 2])

    # Settings and health

    def setting(self, key: str) -> str | None:
        """Return a setting kept inside the vault, None where there is none."""
        with self._ledger.reading():
            return self._ledger.setting(key)

    @property
    def sequence(self) -> int:
        """How many changes the store has had; the anchor beside it knows the newest."""
        with self._ledger.reading():
            return self._ledger.state.sequence

    @property
    def head(self) -> bytes:
        """The MAC of all that the store holds, 32 bytes; tells nothing without the key."""
        with self._ledger.reading():
            return self._ledger.state.head

    def leaf(self, chunk_id: int) -> bytes:
        """Return the MAC of a chunk's text and place, 16 bytes; tells nothing without the key.

        Raises:
            UsageError: there is no such chunk.
        """
        with self._ledger.reading():
            leaf = self._ledger.leaf(chunk_id)
        if leaf is None:
            raise UsageError("This chunk is not in the vault.")
        return leaf

    def content_digest(self) -> str:
        """Return the SHA-256, hex, of all content: the same under every key, cipher and numbering.

        Every row is read and held against the seal. FORMAT.md, "Content digest", is the specification.

        Raises:
            RolledBack: something is not what was stored last.
        """
        with self._ledger.reading():
            return contents.digest(self._ledger)

    def check(self, *, full: bool, progress: Progress = nothing) -> Iterator[Check]:
        """Yield what was looked at and what was found; with `full` every page and row.

        `progress` is told a check's name, how much of it is done, and of how much.
        """
        yield from checks.run(self._database, self._ledger, full=full, progress=progress)
        if full:
            yield self._check_signs()

    def _check_signs(self) -> Check:
        """Read the vectors' index as a search does: a block put back would make one refuse."""
        try:
            _read_signs(self._database, self._ledger)
        except IntegrityError as error:
            return Check("vector index", ok=False, detail=error.message)
        return Check("vector index", ok=True, detail="the signs are those of the vectors")

    # Below here nothing is public.

    def _of(self, state: str) -> list[Sealed]:
        with self._ledger.reading():
            return [sealed for sealed in self._ledger.documents() if sealed.state == state]

    def _pending_chunks(self) -> list[int]:
        pending = [sealed.id for sealed in self._ledger.documents() if sealed.state == "pending"]
        return [chunk for number in pending for chunk in self._ledger.leaves(number).entries["id"].tolist()]

    def _frequency(self, term: str) -> int:
        rows = [
            self._database.row("SELECT doc FROM term WHERE term = ?", (stem,))
            for stem in self._database.stems(term)
        ]
        return min((0 if row is None else int(row[0]) for row in rows), default=0)

    def _signs(self) -> CoarseIndex:
        """Return the coarse index, read anew where anyone has changed the store since."""
        now = self._ledger.generation
        if self._coarse is None or self._coarse[0] != now:
            self._coarse = (now, _read_signs(self._database, self._ledger))
        return self._coarse[1]


def _page(starts: Sequence[int], offset: int) -> int | None:
    """Return the number of the page on which a character stands, None where there are no pages."""
    return max(bisect.bisect_right(starts, offset), 1) if starts else None


def _read_signs(database: Database, ledger: Ledger) -> CoarseIndex:
    """Read vec0's bit column a block at a time: 20 ms for 100k chunks, not one query for each."""
    ids, bits = _all_signs(database)
    order = np.argsort(ids)
    ready = [sealed.id for sealed in ledger.documents() if sealed.state == "ready"]
    parts = [ledger.leaves(number).entries["id"] for number in ready]
    wanted = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
    at = np.searchsorted(ids, wanted, sorter=order)
    if len(ids) == 0 < len(wanted) or (at >= len(ids)).any() or (ids[order[at]] != wanted).any():
        raise RolledBack("A vector is missing from the store.")
    signs = np.ascontiguousarray(bits[order[at]])
    first = 0
    for number, part in zip(ready, parts, strict=True):
        ledger.check_signs(number, signs[first : first + len(part)])
        first += len(part)
    return CoarseIndex(wanted, signs)


def _all_signs(database: Database) -> tuple[npt.NDArray[np.int64], Bits]:
    rows = database.rows(
        """
        SELECT block.rowids, block.validity, bits.vectors
        FROM vector_chunks AS block JOIN vector_vector_chunks00 AS bits ON bits.rowid = block.chunk_id
        """
    )
    ids = np.frombuffer(b"".join(row[0] for row in rows), dtype="<i8")
    used = np.unpackbits(np.frombuffer(b"".join(row[1] for row in rows), dtype=np.uint8), bitorder="little")
    bits = np.frombuffer(b"".join(row[2] for row in rows), dtype=np.uint8).reshape(-1, schema.DIMENSIONS // 8)
    if not len(ids) == len(used) == len(bits):
        raise StoreDamaged("The vectors' index does not agree with itself.")
    return ids[used.astype(bool)], bits[used.astype(bool)]


def check_vectors(vectors: Matrix, count: int) -> None:
    """Check that these are `count` unit vectors.

    Raises:
        UsageError: they are not.
    """
    if vectors.shape != (count, schema.DIMENSIONS) or vectors.dtype != np.float32:
        raise UsageError(f"{count} vectors of {schema.DIMENSIONS} float32 are needed, not {vectors.shape}.")
    if not checks.are_unit(vectors):
        raise UsageError("The vectors must be finite and of length 1.")


def _document(sealed: Sealed) -> Document:
    return Document(
        *(sealed.id, sealed.name, sealed.title, sealed.source, sealed.digest, sealed.size),
        pages=sealed.page_count or None,
        chunks=sealed.chunks,
        added=datetime.fromisoformat(sealed.added),
        lost=tuple(json.loads(sealed.lost)),
        flags=tuple(json.loads(sealed.flags)),
        model=sealed.model,
    )


def _passage(hit: Hit, owner: Sealed, chunk: Chunk) -> Passage:
    return Passage(
        *(hit.chunk, owner.id, owner.name, chunk.page, chunk.heading, chunk.lead, chunk.text, chunk.start),
        score=hit.score,
        found_by=hit.found_by,
    )


def _quoted(words: Sequence[str]) -> str:
    """Return the words as one FTS5 string: inside quotes nothing is an operator, a column or a wildcard."""
    phrase = " ".join(words).replace("\0", " ").replace('"', '""').strip()
    return f'"{phrase}"' if phrase else ""
