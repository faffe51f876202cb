"""The reader in torch: the MiniLM body, and three heads over it. Trained here, run as ONNX by the appliance.

    (question, passage) -> span: start and end logits a token, with [CLS] as "no span"
                        -> scores: logits of relevance and of answerability, from [CLS]

The weights have the names that the published safetensors and scripts/convert.py use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from scripts.convert import Shape


class Layer(nn.Module):
    """One post-norm transformer layer. Source: Devlin et al. 2018."""

    def __init__(self, shape: Shape, inner: int, dropout: float) -> None:
        super().__init__()
        width = shape.width
        self._heads = shape.heads
        self._dropout = dropout
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mixed = nn.Linear(width, width)
        self.mixed_norm = nn.LayerNorm(width, eps=shape.epsilon)
        self.wide = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=shape.epsilon)

    def forward(self, state: Tensor, mask: Tensor | None) -> Tensor:
        """Map (n, s, width) to the same; `mask` (n, 1, 1, s) is True where there is a token."""
        texts, tokens, width = state.shape
        parts = (
            part(state).view(texts, tokens, self._heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        heads = functional.scaled_dot_product_attention(*parts, attn_mask=mask)
        joined = self.mixed(heads.transpose(1, 2).reshape(texts, tokens, width))
        state = self.mixed_norm(state + self._dropped(joined))
        return self.norm(state + self._dropped(self.narrow(functional.gelu(self.wide(state)))))

    def _dropped(self, state: Tensor) -> Tensor:
        return functional.dropout(state, self._dropout, self.training)


LAYER_NAMES: Final = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mixed": "attention.output.dense",
    "mixed_norm": "attention.output.LayerNorm",
    "wide": "intermediate.dense",
    "narrow": "output.dense",
    "norm": "output.LayerNorm",
}
_NAMES: Final = {
    "words": "embeddings.word_embeddings",
    "places": "embeddings.position_embeddings",
    "parts": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "span": "heads.span",
    "scores": "heads.scores",
}


_SIZES: Final = (
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "encoder.layer.0.intermediate.dense.weight",
)


class ReaderModel(nn.Module):
    """The whole cross-encoder."""

    def __init__(self, shape: Shape, weights: Mapping[str, Tensor], *, dropout: float = 0.0) -> None:
        """Take all sizes that are not in `shape` from `weights`, and the weights themselves."""
        super().__init__()
        self._dropout = dropout
        words, places, inner = (len(weights[name]) for name in _SIZES)
        self.words = nn.Embedding(words, shape.width)
        self.places = nn.Embedding(places, shape.width)
        self.parts = nn.Embedding(2, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.layers = nn.ModuleList(Layer(shape, inner, dropout) for _ in range(shape.layers))
        self.span = nn.Linear(shape.width, 2)
        self.scores = nn.Linear(shape.width, 2)
        self._adopt(weights)

    def body(self, tokens: Tensor, parts: Tensor, mask: Tensor) -> Tensor:
        """Return the last state (n, s, width); `mask` (n, s) is True where there is a token."""
        state = self.words(tokens) + self.places.weight[: tokens.shape[1]] + self.parts(parts)
        state = functional.dropout(self.norm(state), self._dropout, self.training)
        # Batches of one length need no mask, and attention without one is faster.
        seen = None if bool(mask.all()) else mask[:, None, None, :]
        for layer in self.layers:
            state = layer(state, seen)
        return state

    def forward(self, tokens: Tensor, parts: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return span logits (n, s, 2) and score logits (n, 2): relevance, answerability."""
        state = self.body(tokens, parts, mask)
        return self.span(state), self.scores(state[:, 0])

    def published(self) -> dict[str, Tensor]:
        """Return the weights under their published names."""
        return {_renamed(name): value.detach() for name, value in self.state_dict().items()}

    def _adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights named as published; heads that are not among them stay as they are."""
        own = self.state_dict()
        taken = {
            name: weights[_renamed(name)]
            for name in own
            if _renamed(name) in weights or not _renamed(name).startswith("heads.")
        }
        self.load_state_dict(own | taken)


def _renamed(name: str) -> str:
    first, *rest = name.split(".")
    if first == "layers":
        return ".".join(("encoder.layer", rest[0], LAYER_NAMES[rest[1]], *rest[2:]))
    return ".".join((_NAMES[first], *rest))
