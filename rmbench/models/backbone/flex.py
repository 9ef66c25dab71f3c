"""Attention over packed rows by one call a layer of flex attention: what a token sees is a mask by blocks, a soft cap a
function of the score. Compiled on a GPU; as torch's plain code, which writes all scores, on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rmbench.models.backbone.attention import TORCH
from rmbench.models.backbone.layout import Layout
from rmbench.models.protocols import IntArray

__all__ = ["Flex", "blocks_of"]

_BLOCK = 128
"""Tokens of a side of a block, which the compiled kernels want as a multiple of this."""
_Blocks = npt.NDArray[np.bool_]


class Flex:
    """`torch.nn.attention.flex_attention`, made ready for one layout."""

    def __init__(self, layout: Layout) -> None:
        """Raises:
        NotImplementedError: this torch has no flex attention, or an older one.
        """
        _function("cpu")
        self._layout = layout
        self._longest = max(segment.longest for segment in layout.segments)
        self._masks: dict[tuple[torch.device, int | None], Any] = {}

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None = None, softcap: float | None = None
    ) -> Tensor:
        """[Hq, N, D] of q [Hq, N, D] and k, v [Hk, N, D]."""
        function, _ = _function(q.device.type)
        out: Tensor = function(
            q[None],
            k[None],
            v[None],
            score_mod=None if softcap is None else _capped(softcap),
            block_mask=self.mask(q.device, window),
            scale=scale,
            enable_gqa=q.shape[0] != k.shape[0],
        )[0]
        return out

    def mask(self, device: torch.device, window: int | None = None) -> Any:
        """The `BlockMask` of all layers with this window on a device."""
        if window is not None and window >= self._longest:
            window = None
        if (device, window) not in self._masks:
            self._masks[device, window] = self._made(device, window)
        return self._masks[device, window]

    def _made(self, device: torch.device, window: int | None) -> Any:
        ranges = self._layout.seen(window)
        first, stop, own = (torch.from_numpy(each.astype(np.int32)).to(device) for each in ranges)

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            before = (key >= first[query]) & (key < stop[query])
            return before | ((key >= own[query]) & (key <= query))

        some, whole = blocks_of(ranges, _BLOCK)
        _, blocks = _function(device.type)
        return blocks.from_kv_blocks(
            *_listed(some, device),
            *_listed(whole, device),
            BLOCK_SIZE=_BLOCK,
            mask_mod=sees,
            seq_lengths=(len(first), len(first)),
        )


def blocks_of(ranges: tuple[IntArray, IntArray, IntArray], size: int) -> tuple[_Blocks, _Blocks]:
    """[B, B] booleans of blocks of `size` queries and `size` keys: where some pairs but not all are seen, and where all
    are; `ranges` are a layout's `seen`."""
    first, stop, own = ranges
    count = -(-len(first) // size)
    begins = np.arange(count) * size
    pairs = np.zeros((count, count), dtype=np.int64)
    for block in range(count):
        at = slice(block * size, (block + 1) * size)
        behind = np.arange(len(first))[at] + 1
        for low, high in ((first[at], stop[at]), (own[at], behind)):
            inside = np.minimum(high[:, None], begins + size) - np.maximum(low[:, None], begins)
            pairs[block] += np.maximum(inside, 0).sum(0)
    whole = pairs == size * size
    return (pairs > 0) & ~whole, whole


def _listed(blocks: _Blocks, device: torch.device) -> tuple[Tensor, Tensor]:
    """[1, 1, B] how many blocks of keys each block of queries has, and [1, 1, B, B] which, those first."""
    counts, order = blocks.sum(1), np.argsort(~blocks, 1, kind="stable")
    one, other = (torch.from_numpy(each.astype(np.int32)).to(device)[None, None] for each in (counts, order))
    return one, other


@cache
def _capped(softcap: float) -> Callable[..., Tensor]:
    def capped(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return capped


@cache
def _function(device: str) -> tuple[Any, Any]:
    """Flex attention for a kind of device, and the class of its masks."""
    try:
        from torch.nn.attention.flex_attention import BlockMask, flex_attention
    except ImportError:
        raise NotImplementedError(f"torch {torch.__version__} has no flex attention") from None
    if TORCH < (2, 13):  # that of 2.6 fails where a second scale comes in one process; those between were not tried
        raise NotImplementedError(f"flex attention is used from torch 2.13 on, and this is {torch.__version__}")
    if device == "cpu":
        return flex_attention, BlockMask
    # A whole graph: one that breaks, or is compiled too often, would go on uncompiled and write all scores.
    return torch.compile(flex_attention, fullgraph=True), BlockMask
