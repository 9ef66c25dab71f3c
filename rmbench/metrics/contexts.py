"""One pair of answers under several contexts: right under all of them, changed by them, moved by them the right way,
and better judged under one than under another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.rows.answers import in_dimension, margin
from rmbench.metrics.rows.gold import Compared, compared, joined
from rmbench.metrics.uncertainty.sample import Sample, mean_sample
from rmbench.types import Judged

__all__ = ["context_shift_sample", "contexts_sample", "difference_sample", "sensitivity_sample"]


def contexts_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The share of pairs that are right under every context they stand in, rows joined by `spec.join`.

    Where two contexts ask for opposite answers (RPR, arXiv 2407.14916) a model blind to the context has 0 and a coin
    1/4. A row is right where its "pair" credit is 1; one in which people decide nothing (a control) has no part. Pairs
    seen under one context alone are left out, with the flag "one_context".
    """
    pair = replace(spec, rule="pair")
    values: list[float] = []
    of: list[Judged] = []
    comparisons = alone = 0
    for numbers in joined(rows, spec.join, spec.name):
        found = [one for number in numbers if (one := credit(rows[number], pair)).value is not None]
        if len(found) < 2:
            alone += len(found)
            continue
        values.append(float(all(one.value == 1 for one in found)))
        of.append(rows[numbers[0]])
        comparisons += sum(one.comparisons for one in found)
    flags = ("one_context",) if alone else ()
    return mean_sample(values, of, comparisons=comparisons, flags=flags)


def sensitivity_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The share of pairs whose choice differs between two contexts; of more than two the share of pairs of contexts.

    A tie is a choice of its own. Rows that people decide nothing in (a control without context) have no part; pairs
    seen under one context alone, or without an answer under some, are left out, with a flag.
    """
    values: list[float] = []
    of: list[Judged] = []
    flags: set[str] = set()
    for together in _under_contexts(rows, spec, flags):
        signs = [_sign(row, pair) for row, pair in together]
        if None in signs:
            flags.add("incomplete")
            continue
        pairs = [(a, b) for k, a in enumerate(signs) for b in signs[k + 1 :]]
        values.append(float(np.mean([a != b for a, b in pairs])))
        of.append(together[0][0])
    return mean_sample(values, of, comparisons=len(values), flags=tuple(sorted(flags)))


def _under_contexts(
    rows: Sequence[Judged], spec: MetricSpec, flags: set[str]
) -> Iterator[list[tuple[Judged, Compared]]]:
    """The rows of each pair that people decide, each with its first comparison; "one_context" flags those of one."""
    for numbers in joined(rows, spec.join, spec.name):
        found = [
            (row, pair)
            for number in numbers
            for row in [in_dimension(rows[number], spec.dimension)]
            if (pair := _decided(row, spec)) is not None
        ]
        if len(found) > 1:
            yield found
        elif found:
            flags.add("one_context")


def _decided(row: Judged, spec: MetricSpec) -> Compared | None:
    return next((pair for pair in compared(row, spec) if not pair.tie), None)


def _sign(row: Judged, pair: Compared) -> float | None:
    """Which of the two candidates the model prefers, whichever of them is the better one under this context."""
    low, high = sorted((pair.i, pair.j))
    apart = margin(row, low, high)
    return None if apart is None else float(np.sign(apart))


def context_shift_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The share of pairs whose margin is, under every context, further towards that context's gold than without one.

    The row without context is that of the pair in which people decide nothing. A failed row moves nothing. Pairs
    without such a row are left out, with the flag "no_control"; more than one is one too many to tell, and left out
    alike.
    """
    values: list[float] = []
    of: list[Judged] = []
    flags: set[str] = set()
    for numbers in joined(rows, spec.join, spec.name):
        members = [in_dimension(rows[number], spec.dimension) for number in numbers]
        controls = [row for row in members if _decided(row, spec) is None]
        contexts = [(row, pair) for row in members if (pair := _decided(row, spec)) is not None]
        if len(controls) != 1 or not contexts:
            flags.add("no_control")
            continue
        values.append(float(all(_moved(row, controls[0], pair) for row, pair in contexts)))
        of.append(members[0])
    return mean_sample(values, of, comparisons=len(values), flags=tuple(sorted(flags)))


def _moved(row: Judged, control: Judged, pair: Compared) -> bool:
    with_context, without = margin(row, pair.i, pair.j), margin(control, pair.i, pair.j)
    return with_context is not None and without is not None and with_context > without


def difference_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean over clusters of the credit of rows with the first value of the group `spec.join` less that of rows with
    the second, such as a reference text given and withheld.

    Rows of one cluster are one question, or depend on each other; their difference is one figure, which weighs as much
    as it has pairs of rows, so the interval is that of a paired comparison. Clusters without rows of both values are
    left out, with the flag "unpaired".
    """
    if len(spec.between) != 2:
        raise RmbenchError(f'metric "{spec.name}": `between` is the two values of the group `join` that are compared.')
    first, second = spec.between
    values: list[float] = []
    of: list[Judged] = []
    comparisons = unpaired = 0
    for numbers in joined(rows, "cluster", spec.name):
        found = [(rows[number], credit(rows[number], replace(spec, rule=spec.credit))) for number in numbers]
        sides: dict[str, list[float]] = {first: [], second: []}
        for row, one in found:
            side = sides.get(_value(row, spec))
            if side is not None and one.value is not None:
                side.append(one.value)
        if not sides[first] or not sides[second]:
            unpaired += any(sides.values())
            continue
        values.append(float(np.mean(sides[first]) - np.mean(sides[second])))
        of.append(replace(rows[numbers[0]], weight=(len(sides[first]) + len(sides[second])) / 2))
        comparisons += sum(one.comparisons for _, one in found)
    return mean_sample(values, of, comparisons=comparisons, flags=("unpaired",) if unpaired else ())


def _value(row: Judged, spec: MetricSpec) -> str:
    if spec.join not in row.groups:
        hint = did_you_mean(spec.join, row.groups)
        raise RmbenchError(f'metric "{spec.name}": row "{row.id}" has no group "{spec.join}" (`join`).{hint}')
    return row.groups[spec.join]
