"""Questions of the training sets -> examples of (question, passage) as tokens, with all labels, in one file.

    python -m scripts.reader_data --data ../shared/data --model .cache/models/minilm --out .cache/reader

Passages are cut as the appliance cuts them, most of the longer ones to a few sentences about the answer (it
is cheaper, and the answer stands anywhere in them). Negatives are the passages with most of the question's
words that hold no answer, of the same document or another. 5 % of the documents are kept apart as the
development split; training never sees them. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from appliance.ingest.chunk import chunks
from appliance.sentences import split
from appliance.types import Block, Parsed
from scripts.reader_asked import UNKNOWN, Asked
from scripts.reader_sources import SOURCES

SEED: Final = 20261123
MOST_TOKENS: Final = 288
MOST_QUESTION: Final = 64
HELD_OUT: Final = 0.05
NEGATIVES: Final = {"squad": 0.5, "policy": 0.6, "table": 0.0, "authored": 2.0}
"""Negatives a positive; 1 where a source is not named. Another made-up table may have what is asked for.
Of a manual several passages have the question's words: which of them answers has to be learnt."""
MOST: Final = {"policy": 3000, "fairytale": 2000, "medquad": 1200, "product": 3000}
"""Questions used of a source; all where it is not named."""
DRAWS: Final = 1
"""How often each question is drawn for training, each time cut, typed and set beside a negative anew: in an
hour two cores see a sixth of what is drawn."""
DRAWN_OFTEN: Final = {"authored": 4}
"""What is most like what is asked: two thirds of the tokens."""
CROPPED: Final = 0.6
TITLED: Final = 0.6
BARE_QUESTION: Final = 0.5
TERSE: Final = 0.06
MISTYPED: Final = 0.06
_HARDEST: Final = 6
_WORD: Final = re.compile(r"\w+")
_SMALL: Final = frozenset(
    "a an and are as at be by can do does did for from has have how i in is it its many much my of on or "
    "that the their this to was were what when where which who whom whose why will with you your".split()
)


@dataclass(frozen=True, slots=True)
class Example:
    """One (question, passage): `span` in `text` or None; 1, 0 or UNKNOWN for the two judgements."""

    source: str
    document: str
    question: str
    head: str
    text: str
    span: tuple[int, int] | None
    relevant: int
    answerable: int


def main() -> None:
    """Write train.safetensors and dev.safetensors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0, help="questions of each source, 0 for all")
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    drawn = []
    for name, source in SOURCES.items():
        every = list(source(options.data / "train"))
        most = min(options.limit or len(every), MOST.get(name, len(every)))
        times = range(DRAWN_OFTEN.get(name, DRAWS))
        drawn.append([list(examples(some(every, most, rng), rng)) for _ in times])
    report: dict[str, Any] = {}
    for name, chosen in (("train", False), ("dev", True)):
        draws = [draw for source in drawn for draw in (source[:1] if chosen else source)]
        part = [each for draw in draws for each in draw if held_out(each.document) == chosen]
        arrays = tokenized(tokenizer, part, rng, plain=chosen)
        save_file(arrays, options.out / f"{name}.safetensors")
        report[name] = {"examples": len(part), "tokens": len(arrays["tokens"])}
        report[name] |= dict(Counter(each.source for each in part))
    print(json.dumps(report))


def held_out(document: str) -> bool:
    """Tell whether a document belongs to the development split, by its name: always the same."""
    return int(hashlib.sha256(document.encode()).hexdigest()[:8], 16) / 16**8 < HELD_OUT


def some(every: Sequence[Asked], most: int, rng: np.random.Generator) -> list[Asked]:
    """Return at most so many of the questions, drawn at random, in their order."""
    return [every[index] for index in sorted(rng.permutation(len(every))[:most])]


def examples(asked: Sequence[Asked], rng: np.random.Generator) -> Iterator[Example]:
    """Yield an example for each question, and negatives for the answered ones.

    Those of documents that are kept apart come from such documents, and no others do.
    """
    for chosen in (False, True):
        yield from _examples([each for each in asked if held_out(each.document) == chosen], rng)


def _examples(asked: Sequence[Asked], rng: np.random.Generator) -> Iterator[Example]:
    cut = {text: pieces(text) for text in dict.fromkeys(each.text for each in asked)}
    pool = [
        (each.document, each.title, each.text[start:end])
        for each in {each.text: each for each in asked}.values()
        for start, end in cut[each.text]
    ]
    index = Index([text for _, _, text in pool])
    for each in asked:
        span = _holding(each, cut[each.text])
        if span is None:
            continue
        start, end = cropped(each, span, rng)
        inner = (each.span[0] - start, each.span[1] - start) if each.span else None
        yield _example(each, each.title, each.text[start:end], inner, (each.relevant, each.answerable), rng)
        if each.relevant == 1:
            whole, part = divmod(NEGATIVES.get(each.source, 1.0), 1)
            count = int(whole) + (rng.random() < part)
            yield from _negatives(each, pool, index, rng, count) if count else ()


def pieces(text: str) -> list[tuple[int, int]]:
    """Cut a text into passages as the appliance does."""
    lost = len(text) - len(text.lstrip())
    found = chunks(Parsed("", (Block("paragraph", text),), None))[2]
    return [(chunk.start + lost, chunk.end + lost) for chunk in found]


def _holding(each: Asked, cut: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the passage that holds the answer, or the place the question is about."""
    start, end = each.span or (each.near, each.near)
    return next(((first, last) for first, last in cut if first <= start and end <= last), None)


