"""ImageReward's and CycleReward's modules from transformers' BLIP, with every tensor in its place.

Upstream's image tower is timm's ViT-L/16 and its text tower BERT-base with cross attention in every layer; transformers
has both under other names. Sizes are read from the tensors. Sources: THUDM/ImageReward (arXiv 2304.05977) and
CycleReward's code, which puts GELU into the head and leaves its outputs as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.state_dict import missing_and_foreign
from rmbench.models.families.vision.affine import BLIP, Stack, read_stack

__all__ = ["MEAN", "STD", "ImageReward", "build"]

MEAN = 0.16717362830052426
STD = 1.0333394966054072
"""Of the raw scores on upstream's validation set: reward = (raw - MEAN) / STD."""

_VISION, _TEXT, _HEAD = "blip.visual_encoder.", "blip.text_encoder.", "mlp."
_UNUSED = ("blip.vision_proj.", "blip.text_proj.", "blip.text_encoder.embeddings.position_ids")
"""Of BLIP's own score, which ImageReward does not read, and a buffer that only counts."""

_RENAMED = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^blocks\.", "encoder.layers."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"\.attn\.qkv\.", ".self_attn.qkv."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"^norm\.", "post_layernorm."),
)
"""Names in timm's ViT -> in BlipVisionModel; the text tower's are the same in both."""

_HEAD_WIDTH = 64
"""Channels of an attention head, of ViT-L as of BERT-base; shapes do not show it."""


@dataclass(frozen=True)
class ImageReward:
    """The three parts, in eval mode."""

    vision: Any
    text: Any
    head: Stack
    image_size: int
    patches: int
    normalised: bool = True
    """Whether rewards are (raw - MEAN) / STD; CycleReward's are raw."""

    def images(self, pixels: Tensor) -> Tensor:
        """[B, patches + 1, W] of pixels [B, 3, S, S]: the states behind the last layer norm."""
        states: Tensor = self.vision(pixel_values=pixels).last_hidden_state
        return states

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """[B] on the CPU, of texts' ids and mask [B, T] and the states of their images [B, patches + 1, W]."""
        seen = torch.ones(images.shape[:2], dtype=torch.long, device=images.device)
        read = self.text(
            input_ids=ids, attention_mask=mask, encoder_hidden_states=images, encoder_attention_mask=seen
        ).last_hidden_state
        raw = self.head(read[:, 0].float().cpu())[:, 0]
        return (raw - MEAN) / STD if self.normalised else raw


def build(state: Mapping[str, Tensor], where: str) -> ImageReward:
    """The model of a flat state dict, float32 on the CPU.

    Raises:
        RmbenchError: a tensor is missing or foreign, or shapes do not go together.
    """
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    parts = _split(state, where)
    vision_config = BlipVisionConfig(**_vision_sizes(parts[_VISION], where))
    sizes = _text_sizes(parts[_TEXT], where)
    # A "decoder" is what the library calls a text tower with cross attention; its forward is not causal unless asked.
    text_config = BlipTextConfig(**sizes, is_decoder=True, bos_token_id=None, eos_token_id=None, sep_token_id=None)
    vision = _filled(BlipVisionModel(vision_config), parts[_VISION], f"{where}, {_VISION[:-1]}")
    text = _filled(BlipTextModel(text_config, add_pooling_layer=False), parts[_TEXT], f"{where}, {_TEXT[:-1]}")
    head = read_stack(parts[_HEAD], f"{where}, {_HEAD[:-1]}", BLIP)
    if head.width != text_config.hidden_size or text_config.encoder_hidden_size != vision_config.hidden_size:
        raise RmbenchError(
            f"{where}: image states of {vision_config.hidden_size}, cross attention to "
            f"{text_config.encoder_hidden_size}, text states of {text_config.hidden_size} and a head for {head.width} "
            "do not go together."
        )
    side = int(vision_config.image_size)
    patches = (side // int(vision_config.patch_size)) ** 2
    return ImageReward(vision, text, head, side, patches, normalised=head.activation == "none")


def _split(state: Mapping[str, Tensor], where: str) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {_VISION: {}, _TEXT: {}, _HEAD: {}}
    foreign = []
    for name, value in state.items():
        if name.startswith(_UNUSED):
            continue
        prefix = next((prefix for prefix in parts if name.startswith(prefix)), None)
        if prefix is None:
            foreign.append(name)
        else:
            own = name.removeprefix(prefix)
            parts[prefix][_renamed(own) if prefix == _VISION else own] = value.float()
    if foreign:
        raise RmbenchError(f"{where}: {len(foreign)} tensors are not of ImageReward: {', '.join(foreign[:5])}.")
    return parts


def _renamed(name: str) -> str:
    for pattern, place in _RENAMED:
        name = re.sub(pattern, place, name)
    return name


def _filled(model: Any, state: dict[str, Tensor], where: str) -> Any:
    stored = {name: tuple(value.shape) for name, value in state.items()}
    needed = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    missing_and_foreign(stored, needed, where, type(model).__name__)
    model.load_state_dict(state, strict=True)
    return model.eval()


def _vision_sizes(state: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    patch = _shape(state, "embeddings.patch_embedding.weight", 4, where)
    positions = _shape(state, "embeddings.position_embedding", 3, where)
    side = math.isqrt(positions[1] - 1)
    if side * side != positions[1] - 1:
        raise RmbenchError(f"{where}: pos_embed is for {positions[1] - 1} patches, which are no square.")
    return {
        "hidden_size": patch[0],
        "intermediate_size": _shape(state, "encoder.layers.0.mlp.fc1.weight", 2, where)[0],
        "num_hidden_layers": _layers(state, r"encoder\.layers\.(\d+)\."),
        "num_attention_heads": _heads(patch[0], where),
        "image_size": side * patch[2],
        "patch_size": patch[2],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
    }


def _text_sizes(state: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    vocabulary, width = _shape(state, "embeddings.word_embeddings.weight", 2, where)
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "encoder_hidden_size": _shape(state, "encoder.layer.0.crossattention.self.key.weight", 2, where)[1],
        "intermediate_size": _shape(state, "encoder.layer.0.intermediate.dense.weight", 2, where)[0],
        "num_hidden_layers": _layers(state, r"encoder\.layer\.(\d+)\."),
        "num_attention_heads": _heads(width, where),
        "max_position_embeddings": _shape(state, "embeddings.position_embeddings.weight", 2, where)[0],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int, where: str) -> tuple[int, ...]:
    if name not in state or state[name].dim() != dimensions:
        found = f"has shape {list(state[name].shape)}" if name in state else "is missing"
        raise RmbenchError(f"{where}: {name} {found}, expected a tensor of {dimensions} dimensions.")
    return tuple(state[name].shape)


def _layers(state: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(match[1]) for match in (re.match(pattern, name) for name in state) if match)


def _heads(width: int, where: str) -> int:
    if width % _HEAD_WIDTH:
        raise RmbenchError(f"{where}: a width of {width} is no multiple of {_HEAD_WIDTH}, the channels of a head.")
    return width // _HEAD_WIDTH
