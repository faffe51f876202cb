"""A built model and its source -> the figures on its card, measured again; the last line is one JSON line.

    python -m scripts.quality embedding TEXT...
    python -m scripts.quality generator CANDIDATE.gguf SOURCE.gguf TEXT...
    python -m scripts.quality compare FLOAT.gguf CANDIDATE.gguf... --text TEXT... [--card CARD.toml]

TEXT is any UTF-8 file; a generator reads the first 16,000 characters of each. Speeds are of wall time on this
machine at that moment: trust ratios. `compare` prints a row a file (scripts/compare.py), and writes them on
CARD. `generator` is `compare` of one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from appliance import durable, embed
from appliance.errors import ApplianceError
from appliance.models import Card, File, Installed, parse_card
from appliance.sentences import split
from scripts.compare import HEAD, WINDOWS, compare, line, on_card
from scripts.convert import IntegerLinear, Linear, build, read_shape
from scripts.readings import WINDOW, read_texts

CARD = Path("models/all-minilm-l6-v2-int8.toml")
WEIGHTS = Path(".cache/models/minilm")
_CHARACTERS = 16_000
_COMMAND = "python -m scripts.quality compare FLOAT CANDIDATE... --text TEXT..."


def embedding(texts: Sequence[str]) -> dict[str, float]:
    """Compare the INT8 encoder with the float one over sentences and 128-token chunks of `texts`."""
    sentences = [part for text in texts for part in _sentences(text)][:1000]
    chunks = [" ".join(text.split()[at : at + 90]) for text in texts for at in range(0, 90 * 80, 90)]
    chunks = [chunk for chunk in chunks if len(chunk) > 300][:160]
    with tempfile.TemporaryDirectory() as folder:
        exact, small = (_encoder(Path(folder), linear) for linear in (Linear(), IntegerLinear()))
        together = small.encode(sentences)
        alone = np.concatenate([small.encode([text]) for text in sentences[:200]])
        cosine = (together * exact.encode(sentences)).sum(axis=1)
        return {
            "sentences": len(sentences),
            "cosine_mean": float(cosine.mean()),
            "cosine_p1": float(np.percentile(cosine, 1)),
            "cosine_min": float(cosine.min()),
            "alone_or_in_batch_min": float((together[:200] * alone).sum(axis=1).min()),
            "chunk_tokens": float(np.mean(small.token_counts(chunks))),
            "chunks_per_s_float": len(chunks) / _fastest(lambda: exact.encode(chunks)),
            "chunks_per_s_int8": len(chunks) / _fastest(lambda: small.encode(chunks)),
            "query_ms_int8": 1000 * _fastest(lambda: small.encode(sentences[:1]), tries=20),
        }


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split(text) if end - start > 20]


def _encoder(folder: Path, linear: Linear) -> embed.Encoder:
    """Build the encoder with this arithmetic and load it through the appliance's own code."""
    home = folder / type(linear).__name__
    home.mkdir()
    shape = read_shape((WEIGHTS / "config.json").read_bytes())
    graph = build(load_file(WEIGHTS / "model.safetensors"), shape, linear)
    contents = {"model.onnx": graph, "tokenizer.json": (WEIGHTS / "tokenizer.json").read_bytes()}
    for name, content in contents.items():
        (home / name).write_bytes(content)
    files = tuple(
        File(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in contents.items()
    )
    card: Card = replace(parse_card(CARD.read_bytes()), files=files)
    return embed.load(Installed(card, home), threads=len(os.sched_getaffinity(0)))


def _fastest(work: Callable[[], object], tries: int = 3) -> float:
    work()
    return min(_timed(work) for _ in range(tries))


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def generators(
    source: Path, candidates: Sequence[Path], texts: Sequence[str], *, windows: int, card: Path | None
) -> None:
    """Print the candidates' figures beside the source's, and write them on the card.

    Raises:
        UsageError: a file is no model of this kind, or the card is malformed.
    """
    text = "\n".join(text[:_CHARACTERS] for text in texts)
    rows = []
    print(HEAD)
    for row in compare(source, candidates, text, windows=windows):
        rows.append(row)
        print(line(row), flush=True)
    if card:
        changed = on_card(card.read_text("utf-8"), rows, command=_COMMAND)
        durable.replace(card, changed.encode(), mode=0o644)
    print(json.dumps([_rounded(asdict(row)) for row in rows]))


def _rounded(figures: Mapping[str, object]) -> dict[str, object]:
    return {name: round(each, 5) if isinstance(each, float) else each for name, each in figures.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("embedding").add_argument("texts", type=Path, nargs="+")
    one = kinds.add_parser("generator")
    one.add_argument("candidates", metavar="candidate", type=Path, nargs=1)
    one.add_argument("source", type=Path)
    one.add_argument("texts", type=Path, nargs="+")
    many = kinds.add_parser("compare")
    many.add_argument("source", metavar="float", type=Path)
    many.add_argument("candidates", metavar="candidate", type=Path, nargs="+")
    many.add_argument("--text", dest="texts", type=Path, nargs="+", required=True)
    for kind in (one, many):
        kind.add_argument("--card", type=Path, help="whose entries of the same name are replaced")
        kind.add_argument("--windows", type=int, default=WINDOWS, help=f"of {WINDOW} tokens, at most")
    return parser


def main() -> int:
    """Measure one model, or several against one."""
    arguments = _parser().parse_args()
    try:
        texts = read_texts(arguments.texts)
        if arguments.kind == "embedding":
            print(json.dumps(_rounded(embedding(texts))))
        else:
            chosen = vars(arguments)
            del chosen["kind"]
            generators(**chosen | {"texts": texts})
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
