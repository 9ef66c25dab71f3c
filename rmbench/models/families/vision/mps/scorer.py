"""MPS as a scorer: an image and its text are one row, since the image reads the text's tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.media import FrameRule
from rmbench.models.families.vision.clip.tokens import ClipTokens
from rmbench.models.families.vision.mps.cross import CrossModel
from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.families.vision.shown import (
    REFUSALS,
    decoded,
    distinct_pictures,
    mean_of,
    medium_of,
    pictures_of,
    prompt_text,
    remarks,
    why_failed,
    with_pictures,
)
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request

__all__ = ["MpsScorer"]

_LEAST = 0.01
"""A text's token is read where its likeness to the condition is more, as a share of the text's largest one."""


@dataclass(frozen=True)
class MpsScorer:
    """reward = exp(logit_scale) x cosine of the text's end and the image's first token behind the cross model.

    Upstream divides likeness by the largest of the whole batch, so that scores depend on other rows; here by that of
    the row, which is what upstream gives a row alone.
    """

    model: Any
    """transformers' CLIPModel."""
    cross: CrossModel
    tokens: ClipTokens
    preprocess: Preprocess
    condition: Tensor
    """[77, D]: the condition's tokens."""
    pad: int
    """The text towers' padding, which is read as tokens are."""
    image_size: int
    """Tokens that the image tower makes of a picture."""
    scale: float
    frames: FrameRule
    """Which frames of a video are read."""
    facts: ModelFacts
    pad_id: int = 0
    answers: frozenset[Answer] = frozenset({"reward"})

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One row per request, a part for each frame of a video; files are hashed here, decoded in `forward`."""
        return [self._row(request) for request in requests]

    def decoded(self, rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
        """The rows with their pixels."""
        return decoded(rows, self.preprocess)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}."""
        pixels, places = distinct_pictures(batch.rows, self.preprocess)
        own = next(self.model.parameters())
        with torch.inference_mode():
            images = self._images(pixels.to(own.device, own.dtype))
            seen = images[places.to(own.device)]
            texts, ends = self.read([row.ids for row in batch.rows])
            likeness = (texts @ self.condition.T).amax(dim=-1)  # [B, 77]
            read = likeness / likeness.amax(dim=-1, keepdim=True) > _LEAST
            found = self.cross(seen, texts, read)[:, 0]
            cosine = (F.normalize(found.float(), dim=-1) * F.normalize(ends.float(), dim=-1)).sum(dim=-1)
        return {"reward": (self.scale * cosine).cpu().numpy().astype(np.float32)[:, None]}

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """The mean over the frames of a video."""
        return mean_of(outputs)

    def read(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Tokens [B, 77, D] of texts, padding among them, and what stands at their ends [B, D]."""
        own = next(self.model.parameters())
        ids = torch.full((len(rows), self.tokens.context), self.pad, dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
        states = self.model.text_model(input_ids=ids.to(own.device)).last_hidden_state
        ends = states[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])]
        return self.model.text_projection(states), self.model.text_projection(ends)

    def _images(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.model.visual_projection(self.model.vision_model(pixel_values=pixels).last_hidden_state)
        return found

    def _row(self, request: Request) -> Encoded:
        try:
            shown = pictures_of(medium_of(request), self.frames)
            ids, cut = self.tokens(prompt_text(request))
        except REFUSALS as refusal:
            return Encoded(key="", size=0, error=why_failed(refusal))
        own = Encoded("", self.tokens.context + self.image_size, ids, cut, remarks=remarks(request))
        return with_pictures(own, shown, self.preprocess.tag)
