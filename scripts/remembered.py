"""Texts -> vectors that are computed once: an encoder that keeps what it made in a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from appliance.embed import Encoder
from appliance.types import Matrix

_AT_ONCE = 256
"""Texts encoded between two writes: what a kill may cost."""
_KEY = 16


class Remembered:
    """An encoder beside a file of (hash of model and text, vector) records, which only grows.

    One process may write at a time; another one's records are read at its next start.
    """

    def __init__(self, encoder: Encoder, path: Path) -> None:
        self.name = encoder.name
        self.dimensions = encoder.dimensions
        self._encoder = encoder
        self._path = path
        self._record = np.dtype([("key", f"V{_KEY}"), ("vector", "<f4", (encoder.dimensions,))])
        self._known: dict[bytes, Matrix] = {}
        if path.exists():
            whole = path.stat().st_size // self._record.itemsize
            os.truncate(path, whole * self._record.itemsize)  # a kill may have cut the last record short
            records = np.fromfile(path, self._record)
            keys = [bytes(key) for key in records["key"]]
            self._known = dict(zip(keys, records["vector"], strict=True))

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return one unit vector a text, shape (len(texts), dimensions)."""
        keys = [self._key(text) for text in texts]
        new = list(
            {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}.items()
        )
        new.sort(key=lambda pair: len(pair[1]))
        for first in range(0, len(new), _AT_ONCE):
            self._learn(new[first : first + _AT_ONCE])
        return (
            np.stack([self._known[key] for key in keys])
            if keys
            else np.empty((0, self.dimensions), np.float32)
        )

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has before truncation."""
        return self._encoder.token_counts(texts)

    def _learn(self, pairs: Sequence[tuple[bytes, str]]) -> None:
        vectors = self._encoder.encode([text for _, text in pairs])
        records = np.zeros(len(pairs), self._record)
        for record, (key, _), vector in zip(records, pairs, vectors, strict=True):
            record["key"], record["vector"] = np.void(key), vector
            self._known[key] = vector
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            records.tofile(file)

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(f"{self.name}\0{text}".encode()).digest()[:_KEY]
