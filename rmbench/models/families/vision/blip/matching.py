"""BLIP and BLIP-2 as their authors match images and texts, computed by transformers' modules.

"itc" is the cosine of an image's and a text's projected states, without a scale; of BLIP-2, whose image is 32 query
tokens, the largest of theirs. "itm" is the probability of the matching head's second class, for a text that has read
the image; of BLIP-2 the softmax of the mean of its query tokens' logits. Sources: BlipForImageTextRetrieval and
Blip2ForImageTextRetrieval, which follow salesforce/BLIP and salesforce/LAVIS. ClassDiffusion's "BLIP2-T" is BLIP's
"itc" (utils/blip2t.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["MATCHING", "Matching", "MatchingScore"]

MatchingScore = Literal["itc", "itm"]


@dataclass(frozen=True)
class Matching(ABC):
    """A model of transformers in eval mode, and what is read of it."""

    model: Any
    image_size: int
    patches: int

    @property
    def vision(self) -> Any:
        """The image tower."""
        return self.model.vision_model

    def images(self, pixels: Tensor) -> Tensor:
        """[B, N, W] of pixels [B, 3, S, S]: the states that texts read, N = patches + 1; or embeddings of length 1."""
        states: Tensor = self.vision(pixel_values=pixels).last_hidden_state
        return states

    @abstractmethod
    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """[B] on the CPU, of texts' ids and mask [B, T] and what `images` gave for their images."""


class _BlipItm(Matching):
    """transformers' BlipForImageTextRetrieval, and its matching head."""

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        read = self.model.text_encoder(input_ids=ids, attention_mask=mask, **_seen(images))
        return _second(self.model.itm_head(read.last_hidden_state[:, 0]))


class _BlipItc(Matching):
    """Its two embeddings: an `EmbeddingReader`."""

    vectors = 1

    def images(self, pixels: Tensor) -> Tensor:
        return _unit(self.model.vision_proj(super().images(pixels)[:, :1]))

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """[B, D] of texts' ids and mask [B, T]."""
        read = self.model.text_encoder(input_ids=ids, attention_mask=mask)
        return _unit(self.model.text_proj(read.last_hidden_state[:, 0]))

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        return _largest(images, self.texts(ids, mask))


class _Blip2Itm(Matching):
    """transformers' Blip2ForImageTextRetrieval, and its matching head."""

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        queries = _queries(self.model, images)
        shown = torch.ones(queries.shape[:2], dtype=torch.long, device=queries.device)
        read = self.model.qformer(
            query_embeds=self.model.embeddings(input_ids=ids, query_embeds=queries),
            query_length=queries.shape[1],
            attention_mask=torch.cat([shown, mask], dim=1),
            **_seen(images),
        ).last_hidden_state[:, : queries.shape[1]]
        return _second(self.model.itm_head(read.to(self.model.itm_head.weight.dtype)).mean(dim=1))


class _Blip2Itc(Matching):
    """Its embeddings, as many of an image as there are query tokens: an `EmbeddingReader`."""

    @property
    def vectors(self) -> int:
        """Query tokens."""
        return int(self.model.query_tokens.shape[1])

    def images(self, pixels: Tensor) -> Tensor:
        states = super().images(pixels)
        read = self.model.qformer(query_embeds=_queries(self.model, states), **_seen(states)).last_hidden_state
        return _unit(self.model.vision_projection(read.to(self.model.vision_projection.weight.dtype)))

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """[B, D] of texts' ids and mask [B, T]."""
        embedded = self.model.embeddings(input_ids=ids)
        read = self.model.qformer(query_embeds=embedded, query_length=0, attention_mask=mask).last_hidden_state[:, 0]
        return _unit(self.model.text_projection(read.to(self.model.text_projection.weight.dtype)))

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        return _largest(images, self.texts(ids, mask))


MATCHING: Mapping[tuple[str, MatchingScore], type[Matching]] = {
    ("blip-itm", "itm"): _BlipItm,
    ("blip-itm", "itc"): _BlipItc,
    ("blip2-itm", "itm"): _Blip2Itm,
    ("blip2-itm", "itc"): _Blip2Itc,
}
"""(layout, score) -> how it is computed."""


def _queries(model: Any, images: Tensor) -> Tensor:
    """[B, queries, W] for B images."""
    expanded: Tensor = model.query_tokens.expand(len(images), -1, -1)
    return expanded


def _seen(images: Tensor) -> dict[str, Tensor]:
    """Arguments by which a text or query reads images [B, N, W]."""
    mask = torch.ones(images.shape[:2], dtype=torch.long, device=images.device)
    return {"encoder_hidden_states": images, "encoder_attention_mask": mask}


def _unit(projected: Tensor) -> Tensor:
    """Length 1 in float32, whatever the model computes in."""
    return F.normalize(projected.float(), dim=-1)


def _largest(images: Tensor, texts: Tensor) -> Tensor:
    """[B] on the CPU: the largest cosine of an image's embeddings [B, N, D] with its text's [B, D]."""
    return torch.einsum("bnd,bd->bn", images, texts).amax(dim=1).cpu()


def _second(logits: Tensor) -> Tensor:
    """[B] on the CPU: the probability of the second of two classes, of logits [B, 2]."""
    return logits.float().softmax(dim=-1)[:, 1].cpu()
