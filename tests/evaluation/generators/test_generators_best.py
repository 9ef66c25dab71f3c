"""Best-of-n over images of one prompt, against every draw counted by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rmbench.evaluation.generators.best import best_of

NAN = math.nan


def by_hand(picking: list[float], kept: list[float], n: int) -> float:
    """Over all draws of n."""
    means = []
    for draw in itertools.combinations(range(len(picking)), n):
        first = max(picking[k] for k in draw)
        means.append(np.mean([kept[k] for k in draw if picking[k] == first]))
    return float(np.mean(means))


@given(
    st.lists(st.lists(st.integers(-99, 99), min_size=4, max_size=4, unique=True), min_size=2, max_size=4),
    st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=2, max_size=4),
)
def test_every_draw_is_counted(one: list[list[int]], other: list[list[int]]) -> None:
    rows = min(len(one), len(other))
    a, b = (np.array([each[:rows]], dtype=float) for each in (one, other))
    found = best_of(["g"], {"a": a, "b": b})
    for n in (1, 2, 3, 4):
        (point,) = [each for each in found["a"] if each.n == n]
        assert point.mean == pytest.approx(np.mean([by_hand(list(x), list(x), n) for x in a[0]]))
        picked = [by_hand(list(x), list(y), n) for x, y in zip(a[0], b[0], strict=True)]
        assert point.others["b"] == pytest.approx(np.mean(picked), abs=1e-9)
        assert point.generator == "g"


def test_limits_are_of_prompts_and_images_without_a_score_do_not_count() -> None:
    a = np.array([[[1.0, 3.0, NAN], [2.0, 2.0, 5.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 4.0], [NAN, 0.0, 1.0], [NAN] * 3]])
    (first, second, *others) = best_of(["x", "y"], {"a": a})["a"]
    assert (first.n, second.n) == (1, 2)
    assert [(one.generator, one.n) for one in others] == [("y", 1), ("y", 2)]
    assert first.mean == pytest.approx(np.mean([2.0, 3.0]))  # the third prompt has no image of y
    best = [3.0, (2.0 + 5.0 + 5.0) / 3]
    assert second.mean == pytest.approx(np.mean(best))
    assert (second.low, second.high) == pytest.approx(stats.t.interval(0.95, 1, np.mean(best), stats.sem(best)))
    assert second.others == {}


def test_one_image_each_has_no_curve() -> None:
    assert best_of(["x"], {"a": np.ones((1, 3, 1))}) == {}
    assert best_of(["x"], {"a": np.full((1, 3, 2), NAN)}) == {}
    assert best_of(["x"], {}) == {}