def cropped(
    each: Asked, piece: tuple[int, int], rng: np.random.Generator, *, often: float = CROPPED
) -> tuple[int, int]:
    """Return `piece`, or, as often as that, only some sentences of it about the answer."""
    first, last = piece
    if rng.random() > often or last - first < 500 or each.source == "medquad":
        return piece
    begin, end = each.span or (each.near, each.near + 1)
    sentences = [(first + a, first + b) for a, b in split(each.text[first:last])]
    inside = [number for number, (a, b) in enumerate(sentences) if a < end and b > begin]
    if not inside:
        return piece
    low, high, wanted = inside[0], inside[-1], rng.uniform(250, 700)
    while sentences[high][1] - sentences[low][0] < wanted and (low > 0 or high < len(sentences) - 1):
        if low > 0 and (high == len(sentences) - 1 or rng.random() < 0.5):
            low -= 1
        else:
            high += 1
    return min(sentences[low][0], begin), max(sentences[high][1], end)


def _negatives(
    each: Asked, pool: Sequence[tuple[str, str, str]], index: Index, rng: np.random.Generator, count: int
) -> Iterator[Example]:
    """Yield at most `count` of the passages nearest by words in which no answer stands.

    They are cropped like those that answer: else what is short would be what is right.
    """
    forbidden = [answer.casefold() for answer in each.answers]
    near = [
        number
        for number in index.nearest(f"{each.title} {each.question}", 4 * _HARDEST)
        if pool[number][2] not in each.text
        and not (each.answers == () and pool[number][0] == each.document)
        and not any(answer in pool[number][2].casefold() for answer in forbidden)
    ][:_HARDEST]
    for at in rng.permutation(len(near))[:count]:
        _, title, text = pool[near[at]]
        about = replace(each, text=text, span=None, near=int(rng.integers(len(text))))
        start, end = cropped(about, (0, len(text)), rng)
        yield _example(each, title, text[start:end], None, (0, 0), rng)


def _example(
    each: Asked,
    title: str,
    text: str,
    span: tuple[int, int] | None,
    labels: tuple[int, int],
    rng: np.random.Generator,
) -> Example:
    head = title if title and rng.random() < TITLED else ""
    return Example(each.source, each.document, each.question, head, text, span, *labels)


class Index:
    """Passages by their words: the sum of the rarities of the words they share with a question."""

    def __init__(self, texts: Sequence[str]) -> None:
        postings: dict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            for word in set(_WORD.findall(text.casefold())):
                postings[word].append(number)
        common = max(0.1 * len(texts), 50)
        self._size = len(texts)
        self._postings = {word: np.array(at) for word, at in postings.items() if len(at) <= common}

    def nearest(self, question: str, most: int) -> list[int]:
        """Return the passages with most of the question's words, best first."""
        scores = np.zeros(self._size, np.float32)
        for word in dict.fromkeys(_WORD.findall(question.casefold())):  # a set's order is another each run
            at = self._postings.get(word)
            if at is not None:
                scores[at] += math.log(self._size / len(at))
        return [int(number) for number in np.argsort(-scores, kind="stable")[:most] if scores[number] > 0]


