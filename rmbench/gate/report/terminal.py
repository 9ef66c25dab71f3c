"""Comparisons and outcomes for a terminal of 80 columns, light or dark: names as text only, and no meaning in a colour
alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rmbench.gate.decide import exit_code, worst
from rmbench.gate.policy import Policy
from rmbench.gate.report.words import cells, flip_lines, method, metric, notes, p_value, percent, reach, task_name
from rmbench.gate.task import TaskComparison, TaskOutcome
from rmbench.text import printable, text_table

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
    yield Text(f"A {printable(a)}\nB {printable(b)}\n")
    compared = [task for task in tasks if task.comparison is not None]
    headers = ["A", "B", "B - A, points", "p", "lost/won", "n"]
    yield _table(headers, ([task_name(task), *cells(task, p=True)] for task in compared))
    yield Text(
        "\nIn brackets: 95% intervals. p: two-sided mid-p of no difference, not corrected over tasks.\n"
        "lost/won: rows on which only A, or only B, has the better credit."
    )
    shared, others = notes(tasks)
    yield from _shared(shared)
    for task in tasks:
        yield from _details(task, others.get(task.task, []))


def _shared(shared: Sequence[str]) -> Iterator[Text]:
    if shared:
        yield Text(f"\nThe records differ in {printable(', '.join(shared))}.")


def _details(task: TaskComparison, task_notes: Sequence[str]) -> Iterator[RenderableType]:
    comparison = task.comparison
    if comparison is None:
        yield Text(f"\n{task_name(task)}: not compared: {printable(task.refused)}.")
        return
    exact = "" if comparison.p_exact is None else f", exact p {p_value(comparison.p_exact)}"
    clusters = "" if comparison.clusters == comparison.n else f", {comparison.clusters:,} clusters"
    yield Text(f"\n{task_name(task)}: {printable(metric(comparison))}; {method(comparison.method)}{clusters}{exact}")
    if task.identical:
        yield Text("  identical: both models judged every row alike")
    for note in task_notes:
        yield Text(f"  {printable(note)}")
    yield from _flips(task)


def _flips(task: TaskComparison) -> Iterator[Text]:
    for row, change in flip_lines(task):
        yield Text(f"  {printable(row)}: {change}" if row else f"  {change}")


def _outcomes(
    baseline: str, candidate: str, policy: Policy, tasks: Sequence[TaskOutcome], remarks: Sequence[str]
) -> Iterator[RenderableType]:
    yield Text(f"baseline  {printable(baseline)}\ncandidate {printable(candidate)}\n")
    yield _table(["base", "cand", "change, points", "lost/won", "n", "outcome"], map(_row, tasks))
    yield Text(
        f"\nIn brackets: {percent(1 - 2 * policy.alpha)} limits of the change, so each is one-sided at "
        f"{policy.alpha:g}. Margin in percentage points: {policy.margin_points:g}.\n"
    )
    shared, others = notes([task.compared for task in tasks])
    for task in tasks:
        yield from _reason(task, policy, others.get(task.compared.task, []))
    yield from _shared(shared)
    for remark in remarks:
        yield Text(printable(remark))
    outcome = worst(task.decision.verdict for task in tasks)
    code = f"exit code {exit_code(outcome, policy)}"
    yield Text.assemble(f"\n{code}: ", (outcome, f"bold {_STYLE[outcome]}"))


def _row(task: TaskOutcome) -> list[str | Text]:
    outcome = task.decision.verdict
    return [task_name(task.compared), *cells(task.compared, p=False), Text(outcome, style=_STYLE[outcome])]


def _reason(task: TaskOutcome, policy: Policy, task_notes: Sequence[str]) -> Iterator[Text]:
    decision = task.decision
    reason = printable(decision.reason)
    yield Text(f"{task_name(task.compared)}: {decision.verdict}: {reason}{reach(task, policy)}.")
    for note in task_notes:
        yield Text(f"  {printable(note)}")
    if decision.verdict != "pass":
        yield from _flips(task.compared)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    return text_table([("task", "fold"), *((header, "right") for header in headers)], rows)
