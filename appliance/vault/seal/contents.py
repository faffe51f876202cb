"""A trusted ledger -> all content, verified, in one order; and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from appliance.errors import RolledBack
from appliance.vault.seal.ledger import Ledger, Sealed
from appliance.vault.seal.macs import Value, encode

AUDIT: Final = "audit"
"""The setting in which a store remembers its audit log."""
_AT_ONCE: Final = 256
"""Vectors read in one query."""


def digest(ledger: Ledger) -> str:
    """Return the SHA-256, hex, of settings and documents; ids are left out, their order counts.

    What the store remembers of its audit log is left out too: it changes whenever the vault is opened.
    """
    total = hashlib.sha256()
    settings = sorted(pair for pair in ledger.settings().items() if pair[0] != AUDIT)
    total.update(encode([len(settings), *(item for pair in settings for item in pair)]))
    for sealed in ledger.documents():
        for values in _document(ledger, sealed):
            total.update(encode(values))
    return total.hexdigest()


def vectors(ledger: Ledger, number: int) -> Iterator[bytes]:
    """Yield the vectors of a document's chunks in their order, as bytes."""
    ids = ledger.leaves(number).entries["id"].tolist()
    for first in range(0, len(ids), _AT_ONCE):
        part = ids[first : first + _AT_ONCE]
        found = ledger.vectors(part)
        if len(found) != len(part):
            raise RolledBack("A vector is missing from the store.")
        yield from (found[chunk].tobytes() for chunk in part)


def _document(ledger: Ledger, sealed: Sealed) -> Iterator[list[Value]]:
    starts, chunks = ledger.starts(sealed.id), ledger.chunks_of(sealed.id)
    row = sealed[1 : Sealed._fields.index("page_count")]
    yield [*row, ledger.text(sealed.id), len(starts), *starts, len(chunks)]
    for (_, chunk), vector in zip(chunks, vectors(ledger, sealed.id), strict=True):
        yield [
            *(chunk.ordinal, chunk.start, chunk.end, chunk.page),
            *(chunk.heading, chunk.lead, chunk.text, vector),
        ]