def roughened(question: str, rng: np.random.Generator) -> str:
    """Return the question as people type it: without its mark, now and then in key words or mistyped."""
    if rng.random() < BARE_QUESTION:
        question = question.rstrip(" ?")
    if rng.random() < TERSE:
        kept = [word for word in question.split() if word.strip("?,.").casefold() not in _SMALL]
        question = " ".join(kept) if len(kept) > 1 else question
    if rng.random() < MISTYPED and len(question) > 8:
        at = int(rng.integers(1, len(question) - 2))
        middle = question[at + 1] + question[at] if rng.random() < 0.5 else question[at + 1]
        question = question[:at] + middle + question[at + 2 :]
    return question


def tokenized(
    tokenizer: Tokenizer, found: Sequence[Example], rng: np.random.Generator, *, plain: bool
) -> dict[str, np.ndarray[Any, Any]]:
    """Return tokens end to end, where each example and each passage begins, and the labels.

    `spans` are token numbers inside the example, both 0 ([CLS]) where there is no answer, -1 where it is
    not known. `groups` numbers the questions: a negative is of the one in front of it, in its words.
    """
    groups = np.cumsum([False, *(not _goes_on(before, each) for before, each in pairwise(found))])
    firsts = [each for each, new in zip(found, np.diff(groups, prepend=-1), strict=True) if new]
    questions = [each.question if plain else roughened(each.question, rng) for each in firsts]
    asked = tokenizer.encode_batch([questions[group] for group in groups], add_special_tokens=False)
    given = tokenizer.encode_batch([_passage(each) for each in found], add_special_tokens=False)
    rows = [
        _row(each, question, passage) for each, question, passage in zip(found, asked, given, strict=True)
    ]
    return {
        "tokens": np.array([token for row in rows for token in row[0]], np.int32),
        "starts": np.cumsum([0, *(len(row[0]) for row in rows)], dtype=np.int64),
        "groups": groups.astype(np.int32),
        "passages": np.array([row[1] for row in rows], np.int32),
        "spans": np.array([row[2] for row in rows], np.int32),
        "relevant": np.array([each.relevant for each in found], np.int8),
        "answerable": np.array([each.answerable for each in found], np.int8),
        "sources": np.array([list(SOURCES).index(_kind(each.source)) for each in found], np.int8),
    }


def _goes_on(before: Example, each: Example) -> bool:
    """Tell whether an example is a negative of the question of the one before it."""
    return each.relevant == 0 and before.question == each.question


def _kind(source: str) -> str:
    return source if source in SOURCES else "natural"


def _passage(each: Example) -> str:
    return f"{each.head}\n{each.text}" if each.head else each.text


def _row(each: Example, question: Any, passage: Any) -> tuple[list[int], int, tuple[int, int]]:
    """Return [CLS] question [SEP] passage [SEP], where the passage begins, and the span's tokens."""
    first = [101, *question.ids[:MOST_QUESTION], 102]
    ids = [*first, *passage.ids[: MOST_TOKENS - len(first) - 1], 102]
    if each.answerable != 0 and each.span is None:
        return ids, len(first), (UNKNOWN, UNKNOWN)
    if each.span is None:
        return ids, len(first), (0, 0)
    shift = len(each.head) + 1 if each.head else 0
    begin, end = each.span[0] + shift, each.span[1] + shift
    inside = [number for number, (a, b) in enumerate(passage.offsets) if a < end and b > begin]
    span = (len(first) + inside[0], len(first) + inside[-1]) if inside else (UNKNOWN, UNKNOWN)
    return ids, len(first), span if span[1] < len(ids) - 1 else (UNKNOWN, UNKNOWN)


if __name__ == "__main__":
    main()
