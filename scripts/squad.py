"""A reader, SQuAD 2.0 questions each with its passage -> the official exact match, F1, no-answer accuracy.

    python -m scripts.squad --data ../shared/data --model FOLDER --limit 2000   # model.onnx, tokenizer.json

The metric is that of the official evaluate-v2.0.py (Rajpurkar et al. 2018). The threshold for "no answer" is
the best one on those training pairs whose documents the training never saw; the best one possible on the
questions themselves is printed beside it, as a bound.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.evaluation import metrics
from appliance.retrieve import cross
from appliance.types import Passage
from scripts.corpora import bare_reader
from scripts.reader_data import held_out
from scripts.reader_sources import squad

SEED = 7


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its passage and its gold answers: none where the passage does not answer."""

    question: str
    context: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A reader's answer and how sure it is that there is one."""

    answer: str
    sure: float


def figures(asked: Sequence[Asked], said: Sequence[Said], threshold: float) -> dict[str, float]:
    """Return the official figures where an answer below `threshold` counts as none."""
    given = [each.answer if each.sure >= threshold else "" for each in said]
    scores = np.array([metrics.best(one.answers, two) for one, two in zip(asked, given, strict=True)])
    has = np.array([bool(one.answers) for one in asked])
    return {
        "exact": _mean(scores[:, 0]),
        "f1": _mean(scores[:, 1]),
        "answerable_f1": _mean(scores[has, 1]),
        "no_answer_accuracy": _mean(scores[~has, 0]),
    }


def best_f1(asked: Sequence[Asked], said: Sequence[Said]) -> tuple[float, float]:
    """Return the best F1 that a threshold could give, and that threshold (an upper bound, not a result)."""
    order = sorted(range(len(said)), key=lambda index: -said[index].sure)
    total = float(sum(not asked[index].answers for index in order))
    best, threshold = total, np.inf
    for index in order:
        total += metrics.best(asked[index].answers, said[index].answer)[1] if asked[index].answers else -1.0
        if total > best:
            best, threshold = total, said[index].sure
    return best / len(asked), float(threshold)


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return round(100 * float(values.mean()), 2) if len(values) else 0.0


def questions(path: Path) -> Iterator[Asked]:
    """Yield the questions of a SQuAD file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    for article in articles:
        for part in article["paragraphs"]:
            for each in part["qas"]:
                yield Asked(
                    each["question"], part["context"], tuple(gold["text"] for gold in each["answers"])
                )


def kept_apart(data: Path) -> Iterator[Asked]:
    """Yield the training pairs of the documents kept from the training."""
    for each in squad(data / "train"):
        if held_out(each.document):
            yield Asked(each.question, each.text, each.answers)


def sample(every: Sequence[Asked], limit: int) -> list[Asked]:
    """Return `limit` questions, always the same; all for 0."""
    order = np.random.default_rng(SEED).permutation(len(every))[: limit or None]
    return [every[index] for index in order]


def answers(reader: cross.CrossReader, asked: Sequence[Asked]) -> list[Said]:
    """Let the reader answer each question from its own passage."""
    said = []
    for each in asked:
        found = reader.judge(each.question, [passage(each.context)])[0]
        said.append(Said(each.context[slice(*found.best.span)], sureness(found)))
    return said


def sureness(found: cross.Judged) -> float:
    """Return the logit of there being an answer: the judgement's and half the span's margin over none."""
    return found.answerable + 0.5 * found.best.margin


def passage(text: str, heading: str = "") -> Passage:
    """Return a text as a passage of no document."""
    return Passage(0, 0, "", None, heading, "", text, 0, 0.0, ())


def main() -> None:
    """Answer and report; the last line is JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0, help="questions, 0 for all")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    reader = bare_reader(options.model, threads=options.threads)
    fitted_on = sample(list(kept_apart(options.data)), options.limit)
    _, threshold = best_f1(fitted_on, answers(reader, fitted_on))
    path = options.data / "dev" / "squad_dev" / "squad-dev-v2.0.rebuilt.json.gz"
    asked = sample(list(questions(path)), options.limit)
    began = time.perf_counter()
    said = answers(reader, asked)
    spent = (time.perf_counter() - began) * 1000 / len(asked)
    best, at = best_f1(asked, said)
    report = {"questions": len(asked), "threshold": round(threshold, 3), "fitted_on": len(fitted_on)}
    report |= figures(asked, said, threshold)
    bound = {"best_possible_f1": round(100 * best, 2), "at": round(at, 3)}
    print(json.dumps(report | bound | {"ms_a_passage": round(spent, 2)}))


if __name__ == "__main__":
    main()
