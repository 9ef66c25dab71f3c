"""Accuracy of a linear probe of a model's hidden states, fitted on the fit split and measured on the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.probing.accuracy import FAILED, probe_report
from rmbench.metrics.probing.linear import ProbeKind, fit_probe
from rmbench.metrics.probing.states import States
from rmbench.metrics.rows.answers import is_failed
from rmbench.metrics.rows.gold import label_of
from rmbench.metrics.uncertainty.aggregate import Ints
from rmbench.metrics.uncertainty.sample import Sample, mean_sample, undefined_sample
from rmbench.types import Judged

__all__ = ["HIDDEN", "probe_sample"]

HIDDEN = "hidden"
"""The part of a judgment that holds the state at the last token, [1, H]."""

_KINDS = ("upstream", "logistic")


def _labelled(rows: Sequence[Judged], spec: MetricSpec) -> list[tuple[Judged, int]]:
    return [(row, label) for row in rows if (label := label_of(row, spec)) is not None]


def _has_state(row: Judged) -> bool:
    return not is_failed(row) and HIDDEN in row.judgment.parts


def _states(rows: Sequence[Judged]) -> States:
    return np.array([row.judgment.parts[HIDDEN][0] for row in rows], dtype=np.float32)


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def probe_sample(rows: Sequence[Judged], spec: MetricSpec, fit: Sequence[Judged], seed: int) -> Sample:
    """The probe's accuracy on the rows that have a label in `spec.dimension`; a row without a state is wrong.

    With it come "figure=macro_f1", "figure=majority" (of the training labels' most frequent class) and "figure=p"
    (one-sided exact p of no more than the best constant answer). The interval takes the probe as given. Flags:
    "no_fit_split" without fit rows of two classes, "not_above_majority". Rows that upstream drops for their length are
    dropped by the task's `max_tokens`, before they come here.

    Raises RmbenchError for a probe that is neither "upstream" nor "logistic".
    """
    if spec.probe not in _KINDS:
        raise RmbenchError(f'metric "{spec.name}": unknown probe "{spec.probe}".{did_you_mean(spec.probe, _KINDS)}')
    found, training = _labelled(rows, spec), [one for one in _labelled(fit, spec) if _has_state(one[0])]
    if not found or len({label for _, label in training}) < 2:
        return undefined_sample((*(("no_fit_split",) if found else ()), "undefined"), len(found))
    classes = 1 + max(label for _, label in (*found, *training))
    probe = fit_probe(
        _states([row for row, _ in training]),
        _ints([label for _, label in training]),
        kind=cast("ProbeKind", spec.probe),
        classes=classes,
        seed=seed,
    )
    predicted = np.full(len(found), FAILED, dtype=np.int64)
    answered = [k for k, (row, _) in enumerate(found) if _has_state(row)]
    if answered:
        predicted[answered] = probe.predict(_states([found[k][0] for k in answered]))
    gold, of = _ints([label for _, label in found]), [row for row, _ in found]
    report = probe_report(gold, predicted, train_counts=probe.train_counts)
    sample = mean_sample(gold == predicted, of, comparisons=len(of), flags=report.flags)
    figures = {"macro_f1": report.macro_f1, "majority": report.majority, "p": report.p_above}
    plain = [
        (f"figure={name}", replace(undefined_sample((), len(of)), value=figure)) for name, figure in figures.items()
    ]
    return replace(sample, extras=tuple(plain))
