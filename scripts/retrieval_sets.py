"""Development data -> sets of documents and questions with their gold, for scripts/retrieval.py.

A gold is a document with a grade (BEIR), a page, or a span of a document's canonical text.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from appliance.ingest.chunk import chunks
from appliance.ingest.parse.nursery import Nursery, parse_file
from appliance.types import Block, Parsed

Span = tuple[str, int, int]
"""A document's name, and a span of its canonical text."""

_SEED = 20261124
_SQUAD_QUESTIONS = 480


@dataclass(frozen=True)
class Asked:
    """A question with its gold: `grades` of documents, (document, page) pairs, or spans."""

    text: str
    grades: Mapping[str, int] = field(default_factory=dict)
    pages: frozenset[tuple[str, int]] = frozenset()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Set:
    """Documents by name, and groups of questions about them."""

    name: str
    documents: Callable[[], list[tuple[str, Parsed]]]
    groups: Mapping[str, Sequence[Asked]]


def scifact(data: Path) -> Set:
    """Return SciFact: 5,183 abstracts; claims for tuning (train) and for reporting (dev)."""
    folder = data / "dev" / "ir_scifact"
    groups = {name: _judged(folder, f"qrels_{name}.tsv") for name in ("train", "dev")}
    return Set("scifact", lambda: _beir(folder), groups)


def cranfield(data: Path) -> Set:
    """Return Cranfield: 1,400 abstracts; half of the questions, by their hash, for tuning."""
    folder = data / "dev" / "ir_cranfield"
    asked = _judged(folder, "qrels.tsv")
    groups = {name: [each for each in asked if _half(each.text) == name] for name in ("tune", "report")}
    return Set("cranfield", lambda: _beir(folder), groups | {"all": asked})


def northwind(data: Path) -> Set:
    """Return Northwind: six PDFs, 201 questions with pages."""
    folder = data / "dev" / "northwind_pdf_qa"
    rows = _lines(folder / "norm.jsonl.gz")
    asked = [
        Asked(row["question"], pages=frozenset((each["doc"], each["page"]) for each in row["citations"]))
        for row in rows
        if row.get("citations")
    ]

    def read() -> list[tuple[str, Parsed]]:
        with Nursery() as nursery:
            return [
                (path.name, parse_file(nursery, path)[0]) for path in sorted((folder / "pdf").glob("*.pdf"))
            ]

    return Set("northwind", read, {"all": asked})


def product(data: Path) -> Set:
    """Return the product documentation: a document a page of the site, gold sections."""
    folder = data / "dev" / "anthropic_docs_rag"
    documents: dict[str, list[Block]] = defaultdict(list)
    places: dict[str, Span] = {}
    for row in json.loads(gzip.decompress((folder / "anthropic_docs.json.gz").read_bytes())):
        name = row["chunk_link"].partition("#")[0]
        body = row["text"].removeprefix(row["chunk_heading"]).strip()
        parts = [part for part in re.split(r"\n\s*\n", body) if part.strip()]
        blocks = documents[name]
        start = _length(blocks)
        blocks.append(Block("heading", row["chunk_heading"] or name, level=2))
        blocks.extend(Block("paragraph", part.strip()) for part in parts)
        places[row["chunk_link"]] = (name, start, _length(blocks) - 2)
    asked = [
        Asked(row["question"], spans=tuple(places[link] for link in row["correct_chunks"] if link in places))
        for row in json.loads((folder / "docs_evaluation_dataset.json").read_text("utf-8"))
    ]
    held = [
        (name, Parsed(name.rpartition("/")[2], tuple(blocks), None)) for name, blocks in documents.items()
    ]
    return Set("product", lambda: held, {"all": [each for each in asked if each.spans]})


