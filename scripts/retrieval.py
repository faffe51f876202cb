"""Questions with known places -> how far up the searches bring them, beside bm25s and the encoder alone.

    python -m scripts.retrieval --data ../shared/data                    # every set
    python -m scripts.retrieval --data ../shared/data --set scifact --peer .cache/peer/bin/python
    python -m scripts.retrieval --data ../shared/data --robust           # misspelt, terse, spoken questions
    python -m scripts.retrieval --data ../shared/data --chunking         # ways to cut, recall of gold spans

Through our own chunks, store and searches. A document counts by its best passage (nDCG@10, BEIR sets);
elsewhere the figures are the shares of questions whose gold is among the first 1, 3 and 5 passages. With
`--read` the trained reader orders the passages, as in the product. Stores and vectors are kept under .cache.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from appliance import config, models
from appliance.evaluation import metrics
from appliance.inference import load_tokenizer
from appliance.ingest.chunk import chunks
from appliance.retrieve.retriever import Retriever
from appliance.retrieve.words import STOP
from appliance.secret import Secret
from appliance.types import Hit, Parsed, Passage
from appliance.vault.folder import open_vault
from appliance.vault.store import Store
from scripts.corpora import load_encoder, load_reader, store_of
from scripts.remembered import Remembered
from scripts.retrieval_cuts import Way, ways
from scripts.retrieval_sets import SETS, Asked, Set

KEPT = Path(".cache/retrieval")
MOST = 60
FIRST = (1, 3, 5)
SHOWN = 5
_SEED = 20261124
Ranking = Callable[[str], Sequence[Passage]]
Figures = dict[str, float]


def main() -> None:
    """Measure what was asked for, and report."""
    options = _options()
    settings = config.load()
    found = models.find(settings.embedding, settings.model_folders)
    encoder = Remembered(load_encoder(), KEPT / "vectors.bin")
    report: dict[str, object] = {}
    for name in options.set:
        chosen = SETS[name](options.data)
        if options.chunking:
            rows = _cuttings(chosen, encoder, ways(load_tokenizer(found)))
        else:
            store = kept_store(chosen, encoder)
            retriever = Retriever(store, encoder, load_reader() if options.read else None)
            rank = _reading(retriever) if options.read else _searching(retriever)
            rows = _robust(chosen, rank) if options.robust else _rows(chosen, rank, encoder, options.peer)
        for what, figures in rows:
            told = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
            print(f"{name:10} {what:44} {told}", flush=True)
            report[f"{name}: {what}"] = {key: round(value, 4) for key, value in figures.items()}
    print(json.dumps(report))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=tuple(SETS), action="append")
    parser.add_argument("--peer", type=Path, help="a Python that has bm25s: its figures too")
    parser.add_argument("--read", action="store_true", help="let the trained reader order the passages")
    parser.add_argument("--robust", action="store_true", help="ask in other ways, too")
    parser.add_argument("--chunking", action="store_true", help="compare ways to cut")
    options = parser.parse_args()
    usual = ["chunking"] if options.chunking else ["squad", "northwind"] if options.robust else list(SETS)
    options.set = options.set or usual
    return options


def kept_store(chosen: Set, encoder: Remembered, way: Way | None = None, *, label: str = "ours") -> Store:
    """Return the store of a set, made where none is kept of the same chunks and encoder."""
    way = way or Way()
    documents = chosen.documents()
    digest = hashlib.sha256(f"{encoder.name} {label}".encode())
    for name, parsed in documents:
        for chunk in way.cut(parsed)[2]:
            digest.update(f"{name}\0{way.embedded(chunk, parsed.title)}\0".encode())
    folder = KEPT / f"{chosen.name}-{digest.hexdigest()[:16]}"
    if folder.exists():
        return open_vault(folder, Secret.passphrase(bytearray(b"measure")), clock=lambda: datetime.now(UTC))
    making = folder.with_suffix(".part")
    if making.exists():
        raise SystemExit(f"{making} is being made, or was left by a kill: remove it.")
    making.parent.mkdir(parents=True, exist_ok=True)
    store_of(documents, encoder, making, cut=way.cut, embedded=way.embedded).close()
    making.rename(folder)
    return kept_store(chosen, encoder, way, label=label)


def _searching(retriever: Retriever) -> Ranking:
    return lambda question: retriever.search(question, most=MOST).passages


def _reading(retriever: Retriever) -> Ranking:
    return lambda question: retriever.retrieve(question, most=MOST).passages


# Figures


def _rows(
    chosen: Set, rank: Ranking, encoder: Remembered, peer: Path | None
) -> Iterator[tuple[str, Figures]]:
    for group, asked in chosen.groups.items():
        yield group, _figures(rank, asked)
        if asked[0].grades:
            documents = chosen.documents()
            yield f"{group}, encoder alone", _alone(documents, asked, encoder)
            if peer:
                yield f"{group}, bm25s alone", _bm25s(documents, asked, peer)


def _figures(rank: Ranking, asked: Sequence[Asked]) -> Figures:
    found = [(each, rank(each.text)) for each in asked]
    if asked[0].grades:
        by_document = [(each, list(dict.fromkeys(p.document for p in given))) for each, given in found]
        return {"nDCG@10": float(np.mean([_ndcg(each, names) for each, names in by_document]))}
    ranks = [_rank(each, given) for each, given in found]
    return {f"first {most}": float(np.mean([at <= most for at in ranks])) for most in FIRST}


def _ndcg(asked: Asked, documents: Sequence[str]) -> float:
    ideal = sorted((grade for grade in asked.grades.values() if grade > 0), reverse=True)
    gains = {
        rank: grade for rank, name in enumerate(documents, 1) if (grade := asked.grades.get(name, 0)) > 0
    }
    return metrics.ndcg(gains, ideal, 10)


def _rank(asked: Asked, passages: Sequence[Passage]) -> int:
    return next((rank for rank, each in enumerate(passages, 1) if _holds(asked, each)), MOST + 1)


def _holds(asked: Asked, passage: Passage) -> bool:
    """Tell whether a passage is on a gold page, or shares half of a gold span or of itself with one."""
    if asked.pages:
        return (passage.document, passage.page) in asked.pages
    end = passage.start + len(passage.text)
    return any(
        2 * (min(end, last) - max(passage.start, first)) >= min(last - first, len(passage.text))
        for name, first, last in asked.spans
        if name == passage.document
    )


def _alone(documents: Sequence[tuple[str, Parsed]], asked: Sequence[Asked], encoder: Remembered) -> Figures:
    """Rank whole documents by the cosine of title and text, as far as the encoder reads."""
    names = [name for name, _ in documents]
    vectors = encoder.encode([_whole(parsed) for _, parsed in documents])
    cosines = encoder.encode([each.text for each in asked]) @ vectors.T
    ranked = [[names[at] for at in row[:MOST]] for row in np.argsort(-cosines, axis=1, kind="stable")]
    return {"nDCG@10": float(np.mean([_ndcg(each, row) for each, row in zip(asked, ranked, strict=True)]))}


def _bm25s(documents: Sequence[tuple[str, Parsed]], asked: Sequence[Asked], peer: Path) -> Figures:
    """Rank whole documents by bm25s, in its own environment."""
    names = [name for name, _ in documents]
    given = {"texts": [_whole(parsed) for _, parsed in documents], "most": MOST}
    told = subprocess.run(
        [str(peer), str(Path(__file__).with_name("bm25s_peer.py"))],
        input=json.dumps(given | {"questions": [each.text for each in asked]}),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    ranked = [[names[at] for at in row] for row in json.loads(told)]
    return {"nDCG@10": float(np.mean([_ndcg(each, row) for each, row in zip(asked, ranked, strict=True)]))}


def _whole(parsed: Parsed) -> str:
    return " ".join([parsed.title, *(block.text for block in parsed.blocks)])


# Questions asked otherwise


def _robust(chosen: Set, rank: Ranking) -> Iterator[tuple[str, Figures]]:
    for group, asked in chosen.groups.items():
        yield group, _figures(rank, asked)
        if group in ("fluent", "disfluent"):
            continue
        for name, change in (("lower-case", str.lower), ("terse", terse), ("misspelt", misspelt)):
            yield (
                f"{group}, {name}",
                _figures(rank, [replace(each, text=change(each.text)) for each in asked]),
            )


def terse(question: str) -> str:
    """Return the words that carry meaning alone, as one types them into a search box."""
    words = re.findall(r"[^\s,;?!]+", question.lower())
    return " ".join(word for word in words if word.strip(".'’\"") not in STOP) or question


def misspelt(question: str) -> str:
    """Return the question with one slip of the keys in one of its longer words; the same at each run."""
    words = [match for match in re.finditer(r"[A-Za-z]{4,}", question) if match[0].lower() not in STOP]
    if not words:
        return question
    seed = int.from_bytes(hashlib.sha256(question.encode()).digest()[:4], "big")
    chance = np.random.default_rng([_SEED, seed])
    word = words[chance.integers(len(words))]
    at = int(chance.integers(1, len(word[0]) - 1))
    before, letter, after = word[0][:at], word[0][at], word[0][at + 1 :]
    other = chr(ord("a") + int(chance.integers(26)))
    slip = (
        before + after,
        before + other + letter + after,
        before + other + after,
        before + after[0] + letter + after[1:],
    )[int(chance.integers(4))]
    return question[: word.start()] + slip + question[word.end() :]


# Ways to cut


def _cuttings(chosen: Set, encoder: Remembered, compared: dict[str, Way]) -> Iterator[tuple[str, Figures]]:
    for label, way in compared.items():
        store = kept_store(chosen, encoder, way, label=label)
        rank = _searching(Retriever(store, encoder))
        texts = {name: chunks(parsed)[0] for name, parsed in chosen.documents()}
        shown = _with_neighbours(store, texts) if way.parent else list
        for group, asked in chosen.groups.items():
            figures = _figures(rank, asked)
            if asked[0].spans:
                found = [_recall(each, shown(rank(each.text)[:SHOWN])) for each in asked]
                figures |= dict(zip(("recall", "characters"), np.mean(found, axis=0).tolist(), strict=True))
            yield f"{group}, {label}", figures


def _with_neighbours(store: Store, texts: dict[str, str]) -> Callable[[Sequence[Passage]], list[Passage]]:
    """Return what shows each passage from the chunk before it to the one after it."""

    def widened(passages: Sequence[Passage]) -> list[Passage]:
        wide = []
        for passage in passages:
            spans = [
                (each.start, each.start + len(each.text))
                for each in (
                    passage,
                    *store.passages([Hit(n, 0.0, ()) for n in store.neighbours(passage.chunk)]),
                )
            ]
            start, end = min(first for first, _ in spans), max(last for _, last in spans)
            wide.append(replace(passage, start=start, text=texts[passage.document][start:end]))
        return wide

    return widened


def _recall(asked: Asked, passages: Sequence[Passage]) -> tuple[float, int]:
    """Return the share of the gold characters that the passages show, and how many characters they show."""
    gold = {(name, at) for name, first, last in asked.spans for at in range(first, last)}
    shown = {(each.document, each.start + at) for each in passages for at in range(len(each.text))}
    return len(gold & shown) / len(gold), len(shown)


if __name__ == "__main__":
    main()
