"""Comparisons and verdicts for a terminal of 80 columns, light or dark: names as text only, and no meaning in a colour
alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rmbench.gate.comparison import Compared, Flip, TaskComparison
from rmbench.gate.report.words import difference, flip_lines, lost_won, method, notes, p_value, percent, task_name
from rmbench.gate.verdicts import GateResult, TaskVerdict
from rmbench.text import figure, printable

__all__ = ["comparison", "verdicts"]

_STYLE = {"pass": "green", "regression": "red", "inconclusive": "yellow", "broken": "red"}


def comparison(result: Compared) -> RenderableType:
    """The values of both, the differences in points, and the rows that flipped."""
    return Group(*_comparison(result))


def verdicts(result: GateResult) -> RenderableType:
    """The tasks' verdicts and reasons; the last word is the verdict on the whole."""
    return Group(*_verdicts(result))


def _comparison(result: Compared) -> Iterator[RenderableType]:
    yield Text(f"A {printable(result.a)}\nB {printable(result.b)}\n")
    table = _table(["A", "B", "B - A, points", "p", "lost/won", "n"])
    for task in result.tasks:
        found = task.found
        if found is not None:
            figures = [figure(found.value_a), figure(found.value_b)]
            told = difference(found.difference, found.low, found.high)
            rest = [p_value(found.p_midp), lost_won(found), f"{found.n:,}"]
            table.add_row(*_texts([task_name(task), *figures, told, *rest]))
    yield table
    yield Text(
        "\nIn brackets: 95% intervals. p: two-sided mid-p of no difference, not corrected over tasks.\n"
        "lost/won: rows on which only A, or only B, has the higher credit."
    )
    shared, own = notes(result.tasks)
    yield from _shared(shared)
    for task in result.tasks:
        yield from _details(task, own.get(task.task, []))


def _shared(shared: Sequence[str]) -> Iterator[Text]:
    if shared:
        yield Text(f"\nThe records differ in {printable(', '.join(shared))}.")


def _details(task: TaskComparison, own: Sequence[str]) -> Iterator[RenderableType]:
    if task.found is None:
        yield Text(f"\n{task_name(task)}: not compared: {printable(task.refused)}.")
        return
    found = task.found
    exact = "" if found.p_exact is None else f", exact p {p_value(found.p_exact)}"
    clusters = "" if found.clusters == found.n else f", {found.clusters:,} clusters"
    yield Text(f"\n{task_name(task)}: {printable(found.metric)}; {method(found.method)}{clusters}{exact}")
    if task.identical:
        yield Text("  identical: both models judged every row alike")
    for note in own:
        yield Text(f"  {printable(note)}")
    yield from _flips(task.flips)


def _flips(flips: Sequence[Flip]) -> Iterator[Text]:
    for row, told in flip_lines(flips):
        yield Text(f"  {printable(row)}: {told}" if row else f"  {told}")


def _verdicts(result: GateResult) -> Iterator[RenderableType]:
    yield Text(f"baseline  {printable(result.baseline)}\ncandidate {printable(result.candidate)}\n")
    table = _table(["base", "cand", "change, points", "lost/won", "n", "verdict"])
    for task in result.tasks:
        table.add_row(*_row(task))
    yield table
    policy = result.policy
    yield Text(
        f"\nIn brackets: {percent(1 - 2 * policy.alpha)} limits of the change, so each is one-sided at "
        f"{policy.alpha:g}. Margin in percentage points: {policy.margin_points:g}.\n"
    )
    shared, own = notes([task.compared for task in result.tasks])
    for task in result.tasks:
        yield from _why(task, own.get(task.compared.task, []))
    yield from _shared(shared)
    for remark in result.remarks:
        yield Text(printable(remark))
    code = f"exit code {result.exit_code}"
    yield Text.assemble(f"\n{code}: ", (result.verdict, f"bold {_STYLE[result.verdict]}"))


def _row(task: TaskVerdict) -> list[Text]:
    found, verdict = task.compared.found, task.decision.verdict
    name = task_name(task.compared)
    if found is None:
        return [*_texts([name, "-", "-", "-", "-", "-"]), Text(verdict, style=_STYLE[verdict])]
    figures = [figure(found.value_a), figure(found.value_b), difference(found.difference, found.low, found.high)]
    return [*_texts([name, *figures, lost_won(found), f"{found.n:,}"]), Text(verdict, style=_STYLE[verdict])]


def _why(task: TaskVerdict, own: Sequence[str]) -> Iterator[Text]:
    decision = task.decision
    needed = "" if decision.n_needed is None else f"; {decision.n_needed:,} rows would let an unchanged model pass"
    yield Text(f"{task_name(task.compared)}: {decision.verdict}: {printable(decision.reason)}{needed}.")
    for note in own:
        yield Text(f"  {printable(note)}")
    if decision.verdict != "pass":
        yield from _flips(task.compared.flips)


def _table(names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("task", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _texts(cells: Sequence[str]) -> list[Text]:
    return [Text(cell) for cell in cells]
