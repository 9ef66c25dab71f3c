"""Tango, McNemar, Holm, power and the sign-flip test against published tables and second computations."""

from __future__ import annotations

import itertools
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar as theirs
from statsmodels.stats.multitest import multipletests

from rmbench.metrics.uncertainty.discordance import (
    holm,
    mcnemar,
    mcnemar_worse,
    minimum_detectable_effect,
    n_for_non_inferiority,
    newcombe_limits,
    tango_limits,
    tango_q,
    tango_variance,
    tango_z,
)
from rmbench.metrics.uncertainty.sign_flip import sign_flip

PUBLISHED = [
    # b, c, n, exact, mid-p, Tango low, high
    (12, 2, 50, 0.012939, 0.007385, -0.34471, -0.06111),
    (10, 5, 100, 0.301758, 0.210114, -0.13347, 0.02862),
    (25, 10, 358, 0.016674, 0.011331, -0.07668, -0.01004),
    (60, 40, 1563, 0.056888, 0.046044, -0.02571, -0.00026),
    (9, 1, 100, 0.021484, 0.011719, -0.15408, -0.02265),
    (5, 0, 100, 0.062500, 0.031250, -0.11175, -0.01116),
    (7, 7, 100, 1, 1, -0.07972, 0.07972),
    (30, 23, 456, 0.4101, 0.3409, -0.04777, 0.01642),
    (39, 26, 1431, 0.1360, 0.1089, -0.02062, 0.00201),
]
COUNTS = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 60))


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("b, c, n, exact, midp, low, high", PUBLISHED)
def test_published_tests_and_limits(b, c, n, exact, midp, low, high):
    places = 5e-5 if n in (456, 1431) else 1e-6
    assert mcnemar(b, c) == (pytest.approx(exact, abs=places), pytest.approx(midp, abs=places))
    assert tango_limits(b, c, n) == (pytest.approx(low, abs=6e-6), pytest.approx(high, abs=6e-6))
    assert mcnemar(b, c)[0] == pytest.approx(theirs([[0, b], [c, 0]], exact=True).pvalue)


@pytest.mark.parametrize(
    "cells, low, high",
    [
        ((36, 12, 2, 0), -0.34043, -0.05693),
        ((200, 25, 10, 123), -0.07428, -0.00935),
        ((1400, 60, 40, 63), -0.02565, -0.00017),
    ],
)
def test_newcombe_published(cells, low, high):
    assert newcombe_limits(*cells) == (pytest.approx(low, abs=6e-6), pytest.approx(high, abs=6e-6))


def test_newcombe_without_correction_published():
    got = newcombe_limits(200, 25, 10, 123, corrected=False)
    assert got == (pytest.approx(-0.07383, abs=6e-6), pytest.approx(-0.00981, abs=6e-6))
    assert newcombe_limits(5, 0, 0, 0)[0] < 0 < newcombe_limits(5, 0, 0, 0)[1]


@pytest.mark.parametrize(
    "b, c, n, p",
    [
        (12, 2, 50, 0.007526),
        (10, 5, 100, 0.196706),
        (25, 10, 358, 0.011230),
        (60, 40, 1563, 0.045500),
        (5, 0, 100, 0.025347),
    ],
)
def test_tango_at_no_difference_is_mcnemars_chi_squared(b, c, n, p):
    assert stats.chi2.sf(tango_z(b, c, n, 0) ** 2, 1) == pytest.approx(p, abs=6e-7)


def test_published_restricted_probabilities():
    assert tango_q(12, 2, 50, -0.1) == pytest.approx(0.1742442890, abs=5e-11)
    assert tango_q(12, 2, 50, 0.05) == pytest.approx(0.1291386173, abs=5e-11)
    assert tango_q(25, 10, 358, -0.03) == pytest.approx(0.0621519267, abs=5e-11)


@pytest.mark.parametrize(
    "b, c, n, z, p",
    [
        (60, 40, 1563, 2.5719, 0.00506),
        (25, 10, 358, -0.7367, 0.76935),
        (10, 5, 100, -0.5242, None),
        (7, 7, 100, 0.7894, 0.21494),
        (12, 2, 50, -2.3353, None),
    ],
)
def test_published_non_inferiority(b, c, n, z, p):
    assert tango_z(b, c, n, -0.03) == pytest.approx(z, abs=6e-5)
    if p is not None:
        assert stats.norm.sf(tango_z(b, c, n, -0.03)) == pytest.approx(p, abs=6e-6)


@pytest.mark.parametrize(
    "b, c, n, difference", [(12, 2, 50, -0.1), (3, 9, 40, 0.1), (25, 10, 358, -0.03), (0, 4, 30, 0.2)]
)
def test_the_restricted_probability_maximises_the_likelihood(b, c, n, difference):
    def loss(q):
        cells = (q, q + difference, 1 - 2 * q - difference)
        return -sum(count * np.log(max(p, 1e-300)) for count, p in zip((b, c, n - b - c), cells, strict=True))

    low, high = max(0.0, -difference), (1 - difference) / 2
    best = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    assert tango_q(b, c, n, difference) == pytest.approx(best, abs=1e-5)


