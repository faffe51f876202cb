"""What the searches found for held-out questions, and a reader -> how it may order, quote and refuse.

    python -m scripts.reader_stores --data ../shared/data --out FOUND
    python -m scripts.fit_reader --found FOUND --model FOLDER --out READ

FOLDER holds model.onnx and tokenizer.json. `--out` keeps what the reader said, and is used again where it is
there. Printed are the tables that are kept in scripts/LOG.md, and last what belongs on the reader's card.
Refusals are judged, and thresholds chosen, by fits on the other stores; the weights are those of the whole.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from appliance import config
from appliance.models import Calibration
from appliance.quantity import asked_for
from appliance.retrieve import cross
from appliance.types import PASSAGES
from scripts.corpora import bare_reader
from scripts.fit_refusal import fitted, with_one
from scripts.reader_stores import passage_of, worded_of

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]
READ: Final = 12
"""Passages read of each question: the most that the tables ask for."""
DEPTHS: Final = (3, 6, 8, 12)
WEIGHTS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WORDS: Final = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
SHARES: Final = {"own": 0.5, "same subject": 0.2, "other subject": 0.2, "twin": 0.1}
"""What each kind of question weighs in the fit of the refusal."""
LEVELS: Final = {"strict": 0.10, "balanced": 0.05, "open": 0.02}
"""The share of answered questions that a level may refuse, of the published sets."""
MADE_UP: Final = "authored"
"""The store of the made-up documents: at a level that refuses few of these next to nothing is refused."""
SEARCHED: Final = ("cosine", "lead", "covered", "missing", "agreed")
MISSING_WEIGHT: Final = -0.464
"""As scripts/fit_refusal.py found it, where there were some: these sets have hardly any."""
FLOORS: Final = (0.0, 0.001, 0.002, 0.003, 0.004, 0.006, 0.01, 0.02)
FLOOR: Final = 0.003
"""The middle of those at which more is refused at every level than without (scripts/LOG.md)."""
_NEVER: Final = -30.0
SENTENCE: Final = 5
"""What is known of a sentence."""


def main() -> None:
    """Read, or take what was read, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--found", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--depth", type=int, default=PASSAGES)
    parser.add_argument("--order", type=float, help="the share of relevance, chosen from the table")
    options = parser.parse_args()
    if not options.out.exists():
        reader = bare_reader(options.model, threads=config.load().cores)
        with options.found.open(encoding="utf-8") as found, options.out.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(read(json.loads(line), reader)) + "\n" for line in found)
    rows = [json.loads(line) for line in options.out.read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["score"]]
    if any(len(each) != SENTENCE for row in rows for told in row["sentences"] for each in told):
        parser.error(f"{options.out} was written by an older version: remove it.")
    heats = temperatures(rows, options.depth)
    order = ordering(rows, options.depth, heats)
    order = options.order if options.order is not None else order
    wording(rows, order, options.depth, heats)
    rows = [row for row in rows if answerable(row, options.depth)]
    seen = signals(rows, heats, options.depth)
    firsts = [ranked(row, order, options.depth, heats)[0] for row in rows]
    seen["stated"] = np.array(
        [_unstated(row, first, heats["margin"]) for row, first in zip(rows, firsts, strict=True)]
    )
    report(seen, rows, order, heats)


def read(row: Row, reader: cross.CrossReader) -> Row:
    """Return what the reader says of one line of scripts/reader_stores.py."""
    told = row["passages"][:READ]
    passages = [passage_of(each) for each in told]
    judged = reader.judge(row["question"], passages)
    answer = row["answer"] or (passages[0].text if passages else "")
    return {
        **{name: row[name] for name in ("source", "kind", "question", "signals", "near")},
        "gold": [each["gold"] for each in row["passages"]],
        "covered": [each["covered"] for each in told],
        "score": [passage.score for passage in passages],
        "relevance": [one.relevance for one in judged],
        "answerable": [one.answerable for one in judged],
        "margin": [one.quotable[0].margin if one.quotable else _NEVER for one in judged],
        "sentences": [
            _sentences(row["question"], one, each, answer) for one, each in zip(judged, told, strict=True)
        ],
        "plain": _plainly(row, answer),
    }


