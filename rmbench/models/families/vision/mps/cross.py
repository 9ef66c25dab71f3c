"""MPS's cross model: image tokens that read text tokens, then one another (RE-N-Y/imscore, src/imscore/mps/cross.py, a
port of Kwai-Kolors/MPS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.errors import RmbenchError

__all__ = ["CrossModel", "Layer", "cross_model"]

_HEAD = 64
"""Width of a head."""
_ROPE = 10_000.0


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer's weights; each block adds to what it reads."""

    norm: Tensor
    norm_bias: Tensor
    to_q: Tensor
    to_kv: Tensor
    to_out: Tensor
    ff_in: Tensor
    ff_out: Tensor
    own_norm: Tensor
    own_norm_bias: Tensor
    fused: Tensor
    """Queries, one key, one value, and the gated feed-forward's input, of tokens among themselves."""
    own_out: Tensor
    own_ff_out: Tensor

    @property
    def heads(self) -> int:
        """Of both attentions; all heads share one key and one value."""
        return self.to_q.shape[0] // _HEAD


@dataclass(frozen=True, eq=False)
class CrossModel:
    """[B, I, D] image tokens and [B, T, D] text tokens -> [B, I, D]."""

    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """How many numbers it was trained to have: norms have no trained bias."""
        skipped = ("norm_bias", "own_norm_bias")
        return sum(value.numel() for one in self.layers for name, value in vars(one).items() if name not in skipped)

    def __call__(self, image: Tensor, text: Tensor, read: Tensor) -> Tensor:
        """`read` [B, T]: which text tokens are read."""
        for layer in self.layers:
            image = image + _across(layer, image, text, read)
            image = image + _among(layer, image)
        return image


def _across(layer: Layer, image: Tensor, text: Tensor, read: Tensor) -> Tensor:
    x = F.layer_norm(image, image.shape[-1:], layer.norm, layer.norm_bias)
    key, value = F.linear(text, layer.to_kv).chunk(2, dim=-1)
    attended = _attention(F.linear(x, layer.to_q), key, value, layer.heads, read[:, None, None])
    return F.linear(attended, layer.to_out) + F.linear(_gated(F.linear(x, layer.ff_in)), layer.ff_out)


def _among(layer: Layer, image: Tensor) -> Tensor:
    x = F.layer_norm(image, image.shape[-1:], layer.own_norm, layer.own_norm_bias)
    inner = layer.heads * _HEAD
    fused = F.linear(x, layer.fused)
    query, key, value, ahead = torch.split(fused, [inner, _HEAD, _HEAD, fused.shape[-1] - inner - 2 * _HEAD], dim=-1)
    turned = _turned(_split(query, layer.heads))
    attended = _attention(turned.transpose(1, 2).flatten(2), _turned(key), value, layer.heads, None)
    return F.linear(attended, layer.own_out) + F.linear(_gated(ahead), layer.own_ff_out)


def _attention(query: Tensor, key: Tensor, value: Tensor, heads: int, read: Tensor | None) -> Tensor:
    """Queries [B, I, heads x 64] over one key and one value [B, T, 64] -> [B, I, heads x 64]."""
    likeness = _split(query, heads) @ key.unsqueeze(1).transpose(-1, -2) * _HEAD**-0.5
    if read is not None:
        likeness = likeness.masked_fill(~read, float("-inf"))
    found: Tensor = likeness.softmax(dim=-1) @ value.unsqueeze(1)
    return found.transpose(1, 2).flatten(2)


def _split(query: Tensor, heads: int) -> Tensor:
    """[B, I, heads x 64] -> [B, heads, I, 64]."""
    return query.reshape(*query.shape[:2], heads, _HEAD).transpose(1, 2)


def _gated(x: Tensor) -> Tensor:
    x, gate = x.chunk(2, dim=-1)
    return F.silu(gate) * x


def _turned(x: Tensor) -> Tensor:
    """Rotary positions over the second last axis; the first half of a head turns with the second."""
    rates = _ROPE ** -(torch.arange(0, _HEAD, 2, device=x.device).float() / _HEAD)
    angles = torch.arange(x.shape[-2], device=x.device).float()[:, None] * rates
    angles = torch.cat([angles, angles], dim=-1)
    first, second = x.chunk(2, dim=-1)
    return (x * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()).to(x.dtype)


def cross_model(tensors: Mapping[str, Tensor], place: Callable[[Tensor], Tensor], where: str) -> CrossModel:
    """The network of a state dict's `cross_model.*`, each tensor put in its place by `place`.

    Raises:
        RmbenchError: a tensor is missing or left over, or has a shape that does not go with the others.
    """
    count = 1 + max((int(name.split(".")[2]) for name in tensors if name.startswith("cross_model.layers.")), default=-1)
    taken: set[str] = set()

    def read(name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        if name not in tensors:
            raise RmbenchError(f"{where}: {name} is missing.")
        found = tensors[name]
        if shape is not None and tuple(found.shape) != shape:
            raise RmbenchError(f"{where}: {name} has shape {list(found.shape)}, expected {list(shape)}.")
        taken.add(name)
        return place(found)

    layers = [_layer(f"cross_model.layers.{number}", read, where) for number in range(count)]
    left = sorted(name for name in tensors if name.startswith("cross_model.") and name not in taken)
    left = [name for name in left if not name.endswith(".rotary_emb.inv_freq")]  # computed anew
    if left or not layers:
        raise RmbenchError(f"{where}: {left[0]} is no part of MPS." if left else f"{where} has no cross_model.layers.")
    return CrossModel(tuple(layers))


def _layer(name: str, read: Callable[..., Tensor], where: str) -> Layer:
    across, among = f"{name}.0.fn", f"{name}.1.fn"
    norm = read(f"{across}.norm.weight")
    width = len(norm)
    to_q = read(f"{across}.to_q.weight")
    inner = to_q.shape[0]
    if inner % _HEAD or tuple(to_q.shape) != (inner, width):
        raise RmbenchError(f"{where}: {across}.to_q.weight has shape {list(to_q.shape)}, expected heads of {_HEAD}.")
    ff_in, fused = read(f"{across}.ff.0.weight"), read(f"{among}.fused_attn_ff_proj.weight")
    ahead, own = ff_in.shape[0] // 2, (fused.shape[0] - inner - 2 * _HEAD) // 2
    return Layer(
        norm,
        read(f"{across}.norm.bias", (width,)),
        to_q,
        read(f"{across}.to_kv.weight", (2 * _HEAD, width)),
        read(f"{across}.to_out.weight", (width, inner)),
        ff_in,
        read(f"{across}.ff.2.weight", (width, ahead)),
        read(f"{among}.norm.weight", (width,)),
        read(f"{among}.norm.bias", (width,)),
        fused,
        read(f"{among}.attn_out.weight", (width, inner)),
        read(f"{among}.ff_out.1.weight", (width, own)),
    )
