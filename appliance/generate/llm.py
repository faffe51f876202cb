"""Prompt -> tokens -> pieces of text, by llama.cpp's C interface. The only file that names llama_cpp.

It runs in the generator's cell (cell.py, inmate.py), never in the process that holds the key.

The system prefix is evaluated once: its keys and values stay in the context, and what came after it is cut
off before the next question. Nothing is ever written to or restored from a state file (CVE-2026-43629).
"""

from __future__ import annotations

import codecs
import ctypes
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from appliance.errors import ApplianceError, ModelMismatch, ModelMissing, NoRoom, UsageError
from appliance.generate.choice import LIKELIHOOD, choose
from appliance.types import CHOICES, Prompt, Tokens

Floats: TypeAlias = npt.NDArray[np.float32]

CONTEXT = 2048
_ABORTED = 2  # llama_decode's status when the abort callback said so
_NO = False
_CHUNK = 128  # tokens a decode call; `stop` is looked at between two of them


@dataclass(frozen=True, slots=True)
class Template:
    """The markers around a system and a user text. Ours, by name: a model file's Jinja is never run."""

    before_system: str
    before_user: str
    before_answer: str
    brief: bool = False
    """Whether the model was trained on the appliance's own prompts (scripts/corpus.py): it needs no example,
    and its answers are the words that answer, not whole sentences."""


_CHATML = Template(
    before_system="<|im_start|>system\n",
    before_user="<|im_end|>\n<|im_start|>user\n",
    before_answer="<|im_end|>\n<|im_start|>assistant\n",
)
TEMPLATES = {"chatml": _CHATML, "chatml-brief": replace(_CHATML, brief=True)}


def known_template(name: str) -> Template:
    """Return the template of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TEMPLATES:
        raise UsageError(f"There is no prompt template {name!r}; there are: {', '.join(TEMPLATES)}.")
    return TEMPLATES[name]


class Stop(Protocol):
    """What says that no more is wanted: an Event, or a look at a pipe."""

    def is_set(self) -> bool:
        """Tell whether no more is wanted."""


class Generator(Protocol):
    """Writes an answer. One stream at a time; `usage` and `sure` are the last one's, final at its end."""

    @property
    def name(self) -> str:
        """Return the model's name."""

    @property
    def context(self) -> int:
        """Return how many tokens prompt and answer may have together."""

    @property
    def brief(self) -> bool:
        """Tell whether it was trained on the appliance's own prompts (Template.brief)."""

    @property
    def usage(self) -> Tokens:
        """Return the tokens read and written by the last stream."""

    @property
    def sure(self) -> float:
        """Return the overlap (F1) with the answer that is expected of the choice made; 0 where none was."""

    def count(self, text: str) -> int:
        """Return how many tokens `text` has."""

    def stream(self, prompt: Prompt, *, max_tokens: int, stop: threading.Event) -> Iterator[str]:
        """Yield the answer as it is written; end quietly, within a second, once `stop` is set."""

    def close(self) -> None:
        """Give the memory back; the generator is of no use afterwards."""


def llama() -> ModuleType:
    """Return the bindings of llama.cpp's C interface, silenced, without running their package.

    The package's own `__init__` imports a disk cache (CVE-2025-69872, unfixed) and a template engine; neither
    is installed here. A bare module of that name, which knows only where the package lies, stands in for it.

    Raises:
        ModelMissing: llama-cpp-python is not installed.
    """
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.submodule_search_locations is None:
            raise ModelMissing("llama-cpp-python is not installed.", hint="Run `make install`.")
        package = ModuleType("llama_cpp")
        package.__spec__ = spec
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["llama_cpp"] = package
    # Threads that wait spin by default: with one core taken by anything else, 4 threads were 100 times slower
    # (measured). Read once, when the library is loaded; what the user has set wins.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    loaded = "llama_cpp.llama_cpp" in sys.modules
    library = importlib.import_module("llama_cpp.llama_cpp")
    if not loaded:
        _silence(library)
        library.llama_backend_init()
    return library


_kept_callbacks: list[object] = []  # a callback that Python forgets is freed; the library would call it still


def _silence(library: ModuleType) -> None:
    """Swallow the library's log: it goes to stderr and can name files and metadata of the model."""
    ignore = library.llama_log_callback(lambda _level, _text, _data: None)
    _kept_callbacks.append(ignore)
    library.llama_log_set(ignore, ctypes.c_void_p(0))


