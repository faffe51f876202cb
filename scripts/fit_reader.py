"""Held-out training documents in stores, questions asked of them -> how the reader may order, quote, refuse.

    python -m scripts.fit_reader --data ../shared/data --model FOLDER --out .cache/reader/fit.jsonl

Four stores of documents; questions come only from documents that the reader's training never saw, of which
every other one is left out of its store: those questions have no answer there ("same subject"), and so have
the other stores' ("other subject") and SQuAD's twins ("twin"). `--out` keeps one line a question, and is used
again where it is there. Nothing of `dev` is read. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from appliance import models
from appliance.embed import Encoder
from appliance.retrieve import cross, refusal, words
from appliance.retrieve.reader import Question, Reading, SentenceReader
from appliance.retrieve.retriever import PASSAGES, Retriever
from appliance.types import Block, Parsed, Passage
from appliance.vault.store import Store
from scripts.corpora import load_encoder, store_of
from scripts.fit_refusal import FALSE_REFUSALS, fitted, with_one
from scripts.reader_data import held_out
from scripts.reader_sources import SOURCES, Asked

Floats = npt.NDArray[np.float64]
STORES: Final = {"squad": 40, "natural": 250, "covid": 8, "medquad": 250}
"""How many documents that the reader was trained on fill each store up, as distractors."""
QUESTIONS: Final = 30
DEPTH: Final = PASSAGES
DEPTHS: Final = (3, 6)
WEIGHTS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
SHARES: Final = {"own": 0.5, "same subject": 0.2, "other subject": 0.2, "twin": 0.1}
"""What each kind of question weighs in the fit of the refusal."""
_PARAGRAPHS: Final = 60
_MISSING: Final = [each.name for each in fields(refusal.Signals)].index("missing")
MISSING_WEIGHT: Final = -0.464
"""As scripts/fit_refusal.py found it, where there were some."""


@dataclass
class Held:
    """A document as its questions name it."""

    title: str
    texts: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)


def documents(source: str, data: Path) -> dict[str, Held]:
    """Gather a source's questions by document."""
    found: dict[str, Held] = {}
    for each in SOURCES[source](data / "train"):
        held = found.setdefault(each.document, Held(each.title))
        held.asked.append(each)
        if each.text not in held.texts and len(held.texts) < _PARAGRAPHS:
            held.texts.append(each.text)
    return found


def parsed(held: Held) -> Parsed:
    """Return a document's paragraphs in the order in which they were asked about."""
    parts = [part for text in held.texts for part in text.split("\n\n")]
    return Parsed(held.title, tuple(Block("paragraph", part) for part in parts), None)


def rows(
    source: str, every: dict[str, dict[str, Held]], encoder: Encoder, reader: cross.CrossReader
) -> Iterator[dict[str, Any]]:
    """Yield one line a question asked of the store of `source`."""
    own = {name: held for name, held in every[source].items() if held_out(name)}
    inside = dict(list(own.items())[::2])
    outside = [held for name, held in own.items() if name not in inside]
    fill = [(name, held) for name, held in every[source].items() if not held_out(name)][: STORES[source]]
    others = [
        held
        for other, found in every.items()
        if other != source
        for name, held in found.items()
        if held_out(name)
    ]
    kinds = {
        "own": [each for held in inside.values() for each in held.asked if each.answerable == 1],
        "twin": [each for held in inside.values() for each in held.asked if each.answerable == 0],
        "same subject": [each for held in outside for each in held.asked if each.answerable == 1],
        "other subject": [each for held in others for each in held.asked if each.answerable == 1],
    }
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(
            ((name, parsed(held)) for name, held in [*inside.items(), *fill]), encoder, Path(folder) / "vault"
        )
        arms = Arms(store, encoder, reader)
        print(f"{source}: {store.chunk_count()} chunks", flush=True)
        for kind, asked in kinds.items():
            for each in _sample(asked):
                yield {"source": source, "kind": kind} | line(each, arms)
        store.close()


