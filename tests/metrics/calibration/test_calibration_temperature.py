"""The fitted temperature against scipy's general minimiser, and its draws against fits of the pairs drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from rmbench.metrics.calibration.temperature import inverse_temperature, inverse_temperature_draw, log_loss

SOME = st.lists(st.floats(-20, 20).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=1, max_size=60)


@given(SOME)
def test_no_other_temperature_has_less_loss(margins: list[float]) -> None:
    array = np.array(margins)
    b = inverse_temperature(array)
    if b == 0:
        assert array.mean() <= 0
    elif math.isinf(b):
        assert (array >= 0).all()
    else:
        best = minimize_scalar(lambda log: log_loss(array * math.exp(log)).mean(), bounds=(-25, 25), method="bounded")
        assert log_loss(array * b).mean() <= best.fun + 1e-9
        assert log_loss(array * b).mean() < min(log_loss(array * b * 0.9).mean(), log_loss(array * b * 1.1).mean())


@given(SOME, st.sampled_from([1e-60, 1e-3, 7.0, 1e80]))
def test_margins_in_other_units_have_the_temperature_in_these_units(margins: list[float], unit: float) -> None:
    array = np.array(margins)
    assert inverse_temperature(array * unit) * unit == pytest.approx(inverse_temperature(array), rel=1e-9)


@given(SOME, st.data())
def test_weights_are_copies(margins: list[float], data: st.DataObject) -> None:
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(margins), max_size=len(margins))))
    if times.sum():
        array = np.array(margins)
        copied = inverse_temperature(np.repeat(array, times))
        assert inverse_temperature(array, times.astype(float)) == pytest.approx(copied, rel=1e-9)


@pytest.mark.parametrize("n, clusters", [(25, 25), (400, 40), (2000, 2000)])
def test_draws_are_fits_of_the_pairs_drawn(n: int, clusters: int) -> None:
    rng = np.random.default_rng(n)
    margins = rng.standard_t(3, n) + 0.7
    cluster = rng.permutation(np.arange(n) % clusters)
    counts = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=200).astype(float)
    again = [inverse_temperature(np.repeat(margins, times[cluster].astype(int))) for times in counts]
    assert inverse_temperature_draw(margins, cluster)(counts) == pytest.approx(again, rel=1e-3)


def test_draws_without_an_end() -> None:
    """A draw may hold no wrong pair, or be worse than chance."""
    margins, cluster = np.array([1.0, 2.0, -0.5]), np.arange(3)
    counts = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]])
    draws = inverse_temperature_draw(margins, cluster)(counts)
    assert draws.tolist() == [math.inf, 0.0, pytest.approx(inverse_temperature(margins), rel=1e-4)]


def test_known_temperatures() -> None:
    # Three of four right at margin 2: sigmoid(2/T) = 3/4.
    assert inverse_temperature(np.array([2.0, 2.0, 2.0, -2.0])) == pytest.approx(math.log(3) / 2)
    assert inverse_temperature(np.array([1.0, 2.0])) == math.inf
    assert inverse_temperature(np.array([1.0, -1.0])) == 0
    assert inverse_temperature(np.zeros(3)) == 0
    assert log_loss(np.array([0.0, 1e100, -1e100])).tolist() == [math.log(2), 0, 1e100]
