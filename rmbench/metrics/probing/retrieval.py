"""How well a model's own embeddings find images for texts, texts for images, and images of one class.

The definitions are rmbench's, since those of the paper that asks for them beside preference (arXiv 2409.01936) are not
public: recall@k as for captions, average precision as in information retrieval, and votes of the nearest neighbours.
Ties never help: what is as similar as a right item, and wrong, comes before it. So a model whose embeddings are all
equal finds nothing, and no order of the rows matters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Found", "Images", "Neighbours", "Vectors", "found_by", "neighbours_of"]

Vectors = npt.NDArray[np.float64]

_DIGITS = 9
"""Similarities that agree to so many digits are equal."""


class Images:
    """Images and videos by their embeddings: the similarity with a text is the mean over k pictures of the largest
    inner product of a picture's V embeddings with the text's."""

    def __init__(self, embeddings: Sequence[npt.ArrayLike], vectors: int, width: int) -> None:
        """Take up the embeddings of each.

        Args:
            embeddings: [k V D] of each of G, one embedding behind the other.
            vectors: V.
            width: D.
        """
        self._of = [np.asarray(each, dtype=np.float64).reshape(-1, vectors, width) for each in embeddings]
        self._pictures = np.concatenate(self._of) if self._of else np.empty((0, vectors, width))
        counts = np.array([len(each) for each in self._of])
        self._counts, self._starts = counts, np.cumsum(counts) - counts

    def for_text(self, text: Vectors) -> Vectors:
        """[G]: similarities with a text [D]."""
        best = (self._pictures @ text).max(axis=1)
        return np.asarray(np.add.reduceat(best, self._starts) / self._counts, dtype=np.float64)

    def for_image(self, place: int, texts: Vectors) -> Vectors:
        """[T]: similarities of the image at a place with texts [T, D]."""
        return np.asarray((self._of[place] @ texts.T).max(axis=1).mean(axis=0), dtype=np.float64)


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


def found_by(similarities: Iterable[Vectors], gallery: int, right: Sequence[set[int]], ks: Sequence[int]) -> Found:
    """Recall and average precision of queries by their similarities with a gallery.

    Args:
        similarities: of each of Q queries with each item, [G].
        gallery: G.
        right: for each query the places of its right items in the gallery.
        ks: of recall.
    """
    firsts, precisions = [], []
    for exact, places in zip(similarities, right, strict=True):
        if not places:
            continue
        similar = np.round(exact, _DIGITS)
        is_right = np.zeros(gallery, dtype=bool)
        is_right[list(places)] = True
        wrong = np.sort(similar[~is_right])
        own = -np.sort(-similar[is_right])
        # Of each right item: how many wrong ones are at least as similar, and its place among the right ones.
        before = len(wrong) - np.searchsorted(wrong, own, side="left")
        counts = np.arange(1, len(own) + 1)
        firsts.append(int(before[0]) + 1)
        precisions.append(float(np.mean(counts / (counts + before))))
    reached = {k: float(np.mean([first <= k for first in firsts])) if firsts else None for k in ks}
    return Found(reached, float(np.mean(precisions)) if precisions else None, len(firsts), gallery)


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
