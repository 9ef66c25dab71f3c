"""Bins of confidence and ECE: against a plain loop in exact fractions, and what must hold of any margins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmbench.metrics.calibration.reliability import (
    calibration_error,
    calibration_error_draw,
    confidence_of,
    reliability,
)

MARGINS = st.lists(
    st.sampled_from([-800.0, -3.0, -1.0, -0.25, 0.0, 0.25, 1.0, 2.0, 3.0, 40.0]), min_size=1, max_size=70
)
FLOATS = st.lists(st.floats(-50, 50), min_size=1, max_size=70)


def by_hand(margins: Sequence[float], bins: int) -> float:
    """Pairs poured into bins of equal capacity, least sure first; those of one confidence share their accuracy."""
    groups: dict[float, list[Fraction]] = {}
    for margin in margins:
        confidence = float(confidence_of(np.array([margin]))[0])
        groups.setdefault(confidence, []).append(Fraction(1 if margin > 0 else 0) + (margin == 0) * Fraction(1, 2))
    room = capacity = Fraction(len(margins), bins)
    total, gap = Fraction(0), Fraction(0)
    for confidence, right in sorted(groups.items()):
        left, accuracy = Fraction(len(right)), sum(right, Fraction(0)) / len(right)
        while left > 0:
            poured = min(left, room)
            gap += poured * (accuracy - Fraction(confidence))
            left, room = left - poured, room - poured
            if not room:
                total, gap, room = total + abs(gap), Fraction(0), capacity
    return float((total + abs(gap)) / len(margins))


@given(MARGINS | FLOATS, st.integers(1, 20))
def test_the_error_is_that_of_a_plain_loop(margins: list[float], bins: int) -> None:
    assert calibration_error(np.array(margins), bins) == pytest.approx(by_hand(margins, bins), abs=1e-12)


@given(MARGINS | FLOATS, st.integers(1, 20))
def test_the_bins_hold_every_pair_once_and_give_the_error(margins: list[float], bins: int) -> None:
    array = np.array(margins)
    found = reliability(array, bins)
    mass = found.weights.sum(axis=1)
    assert found.weights.sum(axis=0) == pytest.approx(1)
    assert mass.sum() == pytest.approx(len(margins))
    assert (mass > 0).all()
    assert (found.low <= found.confidence + 1e-12).all()
    assert (found.confidence <= found.high + 1e-12).all()
    assert (found.high[:-1] <= found.low[1:]).all()
    joined = found.low == found.high
    assert mass[~joined] == pytest.approx(len(margins) / bins)
    error = float((mass * np.abs(found.accuracy - found.confidence)).sum() / len(margins))
    assert error == pytest.approx(calibration_error(array, bins), abs=1e-12)
    assert float(mass @ found.accuracy) == pytest.approx(np.heaviside(array, 0.5).sum())


@given(MARGINS, st.randoms())
def test_the_order_of_pairs_does_not_matter(margins: list[float], random: Random) -> None:
    turned = list(margins)
    random.shuffle(turned)
    assert calibration_error(np.array(turned)) == pytest.approx(calibration_error(np.array(margins)), abs=1e-12)


@given(MARGINS, st.data())
def test_a_draw_is_the_error_of_the_pairs_drawn(margins: list[float], data: st.DataObject) -> None:
    array = np.array(margins)
    cluster = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(margins), max_size=len(margins))))
    _, cluster = np.unique(cluster, return_inverse=True)
    groups = int(cluster.max()) + 1
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=groups, max_size=groups)), dtype=np.float64)
    if counts[cluster].sum():
        drawn = np.repeat(array, counts[cluster].astype(int))
        error = calibration_error_draw(array, cluster)(counts[None])
        assert error == pytest.approx([calibration_error(drawn)], abs=1e-12)


def test_known_errors() -> None:
    assert calibration_error(np.zeros(7)) == 0  # a tie promises one half, and is half right
    assert calibration_error(np.full(7, 800.0)) == 0
    assert calibration_error(np.full(7, -800.0)) == 1
    # Sure of three in four, at log 3, and right on three of four: nothing is amiss in one bin.
    assert calibration_error(np.array([1.0, 1.0, 1.0, -1.0]) * math.log(3), 1) == pytest.approx(0, abs=1e-15)