def _sentences(
    question: str, judged: cross.Judged, told: Row, answer: str
) -> list[tuple[float, float, bool, bool, float]]:
    """Return what is known of each sentence.

    Its margin, what the words say, whether it and its mark are right, and what it says of the quantity.
    """
    said = {each.span: each.overlap for each in worded_of(told)}
    quantity = asked_for(question)
    return [
        (
            marked.margin,
            said.get(marked.sentence, 0.0),
            told["gold"] and _within(answer, told["text"][slice(*marked.sentence)]),
            told["gold"] and _within(answer, told["text"][slice(*marked.span)]),
            quantity.stated(told["text"][slice(*marked.sentence)]) if quantity else 0.0,
        )
        for marked in judged.quotable
    ]


def _plainly(row: Row, answer: str) -> bool:
    """Tell whether the sentence reader quoted the answer."""
    if not row["quote"]:
        return False
    chunk, quote = row["quote"]
    return any(each["gold"] and each["chunk"] == chunk for each in row["passages"]) and _within(answer, quote)


def _within(answer: str, quote: str) -> bool:
    """Tell whether a quote holds the answer, or lies in it where that is longer."""
    return bool(quote) and (answer in quote or quote in answer)


def ordering(rows: Sequence[Row], depth: int, heats: dict[str, float]) -> float:
    """Print how often the first, one of three and the quote are right; return the best share at `depth`."""
    own = [row for row in rows if row["kind"] == "own"]
    plain = _share(row["plain"] for row in own)
    print(f"{len(own)} questions: gold first / in 3 / in 6, quote, words marked; by sentences {plain}")
    best: dict[float, float] = {}
    for deep in DEPTHS:
        for weight in WEIGHTS:
            ranks = [ranked(row, weight, deep, heats) for row in own]
            pairs = list(zip(own, ranks, strict=True))
            figures = [
                _share(any(row["gold"][at] for at in rank[:n]) for row, rank in pairs) for n in (1, 3, 6)
            ]
            figures += quoting(own, ranks, cross.WORDS, heat=heats["margin"])
            print(f"  {deep:2} read, share {weight:.1f}: {figures}")
            if deep == depth:
                best[weight] = figures[0] + figures[3]
    return max(best, key=lambda weight: best[weight])


def quoting(own: Sequence[Row], ranks: Sequence[Sequence[int]], words: float, *, heat: float) -> list[float]:
    """Return how often the sentence quoted from the first passage, and the words in it, are right."""
    firsts = [row["sentences"][rank[0]] for row, rank in zip(own, ranks, strict=True)]
    chosen = [_chosen(first, words, heat) if first else (0, 0, False, False, 0) for first in firsts]
    return [_share(each[2] for each in chosen), _share(each[3] for each in chosen)]


def _chosen(sentences: Sequence[Sequence[Any]], words: float, heat: float) -> Any:
    """Return the sentence that cross.reading would quote, the most sure first among `sentences`."""
    counts = cross.DOUBTED if max(each[0] for each in sentences) / heat < cross.DOUBT else words
    return max(sentences, key=lambda each: each[0] / heat + counts * each[1] + each[4])


def _unstated(row: Row, at: int, heat: float) -> float:
    """Return what the quantity asked for says against the sentence quoted from a passage."""
    found = row["sentences"][at] if at < len(row["sentences"]) else []
    return min(float(_chosen(found, cross.WORDS, heat)[4]), 0.0) if found else 0.0


def answerable(row: Row, depth: int) -> bool:
    """Tell whether a refusal can be judged: to refuse where the searches did not find the answer is right."""
    return row["kind"] != "own" or any(row["gold"][:depth])


def wording(rows: Sequence[Row], order: float, depth: int, heats: dict[str, float]) -> None:
    """Print what the question's words may count beside the margin when a sentence is chosen."""
    own = [row for row in rows if row["kind"] == "own"]
    ranks = [ranked(row, order, depth, heats) for row in own]
    for words in WORDS:
        found = quoting(own, ranks, words, heat=heats["margin"])
        print(f"  words count {words:.2f}: quote, words marked {found}")


def ranked(row: Row, weight: float, depth: int, heats: dict[str, float]) -> list[int]:
    """Return the candidates' numbers, best first, as the retriever orders them."""
    relevance = np.zeros(len(row["score"]))
    relevance[:depth] = chance(_relevance(row, depth, heats))
    mixed = (1 - weight) * np.array(row["score"]) + weight * relevance
    return [int(at) for at in np.argsort(-mixed, kind="stable")]


