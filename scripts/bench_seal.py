"""What the seal costs: opening, reading ahead, and searching with and without verification, in one run.

A store of the given number of chunks is made in FOLDER from the data sets' texts and random vectors unless it
is there. CPU time, because the machine may be in use; medians. The last line of stdout is one JSON line.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

from appliance.types import Draft, Hit, Vector
from appliance.vault.access.keyfile import KeyFile
from appliance.vault.access.keys import DataKey
from appliance.vault.seal.ledger import Ledger, listed
from appliance.vault.store import FILE, Store, create_store, open_store
from scripts.bench_fill import drafts, reversed_sentences, texts

_BATCH, _ROUNDS, _QUESTIONS = 64, 5, 40
_KEY = DataKey(KeyFile("sqlcipher", bytes(16), 0, (), b""), bytearray(32))


def _clock() -> datetime:
    return datetime.now(UTC)


def _unit(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, 384)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def fill(store: Store, documents: Iterator[Draft], size: int) -> None:
    """Add documents until the store holds `size` chunks."""
    missing = size
    while missing > 0:
        draft = next(documents)
        draft = replace(draft, chunks=draft.chunks[:missing])
        vectors = _unit(len(draft.chunks), missing)
        number = store.begin(draft, model="random").document_id
        for at in range(0, len(draft.chunks), _BATCH):
            store.append(number, draft.chunks[at : at + _BATCH], vectors[at : at + _BATCH])
        store.finish(number)
        missing -= len(draft.chunks)


def _cpu(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1000


def _raw_vectors(ledger: Ledger, chunk_ids: Sequence[int]) -> dict[int, Vector]:
    query = "SELECT v.id, v.value FROM json_each(?) AS w CROSS JOIN vector AS v ON v.id = w.value"
    rows = ledger._database.rows(query, (listed(chunk_ids),))
    return {chunk: np.frombuffer(value, dtype="<f4") for chunk, value in rows}


@contextmanager
def _snapshot(ledger: Ledger) -> Iterator[None]:
    with ledger._database.reading():
        yield


@contextmanager
def unverified() -> Iterator[None]:
    """Let the ledger believe the tables: what a search would cost without a seal."""
    with (
        mock.patch.object(Ledger, "vectors", _raw_vectors),
        mock.patch.object(Ledger, "reading", _snapshot),
        mock.patch.object(Ledger, "_is_text", lambda _, row: bool(row)),
    ):
        yield


def _search(store: Store, vector: Vector) -> None:
    near = store.nearest(vector, 50)
    store.match([["time"], ["water"]], 50)
    store.passages([Hit(chunk, score, ("vectors",)) for chunk, score in near[:24]])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("size", type=int)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    if not (options.folder / FILE).exists():
        options.folder.mkdir(parents=True, exist_ok=True)
        store = create_store(options.folder, _KEY, clock=_clock)
        paragraphs = itertools.chain(texts(options.data), map(reversed_sentences, texts(options.data)))
        fill(store, drafts(paragraphs), options.size)
        store.close()
    opened, ahead = [], []
    for _ in range(_ROUNDS):
        opened.append(_cpu(lambda: open_store(options.folder, _KEY, clock=_clock).close()))
        store = open_store(options.folder, _KEY, clock=_clock)
        ahead.append(_cpu(store.prepare))
        store.close()
    store = open_store(options.folder, _KEY, clock=_clock)
    sealed, bare = [], []
    for vector in _unit(_QUESTIONS, 1):
        _search(store, vector)  # both find the pages in the cache
        sealed.append(_cpu(partial(_search, store, vector)))
        with unverified():
            bare.append(_cpu(partial(_search, store, vector)))
    store.close()
    measured = {"open": opened, "prepare": ahead, "search": sealed, "search unverified": bare}
    print(json.dumps({f"{name} ms": round(statistics.median(times), 2) for name, times in measured.items()}))


if __name__ == "__main__":
    main()
