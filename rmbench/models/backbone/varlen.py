"""Attention over packed rows by two variable-length calls a layer, whatever the number of rows.

In the first every stretch of own tokens attends to itself causally, prefixes among them; in the second the tokens
behind a prefix attend to it in full. The two are joined by their log-sum-exp.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from rmbench.models.backbone.attention import attend, merge
from rmbench.models.backbone.layout import Layout, Segment

__all__ = ["Varlen"]

_NEEDED = ("return_aux", "scale", "window_size", "enable_gqa")
"""Parameters of torch's function that came after the function itself."""
_CAUSAL, _FULL = (-1, 0), (-1, -1)


@dataclass(frozen=True, slots=True)
class _Stretches:
    """Stretches end to end, as the function wants them told."""

    bounds: Tensor
    """[S + 1] int32, where each begins and the last ends."""
    longest: int


@dataclass(frozen=True, slots=True)
class _Told:
    """A layout on a device; the same for all layers."""

    own: _Stretches
    """Prefixes, and the own tokens of each row."""
    behind: _Stretches
    """All tokens behind each prefix."""
    before: _Stretches
    """The prefixes alone."""
    queries: Tensor
    """[M] packed positions of the tokens of `behind`."""
    keys: Tensor
    """[K] those of `before`."""


class Varlen:
    """`torch.nn.attention.varlen.varlen_attn`, made ready for one layout.

    Layers with a window that is shorter than the longest row are computed by segments: over the prefix, the window of
    each row begins somewhere else than the call's would.
    """

    def __init__(self, layout: Layout) -> None:
        """Raises:
        NotImplementedError: this torch has no such function, or one with too few parameters.
        """
        self._function, self._sums = _function()
        self._segments = layout.segments
        self._longest = max(segment.longest for segment in layout.segments)
        self._told: dict[torch.device, _Told] = {}

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None = None, softcap: float | None = None
    ) -> Tensor:
        """[Hq, N, D] of q [Hq, N, D] and k, v [Hk, N, D].

        Raises:
            NotImplementedError: soft caps, which the function has none of.
        """
        if softcap is not None:
            raise NotImplementedError("varlen_attn has no soft caps")
        if window is not None and window < self._longest:
            return attend(q, k, v, self._segments, scale, window)
        if q.device not in self._told:
            self._told[q.device] = _told(self._segments, q.device)
        told = self._told[q.device]
        q, k, v = (each.transpose(0, 1) for each in (q, k, v))
        out, total = self._call(q, k, v, told.own, told.own, scale, _CAUSAL)
        if len(told.keys):
            queries, keys = told.queries, told.keys
            over, over_total = self._call(q[queries], k[keys], v[keys], told.behind, told.before, scale, _FULL)
            total, over_total = _by_tokens(total, over_total, (len(q), len(queries)), q.shape[1])
            out = out.index_copy(0, queries, merge(out[queries], total[queries], over, over_total))
        return out.transpose(0, 1)

    def _call(
        self, q: Tensor, k: Tensor, v: Tensor, of: _Stretches, to: _Stretches, scale: float, window: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Outputs [T, Hq, D] and their log-sum-exp."""
        out, total = self._function(
            q,
            k,
            v,
            of.bounds,
            to.bounds,
            of.longest,
            to.longest,
            return_aux=self._sums,
            scale=scale,
            window_size=window,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        return out, total


def _function() -> tuple[Any, Any]:
    """Torch's function, and what asks it for sums."""
    try:
        from torch.nn.attention import varlen
    except ImportError:
        raise NotImplementedError(f"torch {torch.__version__} has no torch.nn.attention.varlen") from None
    lacking = [name for name in _NEEDED if name not in inspect.signature(varlen.varlen_attn).parameters]
    if lacking:
        raise NotImplementedError(f"varlen_attn of torch {torch.__version__} has no {', '.join(lacking)}")
    return varlen.varlen_attn, varlen.AuxRequest(lse=True)


def _told(segments: Sequence[Segment], device: torch.device) -> _Told:
    shared = [segment for segment in segments if segment.prefix]
    own = [end - begin for segment in segments for begin, end in (*_prefix(segment), *segment.own())]
    return _Told(
        _stretches(own, device),
        _stretches([segment.ends[-1] - segment.start - segment.prefix for segment in shared], device),
        _stretches([segment.prefix for segment in shared], device),
        _places([(segment.start + segment.prefix, segment.ends[-1]) for segment in shared], device),
        _places([place for segment in shared for place in _prefix(segment)], device),
    )


def _prefix(segment: Segment) -> list[tuple[int, int]]:
    """Its packed positions as a half-open range, if it has one."""
    return [(segment.start, segment.start + segment.prefix)] if segment.prefix else []


def _stretches(lengths: Sequence[int], device: torch.device) -> _Stretches:
    bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
    return _Stretches(bounds, max(lengths, default=0))


def _places(ranges: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
    """Packed positions of half-open ranges, one after the other."""
    places = [place for begin, end in ranges for place in range(begin, end)]
    return torch.tensor(places, dtype=torch.long, device=device)


def _by_tokens(own: Tensor, over: Tensor, tokens: tuple[int, int], heads: int) -> tuple[Tensor, Tensor]:
    """The sums of both calls as [T, H]. That is the documented shape; torch's kernels give [H, T]. Both calls have one
    order and different numbers of tokens, so that it can be told even where heads are as many as tokens."""
    shapes = (tuple(own.shape), tuple(over.shape))
    if shapes == ((heads, tokens[0]), (heads, tokens[1])):
        return own.T, over.T
    if shapes != ((tokens[0], heads), (tokens[1], heads)):
        raise ValueError(f"log-sum-exp of shapes {shapes} for {tokens} tokens of {heads} heads")
    return own, over
