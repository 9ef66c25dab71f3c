"""Samples drawn jointly and means of samples, by hand and by counting."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
import pytest

from rmbench.metrics.uncertainty.sample import Sample, combined, draw_jointly, mean_sample, undefined_sample
from tests._make import make_row


def times_drawn(clusters, strata):
    """[resamples, G] how often each cluster is drawn, by one sample for each that counts its own."""
    columns = range(len(clusters))
    parts = [Sample(0.0, clusters, itemgetter((slice(None), g)), len(clusters), 0, strata=strata) for g in columns]
    return np.stack(draw_jointly(parts, 400, np.random.default_rng(0)), axis=1)


def test_clusters_of_a_stratum_are_drawn_among_themselves():
    times = times_drawn(("a", "b", "c", "d", "e"), (0, 0, 1, 1, 1))
    assert (times[:, :2].sum(axis=1) == 2).all()
    assert (times[:, 2:].sum(axis=1) == 3).all()
    # Each of k clusters is drawn k times: its count is binomial, of mean 1 and variance 1 - 1/k.
    assert times.mean(axis=0) == pytest.approx(np.ones(5), abs=0.15)
    assert times.var(axis=0) == pytest.approx([1 / 2] * 2 + [2 / 3] * 3, abs=0.15)


def test_a_stratum_of_one_cluster_is_drawn_with_the_others():
    times = times_drawn(("a", "b", "c"), (0, 0, 1))
    assert (times.sum(axis=1) == 3).all()
    assert times.var(axis=0) == pytest.approx([2 / 3] * 3, abs=0.15)


def test_a_mean_of_samples_by_hand():
    rows = [make_row(str(k)) for k in range(5)]
    parts = [
        mean_sample([1.0, 0.0], rows[:2], comparisons=4, flags=("x",)),
        mean_sample([1.0, 1.0, 0.0], rows[2:], comparisons=3, flags=("y", "x")),
    ]
    got = combined(parts, [1.0, 3.0])
    assert got.value == pytest.approx((0.5 + 3 * 2 / 3) / 4)
    assert (got.n, got.comparisons, got.flags) == (5, 7, ("x", "y"))
    counts = np.array([[2.0, 0.0, 0.0, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    assert got.draw(counts) == pytest.approx([(1 + 3 * 1 / 3) / 4, (0.5 + 3 * 2 / 3) / 4])


def test_a_mean_without_one_of_its_parts_has_no_value_and_keeps_its_counts():
    rows = [make_row(str(k)) for k in range(2)]
    known = mean_sample([1.0, 0.0], rows, comparisons=4, flags=("x",))
    for weights, parts in (([1.0, 1.0], [known, undefined_sample(("y",), 3)]), ([0.0], [known])):
        got = combined(parts, weights)
        flags = tuple(flag for part in parts for flag in part.flags)
        assert (got.value, got.clusters, got.flags) == (None, (), (*flags, "undefined"))
        assert (got.n, got.comparisons) == (sum(part.n for part in parts), 4)
