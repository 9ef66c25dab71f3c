"""Recall, average precision and nearest neighbours: by hand on six vectors, by plain loops on random ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rmbench.metrics.probing.retrieval import Images, found_by, neighbours_of

SIX = np.array([[1, 0], [0.8, 0.6], [0, 1], [-0.6, 0.8], [-1, 0], [0.6, -0.8]])
"""Of length 1, so that inner products are cosines."""


def test_six_vectors_by_hand() -> None:
    # Similar to (1, 0), the most first: 0, 1, 5, 2, 3, 4. Right: 1 and 2, at places 2 and 4.
    # Similar to (0, 1): 2 (1), 3 (.8), 1 (.6), 0 and 4 (0), 5. Right: 0, which the wrong 4 equals: place 5.
    found = found_by(np.array([[1.0, 0], [0, 1]]) @ SIX.T, 6, [{1, 2}, {0}], [1, 2, 4, 5])
    assert found.recall == {1: 0.0, 2: 0.5, 4: 0.5, 5: 1.0}
    assert found.average_precision == pytest.approx(((1 / 2 + 2 / 4) / 2 + 1 / 5) / 2)
    assert (found.queries, found.gallery) == (2, 6)


def test_neighbours_by_hand() -> None:
    # The nearest of 0: 1 (.8), 5 (.6); of 1: 0 (.8), 2 (.6); of 2: 3 (.8), 1 (.6); of 3: 2 (.8), 4 (.6);
    # of 4: 3 (.6), 2 (0); of 5: 0 (.6), and 1 (0), which no other equals.
    classes = ["a", "a", "b", "b", "b", "c"]
    one = neighbours_of(SIX, classes, 1)
    assert (one.accuracy, one.n, one.classes) == (1.0, 5, 3)  # c has one item, which does not count
    two = neighbours_of(SIX, classes, 2)
    # 0: a, c - a tie, wrong; 1: a, b - wrong; 2: b, a - wrong; 3 and 4: b, b.
    assert two.accuracy == pytest.approx(2 / 5)


def test_equal_embeddings_find_nothing() -> None:
    same = np.ones((8, 3))
    found = found_by(same @ same.T, 8, [{k} for k in range(8)], [1, 7, 8])
    assert found.recall == {1: 0.0, 7: 0.0, 8: 1.0}
    assert found.average_precision == pytest.approx(1 / 8)
    assert neighbours_of(same, list("aabbccdd"), 1).accuracy == 0


def test_nothing_to_find() -> None:
    found = found_by(SIX @ SIX.T, 6, [set() for _ in SIX], [1])
    assert (found.recall, found.average_precision, found.queries) == ({1: None}, None, 0)
    assert found_by([], 6, [], [1]).queries == 0
    assert neighbours_of(SIX, list("abcdef"), 3).accuracy is None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rounded", [False, True])
def test_random_vectors_by_plain_loops(seed: int, rounded: bool) -> None:
    random = np.random.default_rng(seed)
    gallery, queries = random.normal(size=(30, 4)), random.normal(size=(12, 4))
    if rounded:  # many equal similarities
        gallery, queries = gallery.round(), queries.round()
    right: list[set[int]] = [
        set(random.choice(30, size=random.integers(0, 5), replace=False).tolist()) for _ in queries
    ]
    found = found_by(queries @ gallery.T, 30, right, [1, 3, 10])

    firsts, precisions = [], []
    for query, own in zip(queries, right, strict=True):
        if own:
            # The last of its equals: wrong items first.
            order = sorted(range(30), key=lambda at: (-round(float(gallery[at] @ query), 9), at in own))
            places = [1 + place for place, at in enumerate(order) if at in own]
            firsts.append(places[0])
            precisions.append(sum(count / place for count, place in enumerate(places, 1)) / len(places))
    assert found.recall == {k: pytest.approx(np.mean([first <= k for first in firsts])) for k in (1, 3, 10)}
    assert found.average_precision == pytest.approx(np.mean(precisions))

    classes: list[Any] = random.choice(list("abcdefghijk"), size=30).tolist()
    votes = []
    for at, item in enumerate(gallery):
        if classes.count(classes[at]) < 2:
            continue
        others = [other for other in range(30) if other != at]
        others.sort(key=lambda other: (-round(float(gallery[other] @ item), 9), classes[other] == classes[at]))
        cast = Counter(classes[other] for other in others[:4])
        votes.append(all(cast[classes[at]] > count for name, count in cast.items() if name != classes[at]))
        votes[-1] = votes[-1] and cast[classes[at]] > 0
    assert neighbours_of(gallery, classes, 4).accuracy == pytest.approx(np.mean(votes))


@pytest.mark.parametrize("vectors", [1, 3])
def test_several_embeddings_by_a_plain_loop(vectors: int) -> None:
    """The mean over pictures of the best of their embeddings."""
    random = np.random.default_rng(vectors)
    pictures = [random.normal(size=(k, vectors, 4)) for k in (1, 3, 2)]
    texts = random.normal(size=(5, 4))
    images = Images([each.ravel() for each in pictures], vectors, 4)
    for place, own in enumerate(pictures):
        expected = [np.mean([max(float(v @ text) for v in picture) for picture in own]) for text in texts]
        assert images.for_image(place, texts) == pytest.approx(expected)
        assert [images.for_text(text)[place] for text in texts] == pytest.approx(expected)
