"""Ranking accuracy of policies and its idealised form, by the paper's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rmbench.errors import RmbenchError
from rmbench.metrics.policies.ranking import (
    BETAS,
    alignment_gap,
    idealised_accuracy,
    idealised_margin,
    loss_threshold,
    per_token,
    ranking_accuracy,
)


@pytest.mark.parametrize(
    "log_ratio, share, beta, expected",
    [
        (-5, 0.75, 0.1, 5.9861),
        (-5, 0.75, 1, -3.9014),
        (-20, 0.75, 0.1, -9.0139),
        (2, 0.25, 0.1, -8.9861),
        (2, 0.25, 5, 1.7803),
    ],
)
def test_published_terms(log_ratio, share, beta, expected):
    assert idealised_margin(log_ratio, share, beta) == pytest.approx(expected, abs=5.1e-5)
    # The ideal policy is the reference times (share / (1 - share)) ^ (1 / beta).
    ratio = math.exp(log_ratio) * (share / (1 - share)) ** (1 / beta)
    assert (ratio > 1) == (expected > 0)


def test_published_losses():
    assert loss_threshold(0.1, -5) == pytest.approx(0.474077, abs=5.1e-7)
    assert loss_threshold(0.1, 5) == pytest.approx(0.974077, abs=5.1e-7)
    assert loss_threshold(0.1, -5) == pytest.approx(-math.log(1 / (1 + math.exp(-0.1 * 5))))


def test_equal_likelihoods_are_right_and_length_may_change_the_order():
    assert ranking_accuracy([-1.0, -2.0, -3.0], [-1.0, -1.0, -4.0]) == 2 / 3
    better, worse = per_token([-10.0], [20]), per_token([-8.0], [8])
    assert (ranking_accuracy([-10.0], [-8.0]), ranking_accuracy(better, worse)) == (0, 1)


def test_tied_raters_ask_for_equal_probabilities():
    better, worse = [math.log(0.200), math.log(0.200)], [math.log(0.205), math.log(0.300)]
    assert ranking_accuracy(better, worse, [0.5, 0.5]) == 0.5
    assert ranking_accuracy(better, worse, [0.75, 0.75]) == 0


def test_idealised_accuracy_over_betas():
    preferred, other, shares = [-5.0, -20.0, 0.0], [0.0, 0.0, 0.0], [0.75, 0.75, 1.0]
    found = idealised_accuracy(preferred, other, shares)
    plain = {
        beta: np.mean(
            [
                p - o + math.log(s / (1 - s)) / beta > 0
                for p, o, s in zip(preferred, other, (0.75, 0.75, 0.999), strict=True)
            ]
        )
        for beta in BETAS
    }
    assert found.by_beta == pytest.approx(plain)
    assert (found.low, found.median, found.high) == (1 / 3, 1 / 3, 1)
    # The published row of Zephyr-7B-DPO: 99 ideal, 42 reached.
    assert alignment_gap(0.99, 0.42) == pytest.approx(0.57)
    assert alignment_gap(found.high, ranking_accuracy(preferred, other)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("share, beta", [(1.5, 0.1), (-0.1, 0.1), (0.5, 0.0)])
def test_what_is_no_share_or_beta(share, beta):
    with pytest.raises(RmbenchError, match="expected a share in"):
        idealised_margin(0.0, share, beta)
