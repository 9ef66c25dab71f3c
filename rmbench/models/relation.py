"""Human comparisons as an order of candidates, for models that read the gold."""

from __future__ import annotations

from dataclasses import replace

from rmbench.types import Edge, Gold

__all__ = ["levels", "margins", "of_dimension"]


def of_dimension(gold: Gold, dimension: str) -> Gold:
    """The gold with only the comparisons of one dimension."""
    return replace(gold, relation=tuple(edge for edge in gold.relation if edge.dimension == dimension))


def _plain(gold: Gold) -> list[Edge]:
    """The comparisons that name no dimension and no annotator, where there are such: what metrics take them for."""
    named = [edge for edge in gold.relation if not edge.dimension] or list(gold.relation)
    return [edge for edge in named if not edge.annotator] or named


def margins(gold: Gold, size: int) -> list[list[float]]:
    """[K, K] summed strengths of the comparisons, row against column; skew.

    Those without dimension and annotator count, or where each names one, all of them.
    """
    net = [[0.0] * size for _ in range(size)]
    for edge in _plain(gold):
        net[edge.i][edge.j] += edge.strength
        net[edge.j][edge.i] -= edge.strength
    return net


def levels(gold: Gold, size: int) -> list[float] | None:
    """[K] whole numbers that agree with every comparison, a higher one for the better candidate and equal ones for
    ties; None where there are none, because the comparisons go round in a circle."""
    net = margins(gold, size)
    group = _tied_groups(gold, net, size)
    beats: dict[int, set[int]] = {group[k]: set() for k in range(size)}
    for i in range(size):
        for j in range(size):
            if net[i][j] > 0:
                beats[group[i]].add(group[j])
    heights: dict[int, float] = {}
    while len(heights) < len(beats):
        # A candidate stands one above the highest of those that it beats, once all of them have their place.
        ready = [g for g in beats if g not in heights and beats[g] <= heights.keys()]
        if not ready:
            return None
        heights.update({g: 1.0 + max((heights[loser] for loser in beats[g]), default=-1.0) for g in ready})
    return [heights[group[k]] for k in range(size)]


def _tied_groups(gold: Gold, net: list[list[float]], size: int) -> list[int]:
    """[K] the lowest candidate that each one is tied with, directly or through others."""
    group = list(range(size))
    for edge in _plain(gold):
        if net[edge.i][edge.j] == 0:
            kept, gone = sorted((group[edge.i], group[edge.j]))
            group = [kept if g == gone else g for g in group]
    return group
