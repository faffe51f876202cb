"""Questions of the training sets -> what a language model learns to ask questions from.

    python -m scripts.asker_data --data ../shared/data --model MODEL.gguf --out .cache/asker

An example is a passage and, as what follows it, lines "answer | question": the answer is literally there, so
that scripts/asker.py can find its place in what the model writes (generated in this order, a question has
its answer before it: Alberti et al. 2019, "Synthetic QA corpora generation with roundtrip consistency").
The documents that scripts/reader_data.py keeps apart are kept apart here too. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file

from scripts import readings
from scripts.reader_asked import Asked
from scripts.reader_data import held_out, pieces
from scripts.reader_sources import SOURCES

SEED: Final = 20261128
TAUGHT_BY: Final = {
    "squad": 20000,
    "natural": 1500,
    "policy": 900,
    "covid": 600,
    "quotes": 100,
    "fairytale": 200,
}
"""Questions used of each source: mostly those that people asked of a text they had before them."""
MOST_PAIRS: Final = 5
BAR: Final = " | "
_WORD: Final = re.compile(r"[\w'’]+")


def main() -> None:
    """Write train.safetensors and dev.safetensors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    taught = [each for name, most in TAUGHT_BY.items() for each in _some(options.data, name, most, rng)]
    report: dict[str, dict[str, int]] = {}
    with readings.opened(options.model) as model:
        for split, kept_apart in (("train", False), ("dev", True)):
            part = [each for each in taught if held_out(each.document) == kept_apart]
            rows = [encoded(model, *each) for each in lessons(part, rng)]
            arrays: dict[str, np.ndarray[Any, Any]] = {
                "tokens": np.array([token for tokens, _ in rows for token in tokens], np.int32),
                "starts": np.cumsum([0, *(len(tokens) for tokens, _ in rows)], dtype=np.int64),
                "answers": np.array([begin for _, begin in rows], np.int32),
            }
            save_file(arrays, options.out / f"{split}.safetensors")
            report[split] = {"passages": len(rows), "questions": len(part), "tokens": len(arrays["tokens"])}
    print(json.dumps(report))


def _some(data: Path, name: str, most: int, rng: np.random.Generator) -> list[Asked]:
    found = [each for each in SOURCES[name](data / "train") if each.span is not None]
    return [found[index] for index in sorted(rng.permutation(len(found))[:most])]


def lessons(asked: Sequence[Asked], rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Yield passages and the lines to be written below them, pairs in random order."""
    pairs = defaultdict[str, list[str]](list)
    cut = {text: pieces(text) for text in dict.fromkeys(each.text for each in asked)}
    for each in asked:
        assert each.span is not None
        start, end = each.span
        for first, last in cut[each.text]:
            if first <= start and end <= last:
                passage = each.text[first:last]
                pairs[shown(passage)].append(line(each.text[start:end], cased(each.question, passage)))
                break
    for passage, lines in pairs.items():
        order = rng.permutation(len(lines))[:MOST_PAIRS]
        yield passage, "".join(lines[number] for number in order)


def shown(passage: str) -> str:
    """Return what the model is shown of a passage: one paragraph, and an empty line."""
    return f"{' '.join(passage.split())}\n\n"


def line(answer: str, question: str) -> str:
    """Return a pair as it is to be written."""
    return f"{' '.join(answer.split())}{BAR}{' '.join(question.split()).rstrip(' ?')}?\n"


def cased(question: str, passage: str) -> str:
    """Return a question with its words as the passage writes them, where it writes them in one way only.

    Most sets are lower-case. A small model copies a name that is cut into the same tokens; of "lynn" for
    "Lynn" it made other names.
    """
    written = defaultdict[str, set[str]](set)
    for word in _WORD.findall(passage):
        written[word.casefold()].add(word)
    return _WORD.sub(lambda found: _as_written(found[0], written[found[0].casefold()]), question)


def _as_written(word: str, ways: set[str]) -> str:
    return next(iter(ways)) if len(ways) == 1 else word


def encoded(model: readings.Opened, passage: str, lines: str) -> tuple[list[int], int]:
    """Return the tokens of both, and where the lines begin."""
    first = readings.tokens(model, passage)
    return [*first, *readings.tokens(model, lines)], len(first)


if __name__ == "__main__":
    main()
