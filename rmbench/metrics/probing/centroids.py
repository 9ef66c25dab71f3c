"""Inference-time probing: which preference dimension a state lies nearest to, by class centroids of probing data.

The idea is of MRMBench's paper (arXiv 2511.12464), which releases no code for it; the definition is rmbench's own. With
states h standardised by the pooled mean and deviation of all probing rows, and mu_kc the mean of dimension k's rows of
class c: d_k(h) = min over c of |h - mu_kc|; the dimension relied on is argmin_k d_k(h); its weight is
p_k = exp(-d_k / T) / sum_j exp(-d_j / T), T the median of all d over held-out probing rows; confidence is low where
min_k d_k(h) is above the .95 quantile of the same figure over the held-out rows.

M is the number of rows, H the hidden size, K the number of dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from scipy import special

from rmbench.errors import RmbenchError
from rmbench.metrics.probing.states import (
    Standardizer,
    States,
    blocks,
    checked_labels,
    checked_states,
    fit_standardizer,
)
from rmbench.metrics.uncertainty.aggregate import Floats, Ints

__all__ = [
    "DEFINITION",
    "Centroids",
    "Reading",
    "fit_centroids",
    "low_confidence",
    "read",
    "relied_on",
    "shares",
    "weights",
]

DEFINITION = "rmbench-centroids-1"
"""Names the definition wherever its figures are stored."""

Bools = npt.NDArray[np.bool_]

_QUANTILE = 0.95
_HELD_OUT_ONE_IN = 5


@dataclass(frozen=True, slots=True, eq=False)
class Centroids:
    """The centroids of every dimension and what was fitted on the held-out rows."""

    standard: Standardizer
    means: Mapping[str, Floats]
    """Dimension -> [classes that occur, H], standardised. Its order is the order of dimensions everywhere."""
    temperature: float
    """T, in units of distance."""
    limit: float
    """Distance to the nearest centroid above which confidence is low."""
    held_out: int
    """Rows behind `temperature` and `limit`."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The K names."""
        return tuple(self.means)

    def distances(self, states: States) -> Floats:
        """[M, K] d_k of each row of `states` [M, H].

        Raises RmbenchError for another hidden size or a state that is not finite.
        """
        checked_states(states, "states to compare with centroids", len(self.standard.mean))
        return _distances(self.standard, self.means, states)


def fit_centroids(
    states: Mapping[str, States],
    labels: Mapping[str, Ints],
    *,
    held_out: States | None = None,
    seed: int = 0,
) -> Centroids:
    """Centroids of `states` (dimension -> [N_k, H]) and `labels` (dimension -> [N_k], from 0).

    `held_out` [M, H] are probing rows of a split of their own; None sets about one row in five aside, by a digest of
    its numbers and the `seed`, so that a text which serves several dimensions is on the same side in all of them.

    Raises RmbenchError where dimensions differ between the two, hidden sizes differ, a state is not finite or all are
    alike, a dimension has one class alone or a class without a row to fit on, or the held-out rows give no temperature.
    """
    if not states or set(states) != set(labels):
        raise RmbenchError(f"centroids: states of {sorted(states)} and labels of {sorted(labels)}: expected the same.")
    tables: dict[str, States] = {}
    classes: dict[str, Ints] = {}
    width: int | None = None
    for name, given in states.items():
        table = tables[name] = checked_states(given, f"states of {name}", width)
        width = table.shape[1]
        highest = np.iinfo(np.int64).max
        classes[name] = checked_labels(labels[name], len(table), highest, f"labels of {name}")
        if len(np.unique(classes[name])) < 2:
            raise RmbenchError(f"centroids: all rows of {name} have label {classes[name][0]}; it needs two classes.")
    if held_out is None:
        aside = {name: _set_aside(table, seed) for name, table in tables.items()}
        held_out = np.concatenate([table[aside[name]] for name, table in tables.items()])
    else:
        aside = {name: np.zeros(len(table), dtype=np.bool_) for name, table in tables.items()}
    return _fit(tables, classes, aside, held_out)


def _fit(
    tables: Mapping[str, States], labels: Mapping[str, Ints], aside: Mapping[str, Bools], held_out: States
) -> Centroids:
    for name, label in labels.items():
        lost = np.setdiff1d(label, label[~aside[name]])
        if len(lost):
            raise RmbenchError(
                f"centroids: {name} has too few rows of label {lost[0]} to set any aside; give `held_out`."
            )
    kept = {name: table[~aside[name]] if aside[name].any() else table for name, table in tables.items()}
    standard = fit_standardizer(list(kept.values()), "states to fit centroids on")
    means = {name: _class_means(standard, table, labels[name][~aside[name]]) for name, table in kept.items()}
    held_out = checked_states(held_out, "held-out states", len(standard.mean)) if len(held_out) else held_out
    if not len(held_out):
        raise RmbenchError("centroids: no held-out rows; give `held_out` or more rows.")
    d = _distances(standard, means, held_out)
    temperature = float(np.median(d))
    if temperature <= 0:
        raise RmbenchError(
            "centroids: the median distance of the held-out rows is 0; they are the centroids themselves."
        )
    return Centroids(standard, means, temperature, float(np.quantile(d.min(axis=1), _QUANTILE)), len(held_out))


def _set_aside(states: States, seed: int) -> Bools:
    """[N] which rows are held out: a matter of the row's own numbers, about one in five."""
    key = str(seed).encode()
    digests = (blake2b(row.astype(np.float64).tobytes(), digest_size=8, key=key).digest() for row in states)
    return np.array([int.from_bytes(digest, "little") % _HELD_OUT_ONE_IN == 0 for digest in digests], dtype=np.bool_)


def _class_means(standard: Standardizer, states: States, labels: Ints) -> Floats:
    """[classes that occur, H] mean of the standardised rows of each class, lowest class first."""
    present, code = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(present), states.shape[1]))
    for start, block in blocks(states):
        is_class = np.eye(len(present))[code[start : start + len(block)]]
        sums += is_class.T @ standard.apply(block)
    return sums / np.bincount(code)[:, None]


def _distances(standard: Standardizer, means: Mapping[str, Floats], states: States) -> Floats:
    parts = []
    for _, block in blocks(states):
        rows = standard.apply(block)
        by_class = ([np.linalg.norm(rows - mean, axis=1) for mean in table] for table in means.values())
        parts.append(np.stack([np.min(of_dimension, axis=0) for of_dimension in by_class], axis=1))
    return np.concatenate(parts)


def relied_on(distances: Floats) -> Ints:
    """[M] the dimension each row of `distances` [M, K] is nearest to, counted from 0; the first one on a tie."""
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)


def weights(distances: Floats, temperature: float) -> Floats:
    """[M, K] p_k of `distances` [M, K]; each row sums to one."""
    return np.asarray(special.softmax(-distances / temperature, axis=1), dtype=np.float64)


def low_confidence(distances: Floats, limit: float) -> Bools:
    """[M] whether even the nearest centroid is further than `limit`."""
    return np.asarray(distances.min(axis=1) > limit, dtype=np.bool_)


def shares(distances: Floats) -> Floats:
    """[K] the part of the rows of `distances` [M, K], M > 0, that rely on each dimension."""
    return np.bincount(relied_on(distances), minlength=distances.shape[1]) / len(distances)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The figures of M rows."""

    distances: Floats
    """[M, K]."""
    relied_on: Ints
    """[M] index of the dimension."""
    weights: Floats
    """[M, K]."""
    low_confidence: Bools
    """[M]."""
    shares: Mapping[str, float]
    """Dimension -> part of the rows that rely on it."""
    low_share: float
    """Part of the rows with low confidence; .05 is what rows like the held-out ones have."""


def read(centroids: Centroids, states: States) -> Reading:
    """All figures of the rows of `states` [M, H]. Raises RmbenchError as `Centroids.distances` does."""
    d = centroids.distances(states)
    low = low_confidence(d, centroids.limit)
    by_name = dict(zip(centroids.dimensions, (float(share) for share in shares(d)), strict=True))
    return Reading(d, relied_on(d), weights(d, centroids.temperature), low, by_name, float(low.mean()))