class LlamaGenerator:
    """A GGUF model on the CPU, greedy: the same prompt gives the same answer."""

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        template: str,
        threads: int,
        context: int = CONTEXT,
        likelihood: float = LIKELIHOOD,
    ) -> None:
        """Load the model at `path`, whose hash the caller has verified (a /proc/self/fd path will do).

        Raises:
            UsageError: no template of that name.
            ModelMismatch: the file is no model that llama.cpp can load.
        """
        self._template = known_template(template)
        self.brief = self._template.brief
        self.name = name
        self.usage = Tokens()
        self.sure = 0.0
        self._lib = llama()
        self._stop: Stop = threading.Event()
        self._likelihood = likelihood
        self._kept: list[int] = []  # the system prefix now held in the context, complete
        self._model = _load(self._lib, path)
        self._vocab = self._lib.llama_model_get_vocab(self._model)
        self._abort = self._lib.ggml_abort_callback(lambda _data: self._stop.is_set())
        self._ctx = _open(self._lib, self._model, threads=threads, context=context, abort=self._abort)
        self._sampler = self._lib.llama_sampler_init_greedy()
        self._row = ctypes.c_float * int(self._lib.llama_vocab_n_tokens(self._vocab))
        self.context = int(self._lib.llama_n_ctx(self._ctx))

    def close(self) -> None:
        """Free model and context; idempotent."""
        if self._model:
            self._lib.llama_sampler_free(self._sampler)
            self._lib.llama_free(self._ctx)
            self._lib.llama_model_free(self._model)
            self._model = self._ctx = self._sampler = None

    def count(self, text: str) -> int:
        """Return how many tokens `text` has as untrusted text."""
        return len(self._untrusted(text))

    def stream(self, prompt: Prompt, *, max_tokens: int, stop: Stop) -> Iterator[str]:
        """Yield the answer piece by piece, or the likeliest choice; end quietly once `stop` is set.

        Raises:
            NoRoom: the prompt leaves no room for an answer.
            ApplianceError: the library failed.
        """
        self._stop = stop
        prefix, body = self.tokens(prompt)
        begun = len(prefix) + len(body)
        most = min(max_tokens, self.context - begun)
        if most < 1:
            raise NoRoom("The prompt is longer than the model's context.")
        self.usage, self.sure = Tokens(prompt=begun), 0.0
        if self._hold(prefix) and self._evaluate(body):
            yield from self._choose(prompt, begun, most) if prompt.choices else self._write(most)

    def _choose(self, prompt: Prompt, begun: int, most: int) -> Iterator[str]:
        """Yield the likeliest of the choices, in the eyes of the reader and of the model together.

        The marker behind the words counts too: it tells that they are the whole answer.
        """
        if not prompt.shown:
            return
        marker = f" [{prompt.shown[0]}]"
        lines = [
            (words, margin, self.chosen(words, prompt.shown[0])) for words, margin in prompt.choices[:CHOICES]
        ]
        # What has no words, or more than there is room for, is none.
        lines = [line for line in lines if line[0].strip() and 1 < len(line[2]) <= min(most, _CHUNK)]
        found = self._likelihoods([tokens for _, _, tokens in lines], begun)
        if found:
            best, sure = choose(
                [margin for _, margin, _ in lines],
                found,
                [words for words, _, _ in lines],
                likelihood=self._likelihood,
            )
            words, _, tokens = lines[best]
            self.usage = Tokens(self.usage.prompt, len(tokens))
            if len(lines) == len(prompt.choices):  # nothing is certain where a choice was not looked at
                self.sure = sure
            yield words + marker

    def _likelihoods(self, lines: Sequence[Sequence[int]], begun: int) -> list[float]:
        """Return the log-likelihood of each line after the `begun` tokens of the context; none if stopped.

        Each goes on from them as a sequence of its own: nothing is evaluated twice, many lines in one call.
        """
        memory = self._lib.llama_get_memory(self._ctx)
        first = self._chances(-1)
        found = [float(first[line[0]]) for line in lines]
        for group in _groups(lines, min(_CHUNK, self.context - begun)):
            try:
                for number in group:
                    self._lib.llama_memory_seq_cp(memory, 0, number + 1, -1, -1)
                places = [(number, at) for number in group for at in range(len(lines[number]) - 1)]
                if not self._decode(_branches(self._lib, lines, places, begun)):
                    return []
                for row, (number, at) in enumerate(places):
                    found[number] += float(self._chances(row)[lines[number][at + 1]])
            finally:
                for number in group:
                    self._lib.llama_memory_seq_rm(memory, number + 1, -1, -1)
        return found

    def _chances(self, at: int) -> Floats:
        """Return the logarithms of the chances of every word of the vocabulary as the next token."""
        row = ctypes.cast(self._lib.llama_get_logits_ith(self._ctx, at), ctypes.POINTER(self._row))
        # np.ctypeslib would be imported at its first use, when the cell can open no file any more.
        logits = np.frombuffer(memoryview(row.contents), np.float32)
        top = logits.max()
        return np.asarray(logits - top - np.log(np.exp(logits - top).sum()))

    def _write(self, most: int) -> Iterator[str]:
        """Sample up to `most` tokens after what the context holds."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may span two tokens
        for _ in range(most):
            token = int(self._lib.llama_sampler_sample(self._sampler, self._ctx, -1))
            if self._lib.llama_vocab_is_eog(self._vocab, token):
                return
            self.usage = Tokens(self.usage.prompt, self.usage.output + 1)
            piece = decoder.decode(self._piece(token))
            if piece:
                yield piece
            if self._stop.is_set() or not self._evaluate([token]):
                return

    def tokens(self, prompt: Prompt) -> tuple[list[int], list[int]]:
        """Return the tokens of the system prefix and of the rest; only our own markers become special."""
        marks = self._template
        prefix = self._tokenize(marks.before_system, special=True) + self._untrusted(prompt.system)
        body = self._tokenize(marks.before_user, special=True) + self._untrusted(prompt.user)
        return prefix, body + self._tokenize(marks.before_answer, special=True)

    def written(self, answer: str) -> list[int]:
        """Return the tokens of an answer as the model should write them, its end included."""
        return [*self._untrusted(answer), int(self._lib.llama_vocab_eot(self._vocab))]

    def chosen(self, words: str, n: int) -> list[int]:
        """Return the tokens by which a choice of passage `n` is judged: its words and the marker's first."""
        return self._untrusted(words) + self._untrusted(f" [{n}]")[:1]

    def _untrusted(self, text: str) -> list[int]:
        """Tokenise text in which nobody may forge a turn: no control token comes out of it."""
        tokens = self._tokenize(text, special=False)
        return [token for token in tokens if not self._lib.llama_vocab_is_control(self._vocab, token)]

    def _tokenize(self, text: str, *, special: bool) -> list[int]:
        raw = text.encode("utf-8", "replace")
        size = len(raw) + 8  # a byte-level vocabulary has at most one token a byte, and a few of its own
        tokens = (self._lib.llama_token * size)()
        count = self._lib.llama_tokenize(self._vocab, raw, len(raw), tokens, size, _NO, special)
        if count < 0:
            raise ApplianceError("The model's vocabulary cannot hold the text.")
        return list(tokens[:count])

    def _hold(self, prefix: list[int]) -> bool:
        """Bring the context back to exactly `prefix`; evaluate it only if it is not there yet."""
        memory = self._lib.llama_get_memory(self._ctx)
        if prefix == self._kept and self._lib.llama_memory_seq_rm(memory, 0, len(prefix), -1):
            return True
        self._lib.llama_memory_clear(memory, _NO)
        self._kept = prefix if self._evaluate(prefix) else []
        return bool(self._kept)

    def _evaluate(self, tokens: list[int]) -> bool:
        """Append `tokens` to the context; tell whether that was finished before `stop` was set."""
        for start in range(0, len(tokens), _CHUNK):
            part = tokens[start : start + _CHUNK]
            held = (self._lib.llama_token * len(part))(*part)  # the batch only points to it: keep it alive
            if not self._decode(self._lib.llama_batch_get_one(held, len(part))):
                return False
        return True

    def _decode(self, batch: Any) -> bool:
        if self._stop.is_set():
            return False
        status = self._lib.llama_decode(self._ctx, batch)
        if status and status != _ABORTED:
            raise ApplianceError(f"The generator failed (llama.cpp status {status}).")
        return not status

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        size = self._lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, _NO)
        return buffer.raw[: max(size, 0)]


