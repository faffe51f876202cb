"""An open store -> a list of what was looked at and whether it was as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from appliance.errors import IntegrityError
from appliance.types import Check, Matrix
from appliance.vault.database import schema
from appliance.vault.database.coarse import quantize
from appliance.vault.database.engine import Database
from appliance.vault.seal import contents
from appliance.vault.seal.ledger import Ledger, listed

Progress = Callable[[str, int, int], None]
"""Told the name of a check, how much of it is done, and of how much."""
_Step = Callable[[int, int], None]
_Look = Callable[[Database, Ledger, _Step], tuple[bool, str]]
_TOLERANCE = 1e-3


def nothing(_name: str, _done: int, _total: int) -> None:
    """Take no notice of progress."""


def run(database: Database, ledger: Ledger, *, full: bool, progress: Progress) -> Iterator[Check]:
    """Yield the quick checks and, with `full`, those that read every page and every row."""
    for name, look in (_QUICK | _FULL if full else _QUICK).items():
        yield _checked(name, look, database=database, ledger=ledger, progress=progress)


def inside(database: Database, ledger: Ledger) -> Iterator[Check]:
    """Yield the checks whether the store's parts agree with each other, whatever its anchor knows."""
    for name, look in (_FULL | {"counts": _counts}).items():
        yield _checked(name, look, database=database, ledger=ledger, progress=nothing)


def are_unit(vectors: Matrix) -> bool:
    """Tell whether all rows are finite and of length 1 (within a thousandth)."""
    if not np.isfinite(vectors).all():
        return False
    return bool((np.abs(np.linalg.norm(vectors, axis=1) - 1) < _TOLERANCE).all())


def _checked(name: str, look: _Look, *, database: Database, ledger: Ledger, progress: Progress) -> Check:
    def step(done: int, total: int) -> None:
        progress(name, done, total)

    step(0, 1)
    try:
        with ledger.reading():
            found = Check(name, *look(database, ledger, step))
    except IntegrityError as error:
        found = Check(name, ok=False, detail=error.message)
    return found


def _schema(database: Database, _ledger: Ledger, _step: _Step) -> tuple[bool, str]:
    have = schema.version(database)
    return have == len(schema.MIGRATIONS), f"version {have}"


def _seal(_database: Database, ledger: Ledger, _step: _Step) -> tuple[bool, str]:
    documents, state = len(ledger.documents()), ledger.state
    if ledger.anchored():
        return True, f"sequence {state.sequence}; {documents} documents as the anchor knows them"
    return False, f"the anchor does not know sequence {state.sequence}"


def _counts(database: Database, ledger: Ledger, _step: _Step) -> tuple[bool, str]:
    chunks, words, vectors = (int(database.value(sql)) for sql in _COUNTS)
    ready = sum(sealed.chunks for sealed in ledger.documents() if sealed.state == "ready")
    detail = f"{chunks} chunks, {words} in the words index, {vectors} vectors, {ready} in ready documents"
    return chunks == words == vectors == len(ledger.index().ids) >= ready, detail


def _pending(_database: Database, ledger: Ledger, _step: _Step) -> tuple[bool, str]:
    pending = sum(sealed.state == "pending" for sealed in ledger.documents())
    return (
        True,
        f"{pending} documents not finished; adding them again goes on with them" if pending else "none",
    )


def _words_sum(_database: Database, ledger: Ledger, _step: _Step) -> tuple[bool, str]:
    ledger.check_words()
    return True, "the words index is the one that was stored last"


def _pages(database: Database, _ledger: Ledger, _step: _Step) -> tuple[bool, str]:
    lines = [str(line) for (line,) in database.rows("PRAGMA integrity_check")]
    if lines == ["ok"]:
        return True, f"{database.value('PRAGMA page_count')} pages authentic and in order"
    return False, f"{len(lines)} faults in the structure"


def _words(database: Database, _ledger: Ledger, _step: _Step) -> tuple[bool, str]:
    # 1: against the text as well, not only the index in itself.
    database.run("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    return True, "the words index agrees with the text"


def _texts(_database: Database, ledger: Ledger, step: _Step) -> tuple[bool, str]:
    wrong = seen = 0
    total = len(ledger.index().ids)
    for sealed in ledger.documents():
        text, chunks = ledger.text(sealed.id), ledger.chunks_of(sealed.id)
        ledger.starts(sealed.id)
        wrong += [chunk.ordinal for _, chunk in chunks] != list(range(len(chunks)))
        wrong += sum(text[chunk.start : chunk.end] != chunk.text for _, chunk in chunks)
        seen += len(chunks)
        step(seen, total)
    return wrong == 0, f"{seen} chunks compared with their seals and documents, {wrong} differ"


def _vectors(database: Database, ledger: Ledger, step: _Step) -> tuple[bool, str]:
    wrong = seen = 0
    total = len(ledger.index().ids)
    for sealed in ledger.documents():
        rows = np.frombuffer(b"".join(contents.vectors(ledger, sealed.id)), dtype="<f4")
        rows = rows.reshape(-1, schema.DIMENSIONS)
        ids = ledger.leaves(sealed.id).entries["id"].tolist()
        bits = [row for (row,) in database.rows(_BITS, (listed(ids),))]
        wrong += not (are_unit(rows) and b"".join(bits) == quantize(rows).tobytes())
        ledger.check_signs(sealed.id, quantize(rows))
        seen += len(ids)
        step(seen, total)
    return wrong == 0, f"{seen} vectors compared with their seals, {wrong} documents differ"


_COUNTS = (
    "SELECT count(*) FROM chunk",
    "SELECT count(*) FROM words_docsize",
    "SELECT count(*) FROM vector_rowids",
)
_BITS = "SELECT v.bits FROM json_each(?) AS wanted CROSS JOIN vector AS v ON v.id = wanted.value"
_QUICK: dict[str, _Look] = {
    "schema": _schema,
    "seal": _seal,
    "counts": _counts,
    "unfinished": _pending,
    "words sum": _words_sum,
}
_FULL: dict[str, _Look] = {
    "pages": _pages,
    "words index": _words,
    "chunks": _texts,
    "vectors": _vectors,
}
