"""The settings -> the models, each loaded once, in the background, and only when wanted."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from appliance import models
from appliance.config import Config
from appliance.errors import ApplianceError, ModelMissing
from appliance.generate.cell import CellGenerator
from appliance.generate.llm import Generator, known_template
from appliance.retrieve.reader import Reader

if TYPE_CHECKING:  # loading the engine takes a third of a second, which a thread spends beside the key
    from appliance.embed import Encoder

RETRY_S = 60.0
"""How long after a failed start the next is tried."""


class Engines:
    """The models, each loaded once and only when wanted, in the background.

    The encoder is wanted by nearly every call and starts loading at once, while a passphrase is typed. The
    generator loads at the first question that it is asked, beside the search, so that an `add` never pays for
    its memory.
    """

    def __init__(self, config: Config) -> None:
        self.accept_weaker = False
        """Whether parsers and generator run where the kernel cannot confine them fully."""
        self._config = config
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="load")
        self._encoder = self._pool.submit(_load_encoder, config)
        self._reader = self._pool.submit(_load_reader, config)
        self._generator: Future[Generator | None] | None = None
        self._ended = 0.0

    def encoder(self) -> Encoder:
        """Wait for the encoder.

        Raises:
            ModelMissing: it is not installed.
            ModelMismatch: its file is not the one its card names.
        """
        return self._encoder.result()

    def reader(self) -> Reader | None:
        """Wait for the trained reader; None where none is configured, installed or given passages to read.

        Raises:
            ModelMismatch: its file is not the one its card names.
        """
        return self._reader.result()

    def brief(self) -> bool:
        """Tell whether the generator answers in a word or two; what is wrong with it, loading it will say."""
        if not self._config.generator:
            return False
        try:
            card = models.find(self._config.generator, self._config.model_folders).card
            return known_template(card.template).brief
        except ApplianceError:
            return False

    def generator(self) -> Future[Generator | None]:
        """Start loading the generator unless that was done; None where none is configured or installed.

        One that could not be loaded is tried again, though not at once: the machine may only have been short
        of memory or time, and a question should not wait for that each time.
        """
        failed = self._generator and self._generator.done() and self._generator.exception()
        if self._generator is None or (failed and time.monotonic() - self._ended >= RETRY_S):
            self._generator = self._pool.submit(
                _load_generator, self._config, accept_weaker=self.accept_weaker
            )
            self._generator.add_done_callback(self._end)
        return self._generator

    def _end(self, _: Future[Generator | None]) -> None:
        self._ended = time.monotonic()


def _load_encoder(config: Config) -> Encoder:
    # Imported here: the ONNX runtime takes a third of a second, spent beside the key derivation this way.
    from appliance.embed import load

    return load(models.find(config.embedding, config.model_folders), threads=config.cores)


def _load_reader(config: Config) -> Reader | None:
    if not config.reader or not config.rerank:
        return None
    # Imported here for the same reason.
    from appliance.retrieve.cross import load

    try:
        found = models.find(config.reader, config.model_folders)
    except ModelMissing:
        return None  # sentences are ranked without it; the answer's `models` says that none is there
    return load(found, threads=config.cores, depth=config.rerank)


def _load_generator(config: Config, *, accept_weaker: bool) -> Generator | None:
    if not config.generator:
        return None
    try:
        found = models.find(config.generator, config.model_folders)
    except ModelMissing:
        return None  # quotes alone still answer; `doctor` and the answer's `models` say that none is there
    return CellGenerator.load(found, threads=config.cores, accept_weaker=accept_weaker)
