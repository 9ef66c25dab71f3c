"""A GPM's two heads: the embedding of an answer, and the gate that the prompt puts on its blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Gate", "Head", "gate_of", "unit"]

Gate = Literal["released", "scaled", "ones"]
"""How the d/2 outputs x of the prompt head become the weights of the d/2 blocks.

"released": softmax(x), which sums to 1 (upstream's gpm_example_usage.py). "scaled": softmax(x / sqrt(H)) d/2, whose
mean is 1 (upstream's training code and DeepRLHF's). "ones": no gate; models without a prompt head have no other. Signs
of margins, and so accuracies, may differ between them.
"""


@dataclass(frozen=True)
class Head:
    """Linear layers with ReLU between them; upstream's own head is one layer without a bias."""

    layers: tuple[tuple[Tensor, Tensor | None], ...]
    """(weight [out, in], bias [out] or None), first layer first; they are multiplied in their own dtype."""

    @property
    def width(self) -> int:
        """Outputs of the last layer."""
        return self.layers[-1][0].shape[0]

    def __call__(self, state: Tensor) -> Tensor:
        """[B, width] of states [B, H], in the layers' dtype."""
        values = state.to(self.layers[0][0].dtype)
        for place, (weight, bias) in enumerate(self.layers):
            values = F.linear(values.relu() if place else values, weight, bias)
        return values


def gate_of(outputs: Tensor, variant: Gate, hidden: int) -> Tensor:
    """[B, d/2] weights of the blocks from the prompt head's outputs [B, d/2]; `hidden` is H."""
    if variant == "ones":
        return torch.ones_like(outputs)
    if variant == "released":
        return outputs.softmax(dim=-1)
    return (outputs / math.sqrt(hidden)).softmax(dim=-1) * outputs.shape[-1]


def unit(embedding: Tensor) -> Tensor:
    """[B, d] embeddings with length 1 (L2); a zero vector stays one."""
    return F.normalize(embedding, p=2, dim=-1)
