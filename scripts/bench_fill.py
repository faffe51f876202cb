"""A vault with a few real documents -> the same vault grown to a given number of chunks, cheaply.

What is real: the text (articles, abstracts, medical answers of the data sets), the chunker, the store.
What is not: only the first chunk of an added document is embedded; the others get that vector turned away
from it at random, as chunks of one article lie near each other. When the texts run out, they are taken once
more with the sentences of each paragraph in reverse order. Good for the speed of searching, not its quality.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from appliance import config, embed, models
from appliance.ingest.chunk import chunks
from appliance.secret import Secret
from appliance.sentences import split
from appliance.types import Block, Draft, Matrix, Parsed, Vector, chunk_input
from appliance.vault.folder import open_vault
from appliance.vault.store import Store
from scripts.bench_ours import PASSPHRASE, VAULT

CHARACTERS = 35_000
"""Of one added document: about fifty chunks."""
NEARNESS = 0.6
"""Cosine of a chunk's vector to that of its document's first chunk."""
_SEED = 7
_TELL = 10_000
"""Chunks between two words to the user."""


def texts(data: Path) -> Iterator[str]:
    """Yield the paragraphs of the data sets, one data set after the other."""
    for row in _rows(data / "dev/squad_articles/articles.jsonl.gz"):
        yield from row["paragraphs"]
    for row in _rows(data / "dev/ir_scifact/corpus.jsonl.gz"):
        yield row["text"]
    for row in _rows(data / "train/medquad/medquad_with_answers.jsonl.gz"):
        yield row["answer"]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def reversed_sentences(paragraph: str) -> str:
    """Return the paragraph with its sentences in reverse order."""
    return " ".join(paragraph[start:end] for start, end in reversed(list(split(paragraph))))


def drafts(paragraphs: Iterator[str]) -> Iterator[Draft]:
    """Yield documents of about `CHARACTERS` characters."""
    for number in itertools.count():
        blocks: list[Block] = []
        while sum(len(block.text) for block in blocks) < CHARACTERS:
            paragraph = next(paragraphs, None)
            if paragraph is None:
                return
            blocks.append(Block("paragraph", paragraph))
        yield draft(f"filler {number}", blocks)


def draft(name: str, blocks: Sequence[Block]) -> Draft:
    """Return the document that the pipeline would make of `blocks`."""
    text, page_starts, pieces = chunks(Parsed(name, tuple(blocks), None))
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return Draft(name, name, name, digest, len(text), text, page_starts, pieces)


def around(centre: Vector, count: int, generator: np.random.Generator) -> Matrix:
    """Return `centre` and `count` - 1 unit vectors at about `NEARNESS` to it, shape (count, d)."""
    noise = generator.standard_normal((count, len(centre)), dtype=np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    rows: Matrix = centre * np.float32(NEARNESS) + noise * np.float32(np.sqrt(1 - NEARNESS**2))
    rows[0] = centre
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def fill(store: Store, encoder: embed.Encoder, documents: Iterator[Draft], *, size: int) -> None:
    """Add `documents` until the store holds exactly `size` chunks; the last is cut short for it."""
    generator = np.random.default_rng(_SEED)
    missing = size - store.chunk_count()
    while missing > 0:
        document = next(documents)
        document = replace(document, chunks=document.chunks[:missing])
        centre = encoder.encode([chunk_input(document.chunks[0], document.title)])[0]
        resume = store.begin(document, model=encoder.name)
        store.append(resume.document_id, document.chunks, around(centre, len(document.chunks), generator))
        store.finish(resume.document_id)
        missing -= len(document.chunks)
        if (size - missing) // _TELL > (size - missing - len(document.chunks)) // _TELL:
            print(f"    {size - missing:,} of {size:,} chunks", file=sys.stderr, flush=True)


def main() -> None:
    """Fill the vault in HOME, which scripts/bench_ours.py made; the last line of stdout is one JSON line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("size", type=int)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    settings = config.load(options.home.absolute())
    encoder = embed.load(models.find(settings.embedding, settings.model_folders), threads=settings.cores)
    folder = settings.vault_folder(VAULT)
    store = open_vault(folder, Secret.passphrase(bytearray(PASSPHRASE)), clock=lambda: datetime.now(UTC))
    again = map(reversed_sentences, texts(options.data))
    fill(store, encoder, drafts(itertools.chain(texts(options.data), again)), size=options.size)
    store.close()
    print(json.dumps({"chunks": options.size}))


if __name__ == "__main__":
    main()
