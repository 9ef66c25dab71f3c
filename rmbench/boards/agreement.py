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
    parts = [_shared(places) for places in zip(*models, strict=True)]
    credit = np.concatenate(parts, axis=1) if parts else np.zeros((len(models), 0))
    if credit.shape[1] == 0:
        return None
    return np.stack([1 - np.abs(credit - row).mean(axis=1) for row in credit])


def _shared(places: Sequence[Path]) -> Floats:
    """[models, n] the credits of the rows that all models have one of, in the order of their ids."""
    names: list[tuple[str, ...]] = []
    values: list[Floats] = []
    for place in places:  # one model's at a time as Python data, which take twenty times as much memory
        credits_ = {name: value for name, value in read_credits(place).items() if value is not None}
        own = tuple(credits_)
        names.append(names[0] if names and own == names[0] else own)
        values.append(np.array(list(credits_.values()), dtype=np.float64))
    shared = sorted(set(names[0]).intersection(*{id(each): each for each in names[1:]}.values())) if names else []
    parts = []
    for own, found in zip(names, values, strict=True):
        at = {name: place for place, name in enumerate(own)}
        parts.append(found[[at[name] for name in shared]] if shared else found[:0])
    return np.array(parts, dtype=np.float64).reshape(len(places), len(shared))


def clustered(alike: Floats) -> list[int]:
    """An order of the models, by average linkage of their distances, in which neighbours are alike."""
    if len(alike) < 3:
        return list(range(len(alike)))
    distance = squareform(np.clip(1 - alike, 0, None), checks=False)
    tree = linkage(distance, "average", optimal_ordering=True)
    return [int(place) for place in leaves_list(tree)]
