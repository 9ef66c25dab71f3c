"""Every rule that is no mean of row credits, by name: rows into a sample of the metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec, of_kind, rule_of
from rmbench.metrics.classes.auc import auc_sample
from rmbench.metrics.classes.confusion import confusion_sample, threshold_sample
from rmbench.metrics.contexts import context_shift_sample, contexts_sample, difference_sample, sensitivity_sample
from rmbench.metrics.correlation.coefficients import correlation, correlation_draw
from rmbench.metrics.correlation.lists import list_sample
from rmbench.metrics.correlation.preference_strength import delta_sample
from rmbench.metrics.correlation.rated import dimension_of, rated_items
from rmbench.metrics.means import chunk_sample, linear_sample, loss_sample, mean_score_sample, noise_sample
from rmbench.metrics.policies.idealised import likelihood_sample
from rmbench.metrics.probing.probes import probe_sample
from rmbench.metrics.raters.accuracy import gap_sample, rater_sample
from rmbench.metrics.raters.few_shot import few_shot_sample, gain_sample
from rmbench.metrics.raters.people import agreement_sample, ceiling_sample
from rmbench.metrics.rows.answers import answered_share
from rmbench.metrics.rows.selection import selected_rows
from rmbench.metrics.segments import majority_sample
from rmbench.metrics.ties.reward_shift import largest_shift_sample, shift_sample
from rmbench.metrics.ties.rewardbench2 import ties_sample
from rmbench.metrics.ties.tie_calibration import calibrated_sample, loop_sample
from rmbench.metrics.unbiased import unbiased_loss_sample, unbiased_ranking_sample
from rmbench.metrics.uncertainty.aggregate import weight_of
from rmbench.metrics.uncertainty.sample import Sample, clusters_of, combined, undefined_sample
from rmbench.types import Judged

__all__ = ["FIGURES", "MetricContext", "has_coverage", "sample_of", "usable"]


@dataclass(frozen=True, slots=True)
class MetricContext:
    """What a metric may need besides its rows."""

    specs: Mapping[str, MetricSpec] = field(default_factory=dict)
    """The task's metrics by name, for "mean_of"."""
    fit: Sequence[Judged] = ()
    """Judged rows of the fit split."""
    seed: int = 0
    """For what is fitted by chance."""
    rows: Sequence[Judged] = ()
    """All rows of the task, for figures in a unit that groups of rows share; empty: those at hand."""
    probes: dict[tuple[str, str, tuple[str, ...]], Sample] = field(default_factory=dict)
    """Probes by metric, dimension and rows, so that a mean of metrics does not fit them again."""

    def metrics(self, spec: MetricSpec) -> dict[str, MetricSpec]:
        """The metrics that `spec.of` may name: those it carries, and the task's own."""
        return {**{part.name: part for part in spec.parts}, **self.specs}


