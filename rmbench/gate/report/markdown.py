"""Comparisons and outcomes as GitHub Markdown; names are escaped, so that each stays text in its cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rmbench.gate.decide import worst
from rmbench.gate.policy import Policy
from rmbench.gate.report.words import cells, flip_lines, method, metric, notes, percent, reach, refusals, task_name
from rmbench.gate.task import TaskComparison, TaskOutcome
from rmbench.text import markdown_text

__all__ = ["comparison", "outcomes"]


def comparison(a: str, b: str, tasks: Sequence[TaskComparison]) -> str:
    """A table, then a section per task with its notes and flipped rows."""
    lines = [
        f"**A** {markdown_text(a)}, **B** {markdown_text(b)}",
        "",
        *_table(
            ["task", "A", "B", "B - A, points [95%]", "p (mid-p)", "lost/won", "n"],
            ([markdown_text(task_name(task)), *cells(task, p=True)] for task in tasks),
        ),
    ]
    shared, others = notes(tasks)
    lines += _shared(shared)
    for task in tasks:
        if task.comparison is not None:
            lines += _details(task, others.get(task.task, []))
    for refused in refusals(tasks):
        lines += ["", markdown_text(refused, longest=2_000)]
    return "\n".join(lines) + "\n"


def outcomes(
    baseline: str, candidate: str, policy: Policy, tasks: Sequence[TaskOutcome], remarks: Sequence[str]
) -> str:
    """The outcome of the gate first, then a table, then reasons and flipped rows."""
    change = f"change, points [{percent(1 - 2 * policy.alpha)}]"
    lines = [
        f"### rmbench gate: {worst(task.decision.verdict for task in tasks)}",
        "",
        f"{markdown_text(candidate)} against the baseline {markdown_text(baseline)}.",
        f"Margin in percentage points: {policy.margin_points:g}; one-sided alpha {policy.alpha:g}.",
        "",
        *_table(["task", "baseline", "candidate", change, "lost/won", "n", "outcome"], map(_row, tasks)),
        "",
    ]
    for task in tasks:
        outcome = f"**{task.decision.verdict}**, {markdown_text(task.decision.reason)}{reach(task, policy)}"
        lines.append(f"- {markdown_text(task_name(task.compared))}: {outcome}")
    lines += [f"- {markdown_text(remark)}" for remark in remarks]
    shared, others = notes([task.compared for task in tasks])
    lines += _shared(shared)
    for task in tasks:
        task_notes = others.get(task.compared.task, [])
        if task.decision.verdict != "pass" or task_notes:
            lines += _details(task.compared, task_notes)
    return "\n".join(lines) + "\n"


def _row(task: TaskOutcome) -> list[str]:
    return [markdown_text(task_name(task.compared)), *cells(task.compared, p=False), task.decision.verdict]


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(headers) + " |", "|---|" + "---:|" * (len(headers) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _shared(shared: Sequence[str]) -> list[str]:
    return ["", f"The records differ in {markdown_text(', '.join(shared))}."] if shared else []


def _details(task: TaskComparison, task_notes: Sequence[str]) -> list[str]:
    comparison = task.comparison
    if comparison is None:
        return ["", *(markdown_text(refused, longest=2_000) for refused in refusals([task]))]
    head = markdown_text(f"{task_name(task)}: {metric(comparison)}; {method(comparison.method)}", block=True)
    lines = ["", f"<details><summary>{head}</summary>", ""]
    lines += [f"- {markdown_text(note)}" for note in task_notes]
    if task.identical:
        lines.append("- identical: both models judged every row alike")
    lines += [f"- {markdown_text(row)}: {change}" if row else f"- {change}" for row, change in flip_lines(task)]
    return [*lines, "", "</details>"]
