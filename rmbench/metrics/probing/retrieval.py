"""How well a model's own embeddings find images for texts, texts for images, and images of one class.

The definitions are rmbench's, since those of the paper that asks for them beside preference (arXiv 2409.01936) are not
public: recall@k as for captions, average precision as in information retrieval, and votes of the nearest neighbours.
Ties never help: what is as similar as a right item, and wrong, comes before it. So a model whose embeddings are all
equal finds nothing, and no order of the rows matters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Found", "Neighbours", "Vectors", "found_by", "neighbours_of"]

Vectors = npt.NDArray[np.float64]

_DIGITS = 9
"""Similarities that agree to so many digits are equal."""


@dataclass(frozen=True, slots=True)
class Found:
    """Queries over a gallery."""

    recall: Mapping[int, float | None]
    """k -> the share of queries one of whose right items is among the first k; None without queries."""
    average_precision: float | None
    """The mean over queries of the mean over their right items of the precision up to that item."""
    queries: int
    """Those with a right item."""
    gallery: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Items classified by the k items nearest to them, themselves left out."""

    accuracy: float | None
    """The share whose own class has more votes than every other; None where no item counts."""
    k: int
    n: int
    """Items whose class has another item; no others count."""
    classes: int


def found_by(queries: Vectors, gallery: Vectors, right: Sequence[set[int]], ks: Sequence[int]) -> Found:
    """Recall and average precision of queries by their inner products with a gallery.

    Args:
        queries: [Q, D].
        gallery: [G, D].
        right: for each query the places of its right items in the gallery.
        ks: of recall.
    """
    firsts, precisions = [], []
    for query, places in zip(queries, right, strict=True):
        if not places:
            continue
        similar = np.round(gallery @ query, _DIGITS)
        is_right = np.zeros(len(gallery), dtype=bool)
        is_right[list(places)] = True
        wrong = np.sort(similar[~is_right])
        own = -np.sort(-similar[is_right])
        # Of each right item: how many wrong ones are at least as similar, and its place among the right ones.
        before = len(wrong) - np.searchsorted(wrong, own, side="left")
        counts = np.arange(1, len(own) + 1)
        firsts.append(int(before[0]) + 1)
        precisions.append(float(np.mean(counts / (counts + before))))
    reached = {k: float(np.mean([first <= k for first in firsts])) if firsts else None for k in ks}
    return Found(reached, float(np.mean(precisions)) if precisions else None, len(firsts), len(gallery))


def neighbours_of(items: Vectors, classes: Sequence[str], k: int) -> Neighbours:
    """Accuracy of the k nearest neighbours by inner products.

    Args:
        items: [N, D].
        classes: of each.
        k: how many vote.
    """
    labels = np.array(classes)
    sizes = Counter(classes)
    right = []
    for index, item in enumerate(items):
        if sizes[classes[index]] < 2:
            continue
        similar = np.round(items @ item, _DIGITS)
        own = labels == labels[index]
        order = np.lexsort((own, -similar))  # the most similar first, of equals those of other classes
        votes = Counter(labels[order[order != index][:k]].tolist())
        mine = votes.pop(classes[index], 0)
        right.append(mine > max(votes.values(), default=0))
    accuracy = float(np.mean(right)) if right else None
    return Neighbours(accuracy, k, len(right), len(sizes))
