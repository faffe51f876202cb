"""Held-out training documents in stores, questions asked of them -> what the searches found, one line each.

    python -m scripts.reader_stores --data ../shared/data --out .cache/reader/found.jsonl

Six stores; questions come only from documents that the reader's training never saw, of which every other
one is left out of its store: those questions have no answer there ("same subject"), and so have the other
stores' ("other subject") and SQuAD's twins ("twin"). The passages go along, so that any reader can be tried
on them without asking again (scripts/fit_reader.py). Nothing of `dev` is read.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from appliance.embed import Encoder
from appliance.retrieve.reader import Question, Wording, wordings
from appliance.retrieve.retriever import Retriever
from appliance.sentences import CELL
from appliance.types import Block, Parsed, Passage
from scripts.corpora import load_encoder, store_of
from scripts.reader_asked import PATH, Asked
from scripts.reader_data import held_out
from scripts.reader_sources import SOURCES


@dataclass(frozen=True)
class Plan:
    """A store: of which source, with how many documents that the reader was trained on as distractors.

    `others` are the sources of the questions about another subject, `questions` how many of each kind.
    """

    source: str
    fill: int
    others: tuple[str, ...]
    questions: Mapping[str, int]


_FOUR: Final = ("squad", "natural", "covid", "medquad")
_QUESTIONS: Final = {"own": 100, "same subject": 70, "other subject": 70, "twin": 60}
STORES: Final = {
    "squad": Plan("squad", 110, _FOUR, _QUESTIONS),
    "natural": Plan("natural", 900, _FOUR, _QUESTIONS),
    "covid": Plan("covid", 30, _FOUR, _QUESTIONS),
    "medquad": Plan("medquad", 600, _FOUR, _QUESTIONS),
    # The larger a store, the nearer is its nearest chunk to any question.
    "wiki": Plan(
        "squad",
        264,
        (*_FOUR, "policy", "product", "fairytale"),
        {"own": 130, "same subject": 100, "other subject": 170, "twin": 60},
    ),
    # Its questions do not say which machine or firm they mean: a vault of all would have many an answer.
    "authored": Plan(
        "authored",
        12,
        (*_FOUR, "authored"),
        {"own": 160, "same subject": 130, "other subject": 90, "twin": 90},
    ),
}
DEPTH: Final = 12
"""Passages kept of each question."""
_PARAGRAPHS: Final = 40


@dataclass
class Held:
    """A document as its questions name it: its texts with their headings, "" where they have none."""

    title: str
    texts: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)


def main() -> None:
    """Ask everything; one JSON line a question."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    encoder = load_encoder()
    every = {source: documents(source, options.data) for source in needed()}
    with options.out.open("w", encoding="utf-8") as file:
        for name, plan in STORES.items():
            for line in lines(plan, every, encoder):
                file.write(json.dumps({"source": name} | line) + "\n")


def needed() -> list[str]:
    """Return the sources of all stores' documents and questions."""
    return sorted({source for plan in STORES.values() for source in (plan.source, *plan.others)})


def documents(source: str, data: Path) -> dict[str, Held]:
    """Gather a source's questions by document."""
    found: dict[str, Held] = {}
    for each in SOURCES[source](data / "train"):
        held = found.setdefault(each.document, Held(each.title.partition(PATH)[0]))
        if each.text not in held.texts:
            if len(held.texts) == _PARAGRAPHS:
                continue
            held.texts[each.text] = each.title.partition(PATH)[2]
        held.asked.append(each)
    return found


def lines(plan: Plan, every: dict[str, dict[str, Held]], encoder: Encoder) -> Iterator[dict[str, Any]]:
    """Yield one line a question asked of a store."""
    own = {name: held for name, held in every[plan.source].items() if held_out(name)}
    inside = dict(list(own.items())[::2])
    fill = [(name, held) for name, held in every[plan.source].items() if not held_out(name)][: plan.fill]
    with tempfile.TemporaryDirectory() as folder:
        parts = ((name, _parsed(held)) for name, held in [*inside.items(), *fill])
        store = store_of(parts, encoder, Path(folder) / "vault")
        retriever = Retriever(store, encoder)
        print(f"{plan.source}: {store.chunk_count()} chunks", flush=True)
        for kind, asked in _kinds(plan, every, inside).items():
            for each in _sample(asked, plan.questions[kind]):
                yield {"kind": kind} | _line(each, retriever)
        store.close()


