"""BLIP models as scorers: an image and its text are one row, since the text may read the image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.families.vision.shown import (
    REFUSALS,
    Picture,
    answer_text,
    decoded,
    described_medium,
    medium_of,
    pictures,
    pictures_of,
    prompt_text,
    remarks,
)
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request

__all__ = ["TOKENS", "BlipScorer", "Reader"]

TOKENS = {"imagereward": 35, "cyclereward": 128}
"""Tokens of a text, special ones included; upstream cuts what is longer without a word."""


class Reader(Protocol):
    """A model of an image and a text."""

    @property
    def vision(self) -> Any:
        """The image tower."""

    @property
    def patches(self) -> int:
        """Of a picture."""

    def images(self, pixels: Tensor) -> Tensor:
        """[B, N, W] of pixels [B, 3, S, S]: what texts are held against."""

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """[B] on the CPU, of texts' ids and mask [B, T] and what `images` gave for their images."""


@dataclass(frozen=True)
class BlipScorer:
    """Rows of one image are neighbours, and in one batch its states are computed once."""

    model: Reader
    tokenizer: Any
    preprocess: Preprocess
    facts: ModelFacts
    most: int
    """Tokens of a text that are read."""
    captions: bool
    """Whether the candidate may be the text, of the prompt's image (all but ImageReward)."""
    pad_id: int = 0
    wording: str = "{prompt}"
    """What is read of a text: the text itself, or a question about it."""
    answers: frozenset[Answer] = frozenset({"reward"})

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One row per request; the image is hashed here and decoded in `forward`."""
        return [self._row(request) for request in requests]

    def decoded(self, rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
        """The rows with their pixels."""
        return decoded(rows, self.preprocess)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}."""
        shown = [row.payload for row in batch.rows if isinstance(row.payload, Picture)]
        distinct = list({each.key: each for each in shown}.values())
        place = {each.key: index for index, each in enumerate(distinct)}
        pixels = self.preprocess.stack(len(distinct), pictures(distinct))
        ids, mask = self._texts(batch)
        own = next(self.model.vision.parameters())
        with torch.inference_mode():
            states = self.model.images(pixels.to(own.device, own.dtype))  # [images, patches + 1, W]
            of_row = states[torch.tensor([place[each.key] for each in shown], device=own.device)]
            rewards = self.model.rewards(ids.to(own.device), mask.to(own.device), of_row)
        return {"reward": rewards.numpy().astype(np.float32)[:, None]}

    def _row(self, request: Request) -> Encoded:
        try:
            described = described_medium(request) if self.captions else None
            (picture,) = pictures_of(described or medium_of(request), None)
            text = self.wording.replace("{prompt}", answer_text(request) if described else prompt_text(request))
        except REFUSALS as refusal:
            return Encoded(key="", size=0, error=str(refusal))
        whole: list[int] = self.tokenizer(text, verbose=False)["input_ids"]
        ids = tuple(whole) if len(whole) <= self.most else (*whole[: self.most - 1], whole[-1])
        spelled = hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()
        return Encoded(
            # The image comes first, and all rows cost the same, so that the plan puts rows of one image together.
            key=f"{picture.key}/{self.preprocess.tag}/{spelled}",
            size=self.most + self.model.patches + 1,
            ids=ids,
            truncated=len(whole) > self.most,
            payload=picture,
            remarks=() if described else remarks(request),
        )

    def _texts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Ids and mask [B, T], padded on the right whatever the engine does: positions count from the left."""
        width = max(len(row.ids) for row in batch.rows)
        ids = torch.full((len(batch.rows), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros(len(batch.rows), width, dtype=torch.long)
        for index, row in enumerate(batch.rows):
            ids[index, : len(row.ids)] = torch.tensor(row.ids)
            mask[index, : len(row.ids)] = 1
        return ids, mask
