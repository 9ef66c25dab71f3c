"""A two-tower model as a scorer whose rows are made of parts: pictures and a text, each computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.families.vision.clip.aesthetic import AestheticHead
from rmbench.models.families.vision.clip.direction import Direction
from rmbench.models.families.vision.clip.scores import Score, pair_score, score_parts, text_score, text_vector
from rmbench.models.families.vision.clip.segments import MOST_SEGMENTS, SEGMENTS, Segments
from rmbench.models.families.vision.clip.tokens import ClipTokens
from rmbench.models.families.vision.clip.towers import Towers
from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.families.vision.shown import (
    REFUSALS,
    Picture,
    UnshownError,
    decoded,
    medium_of,
    pictures,
    pictures_of,
    prompt_text,
    remarks,
    why_failed,
)
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request

__all__ = ["ClipScorer"]

_EMBEDDING = "embedding"


@dataclass(frozen=True)
class ClipScorer:
    """A TowerScorer: a row is the pictures of its image or video, then the segments of its text where the score reads
    one. Batches hold paths; pixels exist while a batch is computed, one decoded picture at a time."""

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
    tower: str
    """sha256 of what the embeddings of pictures and texts depend on besides their keys."""
    segments: Segments = "none"
    pair: tuple[str, str] | None = None
    """The two texts that every row is read with instead of its own."""
    direction: Direction | None = None
    """Given: the text-relevant and the text-irrelevant part of a reward are its objectives."""
    embeddings: bool = False
    """Whether rows also have "image_embedding" and "text_embedding", see `with_embeddings`."""
    image_vectors: int = 1
    """See `EmbeddingScorer.image_vectors`."""
    pad_id: int = 0
    answers: frozenset[Answer] = frozenset({"reward"})

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One row of parts per request; a video's frames are counted here, and no pixels are kept."""
        return [self._row(request) for request in requests]

    def decoded(self, rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
        """The rows of pictures with their pixels."""
        return decoded(rows, self.preprocess)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"embedding": [B, D]}, of length 1, of B pictures or of B texts."""
        asked = [row.payload for row in batch.rows if isinstance(row.payload, Picture)]
        if not asked:
            return {_EMBEDDING: self.towers.texts([row.ids for row in batch.rows]).numpy()}
        pixels = self.preprocess.stack(len(asked), pictures(asked))
        return {_EMBEDDING: self.towers.images(pixels).numpy()}

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """{"reward": [1]}: the mean over the row's pictures of their scores; with a direction "objectives" [2]."""
        embeddings = np.stack([output[_EMBEDDING] for output in outputs])
        shown = sum(part.kind == "image" for part in row.parts)
        images, texts = embeddings[:shown], embeddings[shown:]  # [k, D] and [m, D]
        if self.head is not None:
            return _rewards(float(self.head(images).mean(dtype=np.float64)))
        if self.pair is not None:
            return _rewards(pair_score(images, texts, self.towers.scale))
        text = text_vector(texts)
        found = _rewards(text_score(self.score, images, text, self.towers.scale))
        if self.direction is not None:
            parts = score_parts(self.score, images, text, self.towers.scale, self.direction.vector)
            found["objectives"] = np.array(parts, dtype=np.float32)
        if self.embeddings:
            found |= {"image_embedding": images.mean(axis=0), "text_embedding": text}
        return found

    def with_embeddings(self) -> ClipScorer:
        """See `EmbeddingScorer.with_embeddings`; a video's is the mean of its frames'."""
        if self.head is not None or self.pair is not None:
            raise RmbenchError(f"{self.facts.name}: score={self.score} embeds no text of a row.")
        return replace(self, embeddings=True)

    def vector_of(self, text: str) -> tuple[FloatArray, bool]:
        """[D] of a text by itself, as a row's is computed, and whether tokens were cut off; raises UnshownError where
        it has far too many segments."""
        rows = self._texts(text)
        vectors = [self.towers.texts([row.ids])[0].numpy() for row in rows]
        return text_vector(np.stack(vectors)), any(row.truncated for row in rows)

    def _row(self, request: Request) -> Encoded:
        try:
            shown = pictures_of(medium_of(request), self.frames)
            texts = self._read(request)
        except REFUSALS as refusal:
            return Encoded(key="", size=0, error=why_failed(refusal))
        parts = (*(self._picture(picture) for picture in shown), *texts)
        key = hashlib.sha256(" ".join(part.key for part in parts).encode()).hexdigest()
        read = sum(len(text.ids) for text in texts) + self.image_size * len(shown)
        cut = any(text.truncated for text in texts)
        return Encoded(key, read, truncated=cut, parts=parts, remarks=remarks(request))

    def _read(self, request: Request) -> tuple[Encoded, ...]:
        """The texts of a row; raises UnshownError where the prompt has none, or far too many segments."""
        if self.head is not None:
            return ()
        if self.pair is not None:
            return tuple(map(self._text, self.pair))
        return self._texts(prompt_text(request))

    def _texts(self, text: str) -> tuple[Encoded, ...]:
        segments = SEGMENTS[self.segments](self.prefix + text)
        if len(segments) > MOST_SEGMENTS:
            raise UnshownError(f"the prompt has {len(segments):,} segments, more than {MOST_SEGMENTS:,}")
        return tuple(map(self._text, segments))

    def _picture(self, picture: Picture) -> Encoded:
        key = f"{picture.key}/{self.preprocess.tag}"
        return Encoded(key, self.image_size, payload=picture, kind="image")

    def _text(self, text: str) -> Encoded:
        ids, cut = self.tokens(text)
        key = hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()
        return Encoded(f"text/{key}", self.tokens.context, ids, cut, kind="text")


def _rewards(reward: float) -> dict[str, FloatArray]:
    return {"reward": np.array([reward], dtype=np.float32)}
