"""An open store -> a list of what was looked at and whether it was as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from appliance.errors import IntegrityError
from appliance.types import Check, Matrix
from appliance.vault import schema
from appliance.vault.coarse import quantize
from appliance.vault.engine import Database

_TOLERANCE = 1e-3


def run(database: Database, *, full: bool) -> Iterator[Check]:
    """Yield the quick checks and, with `full`, those that read every page and every row."""
    for name, look in (_QUICK | _FULL if full else _QUICK).items():
        yield _checked(name, look, database)


def are_unit(vectors: Matrix) -> bool:
    """Tell whether all rows are finite and of length 1 (within a thousandth)."""
    if not np.isfinite(vectors).all():
        return False
    return bool((np.abs(np.linalg.norm(vectors, axis=1) - 1) < _TOLERANCE).all())


def _checked(name: str, look: Callable[[Database], tuple[bool, str]], database: Database) -> Check:
    try:
        return Check(name, *look(database))
    except IntegrityError as error:
        return Check(name, ok=False, detail=error.message)


def _schema(database: Database) -> tuple[bool, str]:
    have = schema.version(database)
    return have == len(schema.MIGRATIONS), f"version {have}"


def _counts(database: Database) -> tuple[bool, str]:
    chunks, words, vectors, promised = (int(database.value(sql)) for sql in _COUNTS)
    detail = f"{chunks} chunks, {words} in the words index, {vectors} vectors, {promised} in ready documents"
    pending = int(database.value(_PENDING_CHUNKS))
    return chunks == words == vectors == promised + pending, detail


def _pending(database: Database) -> tuple[bool, str]:
    pending = int(database.value("SELECT count(*) FROM document WHERE state = 'pending'"))
    return (
        True,
        f"{pending} documents not finished; adding them again goes on with them" if pending else "none",
    )


def _pages(database: Database) -> tuple[bool, str]:
    lines = [str(line) for (line,) in database.rows("PRAGMA integrity_check")]
    if lines == ["ok"]:
        return True, f"{database.value('PRAGMA page_count')} pages authentic and in order"
    return False, f"{len(lines)} faults in the structure"


def _words(database: Database) -> tuple[bool, str]:
    with database.writing():
        # 1: against the text as well, not only the index in itself.
        database.run("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    return True, "the words index agrees with the text"


def _texts(database: Database) -> tuple[bool, str]:
    wrong = seen = 0
    for document, text in database.each("SELECT id, text FROM document WHERE state = 'ready'"):
        chunks = database.rows(_SPANS, (document,))
        seen += len(chunks)
        ordered = [ordinal for ordinal, *_ in chunks] == list(range(len(chunks)))
        wrong += not ordered
        wrong += sum(text[start:end] != chunk for _, start, end, chunk in chunks)
    return wrong == 0, f"{seen} chunks compared with their documents, {wrong} differ"


def _vectors(database: Database) -> tuple[bool, str]:
    wrong = seen = 0
    for bits, value in database.each("SELECT bits, value FROM vector"):
        vector = np.frombuffer(value, dtype="<f4")[None, :]
        seen += 1
        wrong += not (are_unit(vector) and quantize(vector).tobytes() == bits)
    return wrong == 0, f"{seen} vectors looked at, {wrong} wrong"


_COUNTS = (
    "SELECT count(*) FROM chunk",
    "SELECT count(*) FROM words_docsize",
    "SELECT count(*) FROM vector_rowids",
    "SELECT ifnull(sum(chunks), 0) FROM document WHERE state = 'ready'",
)
_PENDING_CHUNKS = """
    SELECT count(*) FROM chunk JOIN document ON document.id = chunk.document WHERE document.state = 'pending'
"""
_SPANS = 'SELECT ordinal, start, "end", text FROM chunk WHERE document = ? ORDER BY ordinal'
_QUICK = {
    "schema": _schema,
    "counts": _counts,
    "unfinished": _pending,
}
_FULL = {
    "pages": _pages,
    "words index": _words,
    "chunk texts": _texts,
    "vectors": _vectors,
}