@settings(deadline=None, max_examples=80)
@given(COUNTS)
def test_tango_limits_solve_the_score_and_agree_with_mcnemar(counts):
    b, c, more = counts
    n = b + c + more - 1 or 1
    low, high = tango_limits(b, c, n)
    assert -1 <= low < high <= 1
    for limit, sign in ((low, 1), (high, -1)):
        if abs(limit) < 1:
            assert tango_z(b, c, n, limit) == pytest.approx(sign * 1.959964, abs=1e-4)
    if b + c:
        assert tango_z(b, c, n, 0) ** 2 == pytest.approx((b - c) ** 2 / (b + c))
        assert tango_variance(b, c, n, 0) == pytest.approx((b + c) / n**2)
    mirrored = tango_limits(c, b, n)
    assert mirrored == pytest.approx((-high, -low), abs=1e-8)


def test_a_difference_that_leaves_no_variance_is_infinitely_far_unless_observed():
    assert tango_z(0, 0, 10, 0) == 0
    assert tango_z(0, 10, 10, 1) == tango_z(10, 0, 10, -1) == 0
    assert (tango_z(0, 3, 10, 1), tango_z(3, 0, 10, -1)) == (-np.inf, np.inf)


def test_no_discordant_row_is_no_certainty():
    z2 = 1.959963984540054**2
    assert tango_limits(0, 0, 100) == pytest.approx((-z2 / (100 + z2), z2 / (100 + z2)), abs=1e-9)
    assert mcnemar(0, 0) == (1, 1)
    assert mcnemar_worse(0, 0) == (1, 1)
    assert tango_limits(10, 0, 10)[0] == -1
    assert tango_limits(3, 0, 100) == (pytest.approx(-0.08452, abs=6e-6), pytest.approx(0.00810, abs=6e-6))


def test_one_sided_mcnemar_by_hand():
    assert mcnemar_worse(5, 0) == (pytest.approx(1 / 32), pytest.approx(1 / 64))
    assert mcnemar_worse(3, 1) == (pytest.approx(5 / 16), pytest.approx(3 / 16))


def test_holm_published():
    assert holm([0.001, 0.01, 0.02, 0.04, 0.3]) == pytest.approx([0.005, 0.04, 0.06, 0.08, 0.3])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(p_values):
    # theirs collects garbage in each call, which takes a second among all the objects of a test run
    with patch("gc.collect"):
        assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@pytest.mark.parametrize(
    "margin, sizes",
    [
        (0.01, (1237, 3092, 6183, 12366)),
        (0.02, (310, 773, 1546, 3092)),
        (0.03, (138, 344, 687, 1374)),
        (0.05, (50, 124, 248, 495)),
    ],
)
def test_rows_for_non_inferiority_published(margin, sizes):
    assert tuple(n_for_non_inferiority(psi, margin) for psi in (0.02, 0.05, 0.1, 0.2)) == sizes


@pytest.mark.parametrize(
    "n, psi, one_sided, two_sided",
    [
        (100, 0.1, 0.0778, 0.0876),
        (358, 0.02, 0.0185, None),
        (358, 0.2, 0.0586, 0.0660),
        (1563, 0.1, 0.0199, 0.0224),
        (2985, 0.05, 0.0102, 0.0115),
    ],
)
def test_minimum_detectable_effect_published(n, psi, one_sided, two_sided):
    assert minimum_detectable_effect(n, psi) == pytest.approx(one_sided, abs=5.1e-5)
    got = minimum_detectable_effect(n, psi, 0.025)
    assert got is None if two_sided is None else got == pytest.approx(two_sided, abs=5.1e-5)


def test_nothing_is_detectable_at_small_discordance():
    assert minimum_detectable_effect(100, 0.05) is None
    assert minimum_detectable_effect(100, 0.0) is None


def test_sign_flip_published():
    sums = np.array([-2, 1, -1, -2, 1, -1.0])
    p, midp = sign_flip(sums, rng())
    flips = [
        abs(sum(s * x for s, x in zip(signs, sums, strict=True))) for signs in itertools.product((-1, 1), repeat=6)
    ]
    assert p == 0.40625 == sum(total >= 4 for total in flips) / 64
    assert midp == p - sum(total == 4 for total in flips) / 128


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10), st.integers(0, 10), st.integers(0, 5))
def test_sign_flip_of_single_rows_is_mcnemar(b, c, ties):
    sums = np.repeat([-1.0, 1.0, 0.0], [b, c, ties])
    p, midp = sign_flip(sums / 7, rng())
    assert p == pytest.approx(mcnemar(b, c)[0])
    if b != c:
        assert midp == pytest.approx(mcnemar(b, c)[1])


def test_many_clusters_are_flipped_at_random():
    sums = np.repeat([-1.0, 1.0], [25, 10])
    p, midp = sign_flip(sums, rng())
    assert p == pytest.approx(mcnemar(25, 10)[0], abs=0.005)
    assert midp == pytest.approx(mcnemar(25, 10)[1], abs=0.005)
    assert sign_flip(sums, rng()) == (p, midp)
    assert sign_flip(np.ones(60), rng(), flips=99) == (1 / 100, 0.5 / 100)
    assert sign_flip(np.zeros(4), rng()) == (1, 1)
