"""Logistic regression without intercept under a Laplace prior: its posterior, and its mode.

y_i in {-1, 1}, x_i [p]: P(y_i) = sigmoid(y_i x_i . w), each weight w_j ~ Laplace(0, scale). This is the fit of
"Dissecting Human and LLM Preferences" (arXiv 2402.11296), whose authors take the posterior mean by NUTS at scale 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from rmbench.errors import RmbenchError
from rmbench.metrics.properties.polya_gamma import polya_gamma
from rmbench.metrics.uncertainty.aggregate import Floats

__all__ = ["Posterior", "laplace_map", "laplace_posterior", "similarity"]

_CHAINS = 4
_SMALLEST = 1e-10
"""A weight of exactly 0 would have an infinite precision."""


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What draws say of p weights."""

    mean: Floats
    low: Floats
    """[p] 2.5% quantiles."""
    high: Floats
    """[p] 97.5% quantiles."""
    r_hat: float
    """The largest split R-hat of the weights; near 1 where the chains agree (Gelman et al., BDA3, 11.4)."""
    draws: Floats
    """[draws, p], chain after chain."""


def laplace_posterior(
    x: Floats, y: Floats, *, scale: float = 0.1, draws: int = 2000, warm_up: int = 500, seed: int = 0
) -> Posterior:
    """The posterior of the weights by a Gibbs sampler whose steps are all exact draws.

    The likelihood is made Gaussian by Polya-Gamma variables (Polson, Scott and Windle 2013), the prior by the scales of
    the Bayesian lasso (Park and Casella 2008): 1 / tau_j^2 given w_j is inverse Gaussian with mean 1 / (scale |w_j|)
    and shape 1 / scale^2. A property in which no pair differs keeps its prior.

    Args:
        x: [n, p] properties; signs of differences, for pairs.
        y: [n] 1 where the first answer is preferred, -1 where the second is.
        scale: of the prior, above 0.
        draws: kept in all, over four chains.
        warm_up: of each chain, thrown away.
        seed: of all draws.
    """
    _check(x, y, scale)
    rng = np.random.default_rng(seed)
    each = -(-draws // _CHAINS)
    told = (x != 0).any(axis=0)
    kept = rng.laplace(0.0, scale, (_CHAINS, each, x.shape[1]))
    kept[:, :, told] = _gibbs(x[:, told], y, scale, each, warm_up, rng)
    flat = kept.reshape(-1, x.shape[1])
    low, high = np.quantile(flat, (0.025, 0.975), axis=0)
    wide = scale * np.log(20)  # the prior's own quantile
    mean, low, high = (np.where(told, of, own) for of, own in ((flat.mean(axis=0), 0.0), (low, -wide), (high, wide)))
    return Posterior(mean, low, high, _r_hat(kept), flat)


def _gibbs(x: Floats, y: Floats, scale: float, each: int, warm_up: int, rng: np.random.Generator) -> Floats:
    """[chains, each, p] draws of the weights."""
    p = x.shape[1]
    target = x.T @ (y / 2)
    weights = rng.normal(0.0, scale, (_CHAINS, p))
    kept = np.empty((_CHAINS, each, p))
    for step in range(warm_up + each):
        omega = polya_gamma(weights @ x.T, rng)
        precise = rng.wald(1 / (scale * np.maximum(np.abs(weights), _SMALLEST)), 1 / scale**2)
        for chain in range(_CHAINS):
            precision = (x.T * omega[chain]) @ x + np.diag(precise[chain])
            factor = np.linalg.cholesky(precision)
            mean = np.linalg.solve(factor, target)
            weights[chain] = np.linalg.solve(factor.T, mean + rng.standard_normal(p))
        if step >= warm_up:
            kept[:, step - warm_up] = weights
    return kept


def laplace_map(x: Floats, y: Floats, *, scale: float = 0.1) -> Floats:
    """[p] the mode of the posterior: logistic regression with an L1 penalty, `C = scale` in scikit-learn's terms.

    Positive and negative parts of each weight are variables of their own, so that the objective is smooth, and L-BFGS-B
    keeps them at 0 or above.
    """
    _check(x, y, scale)
    p = x.shape[1]

    def objective(parts: Floats) -> tuple[float, Floats]:
        weights = parts[:p] - parts[p:]
        margins = y * (x @ weights)
        slope = x.T @ (-y * special.expit(-margins))
        value = float(np.logaddexp(0.0, -margins).sum() + parts.sum() / scale)
        return value, np.concatenate([slope, -slope]) + 1 / scale

    found = optimize.minimize(
        objective,
        np.zeros(2 * p),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * (2 * p),
        options={"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-14, "gtol": 1e-8},
    )
    return np.asarray(found.x[:p] - found.x[p:], dtype=np.float64)


def similarity(one: Floats, other: Floats) -> float | None:
    """Pearson's r of two models' weights, the paper's similarity; None where one's are all equal."""
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else None


def _check(x: Floats, y: Floats, scale: float) -> None:
    if not scale > 0 or not np.isfinite(scale):
        raise RmbenchError(f"scale: expected a number above 0, found {scale:g}.")
    if x.ndim != 2 or y.shape != x.shape[:1] or not np.isfinite(x).all() or not np.isin(y, (-1, 1)).all():
        raise RmbenchError("the fit takes finite properties [n, p] and n answers, each 1 or -1.")


def _r_hat(kept: Floats) -> float:
    """Each chain in two halves; 1 where there is nothing to compare."""
    half = kept.shape[1] // 2
    if half < 2:
        return 1.0
    parts = np.concatenate([kept[:, :half], kept[:, half : 2 * half]])  # [2 chains, half, p]
    within = parts.var(axis=1, ddof=1).mean(axis=0)
    between = parts.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.sqrt((half - 1) / half + between / within)
    return float(np.nanmax(np.where(within > 0, ratio, 1.0)))
