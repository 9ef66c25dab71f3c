"""The best-of-K curve of a task: its values at every k, and its maximum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.listwise import curve
from rmbench.metrics.rows.answers import in_dimension
from rmbench.metrics.uncertainty.aggregate import Floats, nest
from rmbench.metrics.uncertainty.interval import Interval, linear_interval, percentile
from rmbench.metrics.uncertainty.sample import Sample, draw_jointly, mean_sample
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
    samples = [mean_sample(columns[:, k], of, nested, in_unit=not spec.levels) for k in range(width)]
    draws = draw_jointly(samples, resamples, rng)
    values = [_at(end, f"k={k + 1}", samples[k], draws[k], rng, ()) for k in range(width)]
    best = max(range(width), key=lambda k: (samples[k].value or 0.0, -k))
    chosen = replace(samples[best], unit_mean=None)
    return [*values, _at(end, "k=max", chosen, np.max(draws, axis=0), rng, (f"k={best + 1}",))]


def _at(
    end: Value, group: str, sample: Sample, draws: Floats, rng: np.random.Generator, flags: tuple[str, ...]
) -> Value:
    """A point of the curve; its interval is that of trials where it is a plain mean of such, else of the draws."""
    found = Interval(None, None, "")
    limits = percentile(draws)
    if sample.unit_mean is not None:
        found = linear_interval(*sample.unit_mean, len(draws), rng)
    elif len(sample.clusters) > 1 and limits is not None and limits[1] - limits[0] >= 1e-12:
        found = Interval(*limits, "cluster-bootstrap")
    point = replace(end, group=group, value=sample.value, low=found.low, high=found.high, interval=found.method)
    return replace(point, chance=None, flags=(*end.flags, *flags))
