"""Stacks of linear layers on an embedding, read from state dicts whose names show what is between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.errors import RmbenchError

__all__ = ["AESTHETIC", "BLIP", "Stack", "read_stack"]

Activation = Literal["none", "relu", "gelu"]

AESTHETIC: Mapping[tuple[int, ...], Activation] = {(0, 2, 4, 6, 7): "none", (0, 3, 6, 9, 11): "relu"}
"""Places of the linear layers in torch's Sequential -> what stands between them. With dropout alone between them the
last two layers follow each other; with ReLU and dropout the places go up by three."""
BLIP: Mapping[tuple[int, ...], Activation] = {(0, 2, 4, 6, 7): "none", (0, 2, 4, 6, 8): "gelu"}
"""ImageReward's head has dropout between its layers, CycleReward's GELU."""

_FUNCTIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {"none": lambda x: x, "relu": F.relu, "gelu": F.gelu}
_NAMES = {"none": "no activation", "relu": "ReLU", "gelu": "GELU"}


@dataclass(frozen=True)
class Stack:
    """Linear layers, float32, with an activation between them or nothing; dropout does nothing here."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    """Weight [out, in] and bias [out] of each."""
    activation: Activation = "none"

    @property
    def width(self) -> int:
        """Of what it reads, D."""
        return int(self.layers[0][0].shape[1])

    def __call__(self, states: Tensor) -> Tensor:
        """[B, 1] of [B, D]."""
        for index, (weight, bias) in enumerate(self.layers):
            states = F.linear(states, weight, bias)
            if index + 1 < len(self.layers):
                states = _FUNCTIONS[self.activation](states)
        return states

    @property
    def shape(self) -> str:
        """Its widths, for the record: "768-1024-128-64-16-1, no activation"."""
        widths = [self.width, *(int(weight.shape[0]) for weight, _ in self.layers)]
        return "-".join(map(str, widths)) + f", {_NAMES[self.activation]}"


def read_stack(
    tensors: Mapping[str, Tensor], where: str, known: Mapping[tuple[int, ...], Activation] = AESTHETIC
) -> Stack:
    """The stack of a state dict with `weight` and `bias`, or with `layers.N.weight` and `layers.N.bias`.

    Args:
        tensors: the state dict.
        where: what it is, for messages.
        known: places of the linear layers -> what stands between them.

    Raises:
        RmbenchError: other names, places whose activations are not known, or shapes that do not follow each other.
    """
    single = set(tensors) == {"weight", "bias"}
    places = [0] if single else _places(tensors, where)
    names = [""] if single else [f"layers.{place}." for place in places]
    if not single and tuple(places) not in known:
        places_known = " or ".join(str(list(each)) for each in known)
        raise RmbenchError(
            f"{where}: linear layers at {places}, expected {places_known}: what stands between is not known."
        )
    layers = tuple((tensors[f"{name}weight"].float(), tensors[f"{name}bias"].float()) for name in names)
    _check(layers, where)
    return Stack(layers, "none" if single else known[tuple(places)])


def _places(tensors: Mapping[str, Tensor], where: str) -> list[int]:
    found = {name: re.fullmatch(r"layers\.(\d+)\.(weight|bias)", name) for name in tensors}
    foreign = [name for name, match in found.items() if match is None]
    places = sorted({int(match[1]) for match in found.values() if match})
    lacking = [f"layers.{place}.{kind}" for place in places for kind in ("weight", "bias")]
    lacking = [name for name in lacking if name not in tensors]
    if foreign or lacking or not places:
        what = f"has {', '.join(foreign[:5])}" if foreign else f"lacks {', '.join(lacking[:5]) or 'layers'}"
        raise RmbenchError(f"{where} {what}: expected weight and bias, or layers.N.weight and layers.N.bias.")
    return places


def _check(layers: Sequence[tuple[Tensor, Tensor]], where: str) -> None:
    width = None
    for weight, bias in layers:
        if weight.dim() != 2 or bias.shape != weight.shape[:1] or weight.shape[1] != (width or weight.shape[1]):
            shapes = ", ".join(f"{list(each.shape)} and {list(other.shape)}" for each, other in layers)
            raise RmbenchError(f"{where}: layers of shapes {shapes} do not follow each other.")
        width = int(weight.shape[0])
    if width != 1:
        raise RmbenchError(f"{where}: the last layer has {width} outputs; a score is one.")
    if not all(torch.isfinite(each).all() for layer in layers for each in layer):
        raise RmbenchError(f"{where} holds numbers that are not finite.")