def _kinds(plan: Plan, every: dict[str, dict[str, Held]], inside: dict[str, Held]) -> dict[str, list[Asked]]:
    own = every[plan.source]
    outside = [held for name, held in own.items() if held_out(name) and name not in inside]
    others = [
        held
        for other in plan.others
        if other != plan.source
        for name, held in every[other].items()
        if held_out(name)
    ]
    return {
        "own": [each for held in inside.values() for each in held.asked if each.answerable == 1],
        "twin": [each for held in inside.values() for each in held.asked if each.answerable == 0],
        "same subject": [each for held in outside for each in held.asked if each.answerable == 1],
        "other subject": [each for held in others for each in held.asked if each.answerable == 1],
    }


def _parsed(held: Held) -> Parsed:
    """Return a document's paragraphs in the order in which they were asked about."""
    blocks = []
    for text, heading in held.texts.items():
        blocks += [Block("heading", part, level=at) for at, part in enumerate(heading.split(PATH), 1) if part]
        blocks += [_block(part) for part in text.split("\n\n")]
    return Parsed(held.title, tuple(blocks), None)


def _block(part: str) -> Block:
    """Return a paragraph, or the table that it is."""
    lines = part.splitlines()
    table = len(lines) > 1 and all(CELL in line for line in lines)
    return Block("table", part, header_rows=1) if table else Block("paragraph", part)


def _sample(asked: Sequence[Asked], most: int) -> list[Asked]:
    order = np.random.default_rng(7).permutation(len(asked))[:most]
    return [asked[index] for index in order]


def _line(each: Asked, retriever: Retriever) -> dict[str, Any]:
    """Return what the searches and the sentence reader say of one question."""
    found = retriever.search(each.question, most=DEPTH)
    plain = retriever.retrieve(each.question)
    quote = asdict(plain.evidence) if plain.evidence else None
    return {
        "question": each.question,
        "answer": each.text[slice(*each.span)] if each.span else "",
        "signals": asdict(found.signals),
        "near": plain.verdict.near,
        "quote": [plain.passages[quote["n"] - 1].chunk, quote["quote"]] if quote else None,
        "passages": [_told(each, found.question, passage) for passage in found.passages],
    }


def _told(each: Asked, question: Question, passage: Passage) -> dict[str, Any]:
    """Return a passage, whether it is the gold one, and what the question's words say of it."""
    text = f"{passage.document}\n{passage.heading}\n{passage.lead}\n{passage.text}"
    worded = [asdict(one) for one in wordings(question, passage)]
    covered = question.query.covered(question.analyse(text))
    return asdict(passage) | {"gold": _holds(each, passage), "covered": covered, "worded": worded}


def passage_of(told: dict[str, Any]) -> Passage:
    """Return the passage of one that was told."""
    return Passage(**{each.name: told[each.name] for each in fields(Passage)})


def worded_of(told: dict[str, Any]) -> list[Wording]:
    """Return what was said of the sentences of one that was told."""
    return [Wording(**each | {"span": tuple(each["span"])}) for each in told["worded"]]


def _holds(each: Asked, passage: Passage) -> bool:
    """Tell whether the passage is of the question's document and holds an answer, or its beginning."""
    if each.answerable != 1 or passage.document != each.document:
        return False
    if each.span is None:
        beginning = " ".join(each.text.split())[:80]
        return beginning in " ".join(passage.text.split()) or passage.text.strip() in each.text
    return each.text[slice(*each.span)] in passage.text


if __name__ == "__main__":
    main()
