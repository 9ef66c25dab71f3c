"""Centroid distances against hand calculations and plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.metrics.probing.centroids import (
    Centroids,
    fit_centroids,
    low_confidence,
    read,
    relied_on,
    shares,
)
from rmbench.metrics.probing.states import Standardizer


def of(means: dict[str, list[list[float]]], temperature: float = 1.0, limit: float = 1.0) -> Centroids:
    """Centroids on axes that are standard already."""
    tables = {name: np.array(rows) for name, rows in means.items()}
    hidden = next(iter(tables.values())).shape[1]
    return Centroids(Standardizer(np.zeros(hidden), np.ones(hidden)), tables, temperature, limit, 10)


GOLDEN = {"first": [[0.0, 0.0], [4.0, 0.0]], "second": [[0.0, 3.0], [0.0, 9.0]]}
SQUARE = {"a": np.array([[0.0, 0.0], [2.0, 0.0]]), "b": np.array([[0.0, 2.0], [2.0, 2.0]])}
SQUARE_LABELS = {"a": np.array([0, 1]), "b": np.array([0, 1])}


def test_golden_row() -> None:
    reading = read(of(GOLDEN, limit=1.5), np.array([[1.0, 1.0]]))
    np.testing.assert_allclose(reading.distances, [[1.414214, 2.236068]], atol=5e-7)
    np.testing.assert_array_equal(reading.relied_on, [0])
    np.testing.assert_allclose(reading.weights, [[0.694630, 0.305370]], atol=5e-7)
    assert reading.shares == {"first": 1.0, "second": 0.0}
    assert reading.low_confidence.tolist() == [False]
    assert read(of(GOLDEN, limit=1.4), np.array([[1.0, 1.0]])).low_confidence.tolist() == [True]


def test_fit_by_hand() -> None:
    # Pooled mean (1, 1) and deviation (1, 1): a's centroids become (-1, -1) and (1, -1), b's (-1, 1) and (1, 1).
    held_out = np.array([[1.0, 0.0], [1.0, 2.0], [0.0, 0.0]])
    fitted = fit_centroids(SQUARE, SQUARE_LABELS, held_out=held_out)
    assert fitted.dimensions == ("a", "b")
    np.testing.assert_allclose(fitted.means["a"], [[-1, -1], [1, -1]])
    np.testing.assert_allclose(fitted.means["b"], [[-1, 1], [1, 1]])
    far = math.sqrt(5)
    np.testing.assert_allclose(fitted.distances(held_out), np.array([[1, far], [far, 1], [0, 2]]), atol=1e-12)
    # All six distances: 0, 1, 1, 2, root 5, root 5; the smallest of each row: 0, 1, 1.
    assert fitted.temperature == pytest.approx(1.5)
    assert fitted.limit == pytest.approx(1.0)
    assert fitted.held_out == 3
    d = fitted.distances(held_out)
    assert relied_on(d).tolist() == [0, 1, 0]
    np.testing.assert_allclose(shares(d), [2 / 3, 1 / 3])
    assert low_confidence(d, 0.5).tolist() == [True, True, False]


def test_coordinates_that_never_varied_are_left_out() -> None:
    wide = {name: np.concatenate([rows, np.full((2, 1), 0.1)], axis=1) for name, rows in SQUARE.items()}
    held_out = np.array([[1.0, 0.0, 50.0]])
    fitted = fit_centroids(wide, SQUARE_LABELS, held_out=held_out)
    np.testing.assert_allclose(fitted.distances(held_out), [[1.0, math.sqrt(5)]])


def test_units_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    states = {name: rng.normal(size=(40, 3)) for name in ("a", "b")}
    labels = {name: np.arange(40) % 3 for name in states}
    rows = rng.normal(size=(9, 3))
    scaled = {name: table * [1, 1000, 0.01] + [5, 0, -2] for name, table in states.items()}
    plain = fit_centroids(states, labels, held_out=rows)
    other = fit_centroids(scaled, labels, held_out=rows * [1, 1000, 0.01] + [5, 0, -2])
    np.testing.assert_allclose(other.distances(rows * [1, 1000, 0.01] + [5, 0, -2]), plain.distances(rows), rtol=1e-9)
    assert other.temperature == pytest.approx(plain.temperature)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(1, 5))
def test_distances_and_weights_equal_plain_loops(seed: int, dimensions: int, hidden: int) -> None:
    rng = np.random.default_rng(seed)
    means = {f"d{k}": rng.normal(size=(rng.integers(2, 4), hidden)).tolist() for k in range(dimensions)}
    rows = rng.normal(size=(6, hidden))
    reading = read(of(means, temperature=0.7), rows)
    for row, got, weight, chosen in zip(rows, reading.distances, reading.weights, reading.relied_on, strict=True):
        d = [min(math.dist(row, mean) for mean in table) for table in means.values()]
        np.testing.assert_allclose(got, d, rtol=1e-9)
        mass = [math.exp(-value / 0.7) for value in d]
        np.testing.assert_allclose(weight, [value / sum(mass) for value in mass], rtol=1e-9)
        assert chosen == d.index(min(d))
    assert sum(reading.shares.values()) == pytest.approx(1)


def test_rows_are_set_aside_by_their_own_numbers() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(1000, 4)).astype(np.float32)
    labels = np.arange(1000) % 2
    fitted = fit_centroids({"a": rows, "b": rows}, {"a": labels, "b": 1 - labels})
    assert 320 < fitted.held_out < 480
    # A text of both dimensions is aside in both, so half of them come from each.
    alone = fit_centroids({"a": rows}, {"a": labels})
    assert fitted.held_out == 2 * alone.held_out
    order = rng.permutation(1000)
    turned = fit_centroids({"a": rows[order]}, {"a": labels[order]})
    np.testing.assert_allclose(turned.means["a"], alone.means["a"], atol=1e-12)
    assert turned.limit == pytest.approx(alone.limit)
    other = fit_centroids({"a": rows}, {"a": labels}, seed=1)
    assert abs(other.limit - alone.limit) > 1e-9


def test_confidence_is_low_for_one_row_in_twenty_like_the_held_out() -> None:
    rng = np.random.default_rng(2)
    states = {name: rng.normal(size=(500, 6)) + shift for name, shift in (("a", 0.0), ("b", 1.0))}
    labels = {name: np.arange(500) % 2 for name in states}
    held_out = rng.normal(size=(400, 6))
    fitted = fit_centroids(states, labels, held_out=held_out)
    assert read(fitted, held_out).low_share == pytest.approx(0.05, abs=1 / 400)
    assert read(fitted, held_out + 20).low_share == 1.0


@pytest.mark.parametrize(
    ("states", "labels", "held_out", "message"),
    [
        ({}, {}, None, "expected the same"),
        (SQUARE, {"a": np.array([0, 1])}, None, r"labels of \['a'\]"),
        (SQUARE, SQUARE_LABELS | {"b": np.array([1, 1])}, None, "all rows of b have label 1"),
        (SQUARE, SQUARE_LABELS | {"b": np.array([0, -1])}, None, "labels of b: row 1 has label -1"),
        (SQUARE | {"b": np.ones((2, 3))}, SQUARE_LABELS, None, "states of b: hidden size 3, expected 2"),
        (SQUARE | {"b": np.array([[0, 0], [0, np.nan]])}, SQUARE_LABELS, None, "states of b: row 1 is not finite"),
        ({k: np.ones((2, 2)) for k in "ab"}, SQUARE_LABELS, np.ones((1, 2)), "all 4 rows are the same"),
        (SQUARE, SQUARE_LABELS, np.ones((1, 3)), "held-out states: hidden size 3, expected 2"),
        (SQUARE, SQUARE_LABELS, np.ones((0, 2)), "no held-out rows"),
        ({"a": SQUARE["a"]}, {"a": np.array([0, 1])}, SQUARE["a"], "median distance of the held-out rows is 0"),
    ],
)
def test_what_cannot_be_fitted_is_said(states: Any, labels: Any, held_out: Any, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        fit_centroids(states, labels, held_out=held_out)


def test_a_class_of_one_row_is_never_lost_in_silence() -> None:
    rng = np.random.default_rng(4)
    rows, labels = rng.normal(size=(30, 2)), np.array([0] + [1] * 29)
    kept, lost = 0, 0
    for seed in range(40):
        try:
            kept += len(fit_centroids({"a": rows}, {"a": labels}, seed=seed).means["a"]) == 2
        except RmbenchError as error:
            lost += "a has too few rows of label 0 to set any aside" in str(error)
    # The one row is set aside for about one seed in five.
    assert kept + lost == 40
    assert 1 <= lost <= 20