def squad(data: Path) -> Set:
    """Return SQuAD dev articles: questions of 1.1, and of 2.0 with their disfluent forms.

    `disfluent` and `fluent` go in pairs.
    """
    read = json.loads(gzip.decompress((data / "dev/squad_dev/squad-dev-v1.1.rebuilt.json.gz").read_bytes()))
    documents, asked, spans = [], [], {}
    for article in read["data"]:
        texts = [row["context"].strip() for row in article["paragraphs"]]
        starts = [0, *itertools.accumulate(len(text) + 2 for text in texts)]
        title = article["title"].replace("_", " ")
        documents.append((title, Parsed(title, tuple(Block("paragraph", text) for text in texts), None)))
        for row, text, start in zip(article["paragraphs"], texts, starts, strict=False):
            span = (title, start, start + len(text))
            for question in row["qas"]:
                spans[question["id"]] = span
                asked.append(Asked(question["question"].strip(), spans=(span,)))
    chosen = np.random.default_rng(_SEED).choice(len(asked), _SQUAD_QUESTIONS, replace=False)
    pairs = [
        tuple(Asked(row[form].strip(), spans=(spans[number],)) for form in ("original", "disfluent"))
        for number, row in _disfluent(data)
        if number in spans
    ]
    fluent, spoken = zip(*pairs, strict=True)
    groups = {"sample": [asked[at] for at in sorted(chosen)], "fluent": fluent, "disfluent": spoken}
    return Set("squad", lambda: documents, groups)


def chunking(data: Path) -> Set:
    """Return the five corpora of chunking_eval with the spans that answer; a group is a corpus."""
    folder = data / "dev" / "chunking_eval"
    documents, bare = [], {}
    with Nursery() as nursery:
        for path in sorted((folder / "corpora").glob("*.md")):
            parsed = parse_file(nursery, path)[0]
            documents.append((path.stem, parsed))
            bare[path.stem] = _Bare(chunks(parsed)[0])
    groups: dict[str, list[Asked]] = defaultdict(list)
    for row in _lines(folder / "norm.jsonl.gz"):
        found = [bare[row["doc_id"]].find(each["content"]) for each in row["references"]]
        spans = tuple((row["doc_id"], *each) for each in found if each)
        if spans:
            groups[row["doc_id"]].append(Asked(row["question"], spans=spans))
    return Set("chunking", lambda: documents, dict(groups))


SETS: Mapping[str, Callable[[Path], Set]] = {
    "scifact": scifact,
    "cranfield": cranfield,
    "northwind": northwind,
    "product": product,
    "squad": squad,
    "chunking": chunking,
}


class _Bare:
    """A text by its letters and digits alone, so that a quotation is found whatever its white space."""

    def __init__(self, text: str) -> None:
        self._places = [place for place, letter in enumerate(text) if letter.isalnum()]
        self._text = "".join(text[place] for place in self._places)

    def find(self, quoted: str) -> tuple[int, int] | None:
        wanted = "".join(letter for letter in quoted if letter.isalnum())
        at = self._text.find(wanted)
        return (self._places[at], self._places[at + len(wanted) - 1] + 1) if wanted and at >= 0 else None


def _length(blocks: Sequence[Block]) -> int:
    return sum(len(block.text) + 2 for block in blocks)


def _beir(folder: Path) -> list[tuple[str, Parsed]]:
    return [
        (
            row["_id"],
            Parsed(row["title"].strip(), (Block("paragraph", row["text"].strip() or row["title"]),), None),
        )
        for row in _lines(folder / "corpus.jsonl.gz")
        if row["text"].strip() or row["title"].strip()
    ]


def _judged(folder: Path, name: str) -> list[Asked]:
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / name).read_text("utf-8").splitlines()[1:]:
        question, document, grade = line.split("\t")
        grades[question][document] = int(grade)
    texts = {row["_id"]: row["text"] for row in _lines(folder / "queries.jsonl.gz")}
    return [Asked(texts[number], grades=found) for number, found in grades.items()]


def _half(text: str) -> str:
    return "tune" if hashlib.sha256(text.encode()).digest()[0] % 2 else "report"


def _disfluent(data: Path) -> Iterator[tuple[str, Any]]:
    read = json.loads(gzip.decompress((data / "dev/disfl_qa/dev.json.gz").read_bytes()))
    yield from read.items()


def _lines(path: Path) -> list[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
