"""Questions of the training sets -> documents as passages with the questions that each answers, one a line.

    python -m scripts.encoder_data --data ../shared/data --out .cache/encoder

Passages are cut as the appliance cuts them and are given as it embeds them, title and headings first. What is
learnt is to tell the passage that answers from the others of its document: of a vault of one's own
documents all passages are about the same. 5 % of the documents are kept apart (`reader_data.held_out`). The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from appliance import durable
from scripts.reader_asked import Asked
from scripts.reader_data import held_out, pieces, some
from scripts.reader_sources import SOURCES

SEED: Final = 20261129
MOST: Final = {"policy": 3000, "fairytale": 3000, "medquad": 2000, "product": 0, "table": 0}
"""Questions used of a source; all where it is not named. Of a product there are only single sentences, and
what is asked of one made-up table another may answer as well."""
TOGETHER: Final = 8
"""Passages of a document that are told apart at once."""
ASKED: Final = 24


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the passages that answer it, and those besides in which its answer's words stand."""

    text: str
    gold: tuple[int, ...]
    barred: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Passages that compete: `bodies` as they are embedded without the title and headings in `heads`."""

    source: str
    name: str
    heads: tuple[str, ...]
    bodies: tuple[str, ...]
    questions: tuple[Question, ...]


def main() -> None:
    """Write train.jsonl and dev.jsonl."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0, help="questions of each source, 0 for all")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    found: dict[bool, list[Document]] = {False: [], True: []}
    for name, source in SOURCES.items():
        every = [each for each in source(options.data / "train") if each.relevant == 1]
        most = min(options.limit or len(every), MOST.get(name, len(every)))
        for each in documents(some(every, most, rng)):
            found[held_out(each.name)].append(each)
    report = dict[str, object]()
    for part, chosen in (("train", found[False]), ("dev", found[True])):
        rows = [json.dumps(asdict(each), ensure_ascii=False) for each in chosen]
        durable.replace(options.out / f"{part}.jsonl", ("\n".join(rows) + "\n").encode(), mode=0o644)
        asked_of = Counter[str]()
        for each in chosen:
            asked_of[each.source] += len(each.questions)
        report[part] = {"documents": len(chosen)} | dict(asked_of)
    print(json.dumps(report))


def documents(asked: Sequence[Asked]) -> Iterator[Document]:
    """Yield the documents of one source, long ones in parts, with the questions that a passage answers."""
    by_name = dict[str, list[Asked]]()
    for each in asked:
        by_name.setdefault(each.document, []).append(each)
    for name, own in by_name.items():
        yield from _parts(name, own)


def _parts(name: str, asked: Sequence[Asked]) -> Iterator[Document]:
    passages = list[tuple[str, str]]()
    places = dict[str, list[tuple[int, int, int]]]()
    for each in asked:
        if each.text not in places:
            places[each.text] = []
            for start, end in pieces(each.text):
                places[each.text].append((start, end, len(passages)))
                passages.append((each.title, each.text[start:end]))
    for first in range(0, len(passages), TOGETHER):
        part = passages[first : first + TOGETHER]
        questions = [
            question for each in asked if (question := _question(each, places[each.text], part, first))
        ]
        if questions:
            heads, bodies = zip(*part, strict=True)
            yield Document(asked[0].source, name, heads, bodies, tuple(questions[:ASKED]))


def _question(
    each: Asked, places: Sequence[tuple[int, int, int]], part: Sequence[tuple[str, str]], first: int
) -> Question | None:
    """Return the question if a passage of `part` answers it, numbered within it."""
    begin, stop = each.span or (each.near, each.near + 1)
    gold = {at - first for start, end, at in places if start <= begin and stop <= end}
    gold = {at for at in gold if 0 <= at < len(part)}
    if not gold:
        return None
    words = [answer.casefold() for answer in each.answers if answer]
    holding = {at for at, (_, body) in enumerate(part) if any(word in body.casefold() for word in words)}
    if not words:  # all of the text is the answer
        holding = {at - first for _, _, at in places if 0 <= at - first < len(part)}
    return Question(each.question, tuple(sorted(gold)), tuple(sorted(holding - gold)))


if __name__ == "__main__":
    main()
