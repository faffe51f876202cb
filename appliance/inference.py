"""A verified model folder -> its graph and its tokenizer. Only it names ONNX Runtime and tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
import tokenizers

from appliance import models

Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Placed:
    """The tokens of one text without special ones, and the (start, end) of each in it."""

    ids: Sequence[int]
    places: Sequence[tuple[int, int]]


class Tokenizer:
    """Turns texts into tokens."""

    def __init__(self, content: bytes) -> None:
        self._engine = tokenizers.Tokenizer.from_buffer(content)
        # The file comes with a truncation and a padding of its own; ours are by the card and by the batch.
        self._engine.no_truncation()
        self._engine.no_padding()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text, special ones included."""
        return [encoding.ids for encoding in self._engine.encode_batch_fast(_clean(texts))]

    def placed(self, texts: Sequence[str]) -> list[Placed]:
        """Return the tokens of each text with their places."""
        encodings = self._engine.encode_batch(_clean(texts), add_special_tokens=False)
        return [Placed(encoding.ids, encoding.offsets) for encoding in encodings]


def _clean(texts: Sequence[str]) -> list[str]:
    # An argument that was not UTF-8 holds lone surrogates, which the tokenizer cannot take; places stay.
    return [text.encode("utf-8", "replace").decode("utf-8") for text in texts]


class Session:
    """A graph ready to run: `inputs` names what it takes, `outputs` the sizes of what it gives.

    Rows of tokens go through it one by one, each on a core of its own. Four cores on one batch wait for each
    other at every operation, and rows are padded: measured, 20 rows of 120 tokens take 72 ms this way, 158 as
    batches (scripts/LOG.md).
    """

    def __init__(self, engine: onnxruntime.InferenceSession, *, threads: int) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="row")
        self.inputs = frozenset(value.name for value in engine.get_inputs())
        self.outputs = {value.name: tuple(value.shape) for value in engine.get_outputs()}

    def rows(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> list[list[Floats]]:
        """Return the outputs of each row, in the order of `outputs`, without the axis of the rows."""
        return list(self._pool.map(self._row, rows))

    def _row(self, row: Mapping[str, Sequence[int]]) -> list[Floats]:
        made = self._engine.run(None, {name: np.array([ids], np.int64) for name, ids in row.items()})
        return [output[0] for output in made]


def load_tokenizer(found: models.Installed) -> Tokenizer:
    """Load a model's tokenizer, verified.

    Raises:
        ModelMissing: its file is not there.
        ModelMismatch: its file is not the one the card names.
    """
    return Tokenizer(models.read_verified(found, "tokenizer.json"))


def load_session(found: models.Installed, *, threads: int) -> Session:
    """Load a model's graph, verified, to compute with `threads` threads.

    Raises:
        ModelMissing: its file is not there.
        ModelMismatch: its file is not the one the card names.
    """
    options, providers = _options(), ["CPUExecutionProvider"]
    with models.open_verified(found, "model.onnx") as path:
        return Session(onnxruntime.InferenceSession(path, options, providers=providers), threads=threads)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # it would log to the terminal
    # The graph comes fused: optimising it again takes .15 s a start and undoes the faster normalisation.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Idle threads must sleep: the generator and the user's other work need the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
