"""The best-of-K curve of a task: its values at every k, and its maximum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rmbench.metric_spec import MetricSpec, rule_of
from rmbench.metrics.credit.listwise import curve
from rmbench.metrics.rows.answers import in_dimension
from rmbench.metrics.uncertainty.aggregate import nest
from rmbench.metrics.uncertainty.interval import Interval, bootstrap_interval
from rmbench.metrics.uncertainty.sample import Sample, draw_jointly, interval_of, mean_sample
from rmbench.types import Judged, Value

__all__ = ["curve_values"]


def curve_values(
    rows: Sequence[Judged], spec: MetricSpec, end: Value, resamples: int, rng: np.random.Generator
) -> list[Value]:
    """The groups "k=1" ... "k=K" and "k=max", to report with the curve's `end`, K being the fewest candidates of a row.

    The maximum is taken again in every draw of clusters, so that its interval allows for the choice of k.
    """
    found = [(row, one) for row in rows if (one := curve(in_dimension(row, spec.dimension), spec)) is not None]
    if not found:
        return []
    of, width = [row for row, _ in found], min(len(one) for _, one in found)
    columns = np.array([one[:width] for _, one in found])
    nested = nest(of, spec.levels)
    samples = [mean_sample(columns[:, k], of, nested) for k in range(width)]
    low, high = rule_of(spec).low, rule_of(spec).high
    values = [
        _at(end, f"k={k + 1}", sample, interval_of(sample, resamples, rng, low, high), ())
        for k, sample in enumerate(samples)
    ]
    best = max(range(width), key=lambda k: (samples[k].value or 0.0, -k))
    highest = np.max(draw_jointly(samples, resamples, rng), axis=0)
    interval = bootstrap_interval(samples[best].value or 0.0, highest, len(samples[best].clusters), 1, low, high)
    return [*values, _at(end, "k=max", samples[best], interval, (f"k={best + 1}",))]


def _at(end: Value, group: str, sample: Sample, found: Interval, flags: tuple[str, ...]) -> Value:
    point = replace(end, group=group, value=sample.value, low=found.low, high=found.high, interval=found.method)
    return replace(point, chance=None, flags=(*end.flags, *flags))
