"""A verified model folder -> its graph and its tokenizer. Only it names ONNX Runtime and tokenizers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
import tokenizers

from appliance import models

Ids: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]

# Tokens of one run, padding included: enough to keep four cores busy, few enough to stay in their cache.
BATCH_TOKENS = 1024


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
    """A graph ready to run: `inputs` names what it takes, `outputs` the sizes of what it gives."""

    def __init__(self, engine: onnxruntime.InferenceSession) -> None:
        self._engine = engine
        self.inputs = frozenset(value.name for value in engine.get_inputs())
        self.outputs = {value.name: tuple(value.shape) for value in engine.get_outputs()}

    def run(self, inputs: Mapping[str, Ids]) -> list[Floats]:
        """Return the outputs in the order of `outputs`."""
        made: list[Floats] = self._engine.run(None, dict(inputs))
        return made


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
    options, providers = _options(threads), ["CPUExecutionProvider"]
    with models.open_verified(found, "model.onnx") as path:
        return Session(onnxruntime.InferenceSession(path, options, providers=providers))


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # it would log to the terminal
    # The graph comes fused: optimising it again takes .15 s a start and undoes the faster normalisation.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Idle threads must sleep: the generator and the user's other work need the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices by length, so that a batch has little padding and at most `BATCH_TOKENS` tokens."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    """Return the rows as one array (n, longest) filled up with zeros, and a mask that is 1 where they are."""
    width = max(len(row) for row in rows)
    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask
