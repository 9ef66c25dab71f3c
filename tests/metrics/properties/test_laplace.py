"""The logistic fit with a Laplace prior: against a grid, by the conditions of the mode, and on released weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from rmbench.errors import RmbenchError
from rmbench.metrics.properties.laplace import laplace_map, laplace_posterior, similarity
from rmbench.metrics.properties.polya_gamma import polya_gamma


@pytest.mark.parametrize("z", [0.0, 0.5, 2.0, 5.0, 30.0, 200.0])
def test_polya_gamma_has_its_mean_and_variance(z: float) -> None:
    """Polson, Scott and Windle 2013, and 200 draws that agree with an independent sum of exponentials' moments."""
    drawn = polya_gamma(np.full(200_000, -z), np.random.default_rng(0))
    k = np.arange(1, 200_000) - 0.5
    rates = 2 * np.pi**2 * k**2 + z**2 / 2  # PG(1, z) is a sum of exponentials with these rates
    mean, variance = (1 / rates).sum(), (1 / rates**2).sum()
    assert drawn.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / len(drawn)) + 2e-7)
    assert drawn.var() == pytest.approx(variance, rel=0.03)
    assert (drawn > 0).all()


def rows_of(n: int, weights: list[float], seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, (n, len(weights))).astype(np.float64)
    return x, np.where(rng.random(n) < special.expit(x @ np.array(weights)), 1.0, -1.0)


def test_the_posterior_is_that_of_a_grid() -> None:
    x, y = rows_of(80, [0.8, -0.1])
    axis = np.linspace(-2.5, 2.5, 801)
    a, b = np.meshgrid(axis, axis, indexing="ij")
    log = -(np.abs(a) + np.abs(b)) / 0.2
    for row, answer in zip(x, y, strict=True):
        log = log - np.logaddexp(0.0, -answer * (row[0] * a + row[1] * b))
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    means = np.array([(weight * a).sum(), (weight * b).sum()])
    marginal = weight.sum(axis=1).cumsum()
    low, high = axis[np.searchsorted(marginal, 0.025)], axis[np.searchsorted(marginal, 0.975)]
    found = laplace_posterior(x, y, scale=0.2, draws=40_000)
    assert found.mean == pytest.approx(means, abs=0.006)
    assert (found.low[0], found.high[0]) == pytest.approx((low, high), abs=0.03)
    assert found.r_hat < 1.01


def test_the_mode_is_that_of_an_l1_penalty() -> None:
    """The subgradient of C sum of losses + |w| is 0 there, C being the scale; weights of 0 are exactly that."""
    x, y = rows_of(300, [1.0, -0.6, 0.0, 0.0, 0.05])
    scale = 0.1
    weights = laplace_map(x, y, scale=scale)
    slope = scale * (x.T @ (-y * special.expit(-y * (x @ weights))))
    active = weights != 0
    assert slope[active] == pytest.approx(-np.sign(weights[active]), abs=1e-4)
    assert (np.abs(slope[~active]) <= 1 + 1e-4).all()
    assert 0 < active.sum() < 5
    assert weights[0] > 0 > weights[1]


def test_known_weights_are_found() -> None:
    true = [1.2, -0.8, 0.4, 0.0, 0.0]
    x, y = rows_of(4000, true, seed=3)
    found = laplace_posterior(x, y, scale=1.0, draws=800, warm_up=200)
    assert found.mean == pytest.approx(true, abs=0.12)
    assert (np.abs(found.mean - true) < 3.5 * found.draws.std(axis=0)).all()
    assert laplace_map(x, y, scale=1.0) == pytest.approx(found.mean, abs=0.02)


def test_a_property_that_no_pair_differs_in_keeps_its_prior() -> None:
    x, y = rows_of(50, [1.0, 0.0])
    x[:, 1] = 0
    found = laplace_posterior(x, y, draws=400)
    assert (found.mean[1], found.low[1], found.high[1]) == pytest.approx((0, -0.1 * np.log(20), 0.1 * np.log(20)))
    assert laplace_map(x, y)[1] == 0


def test_draws_come_from_the_seed_alone() -> None:
    x, y = rows_of(40, [1.0, 0.0])
    one, other, third = (laplace_posterior(x, y, draws=40, warm_up=5, seed=seed).mean for seed in (1, 1, 2))
    assert (one == other).all()
    assert (one != third).any()


def test_what_no_fit_takes() -> None:
    x, y = rows_of(10, [1.0])
    with pytest.raises(RmbenchError, match="scale: expected a number above 0, found 0"):
        laplace_posterior(x, y, scale=0)
    with pytest.raises(RmbenchError, match="each 1 or -1"):
        laplace_map(x, y * 2)


SCENARIOS = (
    *("Functional Writing", "Others", "Knowledge-aware", "Code", "Advice", "Daily Tasks", "NLP Tasks"),
    *("Creative Writing", "Unsafe Queries", "Exam Questions", "Communication"),
)
GOLDEN = {
    ("human", "gpt-4-1106-preview"): 0.741950,
    ("human", "yi-6b-chat"): 0.532025,
    ("yi-6b", "yi-6b-chat"): 0.884733,
    ("llama-2-7b", "llama-2-7b-chat"): 0.469002,
}


@pytest.fixture(scope="module")
def released(data: Path) -> dict[str, dict[str, np.ndarray]]:
    """Scenario -> model -> weights, as their authors fitted them."""
    folder = data / "preference-dissection/visualization/data/fitted_paras_comparison"
    out: dict[str, dict[str, np.ndarray]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        name = path.name.removeprefix("model_").removesuffix("_fitted_paras.jsonl")
        out[name] = {row["model_name"]: np.array(row["parameters"]) for row in rows}
    return out


@pytest.mark.parametrize("pair", GOLDEN)
def test_similarity_of_the_released_weights(pair: tuple[str, str], released: dict[str, dict[str, np.ndarray]]) -> None:
    found = [similarity(*(released[scenario][model] for model in pair)) for scenario in SCENARIOS]
    assert np.mean([value for value in found if value is not None]) == pytest.approx(GOLDEN[pair], abs=5e-7)


def test_the_released_weights_as_chances(released: dict[str, dict[str, np.ndarray]]) -> None:
    shown = 100 * special.expit(released["Code"]["human"])
    assert shown[[18, 19, 28]] == pytest.approx([63.716, 62.235, 58.612], abs=5e-4)


def test_weights_that_are_all_equal_are_like_none() -> None:
    assert similarity(np.zeros(3), np.array([1.0, 2.0, 3.0])) is None
