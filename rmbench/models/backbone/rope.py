"""Rope types whose frequencies follow the longest row of a batch (longrope, dynamic NTK), computed for each row by its
own length instead, so that no score depends on the rest of the batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["rope_by_length", "rope_by_row"]


def rope_by_row(model: Any) -> None:
    """Let every such module of the model compute its rows apart, where their lengths ask for other frequencies."""
    for module in _modules(model):
        if not isinstance(module.forward, _ByRow):
            module.forward = _ByRow(module)


def rope_by_length(model: Any) -> str | None:
    """For settings: the rope type that follows a row's length, and the length beyond which it does; None: positions
    are the same for every length."""
    return next((f"{kind}, by each row's own length, from {switch + 1}" for kind, switch in _kinds(model)), None)


class _ByRow:
    """The forward of a rotary module, row by row where lengths differ in what they ask for."""

    def __init__(self, module: Any) -> None:
        self.module, self.forward = module, module.forward
        # The library keeps the frequencies of the last batch in the module; threads must not mix them up.
        self.lock = threading.Lock()

    def __call__(self, x: Tensor, position_ids: Tensor, layer_type: str | None = None) -> tuple[Tensor, Tensor]:
        given = () if layer_type is None else (layer_type,)
        kind, switch = _kind(self.module, layer_type)
        with self.lock:
            if kind is None or position_ids.dim() != 2:
                whole: tuple[Tensor, Tensor] = self.forward(x, position_ids, *given)
                return whole
            lengths = (position_ids.max(-1).values + 1).tolist()
            classes = [max(length, switch) if kind == "dynamic" else int(length > switch) for length in lengths]
            parts: dict[int, tuple[Tensor, Tensor]] = {}
            for each in sorted(set(classes)):
                _reset(self.module, kind, switch, layer_type)
                rows = [row for row, own in enumerate(classes) if own == each]
                parts[each] = self.forward(x, position_ids[rows], *given)
        if len(parts) == 1:
            return next(iter(parts.values()))
        places = [classes[:row].count(own) for row, own in enumerate(classes)]
        cos, sin = (
            torch.stack([parts[own][which][place] for own, place in zip(classes, places, strict=True)])
            for which in (0, 1)
        )
        return cos, sin


def _modules(model: Any) -> list[Any]:
    return [module for module in model.modules() if any(kind for kind, _ in _own_kinds(module))]


def _kinds(model: Any) -> Iterator[tuple[str, int]]:
    for module in model.modules():
        yield from ((kind, switch) for kind, switch in _own_kinds(module) if kind is not None)


def _own_kinds(module: Any) -> list[tuple[str | None, int]]:
    """Of a rotary module, for each of its layer types; empty for any other module."""
    rope = getattr(module, "rope_type", None)
    if isinstance(rope, dict):
        return [_kind(module, layer_type) for layer_type in rope]
    return [_kind(module, None)] if isinstance(rope, str) else []


def _kind(module: Any, layer_type: str | None) -> tuple[str | None, int]:
    """The rope type, None for one that does not follow lengths, and the most tokens for which it changes nothing."""
    rope = module.rope_type if layer_type is None else module.rope_type[layer_type]
    if rope == "longrope":
        parameters = module.config.rope_parameters
        parameters = parameters if layer_type is None else parameters[layer_type]
        return "longrope", int(parameters["original_max_position_embeddings"])
    return ("dynamic", int(module.original_max_seq_len)) if "dynamic" in rope else (None, 0)


def _reset(module: Any, kind: str, switch: int, layer_type: str | None) -> None:
    """Forget the longest batch so far, which the library's dynamic rope keeps."""
    if kind == "dynamic":
        prefix = "" if layer_type is None else f"{layer_type}_"
        buffer = getattr(module, f"{prefix}inv_freq")
        original = getattr(module, f"{prefix}original_inv_freq")
        module.register_buffer(f"{prefix}inv_freq", original.to(buffer.device), persistent=False)
        setattr(module, f"{prefix}max_seq_len_cached", switch)
