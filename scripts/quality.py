"""A built model and its source -> the figures on its card, measured again; the last line is one JSON line.

    python -m scripts.quality embedding TEXT...
    python -m scripts.quality generator CANDIDATE.gguf SOURCE.gguf TEXT...

TEXT is any UTF-8 file. Speeds are per second of wall time on this machine at that moment: trust ratios.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from appliance import embed
from appliance.generate.llm import llama
from appliance.models import Card, File, Installed, parse_card
from appliance.sentences import split
from scripts.convert import IntegerLinear, Linear, build, read_shape

Logs = npt.NDArray[np.float32]

CARD = Path("models/all-minilm-l6-v2-int8.toml")
WEIGHTS = Path(".cache/models/minilm")
WINDOW, WINDOWS = 512, 8


@dataclass(frozen=True, slots=True)
class Reading:
    """What a generator made of a text: log-probabilities (n, vocabulary) and the tokens that came (n,)."""

    logs: Logs
    came: npt.NDArray[np.int64]
    prefill_per_s: float
    decode_per_s: float


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


def generator(candidate: Path, source: Path, texts: Sequence[str]) -> dict[str, float]:
    """Compare a quantized generator with its source, token by token.

    Perplexity and KL divergence over the last three quarters of eight windows of 512 tokens, as llama.cpp's
    own perplexity tool counts them.
    """
    text = "\n".join(text[:16_000] for text in texts)
    before, after = read(source, text), read(candidate, text)
    divergence = (np.exp(before.logs) * (before.logs - after.logs)).sum(axis=1)
    return {
        "megabytes": candidate.stat().st_size / 1e6,
        "tokens": len(before.came),
        "perplexity_source": _perplexity(before),
        "perplexity": _perplexity(after),
        "kl_mean": float(divergence.mean()),
        "same_first_choice": float((before.logs.argmax(axis=1) == after.logs.argmax(axis=1)).mean()),
        "prefill_per_s_source": before.prefill_per_s,
        "prefill_per_s": after.prefill_per_s,
        "decode_per_s_source": before.decode_per_s,
        "decode_per_s": after.decode_per_s,
    }


def _perplexity(reading: Reading) -> float:
    return float(np.exp(-reading.logs[np.arange(len(reading.came)), reading.came].mean()))


def read(path: Path, text: str) -> Reading:
    """Let the model at `path` read `text` in windows."""
    library = llama()
    model = library.llama_model_load_from_file(bytes(path), library.llama_model_default_params())
    options = library.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = WINDOW
    options.n_threads = options.n_threads_batch = len(os.sched_getaffinity(0))
    context = library.llama_init_from_model(model, options)
    try:
        tokens = _tokenize(library, model, text)
        windows = [tokens[at : at + WINDOW] for at in range(0, len(tokens) - WINDOW, WINDOW)][:WINDOWS]
        start = time.perf_counter()
        logs = [_logs(library, context, model, window) for window in windows]
        prefill = len(windows) * WINDOW / (time.perf_counter() - start)
        came = np.array([token for window in windows for token in window[WINDOW // 4 + 1 :]])
        return Reading(np.concatenate(logs), came, prefill, _decode_speed(library, context, tokens[:64]))
    finally:
        library.llama_free(context)
        library.llama_model_free(model)


def _tokenize(library: Any, model: Any, text: str) -> list[int]:
    raw = text.encode()
    buffer = (library.llama_token * len(raw))()
    vocabulary = library.llama_model_get_vocab(model)
    count = library.llama_tokenize(vocabulary, raw, len(raw), buffer, len(raw), 0, 0)
    return list(buffer[:count])


def _logs(library: Any, context: Any, model: Any, window: Sequence[int]) -> Logs:
    """Return the log-probabilities after each token of the last three quarters but the last one."""
    library.llama_memory_clear(library.llama_get_memory(context), 1)
    batch = library.llama_batch_init(len(window), 0, 1)
    batch.n_tokens = len(window)
    for place, token in enumerate(window):
        batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, place, 1
        batch.seq_id[place][0], batch.logits[place] = 0, 1
    library.llama_decode(context, batch)
    library.llama_batch_free(batch)
    size = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
    pointer = ctypes.cast(library.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
    logits = np.ctypeslib.as_array(pointer, (len(window), size))[len(window) // 4 : -1].copy()
    logits -= logits.max(axis=1, keepdims=True)
    result: Logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return result


def _decode_speed(library: Any, context: Any, tokens: Sequence[int]) -> float:
    library.llama_memory_clear(library.llama_get_memory(context), 1)
    start = time.perf_counter()
    for token in tokens:
        one = (library.llama_token * 1)(token)
        library.llama_decode(context, library.llama_batch_get_one(one, 1))
    return len(tokens) / (time.perf_counter() - start)


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("embedding").add_argument("texts", type=Path, nargs="+")
    other = kinds.add_parser("generator")
    other.add_argument("candidate", type=Path)
    other.add_argument("source", type=Path)
    other.add_argument("texts", type=Path, nargs="+")
    arguments = parser.parse_args()
    texts = [path.read_text("utf-8") for path in arguments.texts]
    if arguments.kind == "embedding":
        figures = embedding(texts)
    else:
        figures = generator(arguments.candidate, arguments.source, texts)
    print(json.dumps({name: round(value, 5) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
