"""Any decoder of transformers over packed rows, by an attention function registered with the library."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from rmbench.models.backbone.attention import Attention
from rmbench.models.backbone.layout import Layout
from rmbench.models.backbone.tensors import device_of

__all__ = ["library_states", "pack_attention", "unpack_attention"]

_NAMES = {"sdpa": "rmbench_sdpa", "eager": "rmbench_eager"}
_now = threading.local()
"""`attention` over the batch that this thread computes; absent while rows are padded."""


def pack_attention(model: Any) -> bool:
    """Put our attention function in the place of the model's own; False where the model does not go through the
    registry. Padded batches still come to the model's own attention through it."""
    own = model.config._attn_implementation
    if own in _NAMES.values():
        return True
    if own not in _NAMES or not getattr(model, "_supports_attention_backend", False):
        return False
    _register()
    model.config._attn_implementation = _NAMES[own]
    return True


def unpack_attention(model: Any) -> None:
    """Give the model its own attention back."""
    back = {ours: own for own, ours in _NAMES.items()}
    model.config._attn_implementation = back.get(model.config._attn_implementation, model.config._attn_implementation)


def library_states(model: Any, layout: Layout, places: list[list[int]], attention: Attention) -> Tensor:
    """[W, H] of the last layer at the flat places, row by row."""
    device = device_of(model)
    _now.attention = attention
    try:
        hidden = model(
            input_ids=torch.from_numpy(layout.ids).to(device)[None],
            position_ids=torch.from_numpy(layout.positions).to(device)[None],
            use_cache=False,  # a cache switches the library's own packing rules
        ).last_hidden_state[0]
    finally:
        del _now.attention
    states: Tensor = hidden[torch.tensor([place for row in places for place in row], device=device)]
    return states


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    for own, ours in _NAMES.items():
        AttentionInterface.register(ours, _attention)
        AttentionMaskInterface.register(ours, _mask_as(ALL_MASK_ATTENTION_FUNCTIONS[own]))


def _mask_as(own: Any) -> Any:
    """The model's own mask while rows are padded, and none while they are in groups."""

    def mask(*args: Any, **given: Any) -> Any:
        return None if _packed() is not None else own(*args, **given)

    return mask


def _packed() -> Attention | None:
    return getattr(_now, "attention", None)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **given: Any,
) -> tuple[Tensor, None]:
    """As the registry wants it: [1, H, N, D] in, [1, N, H, D] out."""
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    attention = _packed()
    if attention is None:
        return _padded(module, query, key, value, attention_mask, scale, softcap, given), None
    window = sliding_window or _window_of(module)
    out = attention(query[0], key[0], value[0], scale, window, softcap)
    return out.transpose(0, 1)[None].contiguous(), None


def _window_of(module: Any) -> int | None:
    """Mistral's window is in the configuration alone; where layers differ they carry it themselves."""
    config = getattr(module, "config", None)
    window = getattr(config, "sliding_window", None)
    return int(window) if window and not getattr(config, "layer_types", None) else None


def _padded(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    softcap: float | None,
    given: dict[str, Any],
) -> Tensor:
    """The library's own attention; eager attention is every model's own function, so it is written out here."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if module.config._attn_implementation == _NAMES["sdpa"]:
        out: Tensor = sdpa_attention_forward(module, query, key, value, mask, scaling=scale, **given)[0]
        return out
    share = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(share, 1).transpose(-1, -2) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores + mask
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(query.dtype)
    return (weights @ value.repeat_interleave(share, 1)).transpose(1, 2).contiguous()
