"""Comparisons and outcomes for a terminal of 80 columns, light or dark: names as text only, and no meaning in a colour
alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from rmbench.gate.decide import exit_code, worst
from rmbench.gate.policy import Policy
from rmbench.gate.report.words import (
    cells,
    flip_lines,
    method,
    metric,
    notes,
    p_value,
    percent,
    reach,
    refusals,
    task_name,
)
from rmbench.gate.task import TaskComparison, TaskOutcome
from rmbench.text import line, printable, text_table

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = ["comparison", "outcomes"]

_STYLE = {"pass": "green", "regression": "red", "inconclusive": "yellow", "broken": "red"}


def comparison(a: str, b: str, tasks: Sequence[TaskComparison]) -> RenderableType:
    """The values of both, the differences in points, and the rows that flipped."""
    return Group(*_comparison(a, b, tasks))


def outcomes(
    baseline: str, candidate: str, policy: Policy, tasks: Sequence[TaskOutcome], remarks: Sequence[str]
) -> RenderableType:
    """The outcome and reason of each task; the last word is the outcome of the gate."""
    return Group(*_outcomes(baseline, candidate, policy, tasks, remarks))


def _comparison(a: str, b: str, tasks: Sequence[TaskComparison]) -> Iterator[RenderableType]:
    yield line(f"A {a}")
    yield line(f"B {b}")
    yield line("")
    compared = [task for task in tasks if task.comparison is not None]
    headers = ["A", "B", "B - A, points", "p", "lost/won", "n"]
    yield _table(headers, ([task_name(task), *cells(task, p=True)] for task in compared))
    yield line("")
    yield line("In brackets: 95% intervals. p: two-sided mid-p of no difference, not corrected over tasks.")
    yield line("lost/won: rows on which only A, or only B, has the better credit.")
    shared, others = notes(tasks)
    yield from _shared(shared)
    for task in compared:
        yield from _details(task, others.get(task.task, []))
    for refused in refusals(tasks):
        yield line("")
        yield line(f"{refused}.")


def _shared(shared: Sequence[str]) -> Iterator[Text]:
    if shared:
        yield line("")
        yield line(f"The records differ in {printable(', '.join(shared))}.")


def _details(task: TaskComparison, task_notes: Sequence[str]) -> Iterator[RenderableType]:
    comparison = task.comparison
    assert comparison is not None
    yield line("")
    exact = "" if comparison.p_exact is None else f", exact p {p_value(comparison.p_exact)}"
    clusters = "" if comparison.clusters == comparison.n else f", {comparison.clusters:,} clusters"
    yield line(f"{task_name(task)}: {metric(comparison)}; {method(comparison.method)}{clusters}{exact}")
    if task.identical:
        yield _indented("identical: both models judged every row alike")
    yield from map(_indented, task_notes)
    yield from _flips(task)


def _flips(task: TaskComparison) -> Iterator[Text]:
    for row, change in flip_lines(task):
        yield _indented(f"{printable(row)}: {change}" if row else change)


def _indented(text: str) -> Text:
    return line("").append("  ").append_text(line(text))


def _outcomes(
    baseline: str, candidate: str, policy: Policy, tasks: Sequence[TaskOutcome], remarks: Sequence[str]
) -> Iterator[RenderableType]:
    yield line(f"baseline {baseline}")
    yield line(f"candidate {candidate}")
    yield line("")
    yield _table(["base", "cand", "change, points", "lost/won", "n", "outcome"], map(_row, tasks))
    yield line("")
    yield line(
        f"In brackets: {percent(1 - 2 * policy.alpha)} limits of the change, so each is one-sided at "
        f"{policy.alpha:g}. Margin in percentage points: {policy.margin_points:g}."
    )
    yield line("")
    shared, others = notes([task.compared for task in tasks])
    for task in tasks:
        yield from _reason(task, policy, others.get(task.compared.task, []))
    yield from _shared(shared)
    for remark in remarks:
        yield line(remark)
    outcome = worst(task.decision.verdict for task in tasks)
    code = f"exit code {exit_code(outcome, policy)}"
    yield line("")
    yield line(code).append(": ").append(outcome, f"bold {_STYLE[outcome]}")


def _row(task: TaskOutcome) -> list[str | Text]:
    outcome = task.decision.verdict
    return [task_name(task.compared), *cells(task.compared, p=False), line(outcome, _STYLE[outcome])]


def _reason(task: TaskOutcome, policy: Policy, task_notes: Sequence[str]) -> Iterator[Text]:
    decision = task.decision
    reason = printable(decision.reason, 1_000)
    yield line(f"{task_name(task.compared)}: {decision.verdict}: {reason}{reach(task, policy)}.")
    yield from map(_indented, task_notes)
    if decision.verdict != "pass":
        yield from _flips(task.compared)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    return text_table([("task", "fold"), *((header, "right") for header in headers)], rows)
