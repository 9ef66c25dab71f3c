"""A two-tower model as a scorer whose rows are made of parts: pictures and a text, each computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rmbench.media import FrameRule
from rmbench.models.families.vision.clip.aesthetic import AestheticHead
from rmbench.models.families.vision.clip.scores import Score, text_score
from rmbench.models.families.vision.clip.tokens import ClipTokens
from rmbench.models.families.vision.clip.towers import Towers
from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.families.vision.shown import (
    REFUSALS,
    Picture,
    medium_of,
    pictures,
    pictures_of,
    prompt_text,
    remarks,
)
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request

__all__ = ["ClipScorer"]

_EMBEDDING = "embedding"


@dataclass(frozen=True)
class ClipScorer:
    """A MultipartScorer: a row is the pictures of its image or video, then its text where the score reads one. Batches
    hold paths; pixels exist while a batch is computed, one decoded picture at a time."""

    towers: Towers
    tokens: ClipTokens
    preprocess: Preprocess
    score: Score
    prefix: str
    frames: FrameRule
    image_size: int
    """Tokens that the image tower makes of a picture: its cost in a batch."""
    head: AestheticHead | None
    facts: ModelFacts
    pad_id: int = 0
    answers: frozenset[Answer] = frozenset({"reward"})

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One row of parts per request; a video's frames are counted here, and no pixels are kept."""
        return [self._row(request) for request in requests]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"embedding": [B, D]}, of length 1, of B pictures or of B texts."""
        asked = [row.payload for row in batch.rows if isinstance(row.payload, Picture)]
        if not asked:
            return {_EMBEDDING: self.towers.texts([row.ids for row in batch.rows]).numpy()}
        pixels = self.preprocess.stack(len(asked), pictures(asked))
        return {_EMBEDDING: self.towers.images(pixels).numpy()}

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """{"reward": [1]}: the mean over the row's pictures of their scores."""
        embeddings = np.stack([output[_EMBEDDING] for output in outputs])  # [k, D], or [k + 1, D] with the text
        if self.head is not None:
            reward = float(self.head(embeddings).mean(dtype=np.float64))
        else:
            reward = text_score(self.score, embeddings[:-1], embeddings[-1], self.towers.scale)
        return {"reward": np.array([reward], dtype=np.float32)}

    def _row(self, request: Request) -> Encoded:
        try:
            shown = pictures_of(medium_of(request), self.frames)
            texts = () if self.head is not None else (self._text(prompt_text(request)),)
        except REFUSALS as refusal:
            return Encoded(key="", size=0, error=str(refusal))
        parts = (*(self._picture(picture) for picture in shown), *texts)
        key = hashlib.sha256(" ".join(part.key for part in parts).encode()).hexdigest()
        read = sum(len(text.ids) for text in texts) + self.image_size * len(shown)
        cut = any(text.truncated for text in texts)
        return Encoded(key, read, truncated=cut, parts=parts, remarks=remarks(request))

    def _picture(self, picture: Picture) -> Encoded:
        key = f"{picture.key}/{self.preprocess.tag}"
        return Encoded(key, self.image_size, payload=picture, kind="image")

    def _text(self, text: str) -> Encoded:
        ids, cut = self.tokens(self.prefix + text)
        key = hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()
        return Encoded(f"text/{key}", self.tokens.context, ids, cut, kind="text")
