"""Texts -> unit vectors, on the CPU, with no state but the model.

Without fastembed: it takes 1.7 s to import and brings five HTTP clients for what is one session and one
tokenizer. The graph itself pools and normalises (`scripts/convert.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from appliance import models
from appliance.errors import ModelMismatch
from appliance.inference import Session, Tokenizer, load_session, load_tokenizer
from appliance.types import Matrix


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

    def __init__(self, session: Session, tokenizer: Tokenizer, card: models.Card) -> None:
        self.name = card.name
        self.dimensions = card.dimensions
        self._session = session
        self._tokenizer = tokenizer
        self._max_tokens = card.max_tokens

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return one unit vector a text, shape (len(texts), dimensions).

        What lies beyond the card's `max_tokens` is not seen; `token_counts` tells where that is so. A text's
        vector does not depend on its companions.
        """
        rows = [_cut(ids, self._max_tokens) for ids in self._tokenizer.ids(texts)]
        made = self._session.rows([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in rows])
        return np.array([vector for (vector,) in made], np.float32).reshape(len(texts), self.dimensions)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has before truncation, [CLS] and [SEP] included."""
        return [len(ids) for ids in self._tokenizer.ids(texts)]


def load(found: models.Installed, *, threads: int) -> Encoder:
    """Load an embedding model, verified, to compute with `threads` threads.

    Raises:
        ModelMissing: a file of it is not there.
        ModelMismatch: a file is not the one its card names, or the graph does not give what the card says.
    """
    tokenizer = load_tokenizer(found)
    session = load_session(found, threads=threads)
    _check_graph(session, found.card)
    return OnnxEncoder(session, tokenizer, found.card)


def _check_graph(session: Session, card: models.Card) -> None:
    widths = [axes[-1] for axes in session.outputs.values() if len(axes) == 2]
    if session.inputs != {"input_ids", "attention_mask"} or widths != [card.dimensions]:
        raise ModelMismatch(
            f"The graph of {card.name} does not turn tokens into {card.dimensions} numbers.",
            hint="Convert the model with `python -m scripts.convert`, which pools inside the graph.",
        )


def _cut(ids: list[int], most: int) -> list[int]:
    """Return the tokens, cut to `most` with the closing special token kept."""
    return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]
