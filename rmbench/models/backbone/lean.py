"""The forward of Llama and its near relatives over packed rows, computing in the last layer only what is used.

The library's modules hold the weights; the loop over them is ours, so that in the last layer queries, the output
projection and the MLP are computed at the wanted tokens alone. Whether the result is the library's is tried out before
it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.models.backbone.attention import Attention, Segments, last_queries
from rmbench.models.backbone.layout import Layout

__all__ = ["lean_layers", "lean_states", "takes_lean"]

_MODELS = frozenset(
    {
        "LlamaModel",
        "MistralModel",
        "Qwen2Model",
        "Qwen2VLTextModel",
        "Qwen2_5_VLTextModel",
        "Qwen3Model",
        "Qwen3VLTextModel",
    }
)
_DEPENDS_ON_LENGTH = frozenset({"dynamic", "longrope"})
"""Rotary embeddings that change with the longest row of a batch."""


def takes_lean(model: Any) -> bool:
    """Whether this module can run the backbone's layers."""
    kind = getattr(getattr(model, "rotary_emb", None), "rope_type", "default")
    return type(model).__name__ in _MODELS and kind not in _DEPENDS_ON_LENGTH


def lean_states(model: Any, layout: Layout, places: list[list[int]], attention: Attention) -> Tensor:
    """[W, H] of the last layer, after the final norm; `places[b]` are the packed positions of row b, W in all."""
    device = model.embed_tokens.weight.device
    x = model.embed_tokens(torch.from_numpy(layout.ids).to(device))
    positions = torch.from_numpy(layout.positions).to(device)
    return lean_layers(model, layout, places, x, positions, attention=attention)


def lean_layers(
    model: Any,
    layout: Layout,
    places: list[list[int]],
    x: Tensor,
    positions: Tensor,
    added: Sequence[Tensor] = (),
    added_at: Tensor | None = None,
    attention: Attention | None = None,
) -> Tensor:
    """The same of inputs and positions that are given.

    Args:
        model: one that `takes_lean`.
        layout: of N packed tokens; its own positions are not used.
        places: see `lean_states`.
        x: [N, H], the inputs of the first layer.
        positions: [N], or [3, N] of time, height and width.
        added: what is added to the outputs of the first layers, each [M, H] (Qwen3-VL's deep features).
        added_at: [M], the packed positions that it is added at.
        attention: of this layout; by segments if it is None.
    """
    attention = attention or Segments(layout.segments)
    cos, sin = (table[0] for table in model.rotary_emb(x[None], positions[..., None, :]))
    wanted = torch.tensor([place for row in places for place in row], dtype=torch.long, device=x.device)
    # A query alone costs as much as its keys: where many are wanted of a row, the causal kernel is cheaper. It also is
    # where one call computes all rows, since each query alone is a call of its own.
    alone = isinstance(attention, Segments) and len(wanted) <= 4 * len(places)
    seen = _seen(layout, places) if alone else None
    layers = list(model.layers)
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1
        x = _layer(layer, x, cos, sin, attention, _window(model, layer), wanted if last else None, seen)
        if number < len(added) and added_at is not None:
            x = _with(x, added[number], added_at, wanted if last else None)
    return _norm(model.norm, x)


def _with(x: Tensor, values: Tensor, at: Tensor, wanted: Tensor | None) -> Tensor:
    """[N, H], or [W, H] of the wanted tokens, with the values [M, H] added to the tokens that they are of."""
    if wanted is None:
        return x.index_add(0, at, values)
    rows, found = (wanted[:, None] == at).nonzero().unbind(1)
    return x.index_add(0, rows, values[found])


def _layer(
    layer: Any,
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    attention: Attention,
    window: int | None,
    wanted: Tensor | None,
    seen: list[list[tuple[int, int]]] | None,
) -> Tensor:
    """[N, H] -> [N, H], or [W, H] where only some tokens are wanted."""
    attn = layer.self_attn
    h = _norm(layer.input_layernorm, x)
    k = _turn(_heads(attn, "k", h), cos, sin).transpose(0, 1)
    v = _heads(attn, "v", h).transpose(0, 1)
    if wanted is not None and seen is not None:
        q = _turn(_heads(attn, "q", h[wanted]), cos[wanted], sin[wanted]).transpose(0, 1)
        mixed = last_queries(q, k, v, seen, attn.scaling, window)
    else:
        q = _turn(_heads(attn, "q", h), cos, sin).transpose(0, 1)
        mixed = attention(q, k, v, attn.scaling, window)
        mixed = mixed if wanted is None else mixed[:, wanted]
    x = x if wanted is None else x[wanted]
    x = x + attn.o_proj(mixed.transpose(0, 1).reshape(x.shape[0], -1))
    h = _norm(layer.post_attention_layernorm, x)
    return x + _mlp(layer.mlp, h)


def _heads(attn: Any, which: str, h: Tensor) -> Tensor:
    """[N, heads, D] queries, keys or values, normalised per head where the model does that (Qwen3)."""
    projected: Tensor = getattr(attn, f"{which}_proj")(h).view(h.shape[0], -1, attn.head_dim)
    norm = getattr(attn, f"{which}_norm", None)
    return projected if norm is None else _norm(norm, projected)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on [N, heads, D]; the two halves of cos and sin [N, D] are equal."""
    half = x.shape[-1] // 2
    c, s = cos[:, None, :half], sin[:, None, :half]
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * c - right * s, right * c + left * s], -1)


def _mlp(mlp: Any, h: Tensor) -> Tensor:
    gate = mlp.act_fn(mlp.gate_proj(h))
    out: Tensor = mlp.down_proj(gate.mul_(mlp.up_proj(h)))
    return out


def _norm(norm: Any, x: Tensor) -> Tensor:
    """The library's RMSNorm; fused in float32, where it has no dtype to change. One that an adapter wraps is called."""
    if x.dtype == torch.float32 and "weight" in norm._parameters:
        return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)
    out: Tensor = norm(x)
    return out


def _window(model: Any, layer: Any) -> int | None:
    """The layer's sliding window. Mistral has it in its configuration alone."""
    if type(model).__name__ == "MistralModel":
        window = model.config.sliding_window
    else:
        window = getattr(layer.self_attn, "sliding_window", None)
    return int(window) if window else None


def _seen(layout: Layout, places: list[list[int]]) -> list[list[tuple[int, int]]]:
    """The keys that each wanted token sees: its group's prefix and its row's own tokens up to itself."""
    found = []
    for row, wanted in enumerate(places):
        start, prefix, own = int(layout.starts[row]), int(layout.prefixes[row]), int(layout.owns[row])
        for place in wanted:
            if place < own:
                found.append([(start, place + 1)])
            else:
                found.append([(start, start + prefix), (own, place + 1)] if prefix else [(own, place + 1)])
    return found
