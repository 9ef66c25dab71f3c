"""Attention over a flat line of rows that share prefixes: nothing is masked that need not be, nothing sees a stranger.

Each row's own tokens attend to themselves causally and to their group's prefix in full; the two parts are joined by
their log-sum-exp, which is exact. q is [Hq, N, D]; k and v are [Hk, N, D] with Hq a multiple of Hk (grouped queries).

Here it is computed segment by segment and row by row, which is best on a CPU. `varlen.py` and `flex.py` compute all
rows of a layer at once; `choice.py` says which of the three is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rmbench.models.backbone.layout import Segment

__all__ = ["TORCH", "Attention", "Segments", "attend", "last_queries", "merge"]

TORCH = tuple(map(int, torch.__version__.split(".")[:2]))
"""Torch's version, as far as it decides what is used."""
_GROUPED = TORCH >= (2, 13)
"""Whether the CPU's kernel knows key heads that queries share. Torch 2.6's reads past the keys, 2.13's does; those
between were not looked at."""


class Attention(Protocol):
    """A way to attend, made ready for one layout."""

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None = None, softcap: float | None = None
    ) -> Tensor:
        """[Hq, N, D]; see `attend`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Segments:
    """The way of this file."""

    segments: Sequence[Segment]

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None = None, softcap: float | None = None
    ) -> Tensor:
        """See `attend`."""
        return attend(q, k, v, self.segments, scale, window, softcap)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Sequence[Segment],
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
) -> Tensor:
    """[Hq, N, D] outputs. `window`: a token sees itself and the window - 1 tokens before it; `softcap`: scores s become
    softcap * tanh(s / softcap), as Gemma 2 has it."""
    out = torch.empty_like(q)
    for segment in segments:
        stop = segment.ends[-1]
        if softcap is not None or (window is not None and segment.longest > window):
            out[:, segment.start : stop] = _masked(q, k, v, segment, scale, window, softcap)
            continue
        if segment.prefix:
            first = slice(segment.start, segment.start + segment.prefix)
            rest = slice(segment.start + segment.prefix, stop)
            out[:, first] = _flash(q[:, first], k[:, first], v[:, first], scale, causal=True)[0]
            over, over_sum = _flash(q[:, rest], k[:, first], v[:, first], scale, causal=False)
        for begin, end in segment.own():
            own, own_sum = _flash(q[:, begin:end], k[:, begin:end], v[:, begin:end], scale, causal=True)
            if segment.prefix:
                at = slice(begin - rest.start, end - rest.start)
                own = merge(own, own_sum, over[:, at], over_sum[:, at])
            out[:, begin:end] = own
    return out


def last_queries(
    q: Tensor, k: Tensor, v: Tensor, seen: Sequence[Sequence[tuple[int, int]]], scale: float, window: int | None = None
) -> Tensor:
    """[Hq, W, D] outputs of W single queries [Hq, W, D]; `seen[w]` are the half-open ranges of keys, in the order of
    the row, that query w sees. Only the last `window` of them count."""
    out = torch.empty_like(q)
    for w, ranges in enumerate(seen):
        kept = _last(ranges, window)
        keys = torch.cat([k[:, begin:end] for begin, end in kept], 1) if len(kept) > 1 else _cut(k, kept[0])
        values = torch.cat([v[:, begin:end] for begin, end in kept], 1) if len(kept) > 1 else _cut(v, kept[0])
        out[:, w : w + 1] = _flash(q[:, w : w + 1], keys, values, scale, causal=False)[0]
    return out


def _cut(tensor: Tensor, place: tuple[int, int]) -> Tensor:
    return tensor[:, place[0] : place[1]]


def _last(ranges: Sequence[tuple[int, int]], window: int | None) -> list[tuple[int, int]]:
    """The ranges cut to their last `window` places."""
    if window is None:
        return list(ranges)
    kept: list[tuple[int, int]] = []
    room = window
    for begin, end in reversed(ranges):
        if room > 0:
            kept.append((max(begin, end - room), end))
            room -= end - kept[-1][0]
    return kept[::-1]


def _flash(q: Tensor, k: Tensor, v: Tensor, scale: float, *, causal: bool) -> tuple[Tensor, Tensor]:
    """Outputs [Hq, T, D] and log-sum-exp [Hq, T] (float32) of one stretch.

    Queries that share a key head are laid end to end where order means nothing: the longer the line, the larger the
    matrix products, and large ones are faster; nor need keys be repeated then.
    """
    heads, length, width = q.shape
    out, total = _kernel(q if causal else q.reshape(k.shape[0], -1, width), k, v, scale, causal)
    return out.reshape(heads, length, width), total.reshape(heads, length)


def _kernel(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool) -> tuple[Tensor, Tensor]:
    """`_flash` by the fused kernel of the device."""
    share = q.shape[0] // k.shape[0]
    if q.device.type == "cpu":
        if share > 1 and not _GROUPED:
            k, v = k.repeat_interleave(share, 0), v.repeat_interleave(share, 0)
        out, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q[None], k[None], v[None], 0.0, causal, scale=scale
        )
        return out[0], total[0]
    if share > 1:
        k, v = k.repeat_interleave(share, 0), v.repeat_interleave(share, 0)
    if q.dtype in (torch.bfloat16, torch.float16):
        found = torch.ops.aten._scaled_dot_product_flash_attention(
            q[None], k[None], v[None], 0.0, causal, False, scale=scale
        )
    else:
        found = torch.ops.aten._scaled_dot_product_efficient_attention(
            q[None], k[None], v[None], None, True, 0.0, causal, scale=scale
        )
    # The kernels may pad the sums' last axis.
    return found[0][0], found[1][0, :, : q.shape[1]]


def _plain(
    q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """The same by the definition, with any mask [T, S] and soft caps; scores in float32."""
    share = q.shape[0] // k.shape[0]
    keys, values = k.repeat_interleave(share, 0), v.repeat_interleave(share, 0)
    scores = (q @ keys.transpose(-1, -2)).float() * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    total = torch.logsumexp(scores, -1)
    return (scores - total[..., None]).exp().to(values.dtype) @ values, total


def _masked(
    q: Tensor, k: Tensor, v: Tensor, segment: Segment, scale: float, window: int | None, softcap: float | None
) -> Tensor:
    """A segment with a window or soft caps: prefix and each row's own tokens with the mask written out."""
    first = slice(segment.start, segment.start + segment.prefix)
    parts = [_part(q[:, first], k[:, first], v[:, first], 0, scale, window, softcap)] if segment.prefix else []
    for begin, end in segment.own():
        keys = torch.cat([k[:, first], k[:, begin:end]], 1)
        values = torch.cat([v[:, first], v[:, begin:end]], 1)
        parts.append(_part(q[:, begin:end], keys, values, segment.prefix, scale, window, softcap))
    return torch.cat(parts, 1)


def _part(
    q: Tensor, k: Tensor, v: Tensor, offset: int, scale: float, window: int | None, softcap: float | None
) -> Tensor:
    """Queries of which the first is at key `offset`."""
    at = torch.arange(q.shape[1], device=q.device)[:, None] + offset
    keys = torch.arange(k.shape[1], device=q.device)
    mask = keys <= at
    if window is not None:
        mask &= keys > at - window
    return _plain(q, k, v, scale, mask, softcap)[0]


def merge(a: Tensor, a_sum: Tensor, b: Tensor, b_sum: Tensor) -> Tensor:
    """Two attentions [..., D] over disjoint keys as one over both, by their log-sum-exp [...]."""
    share = torch.sigmoid(a_sum - b_sum)[..., None]
    return (a.float() * share + b.float() * (1 - share)).to(a.dtype)
