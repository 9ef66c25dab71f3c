"""Means of means: a benchmark's levels as linear weights of its rows, so that errors and resampling work on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import Level, MetricSpec
from rmbench.types import Judged

__all__ = [
    "Floats",
    "Ints",
    "Nest",
    "cluster_codes",
    "nest",
    "row_weights",
    "weight_of",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Node:
    """A mean: over the rows of one leaf, or over children by their weights."""

    leaf: int | None
    children: tuple[tuple[float, _Node], ...] = ()


@dataclass(frozen=True, slots=True)
class Nest:
    """Rows sorted into the leaves of the levels."""

    leaf_of: Ints
    """[n] the leaf of each row."""
    weight: Floats
    """[n] the weight of each row within its leaf, not normalised."""
    leaves: int
    root: _Node

    def mean(self, sums: Floats, totals: Floats) -> Floats:
        """The aggregate from leaf sums.

        `sums` [..., leaves] holds the weighted credits of each leaf, `totals` [..., leaves] its weights; returns [...].
        A leaf without weight is left out and the other weights renormalised; nan where nothing is left.
        """
        return _mean_of(self.root, sums, totals)

    def mean_of_rows(self, values: Floats) -> float:
        """The aggregate of row `values` [n]; the same as `shares() @ values`, without the rounding of its products."""
        return float(self.mean(self._by_leaf(self.weight * values), self._by_leaf(self.weight)))

    def _by_leaf(self, values: Floats) -> Floats:
        return np.bincount(self.leaf_of, weights=values, minlength=self.leaves).astype(np.float64)

    def shares(self) -> Floats:
        """[n] the weight of each row in the aggregate; they sum to one."""
        by_leaf = self._by_leaf(self.weight)
        share = np.zeros(self.leaves)
        _share_out(self.root, 1.0, share, by_leaf)
        with np.errstate(invalid="ignore", divide="ignore"):
            per_weight = np.where(by_leaf > 0, share / by_leaf, 0.0)
        return np.asarray(self.weight * per_weight[self.leaf_of], dtype=np.float64)


def _mean_of(node: _Node, sums: Floats, totals: Floats) -> Floats:
    if node.leaf is not None:
        return _ratio(sums[..., node.leaf], totals[..., node.leaf])
    top = np.zeros(sums.shape[:-1])
    bottom = np.zeros(sums.shape[:-1])
    for weight, child in node.children:
        value = _mean_of(child, sums, totals)
        there = ~np.isnan(value)
        top += np.where(there, weight * np.where(there, value, 0.0), 0.0)
        bottom += np.where(there, weight, 0.0)
    return _ratio(top, bottom)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Top / bottom; nan where bottom is 0."""
    out: Floats = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) > 0)
    return out


def _present(node: _Node, by_leaf: Floats) -> bool:
    if node.leaf is not None:
        return bool(by_leaf[node.leaf] > 0)
    return any(weight > 0 and _present(child, by_leaf) for weight, child in node.children)


def _share_out(node: _Node, share: float, into: Floats, by_leaf: Floats) -> None:
    if node.leaf is not None:
        into[node.leaf] = share
        return
    there = [(weight, child) for weight, child in node.children if _present(child, by_leaf)]
    total = sum(weight for weight, _ in there)
    for weight, child in there:
        _share_out(child, share * weight / total, into, by_leaf)


def weight_of(level: Level, value: str) -> float:
    """The weight of a group's value in its level. Raises RmbenchError where the level declares weights, but not its."""
    if level.weights is None:
        return 1.0
    if value not in level.weights:
        hint = did_you_mean(value, level.weights)
        raise RmbenchError(
            f'level "{level.group}" declares no weight for "{value}", which rows of the data carry.{hint}'
        )
    return float(level.weights[value])


def _grow(path_to_leaf: Mapping[tuple[str, ...], int], levels: Sequence[Level], depth: int) -> _Node:
    if depth == len(levels):
        return _Node(next(iter(path_to_leaf.values())))
    by_value: dict[str, dict[tuple[str, ...], int]] = {}
    for path, leaf in path_to_leaf.items():
        by_value.setdefault(path[depth], {})[path] = leaf
    children = ((weight_of(levels[depth], value), _grow(below, levels, depth + 1)) for value, below in by_value.items())
    return _Node(None, tuple(children))


def _path(row: Judged, levels: Sequence[Level]) -> tuple[str, ...]:
    try:
        return tuple(row.groups[level.group] for level in levels)
    except KeyError as missing:
        hint = did_you_mean(str(missing.args[0]), row.groups)
        raise RmbenchError(
            f'row "{row.id}" has no group {missing}, which a level of the metric asks for.{hint}'
        ) from None


def nest(rows: Sequence[Judged], levels: Sequence[Level]) -> Nest:
    """Sorts `rows` (at least one) into the leaves of `levels`, outermost first.

    Leaves are numbered in sorted order of their values, so the order of rows does not matter.
    Raises RmbenchError where a row lacks a level's group, or a level with weights has none for a value.
    """
    paths = [_path(row, levels) for row in rows] if levels else [()] * len(rows)
    numbered = {path: leaf for leaf, path in enumerate(sorted(set(paths)))}
    return Nest(
        leaf_of=np.array([numbered[path] for path in paths], dtype=np.int64),
        weight=np.array([row.weight for row in rows], dtype=np.float64),
        leaves=len(numbered),
        root=_grow(numbered, levels, 0),
    )


def row_weights(rows: Sequence[Judged], spec: MetricSpec) -> Floats:
    """[n] the weight of each row in `spec`'s aggregate, summing to one: aggregate = weights @ credits.

    Groups that no row carries are left out and the other weights renormalised.
    """
    return nest(rows, spec.levels).shares() if rows else np.zeros(0)


def cluster_codes(rows: Sequence[Judged]) -> Ints:
    """[n] the cluster of each row as a number from 0, in sorted order of the clusters' names."""
    if not rows:
        return np.zeros(0, dtype=np.int64)
    names = np.array([row.cluster or row.id for row in rows], dtype=object)
    order = {name: code for code, name in enumerate(sorted(set(names)))}
    return np.array([order[name] for name in names], dtype=np.int64)
