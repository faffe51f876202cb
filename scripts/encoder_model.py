"""The encoder in torch with a LoRA adapter: only the adapter is trained. The appliance runs it as ONNX.

    (texts) -> the mean of a text's last states, of length 1

Its body is the reader's (scripts/reader_model.py); the adapter has PEFT's names (scripts/adapter.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from scripts.convert import Shape
from scripts.reader_model import LAYER_NAMES, ReaderModel

MAPS: Final = {own: name for own, name in LAYER_NAMES.items() if not name.endswith("LayerNorm")}
"""The linear maps of a layer, all of which are adapted -> their published names."""


class Lora(nn.Module):
    """W -> W + B A. Source: Hu et al. 2021."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        """Make a change of `weight`, shape (out, in), that is nothing yet."""
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, weight.shape[1]))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + self.up @ self.down


class EncoderModel(ReaderModel):
    """The body of the published encoder, frozen, and the change of its maps."""

    def __init__(self, shape: Shape, weights: Mapping[str, Tensor], *, rank: int, dropout: float) -> None:
        """Take sizes and weights from `weights`, under their published names."""
        super().__init__(shape, weights, dropout=dropout)
        self.requires_grad_(requires_grad=False)
        for _, _, part in self._maps():
            parametrize.register_parametrization(part, "weight", Lora(part.weight, rank))
        for each in self.adapted():
            each.requires_grad_(requires_grad=True)

    def vectors(self, tokens: Tensor) -> Tensor:
        """Return unit vectors (n, width) of tokens (n, s), 0 where there is none."""
        mask = tokens != 0
        state = self.body(tokens, torch.zeros_like(tokens), mask)
        return functional.normalize((state.float() * mask[:, :, None]).sum(1), dim=1)

    def adapted(self) -> list[Any]:
        """Return the parameters that are trained."""
        return [each for _, _, part in self._maps() for each in part.parametrizations.weight[0].parameters()]

    def adapter(self) -> Iterator[tuple[str, Tensor]]:
        """Yield A and B of every map under PEFT's names."""
        for number, name, part in self._maps():
            change, place = part.parametrizations.weight[0], f"base_model.model.encoder.layer.{number}.{name}"
            yield f"{place}.lora_A.weight", change.down.detach().contiguous()
            yield f"{place}.lora_B.weight", change.up.detach().contiguous()

    def _maps(self) -> Iterator[tuple[int, str, Any]]:
        for number, layer in enumerate(self.layers):
            for own, name in MAPS.items():
                yield number, name, getattr(layer, own)
