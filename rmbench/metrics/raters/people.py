"""How far people agree where several answered the same question, and what no model that is blind to them can exceed."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.raters.accuracy import Rated, rated_rows
from rmbench.metrics.rows.gold import compared, joined
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.metrics.uncertainty.sample import Sample, undefined_sample
from rmbench.types import Judged

__all__ = ["agreement_sample", "ceiling_sample"]

_ORDERED = re.compile(r"([0-9a-f]{16})-(\d+(?:\.\d+)*)")
_MOST_RANKED = 5
"""Candidates whose orders are enumerated."""


def agreement_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """How often another rater of the same question, drawn at random, agrees with a rater.

    Questions are the rows that `spec.join` joins. Each row that another rater answered too counts alike. Two agree
    where they prefer the same candidates (`credit = "top"`), else by the share of the pairs of candidates that both
    compared on which both say the same, a tie being an answer of its own. Pairs of raters are weighed by how often
    each is drawn, so the interval is that of other people.
    """
    rated = _in_one_order(rated_rows(rows, spec), spec)
    together = _shared(rated, spec)
    agreed: dict[tuple[int, int], float] = defaultdict(float)
    weights: dict[tuple[int, int], float] = defaultdict(float)
    judged: set[int] = set()
    for numbers in together:
        pairs = [
            (a, b, alike)
            for a, b in itertools.combinations(numbers, 2)
            if rated.codes[a] != rated.codes[b] and (alike := _alike(rated.rows[a], rated.rows[b], spec)) is not None
        ]
        peers = np.bincount([number for a, b, _ in pairs for number in (a, b)], minlength=max(numbers) + 1)
        judged |= {number for a, b, _ in pairs for number in (a, b)}
        for a, b, alike in pairs:
            key = (min(rated.codes[a], rated.codes[b]), max(rated.codes[a], rated.codes[b]))
            share = 1 / peers[a] + 1 / peers[b]
            weights[key] += share
            agreed[key] += share * alike
    if not weights:
        return undefined_sample((*rated.flags, "no_shared_rows", "undefined"))
    keys = sorted(weights)
    first, second = (np.array([key[side] for key in keys], dtype=np.int64) for side in (0, 1))
    of, right = (np.array([table[key] for key in keys]) for table in (weights, agreed))

    def draw(counts: Floats) -> Floats:
        times = counts[:, first] * counts[:, second]
        total = times @ of
        return np.asarray(np.divide(times @ right, total, out=np.full(len(total), np.nan), where=total > 0))

    return Sample(
        value=float(right.sum() / of.sum()),
        clusters=rated.raters,
        draw=draw,
        n=len(judged),
        comparisons=sum(len(compared(rated.rows[number], spec)) for number in judged),
        flags=rated.flags,
        width=len(keys),
    )


def _in_one_order(rated: Rated, spec: MetricSpec) -> Rated:
    """The rows with the candidates of a question in one order, where the group `spec.join` says in which order each has
    them (`column = "@texts"`: a digest, a dash, the place of each candidate)."""
    return replace(rated, rows=[_sorted(row, spec.join) for row in rated.rows])


def _sorted(row: Judged, join: str) -> Judged:
    found = _ORDERED.fullmatch(row.groups.get(join, ""))
    if found is None:
        return row
    place = [int(each) for each in found[2].split(".")]
    edges = tuple(replace(edge, i=place[edge.i], j=place[edge.j]) for edge in row.gold.relation)
    return replace(row, gold=replace(row.gold, relation=edges), groups={**row.groups, join: found[1]})


def _shared(rated: Rated, spec: MetricSpec) -> list[list[int]]:
    """The numbers of the rows of each question that several raters answered."""
    together = joined(rated.rows, spec.join, spec.name)
    return [numbers for numbers in together if len({rated.codes[number] for number in numbers}) > 1]


def _alike(some: Judged, other: Judged, spec: MetricSpec) -> float | None:
    """How far two rows of one question agree; None where they compare nothing in common."""
    if some.size != other.size:
        raise RmbenchError(
            f'metric "{spec.name}": rows "{some.id}" and "{other.id}" are joined by "{spec.join}" and have '
            f"{some.size} and {other.size} candidates."
        )
    if spec.credit == "top":
        return float(_best(some, spec) == _best(other, spec))
    one, two = _answers(some, spec), _answers(other, spec)
    common = one.keys() & two.keys()
    return sum(one[pair] == two[pair] for pair in common) / len(common) if common else None


def _best(row: Judged, spec: MetricSpec) -> set[int]:
    pairs = compared(row, spec)
    return {pair.i for pair in pairs if not pair.tie} - {pair.j for pair in pairs if not pair.tie}


def _answers(row: Judged, spec: MetricSpec) -> Mapping[tuple[int, int], int]:
    """(lower candidate, higher) -> the one preferred, or -1 for a tie."""
    return {(min(p.i, p.j), max(p.i, p.j)): -1 if p.tie else p.i for p in compared(row, spec)}


def ceiling_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean over raters of the accuracy of the best single ranking of each question, the same for every rater: what
    no model that does not know its rater can exceed on these rows.

    Rankings are enumerated: the candidate put first (`credit = "top"`), or every order ("pair", up to 5 candidates);
    the best one is found anew in each draw of raters. A question that one rater alone answered has a best ranking that
    is always right, so the ceiling falls with every further rater of a question: `rows=shared` is the ceiling on the
    questions of several raters alone.
    """
    rated = _in_one_order(rated_rows(rows, spec), spec)
    if not rated.raters:
        return undefined_sample((*rated.flags, "undefined"))
    whole = _ceiling(rated, joined(rated.rows, spec.join, spec.name), spec)
    shared = _only(rated, sorted(number for numbers in _shared(rated, spec) for number in numbers))
    if not shared.raters:
        return replace(whole, flags=(*rated.flags, "no_shared_rows"))
    beside = _ceiling(shared, joined(shared.rows, spec.join, spec.name), spec)
    return replace(whole, flags=rated.flags, extras=(("rows=shared", beside),))


