"""Keys without a key derivation, small drafts and vectors, and an in-memory twin of the store, for tests."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np

from appliance.errors import UsageError
from appliance.types import Check, Chunk, Document, DocumentPage, Draft, Passage
from appliance.vault.access.keyfile import KeyFile
from appliance.vault.access.keys import DataKey
from appliance.vault.store import Resume

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DIMENSIONS = 384
ENCODER = "fake-encoder"


def noon() -> datetime:
    """The tests' clock."""
    return NOON


def a_key(cipher="sqlcipher", *, secret=7) -> DataKey:
    """Return a data key that no passphrase opens: what is tested here is not the key file."""
    file = KeyFile(cipher=cipher, vault=bytes(range(16)), created=0, slots=(), mac=b"")
    return DataKey(file, bytearray([secret]) * 32)


def unit_vectors(count: int, *, seed: int = 0) -> np.ndarray:
    """Return `count` random unit vectors."""
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSIONS)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def a_draft(
    *texts: str, source: str = "/in/manual.txt", title: str = "Manual", heading="", digest=None
) -> Draft:
    """Return a draft of one chunk and one page for each text."""
    chunks, at = [], 0
    for ordinal, text in enumerate(texts):
        chunks.append(Chunk(ordinal, at, at + len(text), ordinal + 1, heading, "", text))
        at += len(text) + 1
    return Draft(
        source=source,
        name=source.rpartition("/")[2],
        title=title,
        digest=digest or hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest(),
        size=at,
        text="\n".join(texts),
        page_starts=tuple(chunk.start for chunk in chunks),
        chunks=tuple(chunks),
    )


def added(store, draft: Draft, *, vectors=None, seed: int = 0) -> Document:
    """Store `draft` whole."""
    resume = store.begin(draft, model=ENCODER)
    rows = unit_vectors(len(draft.chunks), seed=seed) if vectors is None else vectors
    if draft.chunks[resume.done :]:
        store.append(resume.document_id, draft.chunks[resume.done :], rows[resume.done :])
    return store.finish(resume.document_id)


@dataclass
class _Kept:
    draft: Draft
    model: str
    ready: bool
    chunks: list[int]


