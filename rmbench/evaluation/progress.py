"""The progress bar: rows, rows/s, tokens/s and time left; plain notes where stderr is no terminal."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rmbench.engine.interfaces import Progress, SilentProgress
from rmbench.text import printable, printable_message

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task, TaskID

__all__ = ["BarProgress", "NotebookProgress", "PlainProgress", "progress_for", "reporting"]

_NOTEBOOK_WIDTH = 100
"""Characters of a line in a notebook's cell."""
_NOTEBOOK_SECONDS = 0.2
"""Least time between two drawings, each of which is a message to the browser."""


def progress_for(console: Console) -> BarProgress | PlainProgress:
    """A bar where stderr is a terminal, plain notes elsewhere.

    rich takes a CI log for a terminal where FORCE_COLOR is set; a bar that moves would fill the log.
    """
    return BarProgress(console) if console.is_terminal and _on_terminal() else PlainProgress(console)


@contextlib.contextmanager
def reporting(progress: Progress | bool | None) -> Iterator[Progress]:
    """Where a run of the Python API reports; a bar ends with the block, whatever ends it.

    Args:
        progress: an object that reports itself, which is its maker's to begin and end; True: a bar in a notebook and
            on a terminal, plain notes elsewhere; None: the bar alone, nothing elsewhere; False: nothing.
    """
    from rich.console import Console

    if not (progress is None or isinstance(progress, bool)):
        yield progress
        return
    console = Console(file=sys.stderr, highlight=False)
    if progress is False or (progress is None and not (console.is_jupyter or _on_terminal())):
        yield SilentProgress()
        return
    with NotebookProgress() if console.is_jupyter else progress_for(console) as shown:
        yield shown


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


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
            # A stretch without tokens, such as encoding or reading records, leaves no bar behind.
            self._bars.remove_task(self._bar)
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


class NotebookProgress(BarProgress):
    """Bars and notes in the output cell of a notebook, drawn anew in place; rich's own way needs ipywidgets."""

    def __init__(self) -> None:
        from rich.console import Console

        super().__init__(Console(file=io.StringIO(), force_jupyter=False, width=_NOTEBOOK_WIDTH))
        self._notes: list[str] = []
        self._drawn = 0.0
        self._cell: Any = None

    def __enter__(self) -> NotebookProgress:
        self._cell = import_module("IPython.display").display(self, display_id=True)
        return self

    def start(self, task: str, rows: int, tokens: int) -> None:
        super().start(task, rows, tokens)
        self._draw()

    def advance(self, rows: int, tokens: int) -> None:
        super().advance(rows, tokens)
        if time.monotonic() - self._drawn > _NOTEBOOK_SECONDS:
            self._draw()

    def note(self, text: str) -> None:
        self._notes.append(printable_message(text))
        self._draw()

    def end(self) -> None:
        super().end()
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._cell is not None:
            self._cell.update(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from rich.console import Console

        console = Console(record=True, width=_NOTEBOOK_WIDTH, file=io.StringIO(), force_jupyter=False)
        for note in self._notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
        console.print(self._bars.get_renderable())
        html = console.export_html(inline_styles=True, code_format="<pre>{code}</pre>", clear=False)
        return {"text/plain": console.export_text(), "text/html": html}


def _rates(bar: Task, tokens: int) -> str:
    seconds = bar.elapsed or 0.0
    if seconds <= 0:
        return ""
    rate = bar.completed / seconds
    if tokens:
        return f"{rate:,.0f} rows/s {tokens / seconds:,.0f} tok/s"
    return f"{rate:,.{1 if rate < 10 else 0}f}/s"
