"""Documents -> a throw-away vault with the real encoder, for the scripts that measure retrieval."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from appliance import config, embed, models
from appliance.embed import Encoder
from appliance.errors import ModelMissing
from appliance.ingest.chunk import chunks
from appliance.retrieve import cross
from appliance.retrieve.reader import TrainedReader
from appliance.secret import Secret
from appliance.types import Draft, Parsed, chunk_input
from appliance.vault.folder import create_vault
from appliance.vault.store import Store


def load_encoder() -> Encoder:
    """Load the default embedding model.

    Raises:
        ModelMissing: it is not installed.
    """
    settings = config.load()
    return embed.load(models.find(settings.embedding, settings.model_folders), threads=settings.cores)


def load_reader() -> TrainedReader | None:
    """Load the trained reader; None where none is configured or installed."""
    settings = config.load()
    try:
        found = models.find(settings.reader, settings.model_folders)
    except ModelMissing:
        return None
    return cross.load(found, threads=settings.cores)


def store_of(documents: Iterable[tuple[str, Parsed]], encoder: Encoder, folder: Path) -> Store:
    """Make a vault at `folder` of (name, document) and return its open store."""
    store = create_vault(folder, Secret.passphrase(bytearray(b"measure")), clock=lambda: datetime.now(UTC))
    for name, parsed in documents:
        text, starts, pieces = chunks(parsed)
        digest = hashlib.sha256(f"{name}\0{text}".encode()).hexdigest()
        draft = Draft(name, name, parsed.title, digest, len(text), text, starts, pieces)
        resume = store.begin(draft, model=encoder.name)
        vectors = encoder.encode([chunk_input(chunk, parsed.title) for chunk in pieces])
        store.append(resume.document_id, pieces, vectors)
        store.finish(resume.document_id)
    return store
