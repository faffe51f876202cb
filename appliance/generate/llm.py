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
import math
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from appliance.errors import ApplianceError, ModelMismatch, ModelMissing, NoRoom, UsageError
from appliance.generate.prompt import REFUSED
from appliance.types import Prompt, Tokens

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
    """Writes an answer. One stream at a time; `usage` is that of the last one, final when it has ended."""

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

    def __init__(self, path: Path, *, name: str, template: str, threads: int, context: int = CONTEXT) -> None:
        """Load the model at `path`, whose hash the caller has verified (a /proc/self/fd path will do).

        Raises:
            UsageError: no template of that name.
            ModelMismatch: the file is no model that llama.cpp can load.
        """
        self._template = known_template(template)
        self.brief = self._template.brief
        self.name = name
        self.usage = Tokens()
        self._lib = llama()
        self._stop: Stop = threading.Event()
        self._kept: list[int] = []  # the system prefix now held in the context, complete
        self._model = _load(self._lib, path)
        self._vocab = self._lib.llama_model_get_vocab(self._model)
        self._abort = self._lib.ggml_abort_callback(lambda _data: self._stop.is_set())
        self._ctx = _open(self._lib, self._model, threads=threads, context=context, abort=self._abort)
        self._sampler = self._lib.llama_sampler_init_greedy()
        self._answering = _all_but(self._lib, self._vocab, self._untrusted(REFUSED)[0])
        self.context = int(self._lib.llama_n_ctx(self._ctx))

    def close(self) -> None:
        """Free model and context; idempotent."""
        if self._model:
            self._lib.llama_sampler_free(self._sampler)
            self._lib.llama_sampler_free(self._answering)
            self._lib.llama_free(self._ctx)
            self._lib.llama_model_free(self._model)
            self._model = self._ctx = self._sampler = self._answering = None

    def count(self, text: str) -> int:
        """Return how many tokens `text` has as untrusted text."""
        return len(self._untrusted(text))

    def stream(self, prompt: Prompt, *, max_tokens: int, stop: Stop) -> Iterator[str]:
        """Yield the answer piece by piece; end quietly once `stop` is set.

        Raises:
            NoRoom: the prompt leaves no room for an answer.
            ApplianceError: the library failed.
        """
        self._stop = stop
        prefix, body = self.tokens(prompt)
        room = self.context - len(prefix) - len(body)
        if room < 1:
            raise NoRoom("The prompt is longer than the model's context.")
        self.usage = Tokens(prompt=len(prefix) + len(body))
        if self._hold(prefix) and self._evaluate(body):
            first = self._answering if prompt.decided and self.brief else self._sampler
            yield from self._write(min(max_tokens, room), first)

    def _write(self, most: int, first: Any) -> Iterator[str]:
        """Sample up to `most` tokens after what the context holds, the first one by the sampler `first`."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may span two tokens
        for number in range(most):
            sampler = self._sampler if number else first
            token = int(self._lib.llama_sampler_sample(sampler, self._ctx, -1))
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
            if self._stop.is_set():
                return False
            part = tokens[start : start + _CHUNK]
            held = (self._lib.llama_token * len(part))(*part)  # the batch only points to it: keep it alive
            status = self._lib.llama_decode(self._ctx, self._lib.llama_batch_get_one(held, len(part)))
            if status == _ABORTED:
                return False
            if status:
                raise ApplianceError(f"The generator failed (llama.cpp status {status}).")
        return True

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        size = self._lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, _NO)
        return buffer.raw[: max(size, 0)]


def _all_but(library: ModuleType, vocabulary: Any, token: int) -> Any:
    """Return a greedy sampler that never takes `token`.

    "Not" begins the refusal, and few answers: where the reader marked one of them, it is not asked for
    (generate/prompt.py).
    """
    chain = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
    never = library.llama_logit_bias(token, -math.inf)
    size = library.llama_vocab_n_tokens(vocabulary)
    library.llama_sampler_chain_add(
        chain, library.llama_sampler_init_logit_bias(size, 1, ctypes.byref(never))
    )
    library.llama_sampler_chain_add(chain, library.llama_sampler_init_greedy())
    return chain


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
    params.abort_callback = abort
    params.no_perf = True
    opened = library.llama_init_from_model(model, params)
    if not opened:
        library.llama_model_free(model)
        raise ModelMismatch("The generator gives no context: it is broken or too large for this machine.")
    return opened
