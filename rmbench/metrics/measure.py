"""Judgments and gold into values: one overall, then one per reported group, each with its interval."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from rmbench.metric_spec import MetricSpec, is_linear, rule_of
from rmbench.metrics.chance import ChanceLevels
from rmbench.metrics.correlation.preference_strength import graded_dimensions
from rmbench.metrics.correlation.rated import dimension_of, dimensions_of
from rmbench.metrics.credit.columns import CreditColumns, columns_of
from rmbench.metrics.credit.curves import curve_values
from rmbench.metrics.rows.answers import is_failed
from rmbench.metrics.rows.collection import Rows
from rmbench.metrics.rows.gold import with_tags
from rmbench.metrics.rows.selection import Group, groups_of, selected_rows
from rmbench.metrics.samples import MetricContext, has_coverage, sample_of
from rmbench.metrics.uncertainty.aggregate import Ints
from rmbench.metrics.uncertainty.interval import Interval, linear_interval
from rmbench.metrics.uncertainty.sample import Sample, interval_of
from rmbench.types import Judged, Value

__all__ = ["Group", "groups_of", "measure", "selected_rows"]

AnswerKind = Literal["reward", "verdict"]


@dataclass(frozen=True, slots=True)
class _Request:
    """What `measure` works with besides the rows and the metrics."""

    chance: ChanceLevels
    totals: Mapping[str | None, int]
    complete: bool
    """Whether the rows are all there are, so that those of any group are too."""
    seed: int
    resamples: int
    context: MetricContext
    failed: frozenset[int]
    """The identities of the judgments that failed, for metrics that are no means of rows; rows of a metric or group
    keep the judgment of the row given."""
    earned: dict[str, CreditColumns] = field(default_factory=dict)
    """Credits of the rows that a metric selects, by all of its declaration that decides them."""

    def credits(self, rows: Rows, spec: MetricSpec) -> CreditColumns:
        """Those of all rows that the metric selects. Metrics often differ in how they average the same ones."""
        key = repr(replace(spec, name="", levels=(), report=(), chance=None, min_coverage=0.0))
        found = columns_of(rows, spec, keep=self.chance.reads_rows(spec), known=self.earned.get(key))
        self.earned.setdefault(key, found)
        return found

    def answered(self, rows: Sequence[Judged]) -> int:
        """How many of the rows did not fail."""
        return sum(id(row.judgment) not in self.failed for row in rows)

    def rng(self, metric: str, group: str | None) -> np.random.Generator:
        """A stream of its own for each value, so that a value does not depend on which others are measured."""
        return np.random.default_rng([self.seed, zlib.crc32(f"{metric}|{group}".encode())])


def measure(
    rows: Rows,
    specs: Sequence[MetricSpec],
    *,
    answer_kind: AnswerKind = "reward",
    totals: Mapping[str | None, int] | None = None,
    seed: int = 0,
    resamples: int = 2000,
    fit: Sequence[Judged] = (),
) -> list[Value]:
    """The values of each metric over `rows`: the overall one (group None), then its groups in sorted order.

    `totals` gives rows of the whole task version by group ("domain=chat"; None: all), for coverage; without it
    `rows` are all there are. The coverage of a group that it does not name is None, unless `rows` are all. `fit` holds
    the judged rows of the task's fit split, for metrics that fit something on them.
    Equal arguments give equal values: every draw comes from `seed`.

    Flags of a value: "undefined" (no row, or figures that are constant), "incomplete" (rows without a usable score were
    left out of a metric that has no credit for them), "low_coverage" (null, for no row was answered, or fewer than
    `min_coverage` under a rule in which a failed row has no worst case), "one_order" (a two-order rule met a judge
    request in one order only), "no_fit_split" (nothing to fit on), and those of single rules: "threshold=...",
    "epsilon=...", "median_filled", "undefined_lists=...", "needs_scores", "one_context", "one_label",
    "not_above_majority", "no_..." ("mean_of").

    Raises RmbenchError for an unknown rule, group, level or dimension, and what a rule refuses.
    """
    whole = [*rows] if not all(map(is_linear, specs)) else []
    context = MetricContext({spec.name: spec for spec in specs}, fit, seed, whole)
    known: Mapping[str | None, int] = {None: len(rows)} if totals is None else totals
    failed = frozenset(id(row.judgment) for row in whole if is_failed(row))
    complete = known.get(None) == len(rows)
    request = _Request(ChanceLevels(answer_kind), known, complete, seed, resamples, context, failed)
    values: list[Value] = []
    for spec in specs:
        if is_linear(spec):
            values += _means(whole or rows, spec, request)
        else:
            values += _figures(selected_rows(whole, spec), spec, request)
    return values


def _coverage(rows: int, answered: int, group: str | None, spec: MetricSpec, request: _Request) -> float | None:
    """Rows not failed / rows of the task version, in this group; None where the latter are unknown."""
    total = request.totals.get(group)
    if group is None and len(spec.where) == 1:
        # A metric over some values of one group: its whole is theirs.
        name, among = next(iter(spec.where.items()))
        parts = [request.totals.get(f"{name}={value}") for value in among]
        total = sum(part for part in parts if part is not None) if None not in parts else None
    elif spec.where:
        total = None
    whole = rows if total is None and request.complete else total
    if whole is None:
        return None
    return answered / whole if whole else 0.0


def _means(rows: Rows, spec: MetricSpec, request: _Request) -> list[Value]:
    keep = request.chance.reads_rows(spec)
    columns = request.credits(rows, spec)
    by_tags: dict[tuple[str, ...], CreditColumns] = {(): columns}
    values = [_mean(columns, np.arange(len(columns.value)), None, spec, request)]
    for names in spec.report if len(columns.value) else ():
        for group, numbers, tags in columns.groups.crossed(names, spec.name):
            if tags not in by_tags:
                by_tags[tags] = columns_of(rows, spec, tags, keep=keep)
            values.append(_mean(by_tags[tags], numbers, group, spec, request))
    if spec.rule == "best_of_k" and values[0].value is not None:
        whole = selected_rows([*rows], spec)
        values += curve_values(whole, spec, values[0], request.resamples, request.rng(spec.name, "k"))
    return values


def _mean(columns: CreditColumns, numbers: Ints, group: str | None, spec: MetricSpec, request: _Request) -> Value:
    """The value of some of the rows."""
    answered = int(columns.answered[numbers].sum())
    coverage = _coverage(len(numbers), answered, group, spec, request)
    flags = ("one_order",) if columns.one_order[numbers].any() else ()
    counted = numbers[~np.isnan(columns.value[numbers])]
    chance = request.chance
    if not len(counted):
        level = chance.of(spec, [])
        return Value(spec.name, group, None, None, None, 0, 0, coverage, level, (*flags, "undefined"))
    worth, nested = columns.value[counted], columns.nest(counted)
    rule = rule_of(spec)
    interval = linear_interval(worth, nested, columns.clusters(counted), rule.low, rule.high)
    if spec.chance == "one_over_k":
        level = chance.of_sizes(nested, columns.size[counted])
    else:
        level = chance.of(spec, [columns.kept[number] for number in counted] if columns.kept else [])
    value = Value(
        metric=spec.name,
        group=group,
        value=nested.mean_of_rows(worth),
        low=interval.low,
        high=interval.high,
        n=len(counted),
        comparisons=int(columns.comparisons[numbers].sum()),
        coverage=coverage,
        chance=level,
        flags=flags,
        interval=interval.method,
    )
    if has_coverage(answered / len(numbers), spec):
        return value
    return replace(value, value=None, low=None, high=None, interval="", flags=(*flags, "low_coverage", "undefined"))


def _figures(rows: list[Judged], spec: MetricSpec, request: _Request) -> list[Value]:
    values = _figure(rows, None, spec, request)
    for dimension, other in _dimensions(rows, spec):
        values += _figure(rows, f"dimension={dimension}", replace(spec, dimension=other), request)
    for names in spec.report if rows else ():
        if names == ("dimension",):
            continue
        for group, numbers, tags in groups_of(rows, names, spec.name):
            values += _figure(with_tags([rows[number] for number in numbers], tags), group, spec, request)
    return values


def _dimensions(rows: Sequence[Judged], spec: MetricSpec) -> list[tuple[str, str]]:
    """The dimensions that a correlation reports in addition to the overall one: (name, dimension)."""
    kind = rule_of(spec).kind
    if kind == "correlation":
        overall, known = dimension_of(rows, spec), dimensions_of(rows)
    elif kind == "difference correlation":
        overall, known = spec.dimension, graded_dimensions(rows)
    else:
        return []
    return [(name, name) for name in sorted(known) if name != overall]


def _figure(rows: list[Judged], group: str | None, spec: MetricSpec, request: _Request) -> list[Value]:
    sample = sample_of(rows, spec, request.context)
    values = [_value(rows, sample, group, group, spec, request)]
    for label, extra in sample.extras:
        joined = label if group is None else f"{group},{label}"
        values.append(_value(rows, extra, joined, group, spec, request))
    return values


def _value(
    rows: list[Judged], sample: Sample, group: str | None, of: str | None, spec: MetricSpec, request: _Request
) -> Value:
    """`of` is the group of rows that the sample is of; `group` names the value."""
    interval = Interval(None, None, "")
    if sample.value is not None:
        ends = _range(spec, request)
        interval = interval_of(sample, request.resamples, request.rng(spec.name, group), *ends)
    undefined = sample.value is None and "undefined" not in sample.flags
    answered = request.answered(rows)
    by_dimension = of is not None and of.startswith("dimension=")
    return Value(
        metric=spec.name,
        group=group,
        value=sample.value,
        low=interval.low,
        high=interval.high,
        n=sample.n,
        comparisons=sample.comparisons,
        coverage=_coverage(len(rows), answered, None if by_dimension else of, spec, request),
        chance=_chance(rows, spec, request),
        flags=(*sample.flags, "undefined") if undefined else sample.flags,
        interval=interval.method,
    )


def _range(spec: MetricSpec, request: _Request) -> tuple[float | None, float | None]:
    """The ends of the metric's range; of a mean of metrics those that hold all of theirs."""
    specs = [request.context.metrics(spec)[name] for name in spec.of] if spec.rule == "mean_of" else [spec]
    lows, highs = [rule_of(one).low for one in specs], [rule_of(one).high for one in specs]
    low = None if None in lows else min(end for end in lows if end is not None)
    return low, None if None in highs else max(end for end in highs if end is not None)


def _chance(rows: list[Judged], spec: MetricSpec, request: _Request) -> float | None:
    """The declared chance; of a mean of metrics that declares none, the mean of theirs where all have one."""
    if spec.rule != "mean_of" or spec.chance is not None:
        return request.chance.of(spec, rows)
    parts = [request.context.metrics(spec)[name] for name in spec.of]
    levels = [request.chance.of(part, selected_rows(rows, part)) for part in parts]
    known = [level for level in levels if level is not None]
    return sum(known) / len(known) if known and len(known) == len(levels) else None
