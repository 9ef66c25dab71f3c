"""How often models are right and wrong on the same rows, and an order in which those alike stand together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.records.store import read_credits

__all__ = ["agreement", "clustered"]


def agreement(models: Sequence[Sequence[Path]]) -> Floats | None:
    """[models, models] 1 - the mean distance of credits on the rows that all have; of rows that are right or wrong,
    the share on which two models agree. None where they share no rows with credits.

    Args:
        models: per model the folders of its records, one per task, in one order.
    """
    parts = []
    for places in zip(*models, strict=True):
        credits_of = [
            {name: value for name, value in read_credits(place).items() if value is not None} for place in places
        ]
        shared = sorted(set(credits_of[0]).intersection(*credits_of[1:])) if credits_of else []
        parts.append(np.array([[each[name] for name in shared] for each in credits_of], dtype=np.float64))
    credit = np.concatenate(parts, axis=1) if parts else np.zeros((len(models), 0))
    if credit.shape[1] == 0:
        return None
    return np.stack([1 - np.abs(credit - row).mean(axis=1) for row in credit])


def clustered(alike: Floats) -> list[int]:
    """An order of the models, by average linkage of their distances, in which neighbours are alike."""
    if len(alike) < 3:
        return list(range(len(alike)))
    distance = squareform(np.clip(1 - alike, 0, None), checks=False)
    tree = linkage(distance, "average", optimal_ordering=True)
    return [int(place) for place in leaves_list(tree)]
