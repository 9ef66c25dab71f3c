"""The two towers of a CLIP model, whichever library computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.models.backbone.tensors import device_of

__all__ = ["OpenClipTowers", "Towers", "TransformersTowers"]


class Towers(Protocol):
    """B pictures or texts -> [B, D] embeddings of length 1, float32 on the CPU."""

    @property
    def model(self) -> Any: ...

    @property
    def scale(self) -> float:
        """exp(logit_scale)."""

    def images(self, pixels: Tensor) -> Tensor:
        """Embeddings of pixels [B, 3, S, S]."""

    def texts(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Embeddings of B texts' ids, start and end included."""


@dataclass(frozen=True)
class OpenClipTowers:
    """open_clip's CLIP. Texts are padded with 0 to the whole context, as its tokenizer does."""

    model: Any
    context: int
    scale: float

    def images(self, pixels: Tensor) -> Tensor:
        own = next(self.model.parameters())
        with torch.inference_mode():
            return _unit(self.model.encode_image(pixels.to(own.device, own.dtype)))

    def texts(self, rows: Sequence[Sequence[int]]) -> Tensor:
        ids, _ = _padded(rows, self.context)
        with torch.inference_mode():
            return _unit(self.model.encode_text(ids.to(device_of(self.model))))


@dataclass(frozen=True)
class TransformersTowers:
    """transformers' CLIPModel. The text tower is causal and read at the end token, so that padding changes nothing."""

    model: Any
    scale: float

    def images(self, pixels: Tensor) -> Tensor:
        own = next(self.model.parameters())
        with torch.inference_mode():
            seen = self.model.vision_model(pixel_values=pixels.to(own.device, own.dtype))
            return _unit(self.model.visual_projection(seen.pooler_output))

    def texts(self, rows: Sequence[Sequence[int]]) -> Tensor:
        device = device_of(self.model)
        ids, mask = _padded(rows, max(len(row) for row in rows))
        with torch.inference_mode():
            read = self.model.text_model(input_ids=ids.to(device), attention_mask=mask.to(device))
            return _unit(self.model.text_projection(read.pooler_output))


def _unit(embeddings: Tensor) -> Tensor:
    """Length 1 in float32, whatever the towers compute in."""
    return F.normalize(embeddings.float(), dim=-1).cpu()


def _padded(rows: Sequence[Sequence[int]], width: int) -> tuple[Tensor, Tensor]:
    """Ids [B, width] with 0 on the right, and the mask of real ones."""
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    return ids, mask
