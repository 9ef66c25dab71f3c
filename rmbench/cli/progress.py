"""The progress bar: rows, rows/s, tokens/s and time left; plain notes where stderr is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rmbench.text import printable, printable_message

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task, TaskID

__all__ = ["BarProgress", "PlainProgress", "progress_for"]


def progress_for(console: Console) -> BarProgress | PlainProgress:
    """A bar on a terminal, plain notes elsewhere."""
    return BarProgress(console) if console.is_terminal else PlainProgress(console)


class PlainProgress:
    """Notes alone, one line each."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self, task: str, rows: int, tokens: int) -> None:
        if tokens:
            self.note(f"{task}: {rows:,} rows to compute, {tokens:,} tokens")

    def advance(self, rows: int, tokens: int) -> None:
        return None

    def cost(self, amount: float) -> None:
        return None

    def note(self, text: str) -> None:
        self._console.print(printable_message(text), markup=False, soft_wrap=True)

    def end(self) -> None:
        return None


class BarProgress:
    """One bar a task; notes are printed above the bars and stay readable."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}", markup=False),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            transient=False,
        )
        self._bar: TaskID | None = None
        self._tokens = 0
        self._cost = ""

    def __enter__(self) -> BarProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self, task: str, rows: int, tokens: int) -> None:
        if self._bar is not None and not self._tokens:
            self._bars.remove_task(self._bar)  # a stretch without tokens, such as encoding, leaves no bar behind
        self._bar = self._bars.add_task(printable(task), total=rows, rates="")
        self._tokens = 0

    def advance(self, rows: int, tokens: int) -> None:
        if self._bar is None:
            return
        self._tokens += tokens
        self._bars.update(self._bar, advance=rows)
        bar = next(task for task in self._bars.tasks if task.id == self._bar)
        self._bars.update(self._bar, rates=_rates(bar, self._tokens) + self._cost)

    def cost(self, amount: float) -> None:
        self._cost = f" cost {amount:,.2f}"

    def note(self, text: str) -> None:
        self._bars.console.print(printable_message(text), markup=False)

    def end(self) -> None:
        self._bars.stop()


def _rates(bar: Task, tokens: int) -> str:
    seconds = bar.elapsed or 0.0
    if seconds <= 0:
        return ""
    return f"{bar.completed / seconds:,.0f} rows/s {tokens / seconds:,.0f} tok/s"
