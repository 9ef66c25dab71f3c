"""From embeddings to a score. E is [k, D], the embeddings of an image (k = 1) or of a video's k frames, each of length
1; t is [D], the text's, of length 1. A video's score is the mean of its frames' scores."""

from __future__ import annotations

from typing import Literal

import numpy as np

from rmbench.models.protocols import FloatArray

__all__ = ["PREFIX", "Score", "pair_score", "score_parts", "text_score", "text_vector"]

Score = Literal["cosine", "cosine100", "logit", "clipscore", "aesthetic", "clip-iqa"]
"""* "cosine": e . t (CLIP; `score()` of HPSv2).
* "cosine100": 100 e . t (HPSv2's generator benchmark, TIFA).
* "logit": exp(logit_scale) e . t (PickScore, whose probabilities are a softmax of it).
* "clipscore": 2.5 max(e . t, 0), the text behind "A photo depicts " (Hessel et al. 2021; the prefix is unverified).
* "aesthetic": a head on e alone (LAION).
* "clip-iqa": the first of two opposite texts' share in the softmax of exp(logit_scale) e . t (CLIP-IQA, arXiv
  2207.12396); the prompt is not read."""

PREFIX = {"clipscore": "A photo depicts "}


def text_vector(texts: FloatArray) -> FloatArray:
    """[D] of a text's segments [m, D], of length 1 each: their plain mean, which is shorter than 1 where there are
    several (LongAlign)."""
    vector: FloatArray = texts[0] if len(texts) == 1 else texts.mean(axis=0, dtype=np.float64).astype(np.float32)
    return vector


def text_score(kind: Score, images: FloatArray, text: FloatArray, scale: float) -> float:
    """The mean over k pictures of their scores with a text.

    Args:
        kind: any that reads the prompt.
        images: [k, D], of length 1.
        text: [D], by `text_vector`.
        scale: exp(logit_scale).
    """
    cosines = images.astype(np.float64) @ text.astype(np.float64)  # [k]
    if kind == "clipscore":
        return float(2.5 * np.maximum(cosines, 0).mean())
    return float(_factor(kind, scale) * cosines.mean())


def score_parts(
    kind: Score, images: FloatArray, text: FloatArray, scale: float, direction: FloatArray
) -> tuple[float, float]:
    """The text-relevant and the text-irrelevant part of `text_score`, whose sum it is (LongAlign, arXiv 2410.11817).

    Args:
        kind: one that is linear in the text: "cosine", "cosine100" or "logit".
        images: [k, D], of length 1.
        text: [D], by `text_vector`.
        scale: exp(logit_scale).
        direction: V, [D], of length 1: the second part is that of the text's component along it.
    """
    seen, read, along = (each.astype(np.float64) for each in (images, text, direction))
    common = (read @ along) * along
    relevant, irrelevant = (float(_factor(kind, scale) * (seen @ each).mean()) for each in (read - common, common))
    return relevant, irrelevant


def pair_score(images: FloatArray, texts: FloatArray, scale: float) -> float:
    """The mean over k pictures [k, D] of the first of two texts' [2, D] share in the softmax of scale e . t."""
    logits = scale * (images.astype(np.float64) @ texts.astype(np.float64).T)  # [k, 2]
    return float((1 / (1 + np.exp(np.clip(logits[:, 1] - logits[:, 0], -700, 700)))).mean())


def _factor(kind: Score, scale: float) -> float:
    return {"cosine": 1.0, "cosine100": 100.0, "logit": scale}[kind]
