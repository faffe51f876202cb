"""An empty or older database -> the current schema, by migrations that are only ever added to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from appliance.errors import UsageError
from appliance.vault.database.engine import Database

DIMENSIONS: Final = 384


def m001_documents(database: Database) -> None:
    """Add documents, their pages and chunks, the two indexes, and settings.

    Ids are never used twice (AUTOINCREMENT): a hit that outlived its chunk finds nothing, not another.
    There is no ANALYZE anywhere: its samples would keep rows that were deleted.
    """
    for statement in _M001:
        database.run(statement)


def m002_seal(database: Database) -> None:
    """Add the MACs of documents and chunks, and the head of all."""
    for statement in _M002:
        database.run(statement)


MIGRATIONS: Final[tuple[Callable[[Database], None], ...]] = (m001_documents, m002_seal)
SEALED: Final = 2
"""The first version with seals: from it on, a store has an anchor."""


def version(database: Database) -> int:
    """Return how many migrations the database has had; 0 for an empty one."""
    return int(database.value("PRAGMA user_version"))


def migrate(database: Database, change: Callable[[int], AbstractContextManager[None]]) -> None:
    """Bring the database to the current schema, each step inside the transaction `change(its number)`.

    Raises:
        UsageError: a newer program wrote it.
    """
    have = version(database)
    if have > len(MIGRATIONS):
        raise UsageError(
            f"This vault was written by a newer program (schema {have}, known is {len(MIGRATIONS)}).",
            hint="Install the newer program; nothing was changed.",
        )
    for number, step in enumerate(MIGRATIONS[have:], have + 1):
        with change(number):
            step(database)
            database.run(f"PRAGMA user_version = {number:d}")


_M001: Final = (
    """
    CREATE TABLE document (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        state TEXT NOT NULL CHECK (state IN ('pending', 'ready')),
        source TEXT NOT NULL,
        name TEXT NOT NULL,
        title TEXT NOT NULL,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        model TEXT NOT NULL,
        chunks INTEGER NOT NULL,
        added TEXT NOT NULL,
        lost TEXT NOT NULL,
        flags TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        text TEXT NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX document_by_source ON document (source, state)",
    "CREATE INDEX document_by_digest ON document (digest)",
    """
    CREATE TABLE page (
        document INTEGER NOT NULL REFERENCES document ON DELETE CASCADE,
        number INTEGER NOT NULL,
        start INTEGER NOT NULL,
        PRIMARY KEY (document, number)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE chunk (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        document INTEGER NOT NULL REFERENCES document ON DELETE CASCADE,
        ordinal INTEGER NOT NULL,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        page INTEGER,
        heading TEXT NOT NULL,
        lead TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX chunk_by_document ON chunk (document, ordinal)",
    # What the words index sees of a chunk: its context (title, headings), and its text with a table's header.
    """
    CREATE VIEW passage AS
    SELECT chunk.id AS id, document.title || char(10) || chunk.heading AS context,
           chunk.lead || char(10) || chunk.text AS body
    FROM chunk JOIN document ON document.id = chunk.document
    """,
    """
    CREATE VIRTUAL TABLE words USING fts5(
        context, body, content='passage', content_rowid='id',
        tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
    # Without it the terms of deleted rows stay in the file until a merge (security.md, decision 7).
    "INSERT INTO words (words, rank) VALUES ('secure-delete', 1)",
    "INSERT INTO words (words, rank) VALUES ('rank', 'bm25(2.0, 1.0)')",
    "CREATE VIRTUAL TABLE term USING fts5vocab(words, row)",
    # chunk_size 8: FORMAT.md, "Vectors" has the measurement.
    f"""
    CREATE VIRTUAL TABLE vector USING vec0(
        id INTEGER PRIMARY KEY, bits BIT[{DIMENSIONS}], value FLOAT[{DIMENSIONS}], chunk_size=8
    )
    """,
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
)

_M002: Final = (
    """
    CREATE TABLE seal (
        document INTEGER PRIMARY KEY REFERENCES document ON DELETE CASCADE,
        page_count INTEGER NOT NULL,
        text_mac BLOB NOT NULL,
        pages_mac BLOB NOT NULL,
        blocks BLOB NOT NULL,
        node BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE leaf (
        document INTEGER NOT NULL REFERENCES document ON DELETE CASCADE,
        number INTEGER NOT NULL,
        entries BLOB NOT NULL,
        signs BLOB NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX leaf_by_document ON leaf (document, number)",
    """
    CREATE TABLE head (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        sequence INTEGER NOT NULL,
        head BLOB NOT NULL,
        words BLOB NOT NULL
    ) STRICT
    """,
)
