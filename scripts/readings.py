"""A GGUF and a text -> what the model expected at every place, by llama.cpp in windows of its context."""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.errors import UsageError
from appliance.generate.llm import llama

Logs = npt.NDArray[np.float32]

WINDOW = 512


@dataclass(frozen=True, slots=True)
class Opened:
    """A loaded model: handles of llama.cpp."""

    library: Any
    model: Any
    context: Any

    @property
    def vocabulary(self) -> Any:
        """Return the handle of the vocabulary."""
        return self.library.llama_model_get_vocab(self.model)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model made of a text: log-probabilities (n, vocabulary) and the tokens that came (n,)."""

    logs: Logs
    came: npt.NDArray[np.int64]


@contextmanager
def opened(path: Path, *, callback: Any = None, context: int = WINDOW) -> Iterator[Opened]:
    """Load the model at `path`; `callback` is called around every operation, `context` is in tokens.

    Raises:
        UsageError: it is no model that llama.cpp can load.
    """
    library = llama()
    model = library.llama_model_load_from_file(bytes(path), library.llama_model_default_params())
    if not model:
        raise UsageError(f"{path.name} is no model that llama.cpp can load.", hint="Nothing was written.")
    options = library.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = context
    options.n_threads = options.n_threads_batch = len(os.sched_getaffinity(0))
    if callback is not None:
        options.cb_eval = callback
    handle = library.llama_init_from_model(model, options)
    try:
        yield Opened(library, model, handle)
    finally:
        library.llama_free(handle)
        library.llama_model_free(model)


def read_texts(paths: Sequence[Path]) -> list[str]:
    """Return the texts of the files; of examples (.jsonl of scripts/corpus.py), prompts with their answers.

    Raises:
        UsageError: one is not there, no UTF-8, or no examples.
    """
    try:
        return [_examples(path) if path.suffix == ".jsonl" else path.read_text("utf-8") for path in paths]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"A text cannot be read: {error}", hint="Nothing was written.") from error


def _examples(path: Path) -> str:
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return "\n\n".join(f"{row['prompt']} {row['answer']}" for row in rows)


def windows(model: Opened, text: str, *, most: int) -> list[list[int]]:
    """Return the first `most` whole windows of the text's tokens.

    Raises:
        UsageError: there is not one.
    """
    raw = text.encode()
    buffer = (model.library.llama_token * len(raw))()
    count = model.library.llama_tokenize(model.vocabulary, raw, len(raw), buffer, len(raw), 0, 0)
    tokens = list(buffer[: max(count, 0)])
    found = [tokens[at : at + WINDOW] for at in range(0, len(tokens) - WINDOW, WINDOW)][:most]
    if not found:
        raise UsageError(f"The text has fewer than {WINDOW} tokens.", hint="Nothing was written. Give more.")
    return found


def read(model: Opened, texts: Sequence[Sequence[int]]) -> Reading:
    """Let the model read windows of tokens; the last three quarters count, as in llama.cpp's own tool."""
    logs = [_logs(logits(model, window)[len(window) // 4 : -1]) for window in texts]
    came = np.array([token for window in texts for token in window[len(window) // 4 + 1 :]])
    return Reading(np.concatenate(logs), came)


def foretell(model: Opened, tokens: Sequence[int], since: int) -> Reading:
    """Return what the model expected of the tokens from the place `since` on, which is at least 1."""
    return Reading(_logs(logits(model, tokens)[since - 1 : -1]), np.array(tokens[since:]))


def logits(model: Opened, window: Sequence[int]) -> Logs:
    """View the logits after each token of a window, shape (n, vocabulary), until the next call."""
    library, context = model.library, model.context
    library.llama_memory_clear(library.llama_get_memory(context), 1)
    batch = library.llama_batch_init(len(window), 0, 1)
    batch.n_tokens = len(window)
    for place, token in enumerate(window):
        batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, place, 1
        batch.seq_id[place][0], batch.logits[place] = 0, 1
    library.llama_decode(context, batch)
    library.llama_batch_free(batch)
    size = library.llama_vocab_n_tokens(model.vocabulary)
    pointer = ctypes.cast(library.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, (len(window), size))


def _logs(values: Logs) -> Logs:
    values = values - values.max(axis=1, keepdims=True)
    result: Logs = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    return result


def prefill_speed(model: Opened, window: Sequence[int]) -> float:
    """Return tokens a second of reading a window at once, with only its last logits."""
    library, context = model.library, model.context
    library.llama_memory_clear(library.llama_get_memory(context), 1)
    tokens = (library.llama_token * len(window))(*window)
    start = time.perf_counter()
    library.llama_decode(context, library.llama_batch_get_one(tokens, len(window)))
    library.llama_synchronize(context)
    return len(window) / (time.perf_counter() - start)


def decode_speed(model: Opened, tokens: Sequence[int]) -> float:
    """Return tokens a second of reading one after another, as an answer is written."""
    library, context = model.library, model.context
    library.llama_memory_clear(library.llama_get_memory(context), 1)
    start = time.perf_counter()
    for token in tokens:
        one = (library.llama_token * 1)(token)
        library.llama_decode(context, library.llama_batch_get_one(one, 1))
    return len(tokens) / (time.perf_counter() - start)
