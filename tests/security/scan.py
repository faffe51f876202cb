"""Needles and files -> where a needle lies, in any of the forms in which plaintext could leak."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_HEAD = 8
_SLOTS = 1 << 22
_PIECE = 1 << 24


@dataclass(frozen=True, slots=True)
class Hit:
    """A needle in a file: its form, its place."""

    file: str
    offset: int
    form: str


def forms(word: str) -> dict[str, bytes]:
    """Return what to look for to find `word`, at least 12 letters of ASCII, as text, UTF-16, base64 or hex.

    The middle of it suffices: an index may cut off what two terms begin with, or a word's ending.
    """
    middle = word[3:-1].encode("ascii")
    found = {"utf-8": middle, "utf-16-le": middle.decode().encode("utf-16-le")}
    found |= {"utf-16-be": middle.decode().encode("utf-16-be"), "hex": middle.hex().encode()}
    for shift in range(3):
        # The first and last characters of base64 mix with the neighbours; what lies between does not.
        encoded = base64.b64encode(b"\0" * shift + word.encode("ascii") + b"\0" * (-(shift + len(word)) % 3))
        found[f"base64+{shift}"] = encoded[4:-4]
    return found


class Haystack:
    """Looks for many needles at once: by the first eight bytes through a table, then in full."""

    def __init__(self, needles: Iterable[tuple[str, bytes]]) -> None:
        self.needles: dict[bytes, list[tuple[str, bytes]]] = {}
        for form, needle in needles:
            if len(needle) < _HEAD:
                raise ValueError(f"a needle of {len(needle)} bytes would be found by chance")
            self.needles.setdefault(needle[:_HEAD], []).append((form, needle))
        heads = np.array([int.from_bytes(head, "little") for head in self.needles], dtype=np.uint64)
        self._table = np.zeros(_SLOTS, dtype=bool)
        self._table[_slots(heads)] = True

    def search(self, data: bytes, name: str) -> Iterator[Hit]:
        """Yield each needle in `data`."""
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE + 256]
            for shift in range(_HEAD):
                count = (len(piece) - shift) // _HEAD
                if count <= 0:
                    continue
                heads = np.frombuffer(piece, dtype="<u8", count=count, offset=shift)
                for index in np.flatnonzero(self._table[_slots(heads)]):
                    at = shift + int(index) * _HEAD
                    for form, needle in self.needles.get(piece[at : at + _HEAD], ()):
                        if piece.startswith(needle, at):
                            yield Hit(name, start + at, form)

    def files(self, paths: Iterable[Path]) -> tuple[list[Hit], int, int]:
        """Search files and their names; return the hits, how many files, how many bytes."""
        hits: list[Hit] = []
        files = size = 0
        for path in paths:
            try:
                data = path.read_bytes()
            except OSError:  # gone since it was listed
                continue
            files, size = files + 1, size + len(data)
            hits += self.search(data, path.name)
            hits += self.search(str(path).encode("utf-8", "surrogateescape"), f"the name of {path.name}")
        return hits, files, size


def _slots(heads: np.ndarray) -> np.ndarray:
    """Fold eight bytes into a place of the table (Knuth's multiplicative hash)."""
    with np.errstate(over="ignore"):
        return ((heads * np.uint64(11400714819323198485)) >> np.uint64(42)).astype(np.intp)
