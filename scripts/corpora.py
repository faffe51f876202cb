"""Documents -> a throw-away vault with the real encoder, for the scripts that measure retrieval."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from appliance import config, embed, models
from appliance.embed import Encoder
from appliance.errors import ModelMissing
from appliance.ingest.chunk import chunks
from appliance.retrieve import cross, refusal
from appliance.retrieve.reader import Reader
from appliance.secret import Secret
from appliance.types import Chunk, Draft, Parsed, chunk_input
from appliance.vault.folder import create_vault
from appliance.vault.store import Store

READER_TOKENS = 320


def load_encoder() -> Encoder:
    """Load the default embedding model.

    Raises:
        ModelMissing: it is not installed.
    """
    settings = config.load()
    return embed.load(models.find(settings.embedding, settings.model_folders), threads=settings.cores)


def load_reader() -> Reader | None:
    """Load the trained reader; None where none is configured, installed or given passages to read."""
    settings = config.load()
    if not settings.rerank:
        return None
    try:
        found = models.find(settings.reader, settings.model_folders)
    except ModelMissing:
        return None
    return cross.load(found, threads=settings.cores, depth=settings.rerank)


def bare_reader(folder: Path, *, threads: int) -> cross.CrossReader:
    """Load a reader that may have no card yet: its files are trusted, its calibration is none."""
    files = tuple(_file(folder / name) for name in ("model.onnx", "tokenizer.json"))
    card = models.Card(
        folder.name,
        "reader",
        *("",) * 4,
        files,
        max_tokens=READER_TOKENS,
        calibration=refusal.SENTENCES,
        refusal=refusal.SENTENCES_REFUSAL,
    )
    return cross.load(models.Installed(card, folder), threads=threads)


def _file(path: Path) -> models.File:
    content = path.read_bytes()
    return models.File(path.name, hashlib.sha256(content).hexdigest(), len(content))


Cut = Callable[[Parsed], tuple[str, tuple[int, ...], tuple[Chunk, ...]]]
"""Makes of a document its text, where its pages begin, and its chunks."""


def store_of(
    documents: Iterable[tuple[str, Parsed]],
    encoder: Encoder,
    folder: Path,
    *,
    cut: Cut = chunks,
    embedded: Callable[[Chunk, str], str] = chunk_input,
) -> Store:
    """Make a vault at `folder` of (name, document) and return its open store.

    `embedded` gives the text that is embedded for a chunk of a document of that title.
    """
    store = create_vault(folder, Secret.passphrase(bytearray(b"measure")), clock=lambda: datetime.now(UTC))
    for name, parsed in documents:
        text, starts, pieces = cut(parsed)
        digest = hashlib.sha256(f"{name}\0{text}".encode()).hexdigest()
        draft = Draft(name, name, parsed.title, digest, len(text), text, starts, pieces)
        resume = store.begin(draft, model=encoder.name)
        vectors = encoder.encode([embedded(chunk, parsed.title) for chunk in pieces])
        store.append(resume.document_id, pieces, vectors)
        store.finish(resume.document_id)
    return store
