"""Means of rows: of credits, of the rewards themselves and how far runs of rows differ in it, of the Bradley-Terry
loss, and of accuracy cleaned of label noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.noise import noise_corrected
from rmbench.metrics.rows.answers import answered_by, in_dimension, item_scores, margin
from rmbench.metrics.rows.gold import compared
from rmbench.metrics.uncertainty.aggregate import Floats, nest
from rmbench.metrics.uncertainty.sample import Sample, mean_sample, undefined_sample
from rmbench.types import Judged

__all__ = ["chunk_sample", "linear_sample", "loss_sample", "mean_score_sample", "noise_sample"]


def linear_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean of the rows' credits under a linear rule."""
    credits_of = [(row, credit(row, spec)) for row in rows]
    counted = [(row, one, one.value) for row, one in credits_of if one.value is not None]
    flags = ("one_order",) if any(one.one_order for _, one in credits_of) else ()
    of = [row for row, _, _ in counted]
    return mean_sample(
        [value for _, _, value in counted],
        of,
        nest(of, spec.levels) if of else None,
        comparisons=sum(one.comparisons for _, one, _ in counted),
        flags=flags,
    )


def mean_score_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean reward over rows, of a row the mean of its candidates', in the model's own units. It needs no gold.

    A row without a reward is left out, with the flag "incomplete": it has no credit that could be 0.
    """
    scored = [(row, score) for row in rows if (score := item_scores(row, spec.dimension)) is not None]
    usable = [(row, float(np.mean(score))) for row, score in scored if np.isfinite(score).all()]
    flags = ("incomplete",) if len(usable) < len(rows) else ()
    of = [row for row, _ in usable]
    comparisons = sum(row.size for row in of)
    return mean_sample([value for _, value in usable], of, comparisons=comparisons, flags=flags)


def chunk_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The standard deviation (ddof 0) of the mean scores of `spec.k` runs of rows, as HPSv2's evaluation.py prints it
    behind a style's mean: the rows in their order are cut into runs of equal length, the first ones a row longer where
    that does not come out.

    A row without a score keeps its place, so that the runs are of the same rows for every model, and is left out of its
    run's mean, with the flag "incomplete". Resamples have no order, so that there is no interval.
    """
    scores = [item_scores(row, spec.dimension) for row in rows]
    means = np.array([np.nan if score is None else np.mean(score) for score in scores])
    means[~np.isfinite(means)] = np.nan
    flags = ("incomplete",) if np.isnan(means).any() else ()
    runs = [run[~np.isnan(run)] for run in np.array_split(means, spec.k or 1)]
    n = int((~np.isnan(means)).sum())
    if any(not len(run) for run in runs):
        return undefined_sample((*flags, "undefined"), n)
    deviation = float(np.std([run.mean() for run in runs]))
    return replace(undefined_sample(flags, n), value=deviation, comparisons=sum(row.size for row in rows))


def loss_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The Bradley-Terry loss in nats: mean over rows of -log sigmoid(margin of the candidate people prefer).

    WorldPM's test loss (arXiv 2505.10527); of a row with several comparisons the mean. Rows whose answer has no margin
    in units of log-odds (verdicts, failures) are left out, with the flag "incomplete".
    """
    values: list[float] = []
    of: list[Judged] = []
    left_out = comparisons = 0
    for given in rows:
        row = in_dimension(given, spec.dimension)
        decided = [one for one in compared(row, spec) if not one.tie]
        if not decided:
            continue
        margins = [margin(row, one.i, one.j) for one in decided]
        if answered_by(row) not in ("reward", "margin") or None in margins:
            left_out += 1
            continue
        values.append(float(np.mean(np.logaddexp(0.0, -np.array(margins, dtype=np.float64)))))
        of.append(row)
        comparisons += len(decided)
    flags = ("incomplete",) if left_out else ()
    return mean_sample(values, of, comparisons=comparisons, flags=flags)


def noise_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The accuracy of "pair" that the stated `spec.flip_rate` of wrong labels would hide."""
    plain = linear_sample(rows, replace(spec, rule="pair", levels=()))
    if plain.value is None:
        return plain
    rate, observed = spec.flip_rate, plain.draw

    def draw(counts: Floats) -> Floats:
        # The correction is a line, so it is the same of a mean and of draws of it.
        return noise_corrected(0.0, rate) + observed(counts) * (noise_corrected(1.0, rate) - noise_corrected(0.0, rate))

    return replace(plain, value=noise_corrected(plain.value, rate), draw=draw, mean_of=None)
