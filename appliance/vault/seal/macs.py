"""The MACs of the seal: a leaf for each chunk, a node for each document, one head. No file, no database.

Keyed BLAKE2b (RFC 7693), 16 bytes for what is many and lies under a node, 32 for node, head and anchor. It
was measured against HMAC-SHA-256: 1 us instead of 3 for a short row, as fast for a vector. FORMAT.md, "Seal",
is the specification.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

MAC_BYTES: Final = 32
LEAF_BYTES: Final = 16

Value = int | str | bytes | None
Label = Literal[
    "chunk", "vector", "signs", "leaves", "text", "pages", "document", "settings", "head", "words", "anchor"
]
_LABELS: Final[Mapping[Label, int]] = {
    **dict.fromkeys(("chunk", "vector", "signs", "leaves", "text", "pages"), LEAF_BYTES),
    **dict.fromkeys(("document", "settings", "head", "words", "anchor"), MAC_BYTES),
}
_PAIR: Final = struct.Struct(">cqcQ")
_WORDS_MASK: Final = (1 << 8 * MAC_BYTES) - 1


class Sealer:
    """Makes the MACs of one vault. The key stays in the hash objects and cannot be wiped from them."""

    def __init__(self, key: bytearray, vault: bytes) -> None:
        """Take the 32-byte key of the label "mac tree" and the vault's 16-byte id."""
        self.vault = vault
        self._bases = {
            label: hashlib.blake2b(key=key, digest_size=size, person=label.encode(), salt=vault)
            for label, size in _LABELS.items()
        }
        self._tables: dict[str, hashlib.blake2b] = {}

    def mac(self, label: Label, *values: Value) -> bytes:
        """Return the MAC of `values`; no two lists of values are the same bytes."""
        base = self._bases[label].copy()
        base.update(encode(values))
        return base.digest()

    def vector(self, chunk: int, value: bytes) -> bytes:
        """Return a vector's leaf."""
        base = self._bases["vector"].copy()
        base.update(chunk.to_bytes(8, "big"))
        base.update(value)
        return base.digest()

    def row(self, table: str, values: Sequence[Value]) -> int:
        """Return what a row of the words index adds to its sum."""
        if table not in self._tables:
            self._tables[table] = self._bases["words"].copy()
            self._tables[table].update(encode([table]))
        base = self._tables[table].copy()
        if len(values) == 2 and isinstance(values[0], int) and isinstance(values[1], bytes):
            # Nearly all rows are of this form. The same bytes as below, four times as fast.
            base.update(_PAIR.pack(b"i", values[0], b"b", len(values[1])) + values[1])
        else:
            base.update(encode(values))
        return int.from_bytes(base.digest(), "big")

    def head(self, sequence: int, *, parts: Sequence[Value], nodes: Mapping[int, bytes]) -> bytes:
        """Return the MAC of a whole store: its sequence, `parts`, and every document's node by id."""
        listed = b"".join(number.to_bytes(8, "big") + nodes[number] for number in sorted(nodes))
        return self.mac("head", sequence, *parts, listed)


def encode(values: Iterable[Value]) -> bytes:
    """Return `values` as bytes, each with its type and length before it."""
    return b"".join(_encoded(value) for value in values)


def add(total: bytes, amount: int) -> bytes:
    """Return the words' sum `total`, modulo 2^256, after adding `amount`, which may be negative."""
    return ((int.from_bytes(total, "big") + amount) & _WORDS_MASK).to_bytes(MAC_BYTES, "big")


def _encoded(value: Value) -> bytes:
    if value is None:
        return b"n"
    if isinstance(value, int):
        return b"i" + value.to_bytes(8, "big", signed=True)
    kind, data = (b"t", value.encode("utf-8")) if isinstance(value, str) else (b"b", value)
    return kind + len(data).to_bytes(8, "big") + data
