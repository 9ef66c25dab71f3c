"""Correlations against the published examples, scipy and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rmbench.metric_spec import of_kind
from rmbench.metrics.correlation import coefficients as module
from rmbench.metrics.correlation.coefficients import (
    PairCounts,
    bootstrap_correlation,
    correlation,
    correlation_draw,
    gamma,
    kendall_a,
    pair_counts,
    pairwise_accuracy,
    somers_d,
)

H = np.array([1, 1, 2, 3, 3, 5.0])
S = np.array([0.2, 0.5, 0.5, 0.4, 0.9, 0.8])
FIGURES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30)


def plain_counts(human, model):
    got = dict.fromkeys(("c", "d", "h", "m", "hm"), 0)
    for i in range(len(human)):
        for j in range(i):
            a, b = np.sign(human[i] - human[j]), np.sign(model[i] - model[j])
            key = "hm" if a == b == 0 else "h" if a == 0 else "m" if b == 0 else "c" if a == b else "d"
            got[key] += 1
    return PairCounts(*got.values())


def test_published_example():
    counts = pair_counts(H, S)
    assert counts == PairCounts(9, 3, 2, 1, 0)
    assert counts.total == 15
    assert kendall_a(H, S) == pytest.approx(0.4)
    assert correlation("kendall_b", H, S) == pytest.approx(0.444750, abs=5e-7)
    assert correlation("kendall_c", H, S) == pytest.approx(0.444444, abs=5e-7)
    assert correlation("spearman", H, S) == pytest.approx(0.582154, abs=5e-7)
    assert correlation("pearson", H, S) == pytest.approx(0.687800, abs=5e-7)
    assert gamma(counts) == pytest.approx(0.5)
    assert somers_d(counts) == pytest.approx(0.461538, abs=5e-7)
    assert somers_d(counts) == pytest.approx(stats.somersd(H, S).statistic)
    assert pairwise_accuracy(counts) == pytest.approx(9 / 13)
    assert pairwise_accuracy(counts, 0.5) == pytest.approx(0.730769, abs=5e-7)
    assert pairwise_accuracy(counts, None) == 0.75


def test_published_example_without_ties():
    h, s = np.arange(1, 6.0), np.array([2, 1, 4, 3, 5.0])
    assert correlation("kendall_b", h, s) == pytest.approx(0.6)
    assert correlation("kendall_a", h, s) == pytest.approx(0.6)
    assert correlation("spearman", h, s) == pytest.approx(0.8)
    assert correlation("pearson", h, s) == pytest.approx(0.8)
    assert pairwise_accuracy(pair_counts(h, s)) == pytest.approx((0.6 + 1) / 2)


@settings(deadline=None, max_examples=80)
@given(FIGURES)
def test_counts_by_a_plain_loop(pairs):
    human, model = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    counts = pair_counts(human, model)
    assert counts == plain_counts(human, model)
    assert pair_counts(human, -model) == PairCounts(
        counts.discordant, counts.concordant, counts.human_ties, counts.model_ties, counts.both_ties
    )


@settings(deadline=None, max_examples=60)
@given(FIGURES)
def test_constant_is_undefined_and_the_rest_is_the_formula(pairs):
    human, model = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    n = plain_counts(human, model)
    if len(set(human)) == 1 or len(set(model)) == 1:
        assert all(correlation(rule, human, model) is None for rule in of_kind("correlation"))
        return
    difference, untied = n.concordant - n.discordant, n.concordant + n.discordant
    fewer, size = min(len(set(human)), len(set(model))), len(human)
    expected = {
        "kendall_a": difference / n.total,
        "kendall_b": difference / math.sqrt((untied + n.human_ties) * (untied + n.model_ties)),
        "kendall_c": 2 * difference / (size**2 * (fewer - 1) / fewer),
        "pearson": np.corrcoef(human, model)[0, 1],
        "spearman": np.corrcoef(stats.rankdata(human), stats.rankdata(model))[0, 1],
    }
    for rule, value in expected.items():
        assert correlation(rule, human, model) == pytest.approx(value, abs=1e-9), rule


@settings(deadline=None, max_examples=40)
@given(FIGURES, st.sampled_from(["kendall_a", "kendall_b", "kendall_c", "spearman"]))
def test_rank_correlations_know_order_alone(pairs, rule):
    human, model = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    assert correlation(rule, human, model) == correlation(rule, human, np.exp(model) * 3 - 1)


def test_fewer_than_two_items_are_undefined():
    assert correlation("kendall_b", np.array([1.0]), np.array([2.0])) is None
    assert correlation("pearson", np.zeros(0), np.zeros(0)) is None
    nothing = PairCounts(0, 0, 3, 0, 0)
    assert gamma(nothing) is None
    assert somers_d(nothing) is None
    assert pairwise_accuracy(nothing) is None


@pytest.mark.parametrize("rule", of_kind("correlation"))
@pytest.mark.parametrize("matrix", [True, False])
def test_each_bootstrap_draw_is_the_coefficient_of_the_drawn_rows(rule, matrix, monkeypatch):
    """Both ways of computing give, draw by draw, what the plain coefficient gives on the repeated rows."""
    if not matrix:
        monkeypatch.setattr(module, "_MATRIX_CLUSTERS", 0)
    generator = np.random.default_rng(3)
    human = generator.integers(0, 5, 40).astype(float)
    model = np.round(human + generator.normal(0, 2, 40), 1)
    clusters = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 4])
    ours = bootstrap_correlation(rule, human, model, clusters, 25, np.random.default_rng(7))
    drawn = np.random.default_rng(7).integers(0, 12, size=(25, 12))
    for value, codes in zip(ours, drawn, strict=True):
        rows = np.concatenate([np.flatnonzero(clusters == code) for code in codes])
        assert value == pytest.approx(correlation(rule, human[rows], model[rows]), abs=1e-9)


@pytest.mark.parametrize("rule", of_kind("correlation"))
def test_constant_draws_are_nan(rule):
    """Two clusters, each constant: a draw that repeats one has no correlation."""
    human, model = np.array([1, 1, 2, 2.0]), np.array([3, 3, 4, 4.0])
    draws = bootstrap_correlation(rule, human, model, np.array([0, 0, 1, 1]), 200, np.random.default_rng(0))
    assert 60 < np.isnan(draws).sum() < 140
    assert (draws[~np.isnan(draws)] > 0.6).all()


@pytest.mark.parametrize("rule", of_kind("correlation"))
@pytest.mark.parametrize("matrix", [True, False])
def test_a_constant_draw_is_the_number_nan(rule, matrix, monkeypatch):
    """Draws are weighted and summed afterwards, so each has to be a number."""
    if not matrix:
        monkeypatch.setattr(module, "_MATRIX_CLUSTERS", 0)
    human, model = np.array([1, 1, 2, 2.0]), np.array([3, 3, 4, 4.0])
    draws = correlation_draw(rule, human, model, np.array([0, 0, 1, 1]))(np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert draws.dtype == np.float64
    assert np.isnan(draws).tolist() == [True, False]


@pytest.mark.parametrize("times", [(1, 1, 1, 1, 1), (2, 1, 0, 1, 1), (1, 0, 3, 0, 1)])
def test_values_drawn_once_are_values_of_tau_c(times):
    human, model = np.arange(1, 6.0), np.array([2, 1, 4, 3, 5.0])
    draw = correlation_draw("kendall_c", human, model, np.arange(5))
    expected = stats.kendalltau(np.repeat(human, times), np.repeat(model, times), variant="c").statistic
    assert draw(np.array([times], dtype=float)) == pytest.approx([expected])