class FakeStore:
    """The store's twin: dictionaries, a plural-only stemmer, exact neighbours (tests/contracts)."""

    def __init__(self, *, clock=noon) -> None:
        self._clock = clock
        self._kept: dict[int, _Kept] = {}
        self._chunks: dict[int, tuple[int, Chunk, np.ndarray]] = {}
        self._settings: dict[str, str] = {}
        self._last_document = self._last_chunk = 0
        self._added: dict[int, datetime] = {}

    @contextmanager
    def writing(self):
        yield

    def close(self) -> None:
        pass

    def documents(self):
        return tuple(self._document(i) for i, kept in sorted(self._kept.items()) if kept.ready)

    def unfinished(self) -> tuple[Document, ...]:
        return tuple(self._document(i) for i, kept in sorted(self._kept.items()) if not kept.ready)

    def document(self, document_id):
        if document_id not in self._kept or not self._kept[document_id].ready:
            raise UsageError(f"There is no document {document_id}.")
        return self._document(document_id)

    def by_source(self, source):
        return next((document for document in self.documents() if document.source == source), None)

    def by_digest(self, digest, model):
        own = (seen for seen in self.documents() if (seen.digest, seen.model) == (digest, model))
        return next(own, None)

    def models(self):
        return Counter(document.model for document in self.documents())

    def text(self, document_id):
        self.document(document_id)
        return self._kept[document_id].draft.text

    def pages(self, document_id):
        document, draft = self.document(document_id), self._kept[document_id].draft
        if not draft.page_starts:
            return (DocumentPage(document, None, draft.text),)
        spans = zip(draft.page_starts, [*draft.page_starts[1:], len(draft.text)], strict=True)
        return tuple(DocumentPage(document, n, draft.text[a:b]) for n, (a, b) in enumerate(spans, 1))

    def page_at(self, document_id, offset):
        self.document(document_id)
        starts = self._kept[document_id].draft.page_starts
        return max(sum(start <= offset for start in starts), 1) if starts else None

    def page_span(self, document_id, offset):
        page = self.page_at(document_id, offset)
        starts = self._kept[document_id].draft.page_starts
        return (starts[page - 1], starts[page] if page < len(starts) else None) if page else None

    def begin(self, draft, *, model):
        _printable(draft)
        for document_id, kept in list(self._kept.items()):
            if kept.ready or kept.draft.source != draft.source:
                continue
            if (kept.draft, kept.model) == (draft, model):
                return Resume(document_id, len(kept.chunks))
            self.remove(document_id)
        self._last_document += 1
        self._kept[self._last_document] = _Kept(draft, model, False, [])
        self._added[self._last_document] = self._clock()
        return Resume(self._last_document, 0)

    def append(self, document_id, chunks, vectors):
        kept = self._pending(document_id)
        if vectors.shape != (len(chunks), DIMENSIONS) or vectors.dtype != np.float32:
            raise UsageError("These are not the chunks' vectors.")
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
            raise UsageError("The vectors must be finite and of length 1.")
        done = len(kept.chunks)
        in_order = [chunk.ordinal for chunk in chunks] == list(range(done, done + len(chunks)))
        if not in_order or done + len(chunks) > len(kept.draft.chunks):
            raise UsageError("These are not the next chunks.")
        for chunk, vector in zip(chunks, vectors, strict=True):
            self._last_chunk += 1
            self._chunks[self._last_chunk] = (document_id, chunk, vector.copy())
            kept.chunks.append(self._last_chunk)

    def finish(self, document_id):
        kept = self._pending(document_id)
        if len(kept.chunks) != len(kept.draft.chunks):
            raise UsageError("The document is not complete.")
        older = self.by_source(kept.draft.source)
        if older is not None:
            self.remove(older.id)
        kept.ready = True
        return self.document(document_id)

    def discard(self, document_id):
        if document_id in self._kept and not self._kept[document_id].ready:
            self.remove(document_id)

    def remove(self, document_id):
        kept = self._kept.pop(document_id, None)
        for chunk in kept.chunks if kept else ():
            del self._chunks[chunk]

    def chunk_count(self):
        return len(self._ready())

    def analyse(self, text):
        bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
        return re.findall(r"[^\W_]+", bare.lower())

    def document_frequency(self, terms):
        return {term: self._frequency(term) for term in terms}

    def match(self, query, limit):
        texts = {chunk: self._stems(self._body(chunk)) for chunk in self._ready()}
        phrases = [stems for stems in (self._stems(" ".join(phrase)) for phrase in query) if stems]
        scores: Counter[int] = Counter()
        for phrase in phrases:
            counts = {chunk: n for chunk, text in texts.items() if (n := _occurrences(phrase, text))}
            weight = math.log(1 + (len(texts) - len(counts) + 0.5) / (len(counts) + 0.5))
            for chunk, count in counts.items():
                scores[chunk] += weight * count / (count + 1.2)
        return sorted(scores.items(), key=lambda found: (-found[1], found[0]))[: max(limit, 0)]

    def rate(self, weights, chunk_ids):
        stems = {stem: weight for word, weight in weights.items() for stem in self._stems(word)}
        scores = {}
        for chunk in chunk_ids:
            if chunk in self._chunks:
                often = Counter(self._stems(self._body(chunk)))
                scores[chunk] = sum(
                    weight * often[stem] / (often[stem] + 1.2) for stem, weight in stems.items()
                )
        return scores

    def nearest(self, vector, limit, *, coarse=256):
        if vector.shape != (DIMENSIONS,) or not abs(float(np.linalg.norm(vector)) - 1) < 1e-3:
            raise UsageError("The vectors must be finite and of length 1.")
        scores = {chunk: float(self._chunks[chunk][2] @ vector) for chunk in self._ready()}
        return sorted(scores.items(), key=lambda found: (-found[1], found[0]))[: max(limit, 0)]

    def vectors(self, chunk_ids):
        if any(chunk not in self._chunks for chunk in chunk_ids):
            raise UsageError("One of these chunks is not in the vault.")
        return np.array([self._chunks[c][2] for c in chunk_ids], dtype=np.float32).reshape(-1, DIMENSIONS)

    def passages(self, hits):
        ready = set(self._ready())
        return tuple(self._passage(hit) for hit in hits if hit.chunk in ready)

    def neighbours(self, chunk_id):
        if chunk_id not in self._chunks:
            return ()
        ids = self._kept[self._chunks[chunk_id][0]].chunks
        at = ids.index(chunk_id)
        return tuple(ids[max(at - 1, 0) : at] + ids[at + 1 : at + 2])

    def setting(self, key):
        return self._settings.get(key)

    def set_setting(self, key, value):
        self._settings[key] = value

    def leaf(self, chunk_id):
        if chunk_id not in self._chunks:
            raise UsageError("This chunk is not in the vault.")
        return hashlib.sha256(repr((chunk_id, self._chunks[chunk_id][:2])).encode()).digest()[:16]

    def check(self, *, full, progress=None):
        yield Check("memory", ok=True, detail="nothing to damage")

    def _ready(self):
        return [chunk for chunk, (owner, _, _) in self._chunks.items() if self._kept[owner].ready]

    def _pending(self, document_id):
        kept = self._kept.get(document_id)
        if kept is None or kept.ready:
            raise UsageError(f"Document {document_id} is not being added.")
        return kept

    def _document(self, document_id):
        draft = self._kept[document_id].draft
        return Document(
            id=document_id,
            name=draft.name,
            title=draft.title,
            source=draft.source,
            digest=draft.digest,
            size=draft.size,
            pages=len(draft.page_starts) or None,
            chunks=len(draft.chunks),
            added=self._added[document_id],
            lost=draft.lost,
            flags=draft.flags,
            model=self._kept[document_id].model,
        )

    def _body(self, chunk):
        owner, kept, _ = self._chunks[chunk]
        return "\n".join((self._kept[owner].draft.title, kept.heading, kept.lead, kept.text))

    def _stems(self, text):
        return [word[:-1] if word.endswith("s") and len(word) > 3 else word for word in self.analyse(text)]

    def _frequency(self, term):
        texts = [set(self._stems(self._body(chunk))) for chunk in self._chunks]
        return min((sum(stem in text for text in texts) for stem in self._stems(term)), default=0)

    def _passage(self, hit):
        owner, chunk, _ = self._chunks[hit.chunk]
        return Passage(
            chunk=hit.chunk,
            document_id=owner,
            document=self._kept[owner].draft.name,
            page=chunk.page,
            heading=chunk.heading,
            lead=chunk.lead,
            text=chunk.text,
            start=chunk.start,
            score=hit.score,
            found_by=hit.found_by,
        )


def _occurrences(phrase, text):
    return sum(text[at : at + len(phrase)] == phrase for at in range(len(text) - len(phrase) + 1))


def _printable(draft):
    try:
        json.dumps(asdict(draft), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("The document's text is not Unicode and cannot be stored.") from None
