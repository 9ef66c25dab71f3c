"""Position ids, left alignment, the state at a position, and a linear head on it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["left_align", "linear_head", "positions", "state_at"]


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
