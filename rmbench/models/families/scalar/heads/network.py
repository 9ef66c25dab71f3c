"""Small networks from tensors: linear layers with an activation between them, and BatchNorm with running statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ACTIVATIONS", "BatchNorm", "Linear", "Network"]

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "none": lambda values: values,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}
"""With the defaults of torch's modules: leaky ReLU has slope 0.01, GELU is the exact one."""

_BATCH_NORM_EPS = 1e-5


@dataclass(frozen=True, eq=False)
class Linear:
    """W x + b, with W [out, in] and b [out]."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, values: Tensor) -> Tensor:
        """[B, in] -> [B, out]."""
        return F.linear(values, self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """(x - mean) / sqrt(var + 1e-5) * weight + bias, each [N], with the statistics of training."""

    mean: Tensor
    var: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """[B, N] -> [B, N]."""
        return F.batch_norm(values, self.mean, self.var, self.weight, self.bias, eps=_BATCH_NORM_EPS)


@dataclass(frozen=True, eq=False)
class Network:
    """Linear layers; behind each but the last the activation, then its BatchNorm where it has one."""

    layers: tuple[Linear, ...]
    activation: str = "none"
    norms: tuple[BatchNorm, ...] = ()
    """None, or one for each layer but the last (QRM's gate)."""
    residual: bool = False
    """What it reads is added to what it gives."""

    @property
    def width(self) -> int:
        """What it reads, [B, width]."""
        return self.layers[0].weight.shape[1]

    @property
    def outputs(self) -> int:
        """What it gives, [B, outputs]."""
        return self.layers[-1].weight.shape[0]

    @property
    def parameters(self) -> int:
        """How many numbers it was trained to have."""
        layers: tuple[Linear | BatchNorm, ...] = (*self.layers, *self.norms)
        parts = [part for layer in layers for part in (layer.weight, layer.bias)]
        return sum(part.numel() for part in parts if part is not None)

    def __call__(self, state: Tensor) -> Tensor:
        """[B, width] -> [B, outputs]."""
        read = state
        for index, layer in enumerate(self.layers[:-1]):
            state = ACTIVATIONS[self.activation](layer(state))
            state = self.norms[index](state) if self.norms else state
        found = self.layers[-1](state)
        return read + found if self.residual else found