def _relevance(row: Row, depth: int, heats: dict[str, float]) -> Floats:
    """Return the logits of relevance of the passages read, lower where the quantity is not stated."""
    told = np.array(row["relevance"][:depth]) / heats["relevance"]
    against = [_unstated(row, at, heats["margin"]) for at in range(len(told))]
    return np.asarray(told + against, dtype=np.float64)


def temperatures(rows: Sequence[Row], depth: int) -> dict[str, float]:
    """Return for each logit the temperature at which it tells best, as a chance, whether gold is there."""
    heats: dict[str, float] = {}
    gold = np.array([ok for row in rows for ok in row["gold"][: len(row["score"])][:depth]], dtype=float)
    for name in ("relevance", "answerable", "margin"):
        logits = np.array([value for row in rows for value in row[name][:depth]])
        tried = np.geomspace(0.3, 20, 60)
        losses = [_loss(chance(logits / heat), gold) for heat in tried]
        heats[name] = round(float(tried[int(np.argmin(losses))]), 3)
        one = _loss(chance(logits), gold)
        print(f"temperature of {name}: {heats[name]}, log loss {min(losses):.4f} instead of {one:.4f}")
    return heats


def _loss(chances: Floats, gold: Floats) -> float:
    """Return the log loss, gold and the rest weighing the same."""
    safe = np.clip(chances, 1e-6, 1 - 1e-6)
    return float(-0.5 * (np.log(safe[gold > 0]).mean() + np.log(1 - safe[gold == 0]).mean()))


def signals(rows: Sequence[Row], heats: dict[str, float], depth: int) -> dict[str, Floats]:
    """Return for each signal its value a question."""
    found = {name: np.array([row["signals"][name] for row in rows]) for name in SEARCHED}
    found["answers"] = np.array(
        [
            np.max(
                np.prod([chance(np.array(row[name][:depth]) / heat) for name, heat in heats.items()], axis=0)
            )
            for row in rows
        ]
    )
    for name, heat in heats.items():
        found[name] = np.array([max(chance(np.array(row[name][:depth]) / heat)) for row in rows])
    return found


SHIPPED: Final = ("cosine", "covered", "missing", "agreed", "answers")
"""Without the lead of the nearest chunk: it tells how mixed a store is, more than if the answer is there."""
ARMS: Final = {
    "searches and reader": SHIPPED,
    "with the lead": (*SEARCHED, "answers"),
    "reader alone": ("answers",),
    "the reader's three apart": (*SEARCHED, "relevance", "answerable", "margin"),
    "relevance alone": (*SEARCHED, "relevance"),
    "searches alone": SEARCHED,
}


def report(seen: dict[str, Floats], rows: Sequence[Row], order: float, heats: dict[str, float]) -> None:
    """Print what each arm refuses, and the card's tables of the first."""
    kinds = np.array([row["kind"] for row in rows])
    print("today, sentences:", _refused(np.array([row["near"] for row in rows]), kinds, 0.05))
    for name, chosen in ARMS.items():
        scores, _ = crossed(seen, rows, chosen)
        print(f"{name}:", *(_refused(scores, kinds, most) for most in LEVELS.values()), sep="\n    ")
    scores, beta = crossed(seen, rows, SHIPPED)
    without = floored(scores, seen["answers"], FLOOR)
    print("quantities left out:", *(_refused(without, kinds, most) for most in LEVELS.values()), sep="\n    ")
    scores = weighed(scores, seen["stated"])
    for floor in FLOORS:
        told = floored(scores, seen["answers"], floor)
        print(f"floor {floor}:", *(_refused(told, kinds, most) for most in LEVELS.values()), sep="\n    ")
    scores = floored(scores, seen["answers"], FLOOR)
    made_up = np.array([row["source"] == MADE_UP for row in rows])
    levels = thresholds(scores, kinds, made_up)
    for level, at in levels.items():
        print(f"{level}, of the made-up ones: {_said(scores[made_up], kinds[made_up], at)}")
    _print_card(beta, order, heats)
    for level, at in levels.items():
        print(f'\n[[refusal]]\nlevel = "{level}"\nthreshold = {at:.4f}')
        print(f'measured = "{_said(scores[~made_up], kinds[~made_up], at)}"')