def _only(rated: Rated, numbers: Sequence[int]) -> Rated:
    present, codes = np.unique(rated.codes[list(numbers)], return_inverse=True)
    return replace(
        rated,
        rows=[rated.rows[number] for number in numbers],
        credits=rated.credits[list(numbers)],
        raters=tuple(rated.raters[k] for k in present),
        codes=codes.astype(np.int64),
        comparisons=sum(len(compared(rated.rows[number], MetricSpec("", ""))) for number in numbers),
    )


def _ceiling(rated: Rated, together: Sequence[Sequence[int]], spec: MetricSpec) -> Sample:
    """Each row weighs one n-th of its rater; the options of a question are columns of credits, of which the best is
    taken once the rows of the drawn raters are summed."""
    raters: list[int] = []
    worth: list[float] = []
    starts: list[int] = []
    ends = [0]
    for numbers in together:
        options = np.stack([_worth(rated.rows[number], spec) for number in numbers], axis=1)  # [options, rows]
        for line in options:
            starts.append(len(raters))
            raters += rated.codes[list(numbers)].tolist()
            worth += (line / rated.counts[rated.codes[list(numbers)]]).tolist()
        ends.append(len(starts))
    of, weight = np.array(raters, dtype=np.int64), np.array(worth)

    def draw(counts: Floats) -> Floats:
        by_option = np.add.reduceat(counts[:, of] * weight, starts, axis=1)
        best = np.maximum.reduceat(by_option, ends[:-1], axis=1)
        return np.asarray(best.sum(axis=1) / counts.sum(axis=1), dtype=np.float64)

    return Sample(
        value=float(draw(np.ones((1, len(rated.raters))))[0]),
        clusters=rated.raters,
        draw=draw,
        n=len(rated.rows),
        comparisons=rated.comparisons,
        width=len(of),
    )


def _worth(row: Judged, spec: MetricSpec) -> Floats:
    """[options] the credit that each ranking of the candidates has on the row."""
    if spec.credit == "top":
        best = _best(row, spec)
        return np.array([float(k in best) for k in range(row.size)])
    if row.size > _MOST_RANKED:
        raise RmbenchError(
            f'metric "{spec.name}": row "{row.id}" has {row.size} candidates; the orders of up to {_MOST_RANKED} are '
            'enumerated. `credit = "top"` asks for the first alone.'
        )
    pairs = [pair for pair in compared(row, spec) if not pair.tie]
    orders = itertools.permutations(range(row.size))
    return np.array([sum(o.index(p.i) < o.index(p.j) for p in pairs) / len(pairs) for o in orders])
