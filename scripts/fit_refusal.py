"""Questions asked of stores that hold their documents and of stores that do not -> the refusal's figures.

    python -m scripts.fit_refusal --data ../shared/data

Each of four training sets becomes a store of one half of its documents. Its questions on that half are the
positives; those on the other half (same subject, no answer) and those of the other sets are the negatives.
Nothing of `dev` is looked at: scripts/evaluate.py reports there. The last line is JSON, whose figures belong
into appliance/retrieve/refusal.py; `--keep` prints those that the thresholds in it would have instead.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.embed import Encoder
from appliance.retrieve.refusal import SENTENCES
from appliance.retrieve.retriever import Retriever
from appliance.types import Block, Parsed
from scripts.corpora import load_encoder, store_of

Floats = npt.NDArray[np.float64]
QUESTIONS = 120
"""Questions of each kind asked of each store."""
RIDGE = 1.0
SIGNALS = ("cosine", "lead", "covered", "missing", "agreed", "answers")
LEVELS = {"strict": 0.10, "balanced": 0.05, "open": 0.02}
"""The share of answerable training questions that a level may refuse."""


@dataclass(frozen=True)
class Item:
    """A document and questions that it answers."""

    name: str
    parsed: Parsed
    questions: tuple[str, ...]


def main() -> None:
    """Ask, fit, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="keep the weights, only find the thresholds")
    options = parser.parse_args()
    data = options.data / "train"
    encoder = load_encoder()
    sets = {
        "squad": list(_squad(data)),
        "covid": list(_covid(data)),
        "nq": list(_nq(data)),
        "medquad": list(_medquad(data)),
    }
    rows = [row for name in sets for row in _asked(name, sets, encoder)]
    seen = np.array([row[0] for row in rows])
    labels = np.array([row[1] == "own" for row in rows], dtype=np.float64)
    weights = np.where(labels == 1, 0.5 / labels.sum(), 0.5 / (1 - labels).sum()) * len(labels)
    beta = fitted(seen, labels, weights)
    if options.keep:
        beta = np.array([SENTENCES.bias, *(getattr(SENTENCES, name) for name in SIGNALS)])
    scores = 1 / (1 + np.exp(-with_one(seen) @ beta))
    report: dict[str, Any] = {"bias": round(float(beta[0]), 3)}
    report["weights"] = dict(zip(SIGNALS, np.round(beta[1:], 3).tolist(), strict=True))
    for level, most in LEVELS.items():
        threshold = float(np.quantile(scores[labels == 1], most))
        report[level] = {"threshold": round(threshold, 3)}
        for kind in ("own", "same subject", "other subject"):
            chosen = np.array([row[1] == kind for row in rows])
            report[level][kind] = round(float(np.mean(scores[chosen] < threshold)), 3)
        print(level, report[level], flush=True)
    report |= {f"auc {kind}": _auc(scores, rows, kind) for kind in ("same subject", "other subject")}
    print(json.dumps(report))


def _asked(
    name: str, sets: dict[str, list[Item]], encoder: Encoder
) -> Iterator[tuple[tuple[float, ...], str]]:
    """Yield (signals, kind of question) for one store."""
    held, left = sets[name][::2], sets[name][1::2]
    others = [item for other, items in sets.items() if other != name for item in items]
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(((item.name, item.parsed) for item in held), encoder, Path(folder) / "vault")
        retriever = Retriever(store, encoder)
        print(f"{name}: {store.chunk_count()} chunks", flush=True)
        for kind, items in (("own", held), ("same subject", left), ("other subject", others)):
            for question in _sample([text for item in items for text in item.questions]):
                seen = retriever.retrieve(question).signals.values()
                yield tuple(seen[name] for name in SIGNALS), kind
        store.close()


def _sample(questions: Sequence[str]) -> list[str]:
    order = np.random.default_rng(7).permutation(len(questions))[:QUESTIONS]
    return [questions[index] for index in order]


def fitted(seen: Floats, labels: Floats, weights: Floats) -> Floats:
    """Return the coefficients, bias first: a ridge logistic regression by Newton's method."""
    rows = with_one(seen)
    penalty = RIDGE * np.diag([0.0] + [1.0] * seen.shape[1])
    beta = np.zeros(rows.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-rows @ beta))
        slope = rows.T @ (weights * (chance - labels)) + penalty @ beta
        curve = (rows * (weights * chance * (1 - chance))[:, None]).T @ rows + penalty
        beta = beta - np.linalg.solve(curve, slope)
    return beta


def with_one(seen: Floats) -> Floats:
    """Put a column of ones in front, for the bias."""
    return np.hstack([np.ones((len(seen), 1)), seen])


def _auc(scores: Floats, rows: Sequence[tuple[Any, str]], kind: str) -> float:
    """Return the chance that an own question scores above one of `kind`."""
    own = scores[[row[1] == "own" for row in rows]]
    other = scores[[row[1] == kind for row in rows]]
    return round(float((own[:, None] > other[None, :]).mean()), 4)


def _squad(data: Path) -> Iterator[Item]:
    for article in _json(data / "squad2_train_pairs" / "squad2-train-pairs.json.gz")["data"][:60]:
        blocks = tuple(Block("paragraph", part["context"]) for part in article["paragraphs"][:12])
        questions = (
            each["question"]
            for part in article["paragraphs"][:12]
            for each in part["qas"]
            if not each["is_impossible"]
        )
        yield Item(f"squad/{article['title']}", Parsed(article["title"], blocks, None), tuple(questions))


def _covid(data: Path) -> Iterator[Item]:
    for paper in _json(data / "covid_qa" / "200423_covidQA.json.gz")["data"][:30]:
        text = paper["paragraphs"][0]["context"]
        blocks = tuple(Block("paragraph", part) for part in text.split("\n\n"))
        questions = tuple(each["question"] for each in paper["paragraphs"][0]["qas"])
        name = str(paper["paragraphs"][0]["document_id"])
        yield Item(f"covid/{name}", Parsed(text.split("\n")[0][:200], blocks, None), questions)


def _nq(data: Path) -> Iterator[Item]:
    for row in _lines(data / "nq_open_oracle" / "norm.jsonl.gz")[:700]:
        yield Item(row["id"], Parsed("", (Block("paragraph", row["context"]),), None), (row["question"],))


def _medquad(data: Path) -> Iterator[Item]:
    for row in _lines(data / "medquad" / "medquad_with_answers.jsonl.gz")[::40]:
        title = row["question"].removeprefix("What is (are) ").rstrip(" ?")
        blocks = tuple(Block("paragraph", part) for part in row["answer"][:3000].split("\n\n"))
        question = row["question"].replace(" (are)", "").replace(" ?", "?")
        yield Item(f"medquad/{row['id']}", Parsed(title[:80], blocks, None), (question,))


def _json(path: Path) -> Any:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def _lines(path: Path) -> list[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
