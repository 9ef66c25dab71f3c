"""What is measured of a judge in addition to a task's metrics: position bias, and what more votes are worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rmbench.metric_spec import MetricSpec, is_linear
from rmbench.metrics.judging.votes import Settings, vote_curve
from rmbench.metrics.measure import measure
from rmbench.metrics.rows.collection import Rows
from rmbench.types import Judged, Value

__all__ = ["judge_values"]


def judge_values(
    rows: Rows,
    metrics: Sequence[MetricSpec],
    values: Sequence[Value],
    settings: Settings,
    totals: Mapping[str | None, int] | None = None,
    seed: int = 0,
) -> list[Value]:
    """`first_position_rate` and `position_consistency`, where pairs were asked and the task has no such metric, and the
    curve over votes of the headline, or of the metrics that it is a mean of. Nothing for a model that is no judge of
    pairs and was asked once.

    Args:
        rows: with every vote.
        metrics: the task's own.
        values: what was measured by them.
        settings: the model's, which name the rule for votes.
        totals: rows of the whole task version by group, for coverage, as `measure` takes them.
        seed: of the intervals.
    """
    found = measure(rows, _specs(rows, metrics), answer_kind="verdict", totals=totals, seed=seed)
    head = metrics[0]
    curved = [metric for metric in metrics if metric.name in ({head.name} if not head.of else set(head.of))]
    overall = {value.metric: value for value in values if value.group is None}
    for spec in curved:
        if is_linear(spec) and spec.name in overall:
            found += vote_curve(rows, spec, overall[spec.name], settings)
    return found


def _specs(rows: Iterable[Judged], metrics: Sequence[MetricSpec]) -> list[MetricSpec]:
    picks = [[v.shown for v in row.judgment.verdicts if v.kind == "pick" and len(v.shown) == 2] for row in rows]
    turned = any(tuple(reversed(shown)) in shows for shows in picks for shown in shows)
    specs = [MetricSpec("first_position_rate", "first_position", chance=0.5)] if any(picks) else []
    if turned and not any(metric.rule == "order_consistency" for metric in metrics):
        specs.append(MetricSpec("position_consistency", "order_consistency"))
    taken = {metric.name for metric in metrics}
    head = metrics[0]
    return [
        replace(spec, where=head.where, dimension=head.dimension, annotator=head.annotator)
        for spec in specs
        if spec.name not in taken
    ]
