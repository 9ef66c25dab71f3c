"""Generators compared under reward models: means, differences paired by prompt, wins, and how far the models agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.metrics.uncertainty.discordance import holm
from rmbench.metrics.uncertainty.interval import wilson
from rmbench.metrics.uncertainty.sign_flip import sign_flip

__all__ = ["ALPHA", "Agreement", "Standing", "Win", "agreement_of", "complete", "limits_of", "standings_of", "wins_of"]

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Standing:
    """A generator under one reward model, on the prompts for which every generator has a score."""

    generator: str
    mean: float
    low: float | None
    high: float | None
    """95% limits of the mean, by Student's t over prompts; None for one prompt."""
    place: int
    """1: the highest mean; equal means share a place."""
    behind: float
    """The mean difference from the first, paired by prompt; 0 for the first."""
    p: float | None
    """Two-sided, that it does not differ from the first: sign flips of the paired differences, by Holm over the
    generators. None for the first."""
    scored: int
    """Of its own images, how many have a score."""

    @property
    def not_told_apart(self) -> bool:
        """Whether it may be as good as the first."""
        return self.p is None or self.p >= ALPHA


@dataclass(frozen=True, slots=True)
class Win:
    """How often one generator's image has the higher score of two, a tie being half."""

    winner: str
    loser: str
    share: float
    low: float
    high: float
    """95% limits by Wilson."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two reward models agree."""

    models: tuple[str, str]
    on_generators: float | None
    """Kendall's tau-b of the generators' means; None for fewer than two, or all equal."""
    on_prompts: float | None
    """The mean over prompts of Kendall's tau-b of the generators' scores, without prompts whose scores are equal."""


def complete(scores: Floats) -> Floats:
    """[generators, n] the scores of the prompts for which every generator has one; `scores` as in `standings_of`."""
    return scores[:, ~np.isnan(scores).any(axis=0)]


def standings_of(generators: Sequence[str], scores: Floats, *, seed: int = 0) -> tuple[Standing, ...]:
    """The generators by their means, the best first.

    Args:
        generators: their names.
        scores: [generators, prompts], NaN where there is none; prompts with one are left out.
        seed: of the sign flips, where these are drawn.
    """
    scored = (~np.isnan(scores)).sum(axis=1)
    whole = complete(scores)
    n = whole.shape[1]
    if n == 0:
        return ()
    means = whole.mean(axis=1)
    first = int(means.argmax())
    rng = np.random.default_rng(seed)
    others = [k for k in range(len(generators)) if k != first]
    corrected = dict(zip(others, holm([sign_flip(whole[k] - whole[first], rng)[1] for k in others]), strict=True))
    places = stats.rankdata(-means, method="min")
    made = [
        Standing(
            generator=name,
            mean=float(means[k]),
            low=limits[0],
            high=limits[1],
            place=int(places[k]),
            behind=float((whole[k] - whole[first]).mean()),
            p=corrected.get(k),
            scored=int(scored[k]),
        )
        for k, name in enumerate(generators)
        for limits in [limits_of(whole[k])]
    ]
    return tuple(sorted(made, key=lambda one: (one.place, one.generator)))


def limits_of(values: Floats) -> tuple[float | None, float | None]:
    """95% limits of a mean by Student's t; None for one value."""
    if len(values) < 2:
        return None, None
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def wins_of(generators: Sequence[str], scores: Floats) -> tuple[Win, ...]:
    """Every ordered pair, on the prompts for which both have a score; a pair without one is left out."""
    found = []
    for i, winner in enumerate(generators):
        for j, loser in enumerate(generators):
            both = ~np.isnan(scores[i]) & ~np.isnan(scores[j])
            n = int(both.sum())
            if i != j and n:
                won = float((np.sign(scores[i, both] - scores[j, both]) + 1).sum() / 2)
                found.append(Win(winner, loser, won / n, *wilson(won, n)))
    return tuple(found)


def agreement_of(scores: Mapping[str, Floats]) -> tuple[Agreement, ...]:
    """Every pair of models, on the prompts for which every generator has a score of both; `scores` as in
    `standings_of`."""
    found = []
    for a, b in combinations(scores, 2):
        one, other = np.split(complete(np.concatenate([scores[a], scores[b]])), 2)
        by_prompt = [tau for x, y in zip(one.T, other.T, strict=True) if (tau := _tau(x, y)) is not None]
        means = _tau(one.mean(axis=1), other.mean(axis=1)) if one.shape[1] else None
        found.append(Agreement((a, b), means, float(np.mean(by_prompt)) if by_prompt else None))
    return tuple(found)


def _tau(one: Floats, other: Floats) -> float | None:
    tau = float(stats.kendalltau(one, other).statistic) if len(one) > 1 else np.nan
    return None if np.isnan(tau) else tau
