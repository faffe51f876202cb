"""A teacher, students of it and examples -> what each student keeps and what it saves, side by side.

    python -m scripts.distilled TEACHER.gguf STUDENT.gguf... --examples .cache/generator

All are GGUF files as they would be shipped, run by llama.cpp. Over the development split of
scripts/corpus.py: the loss of the answers' tokens, how often every token of an answer is foretold, and the
divergence from the teacher. Sizes and speeds are ratios to the teacher; the two run in turns and the median
of the ratios counts. It prints a table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from appliance.errors import ApplianceError, UsageError
from scripts import compare, gguf, readings, sizes
from scripts.gguf import Tensor
from scripts.readings import WINDOW, Opened, Reading

CONTEXT: Final = 2048
"""Tokens of the longest example, scripts/corpus.py's own limit."""
LIMIT: Final = 120
_SAFE: Final = "Nothing was measured."


@dataclass(frozen=True, slots=True)
class Row:
    """A model's figures; `share`, `size`, `prefill` and `decode` are ratios to the teacher.

    `loss` and `exact` are of the answers; `kl` (teacher || this) and `same` first choice of their tokens.
    """

    name: str
    types: str
    layers: int
    parameters: int
    share: float
    bytes: int
    size: float
    loss: float
    exact: float
    kl: float
    same: float
    prefill: float
    decode: float


@dataclass(frozen=True, slots=True)
class Asked:
    """The tokens of one example, and where its answer begins."""

    tokens: list[int]
    begin: int


def read_examples(path: Path, limit: int) -> list[Asked]:
    """Return the last examples of a split: the first ones chose layers and round (scripts/examples.py).

    Raises:
        UsageError: it is not what scripts/corpus.py writes, or one example is too long.
    """
    try:
        arrays = load_file(path)
        tokens, starts, answers = (arrays[name].tolist() for name in ("tokens", "starts", "answers"))
    except (OSError, SafetensorError, KeyError) as error:
        raise UsageError(
            f"{path.name} holds no examples: {error}", hint=f"{_SAFE} Make it with python -m scripts.corpus."
        ) from error
    spans = list(zip(starts, starts[1:], answers, strict=False))[-limit:]
    found = [Asked(tokens[start:end], begin) for start, end, begin in spans]
    if not found or max(len(each.tokens) for each in found) > CONTEXT:
        raise UsageError(f"{path.name} is empty, or holds more than {CONTEXT} tokens at once.", hint=_SAFE)
    return found


def measure(teacher: Path, students: Sequence[Path], asked: Sequence[Asked]) -> Iterator[Row]:
    """Yield the figures of the teacher and then of each student.

    Raises:
        UsageError: a file is no model, or a student has other words.
    """
    with readings.opened(teacher, context=CONTEXT) as model:
        before = _read(model, asked, teacher)
        whole, size = parameters(gguf.read(teacher).tensors), teacher.stat().st_size
        for path in (teacher, *students):
            with readings.opened(path, context=CONTEXT) as other:
                if _words(other) != _words(model):
                    raise UsageError(f"{path.name} has other words than its teacher.", hint=_SAFE)
                after = before if path == teacher else _read(other, asked, path)
                prefill, decode = compare.speeds(model, other, _window(asked))
            tensors = gguf.read(path).tensors
            own = parameters(tensors)
            yield Row(
                name=path.stem,
                types=sizes.label(tensors),
                layers=layers(tensors),
                parameters=own,
                share=own / whole,
                bytes=path.stat().st_size,
                size=path.stat().st_size / size,
                **kept(before, after),
                prefill=prefill,
                decode=decode,
            )


def parameters(tensors: Sequence[Tensor]) -> int:
    """Return how many weights a file holds."""
    return sum(math.prod(each.shape) for each in tensors)


def layers(tensors: Sequence[Tensor]) -> int:
    """Return how many layers a file holds."""
    return len({each.name.split(".")[1] for each in tensors if each.name.startswith("blk.")})


def kept(before: Sequence[Reading], after: Sequence[Reading]) -> dict[str, float]:
    """Return loss, exactness and nearness to the teacher; each token counts once, for `exact` each answer."""
    exact = [bool((each.logs.argmax(axis=1) == each.came).all()) for each in after]
    old, new = _joined(before), _joined(after)
    return {
        "loss": float(-new.logs[np.arange(len(new.came)), new.came].mean()),
        "exact": float(np.mean(exact)),
        "kl": compare.divergence(old, new),
        "same": float((old.logs.argmax(axis=1) == new.logs.argmax(axis=1)).mean()),
    }


def _joined(parts: Sequence[Reading]) -> Reading:
    return Reading(
        np.concatenate([each.logs for each in parts]), np.concatenate([each.came for each in parts])
    )


def _read(model: Opened, asked: Sequence[Asked], path: Path) -> list[Reading]:
    most = max(max(each.tokens) for each in asked)
    if most >= _words(model):
        raise UsageError(
            f"{path.name} does not know the token {most}: the examples are another vocabulary's.", hint=_SAFE
        )
    return [readings.foretell(model, each.tokens, each.begin) for each in asked]


def _words(model: Opened) -> int:
    return int(model.library.llama_vocab_n_tokens(model.vocabulary))


def _window(asked: Sequence[Asked]) -> list[int]:
    """Return a window of text to read against the clock."""
    return [token for each in asked for token in each.tokens][:WINDOW]


HEAD: Final = (
    "| model | types | layers | M parameters | MB | loss | exact | KL | same choice | prefill | decode |"
    "\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(row: Row) -> str:
    """Return a row in Markdown, under `HEAD`."""
    return (
        f"| {row.name} | {row.types} | {row.layers} | {row.parameters / 1e6:.1f} ({row.share:.3f}) |"
        f" {row.bytes / 1e6:.1f} ({row.size:.3f}) | {row.loss:.4f} | {row.exact:.3f} | {row.kl:.4f} |"
        f" {row.same:.3f} | {row.prefill:.2f}x | {row.decode:.2f}x |"
    )


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("teacher", type=Path)
    parser.add_argument("students", metavar="student", type=Path, nargs="+")
    parser.add_argument("--examples", type=Path, required=True, help="folder of scripts/corpus.py's")
    parser.add_argument("--limit", type=int, default=LIMIT, help="examples, at most")
    options = parser.parse_args()
    rows = []
    try:
        asked = read_examples(options.examples / "dev.safetensors", options.limit)
        print(HEAD)
        for row in measure(options.teacher, options.students, asked):
            rows.append(asdict(row))
            print(line(row), flush=True)
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({"examples": len(asked), "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
