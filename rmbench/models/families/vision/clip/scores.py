"""From embeddings to a score. E is [k, D], the embeddings of an image (k = 1) or of a video's k frames, each of length
1; t is [D], the text's, of length 1. A video's score is the mean of its frames' scores."""

from __future__ import annotations

from typing import Literal

import numpy as np

from rmbench.models.protocols import FloatArray

__all__ = ["PREFIX", "Score", "text_score"]

Score = Literal["cosine", "cosine100", "logit", "clipscore", "aesthetic"]
"""* "cosine": e . t (CLIP; `score()` of HPSv2).
* "cosine100": 100 e . t (HPSv2's generator benchmark, TIFA).
* "logit": exp(logit_scale) e . t (PickScore, whose probabilities are a softmax of it).
* "clipscore": 2.5 max(e . t, 0), the text behind "A photo depicts " (Hessel et al. 2021; the prefix is unverified).
* "aesthetic": a head on e alone (LAION)."""

PREFIX = {"clipscore": "A photo depicts "}


def text_score(kind: Score, images: FloatArray, text: FloatArray, scale: float) -> float:
    """The mean over k pictures of their scores with a text.

    Args:
        kind: any but "aesthetic".
        images: [k, D], of length 1.
        text: [D], of length 1.
        scale: exp(logit_scale).
    """
    cosines = images.astype(np.float64) @ text.astype(np.float64)  # [k]
    if kind == "clipscore":
        return float(2.5 * np.maximum(cosines, 0).mean())
    factor = {"cosine": 1.0, "cosine100": 100.0, "logit": scale}[kind]
    return float(factor * cosines.mean())
