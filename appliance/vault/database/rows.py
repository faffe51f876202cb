"""Drafts, chunks and vectors -> rows and terms, inside the caller's transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from appliance.errors import UsageError
from appliance.types import Chunk, Draft, Matrix
from appliance.vault.database.coarse import quantize
from appliance.vault.database.engine import Database

# Taking a row's terms out in place costs about 1.4 ms a row, rewriting the whole index about 3.5 us a row.
REWRITE: Final = 400


def fingerprint(draft: Draft, model: str) -> bytes:
    """Return what tells the very same draft, to be embedded by `model`, from any other.

    Raises:
        UsageError: its text is not Unicode.
    """
    try:
        return hashlib.sha256(json.dumps([asdict(draft), model], ensure_ascii=False).encode("utf-8")).digest()
    except UnicodeEncodeError:
        raise UsageError("The document's text is not Unicode and cannot be stored.") from None


def insert(database: Database, draft: Draft, *, model: str, fingerprint: bytes, added: datetime) -> int:
    """Put a pending document without chunks, and return its id."""
    number = database.run(
        """
        INSERT INTO document (state, source, name, title, digest, size, model, chunks, added, lost, flags,
                              fingerprint, text)
        VALUES ('pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            *(draft.source, draft.name, draft.title, draft.digest, draft.size, model, len(draft.chunks)),
            *(added.isoformat(), json.dumps(draft.lost), json.dumps(draft.flags), fingerprint, draft.text),
        ),
    )
    database.run_each(
        "INSERT INTO page (document, number, start) VALUES (?, ?, ?)",
        [(number, page, start) for page, start in enumerate(draft.page_starts, 1)],
    )
    return number


def append(database: Database, document: int, *, chunks: Sequence[Chunk], vectors: Matrix) -> list[int]:
    """Put chunks with their terms and vectors, shape (n, 384), and return their ids."""
    ids = [_insert_chunk(database, document, chunk) for chunk in chunks]
    database.run_each(
        "INSERT INTO words (rowid, context, body) SELECT id, context, body FROM passage WHERE id = ?",
        [(chunk,) for chunk in ids],
    )
    database.run_each(
        "INSERT INTO vector (id, bits, value) VALUES (?, vec_bit(?), ?)",
        [(i, b.tobytes(), v.tobytes()) for i, b, v in zip(ids, quantize(vectors), vectors, strict=True)],
    )
    return ids


def erase(database: Database, document: int, *, chunks: int) -> None:
    """Take a document of so many `chunks` out of all tables; its terms first, they need its text."""
    _erase_terms(database, document, chunks)
    database.run("DELETE FROM vector WHERE id IN (SELECT id FROM chunk WHERE document = ?)", (document,))
    database.run("DELETE FROM document WHERE id = ?", (document,))


def _insert_chunk(database: Database, document: int, chunk: Chunk) -> int:
    return database.run(
        """
        INSERT INTO chunk (document, ordinal, start, "end", page, heading, lead, text)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            *(document, chunk.ordinal, chunk.start, chunk.end),
            *(chunk.page, chunk.heading, chunk.lead, chunk.text),
        ),
    )


def _erase_terms(database: Database, document: int, chunks: int) -> None:
    """Leave none of its terms in the words index: in place for a few rows, rewritten for many."""
    rewrite = chunks * REWRITE > int(database.value("SELECT count(*) FROM chunk"))
    if rewrite:
        database.run("INSERT INTO words (words, rank) VALUES ('secure-delete', 0)")
    database.run(_DELETE_TERMS, (document,))
    if rewrite:
        database.run("INSERT INTO words (words) VALUES ('optimize')")
        database.run("INSERT INTO words (words, rank) VALUES ('secure-delete', 1)")


_DELETE_TERMS: Final = """
    INSERT INTO words (words, rowid, context, body)
    SELECT 'delete', passage.id, context, body
    FROM passage JOIN chunk ON chunk.id = passage.id WHERE chunk.document = ?
"""
