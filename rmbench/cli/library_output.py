"""What libraries print by themselves, as log records, warnings and errors of threads, made safe to print."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from rmbench.cli.output import echo_error
from rmbench.text import printable_message

__all__ = ["printable_libraries"]


@contextlib.contextmanager
def printable_libraries(report: Callable[[BaseException], None]) -> Iterator[None]:
    """Meanwhile what libraries log and warn of is printable, and `report` is called with what ends a thread."""

    def of_thread(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None:
            report(ended.exc_value)

    hooks: list[tuple[Any, str, Any]] = [
        (warnings, "showwarning", _show_warning),
        (threading, "excepthook", of_thread),
        (sys, "unraisablehook", _show_unraisable),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in hooks]
    factory = logging.getLogRecordFactory()
    try:
        logging.setLogRecordFactory(_PrintableRecord)
        for owner, name, hook in hooks:
            setattr(owner, name, hook)
        yield
    finally:
        logging.setLogRecordFactory(factory)
        for owner, name, hook in before:
            setattr(owner, name, hook)


class _PrintableRecord(logging.LogRecord):
    """Handlers of libraries print `getMessage()` and, where there is one, `exc_text`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        with contextlib.suppress(Exception):  # arguments that do not fit, which logging reports when it prints
            self.msg, self.args = printable_message(self.getMessage()), ()
        if self.exc_info and self.exc_info[1] is not None:
            self.exc_text = printable_message("".join(traceback.format_exception(self.exc_info[1])))


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    echo_error(f"{filename}:{lineno}: {category.__name__}: {message}")


def _show_unraisable(ended: Any) -> None:
    error: BaseException | None = ended.exc_value
    if error is not None and not isinstance(error, BrokenPipeError):
        echo_error(f"{type(error).__name__}: {error} (ignored)")
