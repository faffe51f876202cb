"""Texts -> unit vectors, on the CPU, with no state but the model. The only file that names ONNX Runtime.

Without fastembed: it takes 1.7 s to import and brings five HTTP clients for what is one session and one
tokenizer. The graph itself pools and normalises (`scripts/convert.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from appliance import models
from appliance.errors import ModelMismatch
from appliance.types import Matrix

# Tokens of one run, padding included: enough to keep four cores busy, few enough to stay in their cache.
_BATCH_TOKENS = 1024


class Encoder(Protocol):
    """Turns texts into vectors whose dot product is their likeness."""

    @property
    def name(self) -> str:
        """Return the model's name."""

    @property
    def dimensions(self) -> int:
        """Return the length of a vector."""

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return one unit vector a text, shape (len(texts), dimensions), whatever else is in `texts`."""

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has before truncation, special tokens included."""


class OnnxEncoder:
    """A BERT-like encoder whose graph ends in unit vectors."""

    def __init__(
        self, session: onnxruntime.InferenceSession, tokenizer: Tokenizer, card: models.Card
    ) -> None:
        self.name = card.name
        self.dimensions = card.dimensions
        self._session = session
        self._tokenizer = tokenizer
        self._max_tokens = card.max_tokens

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return one unit vector a text, shape (len(texts), dimensions).

        What lies beyond the card's `max_tokens` is not seen; `token_counts` tells where that is so. A text's
        vector does not depend on its companions: activations are quantized by row, and padding is masked.
        """
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        rows = [_cut(encoding, self._max_tokens) for encoding in self._tokens(texts)]
        for batch in _batches([len(row) for row in rows]):
            ids, mask = _padded([rows[index] for index in batch])
            vectors[batch] = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return vectors

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has before truncation, [CLS] and [SEP] included."""
        return [len(encoding.ids) for encoding in self._tokens(texts)]

    def _tokens(self, texts: Sequence[str]) -> list[Encoding]:
        # An argument that was not UTF-8 holds lone surrogates, which the tokenizer cannot take.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        encodings: list[Encoding] = self._tokenizer.encode_batch_fast(clean)
        return encodings


def load(found: models.Installed, *, threads: int) -> Encoder:
    """Load an embedding model, verified, to compute with `threads` threads.

    Raises:
        ModelMissing: a file of it is not there.
        ModelMismatch: a file is not the one its card names, or the graph does not give what the card says.
    """
    tokenizer = Tokenizer.from_buffer(models.read_verified(found, "tokenizer.json"))
    # The file comes with a truncation and a padding of its own; ours are by the card and by the batch.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    with models.open_verified(found, "model.onnx") as path:
        session = onnxruntime.InferenceSession(path, _options(threads), providers=["CPUExecutionProvider"])
    _check_graph(session, found.card)
    return OnnxEncoder(session, tokenizer, found.card)


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


def _check_graph(session: onnxruntime.InferenceSession, card: models.Card) -> None:
    inputs = {value.name for value in session.get_inputs()}
    shapes = [value.shape[-1] for value in session.get_outputs() if len(value.shape) == 2]
    if inputs != {"input_ids", "attention_mask"} or shapes != [card.dimensions]:
        raise ModelMismatch(
            f"The graph of {card.name} does not turn tokens into {card.dimensions} numbers.",
            hint="Convert the model with `python -m scripts.convert`, which pools inside the graph.",
        )


def _cut(encoding: Encoding, most: int) -> list[int]:
    """Return the tokens, cut to `most` with the closing special token kept."""
    ids: list[int] = encoding.ids
    return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices by length, so that a batch has little padding and at most `_BATCH_TOKENS` tokens."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _padded(rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    width = max(len(row) for row in rows)
    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask
