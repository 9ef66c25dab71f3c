"""BLIP models as scorers: an image and its text are one row, since the text may read the image.

A video's reward is the mean of its frames'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.families.vision.blip.words import Words
from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.families.vision.shown import (
    REFUSALS,
    answer_text,
    decoded,
    described_medium,
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

__all__ = ["TOKENS", "BlipScorer", "EmbeddingReader", "Reader"]

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


@runtime_checkable
class EmbeddingReader(Reader, Protocol):
    """A reader whose reward is the largest inner product of an image's embeddings with its text's one, all of length
    1; `images` gives [B, vectors, D]."""

    @property
    def vectors(self) -> int:
        """Embeddings of an image."""

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """[B, D] of texts' ids and mask [B, T]."""


@dataclass(frozen=True)
class BlipScorer:
    """Rows of one image are neighbours, and in one batch its states are computed once."""

    model: Reader
    words: Words
    preprocess: Preprocess
    facts: ModelFacts
    captions: bool
    """Whether the candidate may be the text, of the prompt's image (all but ImageReward)."""
    frames: FrameRule
    """Which frames of a video are read."""
    wording: str = "{prompt}"
    """What is read of a text: the text itself, or a question about it."""
    embeddings: bool = False
    """Whether rows also have "image_embedding" and "text_embedding", see `with_embeddings`."""
    answers: frozenset[Answer] = frozenset({"reward"})

    @property
    def pad_id(self) -> int:
        """See `Scorer.pad_id`."""
        return self.words.pad_id

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One row per request, a part for each frame of a video; files are hashed here, decoded in `forward`."""
        return [self._row(request) for request in requests]

    def decoded(self, rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
        """The rows with their pixels."""
        return decoded(rows, self.preprocess)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}, and embeddings [B, D] where they are asked for."""
        pixels, places = distinct_pictures(batch.rows, self.preprocess)
        ids, mask = self._texts(batch)
        own = next(self.model.vision.parameters())
        with torch.inference_mode():
            states = self.model.images(pixels.to(own.device, own.dtype))  # [images, patches + 1, W]
            of_row = states[places.to(own.device)]
            rewards = self.model.rewards(ids.to(own.device), mask.to(own.device), of_row)
            found = {"reward": rewards.numpy().astype(np.float32)[:, None]}
            if self.embeddings and isinstance(self.model, EmbeddingReader):
                read = self.model.texts(ids.to(own.device), mask.to(own.device))
                found |= {"image_embedding": of_row.flatten(1).cpu().numpy(), "text_embedding": read.cpu().numpy()}
        return found

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """The mean over the frames of a video; of several embeddings a frame, those of all frames."""
        found = mean_of(outputs)
        if self.embeddings and self.image_vectors > 1:  # the mean of the largest is not the largest of the means
            found["image_embedding"] = np.concatenate([output["image_embedding"] for output in outputs])
        return found

    @property
    def image_vectors(self) -> int:
        """See `EmbeddingScorer.image_vectors`."""
        return self.model.vectors if isinstance(self.model, EmbeddingReader) else 1

    def with_embeddings(self) -> BlipScorer:
        """See `EmbeddingScorer.with_embeddings`."""
        if not isinstance(self.model, EmbeddingReader):
            score = self.facts.settings.get("score")
            what = f"score={score}" if score else f"the family {self.facts.family}"
            raise RmbenchError(
                f"{self.facts.name}: {what} is no inner product of an image's and a text's embedding; score=itc of "
                "BLIP and BLIP-2 and CLIP's scores are."
            )
        return replace(self, embeddings=True)

    def _row(self, request: Request) -> Encoded:
        try:
            described = described_medium(request) if self.captions else None
            shown = pictures_of(described or medium_of(request), self.frames)
            text = self.wording.replace("{prompt}", answer_text(request) if described else prompt_text(request))
        except REFUSALS as refusal:
            return Encoded(key="", size=0, error=why_failed(refusal))
        ids, cut = self.words(text)
        own = Encoded(
            key="",
            size=self.words.most + self.model.patches + 1,  # all rows cost the same
            ids=ids,
            truncated=cut,
            remarks=() if described else remarks(request),
        )
        return with_pictures(own, shown, self.preprocess.tag)

    def _texts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Ids and mask [B, T], padded on the right whatever the engine does: positions count from the left."""
        width = max(len(row.ids) for row in batch.rows)
        ids = torch.full((len(batch.rows), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros(len(batch.rows), width, dtype=torch.long)
        for index, row in enumerate(batch.rows):
            ids[index, : len(row.ids)] = torch.tensor(row.ids)
            mask[index, : len(row.ids)] = 1
        return ids, mask
