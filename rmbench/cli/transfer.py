"""The progress of transfers: a bar of bytes; a line for each where stderr is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from rmbench.text import file_size, printable, printable_message

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

__all__ = ["PlainTransfer", "TransferBar", "transfer_for"]


def transfer_for(console: Console) -> TransferBar | PlainTransfer:
    """A bar of bytes where stderr is a terminal, a line for each transfer elsewhere; see `progress_for`."""
    return TransferBar(console) if console.is_terminal and sys.stderr.isatty() else PlainTransfer(console)


class PlainTransfer:
    """A line for each transfer."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> PlainTransfer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def start(self, what: str, size: int | None) -> None:
        self._console.print(
            printable_message(what if size is None else f"{what}, {file_size(size)}"), markup=False, soft_wrap=True
        )

    def reached(self, size: int) -> None:
        return None


class TransferBar:
    """One bar a transfer, in bytes; it stays when the transfer has ended."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
        )
        self._bar: TaskID | None = None

    def __enter__(self) -> TransferBar:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_bar()
        self._bars.stop()

    def start(self, what: str, size: int | None) -> None:
        self._end_bar()
        self._bar = self._bars.add_task(printable(what), total=size)

    def reached(self, size: int) -> None:
        if self._bar is not None:
            self._bars.update(self._bar, completed=size)

    def _end_bar(self) -> None:
        """Of a transfer whose size nobody announced, what has come is all."""
        if self._bar is not None:
            bar = next(task for task in self._bars.tasks if task.id == self._bar)
            self._bars.update(self._bar, total=bar.completed if bar.total is None else bar.total)
