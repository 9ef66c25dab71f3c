"""Steps that scorers in torch share: a batch as tensors, position ids, alignment, a state at a position, a linear head,
values as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.models.protocols import Batch, FloatArray

__all__ = [
    "array_of",
    "device_of",
    "left_align",
    "linear_head",
    "parameter_count",
    "positions",
    "state_at",
    "tensors_of",
]


def device_of(model: Any) -> torch.device:
    """Where a module's weights are."""
    device: torch.device = next(model.parameters()).device
    return device


def tensors_of(batch: Batch, model: Any) -> tuple[Tensor, Tensor]:
    """Ids and mask of a padded batch, each [B, T], on the model's device."""
    device = device_of(model)
    return torch.from_numpy(batch.ids).to(device), torch.from_numpy(batch.mask).to(device)


def array_of(values: Tensor) -> FloatArray:
    """The values as float32 in numpy, in their shape."""
    array: FloatArray = values.float().cpu().numpy().astype(np.float32, copy=False)
    return array


def parameter_count(*modules: Any) -> int:
    """Numbers in the modules' parameters; of bitsandbytes' 4 bits, two in each byte."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return sum(each.numel() * (2 if type(each).__name__ == "Params4bit" else 1) for each in parameters)


def positions(mask: Tensor) -> Tensor:
    """[B, T] position ids from a [B, T] mask: real tokens count from 0 whatever the padding side, padded places get 1
    (as OpenRLHF's and GPM's code has it)."""
    return (mask.cumsum(-1) - 1).masked_fill(mask == 0, 1)


def state_at(hidden: Tensor, column: Tensor) -> Tensor:
    """[B, H] of hidden states [B, T, H]: row b's state at `column[b]`."""
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), column]


def linear_head(state: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """[B, L] float32 scores W h + b of states [B, H], multiplied in `dtype`; weight is [L, H], bias [L]."""
    return F.linear(state.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)).float()


def left_align(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The same rows [B, T] with their real tokens at the left end, in order. Encoders read their first column, which
    must not be padding."""
    order = torch.argsort(mask, dim=-1, descending=True, stable=True)
    return ids.gather(-1, order), mask.gather(-1, order)
