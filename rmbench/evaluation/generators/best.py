"""Best-of-n over several images of one generator for one prompt: what the highest of n scores is on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rmbench.evaluation.generators.compared import limits_of
from rmbench.metrics.credit.listwise import best_of_n
from rmbench.metrics.uncertainty.aggregate import Floats

__all__ = ["BestOf", "best_of"]


@dataclass(frozen=True, slots=True)
class BestOf:
    """What is had by making n images for each prompt and keeping the one that a reward model scores highest."""

    generator: str
    n: int
    mean: float
    """The kept image's score, expected over the draws of n of a prompt's images without replacement, mean over
    prompts."""
    low: float | None
    high: float | None
    """95% limits, by Student's t over prompts; None for one prompt."""
    others: Mapping[str, float]
    """Other reward models -> their score of the kept image, expected in the same way: where it does not rise with n,
    the first model's does for reasons that the other does not see."""


def best_of(generators: Sequence[str], cubes: Mapping[str, Floats]) -> dict[str, tuple[BestOf, ...]]:
    """The curves of each reward model, n from 1 to the fewest images that a generator has for a prompt.

    Args:
        generators: their names.
        cubes: model -> scores [generators, prompts, images], NaN where there is none. An image counts where every
            model has a score of it, a prompt where every generator has an image that counts.
    """
    if not cubes:
        return {}
    there = np.logical_not(np.isnan(np.stack(list(cubes.values()))).any(axis=0))  # [G, P, S]
    counts = there.sum(axis=2)
    prompts = [int(p) for p in np.flatnonzero((counts > 0).all(axis=0))]
    most = int(counts[:, prompts].min()) if prompts else 0
    if most < 2:
        return {}
    return {
        model: tuple(
            one
            for g, generator in enumerate(generators)
            for one in _curve(
                generator, model, {name: cube[g] for name, cube in cubes.items()}, there[g], prompts, most
            )
        )
        for model in cubes
    }


def _curve(
    generator: str,
    model: str,
    scores: Mapping[str, Floats],
    there: npt.NDArray[np.bool_],
    prompts: Sequence[int],
    most: int,
) -> list[BestOf]:
    """Of one generator under one model; scores and what is there are [prompts, images]."""
    curves = {
        name: np.array(
            [best_of_n(list(scores[model][p, there[p]]), list(own[p, there[p]]))[:most] for p in prompts]
        )  # [prompts, n]
        for name, own in scores.items()
    }
    found = []
    for k in range(most):
        low, high = limits_of(curves[model][:, k])
        others = {name: float(curve[:, k].mean()) for name, curve in curves.items() if name != model}
        found.append(BestOf(generator, k + 1, float(curves[model][:, k].mean()), low, high, others))
    return found
