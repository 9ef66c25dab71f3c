"""Comparisons and outcomes as GitHub Markdown; names are escaped, so that each stays text in its cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rmbench.gate.decide import worst
from rmbench.gate.policy import Policy
from rmbench.gate.report.words import cells, flip_lines, method, metric, notes, percent, reach, task_name
from rmbench.gate.task import TaskComparison, TaskOutcome
from rmbench.text import printable

__all__ = ["comparison", "escaped", "outcomes"]

_MARKED = re.compile(r"([\\`*_\[\]#|~$])")
_LIST = re.compile(r"^([-+]|[0-9]+(?=[.)]))")
_MENTION = re.compile(r"(?<![A-Za-z0-9_])@|(?<=:)//")
_BREAK = "&#8203;"
"""A zero-width space: after "@", or inside "://", it keeps services from creating a mention or a link."""


def escaped(text: str) -> str:
    r"""Text that Markdown, its tables and its HTML take as text, in one line, without mentions and bare links.

    >>> print(escaped("a|b <c> [x](y)"), escaped("- @all"), escaped("rm-bench@1"))
    a\|b &lt;c&gt; \[x\](y) \- @&#8203;all rm-bench@1
    """
    return _unlinked(_LIST.sub(lambda match: _item(match[0]), _MARKED.sub(r"\\\1", _entities(text))))


def _unlinked(text: str) -> str:
    return _MENTION.sub(lambda match: match[0][0] + _BREAK + match[0][1:], text)


def _item(start: str) -> str:
    """The marker of a list item, as text."""
    return f"\\{start}" if start in "-+" else f"{start}\\"


def _entities(text: str) -> str:
    """Text that HTML takes as text; inside an HTML block Markdown reads no backslash."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def comparison(a: str, b: str, tasks: Sequence[TaskComparison]) -> str:
    """A table, then a section per task with its notes and flipped rows."""
    lines = [
        f"**A** {escaped(a)}, **B** {escaped(b)}",
        "",
        *_table(
            ["task", "A", "B", "B - A, points [95%]", "p (mid-p)", "lost/won", "n"],
            ([escaped(task_name(task)), *cells(task, p=True)] for task in tasks),
        ),
    ]
    shared, others = notes(tasks)
    lines += _shared(shared)
    for task in tasks:
        lines += _details(task, others.get(task.task, []))
    return "\n".join(lines) + "\n"


def outcomes(
    baseline: str, candidate: str, policy: Policy, tasks: Sequence[TaskOutcome], remarks: Sequence[str]
) -> str:
    """The outcome of the gate first, then a table, then reasons and flipped rows."""
    change = f"change, points [{percent(1 - 2 * policy.alpha)}]"
    lines = [
        f"### rmbench gate: {worst(task.decision.verdict for task in tasks)}",
        "",
        f"{escaped(candidate)} against the baseline {escaped(baseline)}.",
        f"Margin in percentage points: {policy.margin_points:g}; one-sided alpha {policy.alpha:g}.",
        "",
        *_table(["task", "baseline", "candidate", change, "lost/won", "n", "outcome"], map(_row, tasks)),
        "",
    ]
    for task in tasks:
        outcome = f"**{task.decision.verdict}**, {escaped(task.decision.reason)}{reach(task, policy)}"
        lines.append(f"- {escaped(task_name(task.compared))}: {outcome}")
    lines += [f"- {escaped(remark)}" for remark in remarks]
    shared, others = notes([task.compared for task in tasks])
    lines += _shared(shared)
    for task in tasks:
        task_notes = others.get(task.compared.task, [])
        if task.decision.verdict != "pass" or task_notes:
            lines += _details(task.compared, task_notes)
    return "\n".join(lines) + "\n"


def _row(task: TaskOutcome) -> list[str]:
    return [escaped(task_name(task.compared)), *cells(task.compared, p=False), task.decision.verdict]


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(headers) + " |", "|---|" + "---:|" * (len(headers) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _shared(shared: Sequence[str]) -> list[str]:
    return ["", f"The records differ in {escaped(', '.join(shared))}."] if shared else []


def _details(task: TaskComparison, task_notes: Sequence[str]) -> list[str]:
    comparison = task.comparison
    if comparison is None:
        return ["", f"{escaped(task_name(task))}: not compared: {escaped(task.refused)}"]
    head = _unlinked(_entities(f"{task_name(task)}: {metric(comparison)}; {method(comparison.method)}"))
    lines = ["", f"<details><summary>{head}</summary>", ""]
    lines += [f"- {escaped(note)}" for note in task_notes]
    if task.identical:
        lines.append("- identical: both models judged every row alike")
    lines += [f"- {escaped(row)}: {change}" if row else f"- {change}" for row, change in flip_lines(task)]
    return [*lines, "", "</details>"]
