"""From a record's folder to its report: the rows as pairs, then part by part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rmbench.metrics.judging.votes import voted
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.records.headline import headline_spec
from rmbench.records.record import Record, ValueRecord
from rmbench.records.store import read, read_table_of
from rmbench.reports.calibration import calibration_of
from rmbench.reports.length import length_of
from rmbench.reports.pairs import Pairs, mean_of, pairs_of
from rmbench.reports.position import position_of
from rmbench.reports.report import (
    QUANTILES,
    Bin,
    Coverage,
    Disagreement,
    Estimate,
    GroupEstimate,
    Margins,
    Report,
    Ties,
)
from rmbench.types import Judged

__all__ = ["build"]

_BINS = 24
"""Of the histogram of margins, half on either side of 0."""
_EXTREME = 0.98
"""Quantile of the absolute margins up to which the histogram reaches."""
_WORST = 10
_PARTS = ("margins", "calibration", "ties", "length", "position", "disagreements")
_PUBLISHED = "The record holds figures that others published, and no rows."


def build(folder: Path, *, resamples: int) -> Report:
    """The report of one record; see `rmbench.reports.report_of`."""
    record = read(folder)
    spec = headline_spec(record)
    head = _head(record, spec.name)
    if record.kind == "published":
        coverage = Coverage(record.task.n, 0, 0, 0, 0, 0, {})
        parts: dict[str, Any] = dict.fromkeys(_PARTS, _PUBLISHED)
        scale = None
    else:
        rows = [row for row, _ in read_table_of(folder, record)]
        pairs = pairs_of(voted(rows, record.model.settings), spec, record.task.n)
        coverage, scale = pairs.coverage, pairs.scale
        parts = _parts(pairs, rows, record, resamples)
    return Report(
        model=f"{record.model.name}@{record.model.revision}",
        task=f"{record.task.id}@{record.task.version}",
        title=record.task.title,
        finished=record.run.finished,
        source_of_scores=record.run.source_of_scores,
        flags=tuple(record.flags),
        metric=spec.name if head is None else head.metric,
        chance=None if head is None else head.chance,
        headline=Estimate(None, None, None, 0) if head is None else _estimate(head),
        groups=tuple(
            GroupEstimate(value.group, _estimate(value))
            for value in record.results
            if value.group is not None and value.metric == (spec.name if head is None else head.metric)
        ),
        scale=scale,
        coverage=coverage,
        **{name: None if isinstance(part, str) else part for name, part in parts.items()},
        missing={name: part for name, part in parts.items() if isinstance(part, str)},
    )


def _head(record: Record, name: str) -> ValueRecord | None:
    """The headline's overall value; of published figures that lack it the first one printed."""
    overall = [value for value in record.results if value.group is None]
    return next((value for value in overall if value.metric == name), overall[0] if overall else None)


def _estimate(value: ValueRecord) -> Estimate:
    return Estimate(value.value, value.low, value.high, value.n)


def _parts(pairs: Pairs, rows: list[Judged], record: Record, resamples: int) -> dict[str, Any]:
    """Name of a part -> the part, or a sentence that says why the record has none."""
    position = position_of(pairs, rows)
    if not pairs.rows:
        none = "No row holds a comparison that prefers one of two answers."
        return {**dict.fromkeys(_PARTS, none), "position": position}
    if not pairs.answered.any():
        none = "The model has a readable answer to no pair."
        return {**dict.fromkeys(_PARTS, none), "ties": _ties(pairs), "position": position}
    rng = np.random.default_rng(record.run.seed)
    parts = {"length": length_of(pairs, resamples, rng), "position": position, "ties": _ties(pairs)}
    if pairs.scale == "verdict":
        none = "The model names the better answer and gives no scores, so there are no margins."
        return {**dict.fromkeys(_PARTS, none), **parts}
    return {
        **parts,
        "margins": _margins(pairs.margins[pairs.answered]),
        "calibration": calibration_of(pairs, resamples, rng),
        "disagreements": _disagreements(pairs),
    }


def _margins(margins: Floats) -> Margins:
    right, wrong = margins[margins > 0], -margins[margins < 0]
    return Margins(
        n=len(margins),
        mean=float(margins.mean()),
        sd=float(margins.std()),
        quantiles=_quantiles(margins),
        right=_quantiles(right),
        wrong=_quantiles(wrong),
        bins=_histogram(margins),
        ties=int((margins == 0).sum()),
    )


def _quantiles(values: Floats) -> tuple[float, ...]:
    return tuple(float(each) for each in np.quantile(values, QUANTILES)) if len(values) else ()


def _histogram(margins: Floats) -> tuple[Bin, ...]:
    """Bins of equal width, those of wrong pairs mirrored to those of right ones."""
    sizes = np.abs(margins[margins != 0])
    if not len(sizes):
        return ()
    edges = np.linspace(0.0, float(np.quantile(sizes, _EXTREME)), _BINS // 2 + 1)
    within = np.minimum(np.abs(margins), edges[-1])
    wrong, right = (np.histogram(within[side], edges)[0] for side in (margins < 0, margins > 0))
    bins = [Bin(float(a), float(b), int(n)) for a, b, n in zip(edges[:-1], edges[1:], right, strict=True)]
    mirrored = [Bin(-one.high, -one.low, int(n)) for one, n in zip(bins, wrong, strict=True)]
    return (*reversed(mirrored), *bins)


def _ties(pairs: Pairs) -> Ties:
    right = (pairs.margins > 0).astype(np.float64)
    tied = (pairs.margins == 0).astype(np.float64)
    return Ties(
        ties=int(tied.sum()),
        share=mean_of(tied, pairs.rows),
        strict=mean_of(right, pairs.rows),
        half=mean_of(right + tied / 2, pairs.rows),
        decided=mean_of(right[tied == 0], pairs.of(tied == 0)),
    )


def _disagreements(pairs: Pairs) -> tuple[Disagreement, ...] | str:
    sd = float(pairs.margins[pairs.answered].std())
    wrong = np.flatnonzero(pairs.margins < 0)
    if not len(wrong):
        return "The model orders no pair against people."
    if not sd:
        return "All margins are the same, so no pair is further from people than another."
    worst = wrong[np.argsort(pairs.margins[wrong], kind="stable")][:_WORST]
    return tuple(
        Disagreement(pairs.rows[k].id, i, j, float(pairs.margins[k]), float(pairs.margins[k] / sd))
        for k in worst.tolist()
        for i, j in [pairs.sides[k]]
    )
