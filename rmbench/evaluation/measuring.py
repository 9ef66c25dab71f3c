"""A task's metrics over its judged rows, as a run and the merging of its shards take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rmbench.metric_spec import MetricSpec, is_linear
from rmbench.metrics.credit.row import credit
from rmbench.metrics.judging.summary import judge_values
from rmbench.metrics.judging.votes import Settings, voted
from rmbench.metrics.measure import measure
from rmbench.metrics.policies.idealised import implicit_specs
from rmbench.types import Judged, Value

__all__ = ["measured"]


def measured(
    rows: Sequence[Judged],
    fit: Sequence[Judged],
    metrics: Sequence[MetricSpec],
    settings: Settings,
    answer_kind: Literal["reward", "verdict"],
    totals: Mapping[str | None, int],
    seed: int,
) -> tuple[list[Value], dict[str, float | None] | None]:
    """The values of a record, and its rows' credits where the headline is a mean of rows.

    Args:
        rows: with every vote, without those that the task excludes.
        fit: the judged rows of the task's fit split.
        metrics: the task's own, the headline first.
        settings: the model's, which name the rule for votes.
        answer_kind: what the model answers with.
        totals: rows of the whole task version by group, as `measure` takes them.
        seed: of the intervals.
    """
    counted = voted(rows, settings)
    every = (*metrics, *implicit_specs(rows, metrics))
    values = measure(counted, every, answer_kind=answer_kind, totals=totals, seed=seed, fit=fit)
    values += judge_values(rows, metrics, values, settings, totals, seed)
    headline = metrics[0]
    return values, {row.id: credit(row, headline).value for row in counted} if is_linear(headline) else None
