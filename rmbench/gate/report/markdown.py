"""Comparisons and verdicts as GitHub Markdown; whatever a name holds, it stays text in its cell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rmbench.gate.comparison import Compared, TaskComparison
from rmbench.gate.report.words import difference, flip_lines, lost_won, method, notes, p_value, percent, task_name
from rmbench.gate.verdicts import GateResult
from rmbench.text import figure, printable

__all__ = ["comparison", "escaped", "verdicts"]

_MARKED = re.compile(r"([\\`*_\[\]#|~$])")
_LIST = re.compile(r"^([-+]|[0-9]+(?=[.)]))")
_MENTION = re.compile(r"(?<![A-Za-z0-9_])@|(?<=:)//")
_BREAK = "&#8203;"
"""A zero-width space: behind "@", or inside "://", it keeps services from making a mention or a link."""


def escaped(text: str) -> str:
    r"""Text that Markdown, its tables and its HTML take as text, in one line, without mentions and bare links.

    >>> print(escaped("a|b <c> [x](y)"), escaped("- @all"), escaped("rm-bench@1"))
    a\|b &lt;c&gt; \[x\](y) \- @&#8203;all rm-bench@1
    """
    marked = _LIST.sub(lambda found: _item(found[0]), _MARKED.sub(r"\\\1", _entities(text)))
    return _MENTION.sub(lambda found: found[0][0] + _BREAK + found[0][1:], marked)


def _item(start: str) -> str:
    """The start of what would be a list item, as text."""
    return f"\\{start}" if start in "-+" else f"{start}\\"


def _entities(text: str) -> str:
    """Text that HTML takes as text; inside an HTML block Markdown reads no backslash."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def comparison(result: Compared) -> str:
    """A table, then a section per task with its notes and flipped rows."""
    lines = [
        f"**A** {escaped(result.a)}, **B** {escaped(result.b)}",
        "",
        *_table(["task", "A", "B", "B - A, points [95%]", "p (mid-p)", "lost/won", "n"], map(_compared, result.tasks)),
    ]
    shared, own = notes(result.tasks)
    lines += _shared(shared)
    for task in result.tasks:
        lines += _details(task, own.get(task.task, []))
    return "\n".join(lines) + "\n"


def verdicts(result: GateResult) -> str:
    """The verdict first, then a table, then reasons and flipped rows."""
    policy = result.policy
    lines = [
        f"### rmbench gate: {result.verdict}",
        "",
        f"{escaped(result.candidate)} against the baseline {escaped(result.baseline)}.",
        f"Margin in percentage points: {policy.margin_points:g}; one-sided alpha {policy.alpha:g}.",
        "",
        *_table(
            [
                "task",
                "baseline",
                "candidate",
                f"change, points [{percent(1 - 2 * policy.alpha)}]",
                "lost/won",
                "n",
                "verdict",
            ],
            ([*_figures(task.compared), task.decision.verdict] for task in result.tasks),
        ),
        "",
    ]
    for task in result.tasks:
        needed = task.decision.n_needed
        more = "" if needed is None else f"; {needed:,} rows would let an unchanged model pass"
        lines.append(
            f"- {escaped(task_name(task.compared))}: **{task.decision.verdict}**, {escaped(task.decision.reason)}{more}"
        )
    lines += [f"- {escaped(remark)}" for remark in result.remarks]
    shared, own = notes([task.compared for task in result.tasks])
    lines += _shared(shared)
    for task in result.tasks:
        told = own.get(task.compared.task, [])
        if task.decision.verdict != "pass" or told:
            lines += _details(task.compared, told)
    return "\n".join(lines) + "\n"


def _figures(task: TaskComparison) -> list[str]:
    found = task.found
    if found is None:
        return [escaped(task_name(task)), "-", "-", "-", "-", "-"]
    told = difference(found.difference, found.low, found.high)
    return [
        escaped(task_name(task)),
        figure(found.value_a),
        figure(found.value_b),
        told,
        lost_won(found),
        f"{found.n:,}",
    ]


def _compared(task: TaskComparison) -> list[str]:
    cells = _figures(task)
    return [*cells[:4], p_value(task.found.p_midp) if task.found is not None else "-", *cells[4:]]


def _table(names: Sequence[str], rows: Iterator[list[str]] | map[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    return lines + ["| " + " | ".join(cells) + " |" for cells in rows]


def _shared(shared: Sequence[str]) -> list[str]:
    return ["", f"The records differ in {escaped(', '.join(shared))}."] if shared else []


def _details(task: TaskComparison, own: Sequence[str]) -> list[str]:
    if task.found is None:
        return ["", f"{escaped(task_name(task))}: not compared: {escaped(task.refused)}"]
    head = f"{_entities(task_name(task))}: {_entities(task.found.metric)}; {_entities(method(task.found.method))}"
    lines = ["", f"<details><summary>{head}</summary>", ""]
    lines += [f"- {escaped(note)}" for note in own]
    if task.identical:
        lines.append("- identical: both models judged every row alike")
    lines += [f"- {escaped(row)}: {told}" if row else f"- {told}" for row, told in flip_lines(task.flips)]
    return [*lines, "", "</details>"]
