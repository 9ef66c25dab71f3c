"""The wording of differences, p values, methods and flips, the same in every report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rmbench.gate.decide import decidable_margin
from rmbench.gate.policy import Policy
from rmbench.gate.task import TaskComparison, TaskOutcome
from rmbench.metrics.paired.comparison import Comparison
from rmbench.text import figure, printable

__all__ = [
    "cells",
    "difference",
    "flip_lines",
    "lost_won",
    "method",
    "metric",
    "notes",
    "p_value",
    "percent",
    "reach",
    "refusals",
    "task_name",
]

_LISTED = 5

_METHODS = {
    "tango": "Tango's score interval, rows independent",
    "cr1-t": "cluster-robust (CR1) with t",
    "cluster-bootstrap": "bootstrap over clusters, percentile",
    "": "no interval",
}


def task_name(task: TaskComparison) -> str:
    """`task@version`."""
    name = printable(task.task)
    return name if task.version is None else f"{name}@{task.version}"


def difference(value: float | None, low: float | None, high: float | None) -> str:
    """A difference of fractions in points (hundredths), with its limits.

    >>> difference(-0.0128, -0.02571, -0.00026), difference(0.0, -0.1, 0.1)
    ('-1.28 [-2.57, -0.03]', '0.00 [-10.00, +10.00]')
    """
    if value is None:
        return "-"
    limits = "" if low is None or high is None else f" [{_points(low)}, {_points(high)}]"
    return _points(value) + limits


def _points(value: float) -> str:
    text = f"{value * 100:+.2f}"
    return text[1:] if not text.strip("+-0.") else text


def p_value(p: float | None) -> str:
    """Three digits, never a bare zero.

    >>> p_value(0.0114), p_value(0.00002), p_value(1.0), p_value(None)
    ('.011', '<.001', '1.000', '-')
    """
    if p is None:
        return "-"
    if p < 0.001:
        return "<.001"
    text = f"{p:.3f}"
    return text[1:] if text.startswith("0") else text


def percent(level: float) -> str:
    """`95%`."""
    return f"{level * 100:.4g}%"


def reach(task: TaskOutcome, policy: Policy) -> str:
    """What the rows could decide, as clauses that each begin with a semicolon; "" where nothing can be said."""
    comparison, needed = task.compared.comparison, task.decision.n_needed
    clauses = "" if needed is None else f"; {needed:,} rows would let an unchanged model pass"
    margin = None if comparison is None else decidable_margin(comparison, policy)
    if comparison is None or margin is None or task.compared.identical or task.decision.verdict == "broken":
        return clauses
    return f"{clauses}; {comparison.n:,} rows decide margins from {_points_up(margin)} points"


def _points_up(margin: float) -> str:
    """A margin in points, rounded up to two significant digits, so that it can be decided."""
    points = margin * 100
    digits = max(0, 1 - math.floor(math.log10(points)))
    return f"{math.ceil(round(points * 10**digits, 6)) / 10**digits:.{digits}f}"


def method(name: str) -> str:
    """An interval method in words."""
    return _METHODS.get(name, name)


def flip_lines(task: TaskComparison) -> list[tuple[str, str]]:
    """(id, change of credit) of the worst losses, then ("", the number of other changes); JSON lists every row."""
    flips, sign = task.flips, -1 if task.comparison is not None and task.comparison.better == "lower" else 1
    lost = sum(sign * (flip.b - flip.a) < 0 for flip in flips)
    lines = []
    for flip in flips[: min(lost, _LISTED)]:
        margin = "" if flip.margin is None else f", margin {flip.margin:+.4g}"
        lines.append((flip.id, f"credit {figure(flip.a, 2)} to {figure(flip.b, 2)}{margin}"))
    more, gained = lost - len(lines), len(flips) - lost
    counts = [f"{more:,} more lost"] * bool(more) + [f"{gained:,} gained"] * bool(gained)
    return lines + [("", ", ".join(counts))] * bool(counts)


def lost_won(comparison: Comparison) -> str:
    """Rows on which only the first, or only the second model has the better credit; correlations have none."""
    lost, won = comparison.lost_won
    return "-" if comparison.p_midp is None else f"{lost}/{won}"


def metric(comparison: Comparison) -> str:
    """The metric's name, and its direction where higher is not better."""
    of = {"higher": "", "lower": " (lower is better)", "neither": " (neither direction is better)"}
    return comparison.metric + of[comparison.better]


def cells(task: TaskComparison, *, p: bool) -> list[str]:
    """The figures of a task's row in a table: A, B, their difference, p (if asked for), lost/won, n."""
    comparison = task.comparison
    if comparison is None:
        return ["-"] * (6 if p else 5)
    return [
        figure(comparison.value_a),
        figure(comparison.value_b),
        difference(comparison.difference, comparison.low, comparison.high),
        *([p_value(comparison.p_midp)] if p else []),
        lost_won(comparison),
        f"{comparison.n:,}",
    ]


def refusals(tasks: Sequence[TaskComparison]) -> Iterator[str]:
    """The tasks that were not compared, in a line for each reason."""
    names: dict[str, list[str]] = {}
    for task in tasks:
        if task.comparison is None:
            names.setdefault(str(task.refused), []).append(task_name(task))
    for why, refused in names.items():
        if len(refused) == 1:
            yield f"{refused[0]}: not compared: {why}"
        else:
            yield f"{len(refused)} tasks not compared: {why}: {', '.join(refused)}"


def notes(tasks: Sequence[TaskComparison]) -> tuple[list[str], dict[str, list[str]]]:
    """The notes that all compared tasks share, and task -> its other notes."""
    compared = [task for task in tasks if task.comparison is not None]
    shared = [note for note in compared[0].notes if all(note in task.notes for task in compared)] if compared else []
    return shared, {task.task: [note for note in task.notes if note not in shared] for task in compared}
