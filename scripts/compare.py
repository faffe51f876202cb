"""Quantized GGUFs beside their float model -> a row of figures each, in turns, and entries for a card.

Perplexity and KL divergence as llama.cpp's own tool counts them: over the last three quarters of windows of
512 tokens. Speeds are ratios to the float model: the two run in turns, and the median of the ratios counts,
for on a machine in use each alone says little.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.errors import UsageError
from appliance.models import parse_card
from scripts import gguf, llamacpp, readings, sizes
from scripts.gguf import Tensor
from scripts.readings import Opened, Reading

WINDOWS = 8
TURNS = 3
_DECODED = 48
_ENTRY = "[[measured]]"


@dataclass(frozen=True, slots=True)
class Row:
    """A file's figures; `share`, `error`, `kl`, `same`, `prefill` and `decode` are against the float model.

    `types`: what most of its bytes are. `bits`: of a weight, scales included. `error`: the root mean square
    of the differences of all matrices over that of the weights.
    """

    name: str
    types: str
    bytes: int
    bits: float
    share: float
    error: float
    perplexity: float
    kl: float
    same: float
    prefill: float
    decode: float


def compare(source: Path, candidates: Sequence[Path], text: str, *, windows: int = WINDOWS) -> Iterator[Row]:
    """Yield the figures of `source` and then of each candidate against it.

    Raises:
        UsageError: a file is no model, not of this model, or the text is too short.
    """
    with readings.opened(source) as model:
        texts = readings.windows(model, text, most=windows)
        before = readings.read(model, texts)
        for path in (source, *candidates):
            yield _row(source, path, model, before, texts)


def _row(source: Path, path: Path, model: Opened, before: Reading, texts: Sequence[Sequence[int]]) -> Row:
    tensors, floats = (gguf.read(file).tensors for file in (path, source))
    error = tensor_error(tensors, floats)
    with readings.opened(path) as other:
        after = readings.read(other, texts)
        prefill, decode = speeds(model, other, texts[0])
    weights = sum(np.prod(tensor.shape) for tensor in tensors)
    return Row(
        name=path.stem,
        types=sizes.label(tensors),
        bytes=path.stat().st_size,
        bits=float(8 * sum(len(tensor.data) for tensor in tensors) / weights),
        share=path.stat().st_size / source.stat().st_size,
        error=error,
        perplexity=_perplexity(after),
        kl=divergence(before, after),
        same=float((before.logs.argmax(axis=1) == after.logs.argmax(axis=1)).mean()),
        prefill=prefill,
        decode=decode,
    )


def tensor_error(tensors: Sequence[Tensor], floats: Sequence[Tensor]) -> float:
    """Return the relative root mean square error over all matrices, as llama.cpp reads both.

    Raises:
        UsageError: they are not the tensors of one model.
    """
    shapes, others = ({tensor.name: tensor.shape for tensor in side} for side in (tensors, floats))
    if shapes != others:
        raise UsageError(
            "The candidate is not of the same model: its tensors differ.", hint="Nothing changed."
        )
    exact = {tensor.name: tensor for tensor in floats}
    lost = energy = 0.0
    for tensor in tensors:
        if len(tensor.shape) > 1:
            weights = llamacpp.to_float(exact[tensor.name])
            lost += float(np.square(llamacpp.to_float(tensor) - weights, dtype=np.float64).sum())
            energy += float(np.square(weights, dtype=np.float64).sum())
    return float(np.sqrt(lost / energy))


def _perplexity(reading: Reading) -> float:
    return float(np.exp(-reading.logs[np.arange(len(reading.came)), reading.came].mean()))


def divergence(before: Reading, after: Reading) -> float:
    """Return the mean KL(before || after) of two readings of the same tokens, in nats."""
    return float((np.exp(before.logs) * (before.logs - after.logs)).sum(axis=1).mean())


def speeds(exact: Opened, other: Opened, window: Sequence[int]) -> tuple[float, float]:
    """Return how many times as fast `other` is in prefill and in decode: medians of turns."""
    turns = [
        (
            1 / readings.prefill_speed(exact, window) * readings.prefill_speed(other, window),
            1
            / readings.decode_speed(exact, window[:_DECODED])
            * readings.decode_speed(other, window[:_DECODED]),
        )
        for _ in range(TURNS)
    ]
    prefill, decode = np.median(turns, axis=0)
    return float(prefill), float(decode)


HEAD = (
    "| file | types | MB | bits | of float | tensor error | perplexity | KL | same first choice |"
    " prefill | decode |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(row: Row) -> str:
    """Return a row in Markdown, under `HEAD`."""
    return (
        f"| {row.name} | {row.types} | {row.bytes / 1e6:.1f} | {row.bits:.2f} | {row.share:.3f} |"
        f" {row.error:.4f} | {row.perplexity:.2f} | {row.kl:.4f} | {row.same:.3f} |"
        f" {row.prefill:.2f}x | {row.decode:.2f}x |"
    )


def on_card(card: str, rows: Sequence[Row], *, command: str) -> str:
    """Return the text of a card with an entry for each row but the first, in place of one of the same `what`.

    Everything else, comments too, stays as it was.

    Raises:
        UsageError: the card was malformed, or would be.
    """
    parse_card(card.encode())
    entries = {f"{row.name} against {rows[0].name}": _value(row, rows[0]) for row in rows[1:]}
    parts = [part for part in _parts(card) if _what(part) not in entries]
    last = max((at for at, part in enumerate(parts) if part.startswith(_ENTRY)), default=len(parts) - 1)
    made = [_entry(what, value, command) for what, value in entries.items()]
    parts[last] = parts[last].rstrip("\n") + "\n\n"
    changed = "".join([*parts[: last + 1], *(f"{entry}\n" for entry in made), *parts[last + 1 :]])
    changed = changed.rstrip("\n") + "\n"
    parse_card(changed.encode())
    return changed


def _parts(card: str) -> list[str]:
    """Cut a card where its tables and comments begin: a comment may belong to the entry after it."""
    parts = [""]
    for line in card.splitlines(keepends=True):
        if line.startswith(("[", "#")):
            parts.append("")
        parts[-1] += line
    return parts


def _what(part: str) -> str | None:
    if not part.startswith(_ENTRY):
        return None
    return str(tomllib.loads(part)["measured"][0].get("what"))


def _value(row: Row, exact: Row) -> str:
    return (
        f"{row.bytes / 1e6:.1f} MB, {row.share:.3f} of float, tensor error {row.error:.4f},"
        f" perplexity {row.perplexity:.2f} (float {exact.perplexity:.2f}), KL {row.kl:.4f},"
        f" same first choice {row.same:.3f}, prefill {row.prefill:.2f} times, decode {row.decode:.2f} times"
    )


def _entry(what: str, value: str, command: str) -> str:
    pairs = {"what": what, "value": value, "command": command}
    lines = [f"{key} = {json.dumps(text, ensure_ascii=False)}" for key, text in pairs.items()]
    return "\n".join([_ENTRY, *lines, ""])