@dataclass(frozen=True)
class Arms:
    """One store with both readers."""

    store: Store
    encoder: Encoder
    trained: cross.CrossReader

    def both(
        self, text: str, passages: Sequence[Passage]
    ) -> tuple[Sequence[Reading], Sequence[cross.Judged]]:
        """Return what the sentence reader and the trained one say of the passages."""
        question = Question(text, self.encoder.encode([text])[0], words.query(text, self.store))
        sentences = SentenceReader(self.encoder, self.store.analyse).read(question, passages)
        return sentences, self.trained.judge(text, passages)


def line(each: Asked, arms: Arms) -> dict[str, Any]:
    """Return what search and both readers say of one question."""
    today = Retriever(arms.store, arms.encoder).retrieve(each.question)
    passages = today.passages
    sentences, judged = arms.both(each.question, passages)
    readings = cross.readings(judged, passages)
    return {
        "question": each.question,
        "signals": list(astuple(today.signals)),
        "near": today.near,
        "score": [passage.score for passage in passages],
        "gold": [holds(each, passage) for passage in passages],
        "sentence": [reading.relevance for reading in sentences],
        "sentence_hit": [
            hit(each, passage, reading.span) for passage, reading in zip(passages, sentences, strict=True)
        ],
        "read_hit": [
            hit(each, passage, reading.span) for passage, reading in zip(passages, readings, strict=True)
        ],
        "relevant": [one.relevance for one in judged],
        "answerable": [one.answerable for one in judged],
        "margin": [one.margin for one in judged],
    }


def holds(each: Asked, passage: Passage) -> bool:
    """Tell whether the passage is of the question's document and holds an answer, or its beginning."""
    if each.answerable != 1 or passage.document != each.document:
        return False
    if each.span is None:
        return (
            " ".join(each.text.split())[:80] in " ".join(passage.text.split())
            or passage.text.strip() in each.text
        )
    return each.text[slice(*each.span)] in passage.text


def hit(each: Asked, passage: Passage, span: tuple[int, int]) -> bool:
    """Tell whether a quote holds the answer, or lies in it where that is longer."""
    if not holds(each, passage):
        return False
    quote = passage.text[slice(*span)]
    answer = each.text[slice(*each.span)] if each.span else each.text
    return answer in quote or quote in answer


def _sample(asked: Sequence[Asked]) -> list[Asked]:
    order = np.random.default_rng(7).permutation(len(asked))[:QUESTIONS]
    return [asked[index] for index in order]


def collect(data: Path, folder: Path) -> list[dict[str, Any]]:
    """Ask everything."""
    encoder = load_encoder()
    reader = cross.load(models.find(folder.name, [folder.parent]), threads=4)
    every = {source: documents(source, data) for source in STORES}
    return [row for source in STORES for row in rows(source, every, encoder, reader)]


def main() -> None:
    """Ask, or take what was asked, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if not options.out.exists():
        found = collect(options.data, options.model)
        options.out.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    found = [json.loads(text) for text in options.out.read_text("utf-8").splitlines()]
    report = {"order": ordering(found), "refusal": refusing(found)}
    print(json.dumps(report))


def ordering(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Print for each share of the reader how often the first, one of three and the quote are right."""
    own = [row for row in found if row["kind"] == "own" and any(row["gold"])]
    print(f"order and quote, {len(own)} questions whose gold passage is among the {DEPTH}")
    table: dict[str, Any] = {}
    for depth in DEPTHS:
        for weight in WEIGHTS:
            ranks = [order(row, weight, depth) for row in own]
            pairs = list(zip(own, ranks, strict=True))
            table[f"{depth}/{weight}"] = [
                _share(row["gold"][rank[0]] for row, rank in pairs),
                _share(any(row["gold"][at] for at in rank[:3]) for row, rank in pairs),
                _share(any(row["gold"][at] for at in rank[:6]) for row, rank in pairs),
                _share(row["read_hit"][rank[0]] for row, rank in pairs),
            ]
            print(f"  depth {depth:2} weight {weight:.2f}: 1/3/6 and quote {table[f'{depth}/{weight}']}")
    table["today"] = _share(row["sentence_hit"][int(np.argmax(row["sentence"]))] for row in own)
    print(f"  the sentence reader's quote: {table['today']}")
    return table