def thresholds(
    scores: Floats, kinds: npt.NDArray[np.str_], made_up: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Return the score under which each level refuses; no regression has seen the store of what it scored."""
    answered = scores[~made_up & (kinds == "own")]
    return {level: float(np.quantile(answered, most)) for level, most in LEVELS.items()}


def weighed(scores: Floats, stated: Floats) -> Floats:
    """Return the scores with the log-odds of the quantity, as appliance/retrieve/refusal.py does."""
    return chance(np.log(scores / (1 - scores)) + stated)


def floored(scores: Floats, answers: Floats, floor: float) -> Floats:
    """Return the scores as appliance/retrieve/refusal.py bends them under the floor."""
    return scores * np.minimum(answers / floor, 1) if floor else scores


def _print_card(beta: Floats, order: float, heats: dict[str, float]) -> None:
    names = [each.name for each in fields(Calibration)]
    values = {"order": order} | {f"{name}_temperature": heat for name, heat in heats.items()}
    values |= {"bias": float(beta[0]), "lead": 0.0}
    values |= {name: float(w) for name, w in zip(SHIPPED, beta[1:], strict=True)} | {"floor": FLOOR}
    print("\n[calibration]", *(f"{name} = {values[name]:.4f}" for name in names), sep="\n")


def _said(scores: Floats, kinds: npt.NDArray[np.str_], at: float) -> str:
    shares = {kind: np.mean(scores[kinds == kind] < at) for kind in SHARES}
    return (
        f"refuses {shares['other subject']:.1%} of the questions about another subject, "
        f"{shares['same subject']:.1%} about the same subject, "
        f"{shares['own']:.1%} of the answered ones that were found"
    )


def _refused(scores: Floats, kinds: npt.NDArray[np.str_], most: float) -> str:
    at = float(np.quantile(scores[kinds == "own"], most))
    shares = {kind: f"{np.mean(scores[kinds == kind] < at):.3f}" for kind in sorted(set(kinds.tolist()))}
    areas = {kind: f"{auc(scores, kinds, kind):.3f}" for kind in sorted(set(kinds.tolist())) if kind != "own"}
    return f"refused {shares}, AUC {areas}"


def crossed(seen: dict[str, Floats], rows: Sequence[Row], chosen: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the score of each question by a fit on the other stores, and the fit on all."""
    kinds = np.array([row["kind"] for row in rows])
    weights = np.array([SHARES[kind] / np.sum(kinds == kind) for kind in kinds]) * len(rows)
    sources = np.array([row["source"] for row in rows])
    values, own = _table(seen, chosen), kinds == "own"
    scores = np.zeros(len(rows))
    for source in sorted(set(sources)):
        rest = sources != source
        beta = _fit(values[rest], own[rest], weights[rest], chosen)
        scores[~rest] = chance(with_one(values[~rest]) @ beta)
    return scores, _fit(values, own, weights, chosen)


def _table(seen: dict[str, Floats], chosen: Iterable[str]) -> Floats:
    return np.stack([seen[name] for name in chosen], axis=1)


def _fit(values: Floats, own: npt.NDArray[np.bool_], weights: Floats, chosen: Sequence[str]) -> Floats:
    """Fit all but the weight of missing identifiers."""
    if "missing" not in chosen:
        return fitted(values, own.astype(np.float64), weights)
    at, blind = chosen.index("missing"), values.copy()
    blind[:, at] = 0
    beta = fitted(blind, own.astype(np.float64), weights)
    beta[1 + at] = MISSING_WEIGHT
    return beta


def auc(scores: Floats, kinds: npt.NDArray[np.str_], kind: str) -> float:
    """Return the chance that an own question scores above one of `kind`."""
    own, other = scores[kinds == "own"], scores[kinds == kind]
    return float((own[:, None] > other[None, :]).mean())


def chance(logits: Any) -> Floats:
    """Return the chances of logits."""
    return np.asarray(1 / (1 + np.exp(-np.clip(np.array(logits, dtype=np.float64), -30, 30))))


def _share(found: Iterable[Any]) -> float:
    counted = [bool(each) for each in found]
    return round(sum(counted) / len(counted), 3) if counted else 0.0


if __name__ == "__main__":
    main()