def _groups(lines: Sequence[Sequence[int]], most: int) -> Iterator[list[int]]:
    """Yield the numbers of the lines in groups of at most so many tokens; none is longer."""
    group: list[int] = []
    room = most
    for number, line in enumerate(lines):
        if len(line) > room:
            yield group
            group, room = [], most
        group.append(number)
        room -= len(line)
    if group:
        yield group


def _branches(
    library: ModuleType, lines: Sequence[Sequence[int]], places: Sequence[tuple[int, int]], begun: int
) -> Any:
    """Return the batch of the tokens at `places` (line, place in it) behind `begun` ones, with all logits."""
    count = len(places)
    sequences = [(library.llama_seq_id * 1)(number + 1) for number, _ in places]
    pointer = ctypes.POINTER(library.llama_seq_id)
    return library.llama_batch(
        n_tokens=count,
        token=(library.llama_token * count)(*(lines[number][at] for number, at in places)),
        pos=(library.llama_pos * count)(*(begun + at for _, at in places)),
        n_seq_id=(ctypes.c_int32 * count)(*[1] * count),
        seq_id=(pointer * count)(*(ctypes.cast(each, pointer) for each in sequences)),
        logits=(ctypes.c_int8 * count)(*[1] * count),
    )


def _load(library: ModuleType, path: Path) -> Any:
    params = library.llama_model_default_params()
    params.n_gpu_layers = 0
    params.load_mode = (
        library.LLAMA_LOAD_MODE_NONE
    )  # a map would keep the sealed copy's memory beside this one
    model = library.llama_model_load_from_file(bytes(path), params)
    if not model:
        raise ModelMismatch("The generator's file is not a model that llama.cpp can load.")
    return model


def _open(library: ModuleType, model: Any, *, threads: int, context: int, abort: Any) -> Any:
    params = library.llama_context_default_params()
    params.n_ctx = context
    params.n_batch = params.n_ubatch = _CHUNK
    params.n_threads = params.n_threads_batch = threads
    params.n_seq_max = CHOICES + 1  # what is there, and each choice that goes on from it
    params.kv_unified = True
    params.abort_callback = abort
    params.no_perf = True
    opened = library.llama_init_from_model(model, params)
    if not opened:
        library.llama_model_free(model)
        raise ModelMismatch("The generator gives no context: it is broken or too large for this machine.")
    return opened