def _correlated(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    items = rated_items(rows, dimension_of(rows, spec))
    flags = ("incomplete",) if items.left_out else ()
    value = correlation(spec.rule, items.human, items.model)
    if value is None:
        empty = undefined_sample((*flags, "undefined"), items.rows)
        return replace(empty, comparisons=len(items.human))
    names = clusters_of(rows)[0]
    present, cluster = np.unique(items.cluster, return_inverse=True)
    return Sample(
        value=value,
        clusters=tuple(names[k] for k in present),
        draw=correlation_draw(spec.rule, items.human, items.model, cluster),
        n=items.rows,
        comparisons=len(items.human),
        flags=flags,
        width=len(items.human),
    )


_PLAIN: dict[str, Callable[[Sequence[Judged], MetricSpec], Sample]] = {
    **dict.fromkeys(of_kind("correlation"), _correlated),
    **dict.fromkeys(of_kind("difference correlation"), delta_sample),
    **dict.fromkeys(of_kind("list correlation"), list_sample),
    **dict.fromkeys(of_kind("likelihoods"), likelihood_sample),
    **dict.fromkeys(("macro_f1", "macro_precision", "macro_recall", "cohen_kappa"), confusion_sample),
    **dict.fromkeys(("precision", "recall", "f1"), confusion_sample),
    "auc": auc_sample,
    "ties": ties_sample,
    "mean_score": mean_score_sample,
    "chunk_deviation": chunk_sample,
    "bradley_terry_loss": loss_sample,
    "noise_corrected": noise_sample,
    "both_contexts": contexts_sample,
    "context_sensitivity": sensitivity_sample,
    "context_shift": context_shift_sample,
    "paired_difference": difference_sample,
    "segment_majority": majority_sample,
    "tie_calibrated_accuracy": calibrated_sample,
    "tie_loop_accuracy": loop_sample,
    "rater_mean": rater_sample,
    "worst_group_gap": gap_sample,
    "rater_agreement": agreement_sample,
    "rater_ceiling": ceiling_sample,
    **dict.fromkeys(("unbiased_dcg", "unbiased_recall", "unbiased_map"), unbiased_ranking_sample),
    "unbiased_loss": unbiased_loss_sample,
    "few_shot": few_shot_sample,
    "few_shot_gain": gain_sample,
}
_SHIFTS: dict[str, Callable[[Sequence[Judged], MetricSpec, Sequence[Judged]], Sample]] = {
    "reward_shift": shift_sample,
    "largest_reward_shift": largest_shift_sample,
}
_FITTED = ("threshold_accuracy", "threshold_macro_f1", "probe")
FIGURES = frozenset({*_PLAIN, *_SHIFTS, *_FITTED, "mean_of"})
"""The rules that have a function here."""


def sample_of(rows: Sequence[Judged], spec: MetricSpec, context: MetricContext) -> Sample:
    """The metric of `rows`, which `spec.where` has already chosen.

    With levels a rule that is no mean of rows is taken in each leaf and averaged up by the levels' weights; it is null
    where a leaf has none. It is null, with the flag "low_coverage", where too many rows failed (`has_coverage`).
    Raises RmbenchError for an unknown rule, or what the rule itself refuses.
    """
    sample = _sample(rows, spec, context)
    if not rows or has_coverage(answered_share(rows), spec):
        return sample
    return replace(undefined_sample((*sample.flags, "low_coverage"), sample.n), comparisons=sample.comparisons)


def has_coverage(answered: float, spec: MetricSpec) -> bool:
    """Whether enough rows did not fail for a value, given their share: any, where a failed row counts as the worst
    answer; else `spec.min_coverage`."""
    return answered > 0 and (rule_of(spec).worst_case or answered >= spec.min_coverage)


def _sample(rows: Sequence[Judged], spec: MetricSpec, context: MetricContext) -> Sample:
    linear = rule_of(spec).linear
    if not rows:
        return undefined_sample(("undefined",))
    if linear:
        return linear_sample(rows, spec)
    if spec.levels and spec.rule != "mean_of":
        return _leveled(rows, spec, context)
    if spec.rule == "mean_of":
        return _mean_of(rows, spec, context)
    if spec.rule == "probe":
        return _probed(rows, spec, context)
    if spec.rule in _SHIFTS:
        return _SHIFTS[spec.rule](rows, spec, context.rows or rows)
    if spec.rule in _FITTED:
        return threshold_sample(rows, spec, selected_rows(context.fit, spec))
    return _PLAIN[spec.rule](rows, spec)


def _leveled(rows: Sequence[Judged], spec: MetricSpec, context: MetricContext) -> Sample:
    level, *below = spec.levels
    within: dict[str, list[Judged]] = {}
    for row in rows:
        if level.group not in row.groups:
            hint = did_you_mean(level.group, row.groups)
            raise RmbenchError(
                f'row "{row.id}" has no group "{level.group}", which a level of the metric asks for.{hint}'
            )
        within.setdefault(row.groups[level.group], []).append(row)
    inner = replace(spec, levels=tuple(below))
    values = sorted(within)
    parts = [_sample(within[value], inner, context) for value in values]
    return combined(parts, [weight_of(level, value) for value in values])


def _mean_of(rows: Sequence[Judged], spec: MetricSpec, context: MetricContext) -> Sample:
    if not spec.of:
        raise RmbenchError(f'metric "{spec.name}": `of` names no metric to average.')
    known = context.metrics(spec)
    parts = []
    counted: set[str] = set()
    for name in spec.of:
        part = known.get(name)
        if part is None or part.name == spec.name:
            hint = did_you_mean(name, [other for other in known if other != spec.name])
            raise RmbenchError(
                f'metric "{spec.name}": `of` names "{name}", which is no other metric of the task.{hint}'
            )
        if part.rule == "mean_of":
            raise RmbenchError(f'metric "{spec.name}": `of`: "{name}" is itself a mean of metrics.')
        chosen = selected_rows(rows, part)
        counted |= {row.id for row in chosen}
        parts.append(sample_of(chosen, part, context))
    found = combined(parts, [1.0] * len(parts))
    missing = [f"no_{name}" for name, part in zip(spec.of, parts, strict=True) if part.value is None]
    return replace(found, n=len(counted), flags=(*found.flags, *missing))


def _probed(rows: Sequence[Judged], spec: MetricSpec, context: MetricContext) -> Sample:
    key = (spec.name, spec.dimension, tuple(row.id for row in rows))
    if key not in context.probes:
        context.probes[key] = probe_sample(rows, spec, selected_rows(context.fit, spec), context.seed)
    return context.probes[key]


def usable(row: Judged, spec: MetricSpec) -> bool:
    """Whether the model's answer counts at all where a rule leaves rows without a score out ("incomplete")."""
    rule = rule_of(spec)
    if not rule.skips_unscored or (rule.kind == "list correlation" and spec.join):
        return True
    return "incomplete" not in _sample([row], replace(spec, levels=()), MetricContext()).flags