def order(row: dict[str, Any], weight: float, depth: int) -> list[int]:
    """Return the candidates' numbers, best first."""
    scores = np.array(row["score"][:depth])
    mixed = (1 - weight) * scores + weight * chance(row["relevant"][:depth])
    return [int(at) for at in np.argsort(-mixed, kind="stable")]


def refusing(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Print what the signals refuse with and without the reader, each fitted on all but the store judged."""
    arms = {"today": lambda row: row["signals"][:6], "with the reader": features}
    report: dict[str, Any] = {}
    for name, seen in arms.items():
        usable = [row for row in found if row["score"]]
        values = np.array([seen(row) for row in usable])
        scores, beta, threshold = crossed(values, usable)
        print(f"refusal, {name}: threshold {threshold:.3f}, weights {np.round(beta, 3).tolist()}")
        kinds = sorted({row["kind"] for row in usable})
        shares: dict[str, Any] = {}
        for kind in kinds:
            chosen = np.array([row["kind"] == kind for row in usable])
            shares[kind] = [int(chosen.sum()), _share(scores[chosen] < threshold), auc(scores, usable, kind)]
            print(f"  {kind}: {shares[kind][0]} questions, refused {shares[kind][1]}, AUC {shares[kind][2]}")
        report[name] = {"bias_weights": np.round(beta, 3).tolist(), "threshold": round(threshold, 3)} | shares
    return report


def features(row: dict[str, Any]) -> list[float]:
    """Return the signals as the retriever makes them with a trained reader."""
    shown = order(row, cross.WEIGHT, DEPTH)[:PASSAGES]
    relevant, answerable = chance(row["relevant"]), chance(row["answerable"])
    cosine, lead, _, covered, missing, agreed = row["signals"][:6]
    best = [max(values[at] for at in shown) for values in (relevant, answerable)]
    return [cosine, lead, best[0], covered, missing, agreed, best[1]]


def crossed(values: Floats, found: Sequence[dict[str, Any]]) -> tuple[Floats, Floats, float]:
    """Return scores of each store by a fit on the others, and the fit and threshold on all."""
    kinds = np.array([row["kind"] for row in found])
    weights = np.array([SHARES[kind] / np.sum(kinds == kind) for kind in kinds]) * len(found)
    sources = np.array([row["source"] for row in found])
    own = kinds == "own"
    scores = np.zeros(len(found))
    for source in sorted(set(sources)):
        rest = sources != source
        scores[~rest] = with_one(values[~rest]) @ _fit(values[rest], own[rest], weights[rest])
    beta = _fit(values, own, weights)
    whole = chance(with_one(values) @ beta)
    return chance(scores), beta, float(np.quantile(whole[own], FALSE_REFUSALS))


def _fit(values: Floats, own: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """Fit all but the weight of missing identifiers: these sets have hardly any, and it came out positive."""
    blind = values.copy()
    blind[:, _MISSING] = 0
    beta = fitted(blind, own.astype(np.float64), weights)
    beta[1 + _MISSING] = MISSING_WEIGHT
    return beta


def auc(scores: Floats, found: Sequence[dict[str, Any]], kind: str) -> float:
    """Return the chance that an own question scores above one of `kind`."""
    own = scores[[row["kind"] == "own" for row in found]]
    other = scores[[row["kind"] == kind for row in found]]
    return round(float((own[:, None] > other[None, :]).mean()), 4)


def chance(logits: Any) -> Floats:
    """Return the chances of logits."""
    return np.asarray(1 / (1 + np.exp(-np.array(logits, dtype=np.float64))))


def _share(found: Iterable[Any]) -> float:
    counted = [bool(each) for each in found]
    return round(sum(counted) / len(counted), 4) if counted else 0.0


if __name__ == "__main__":
    main()
