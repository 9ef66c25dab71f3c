"""How a command ends early: by Ctrl-C, by a closed pipe, or by an error that nobody foresaw."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from rmbench.untrusted.masking import mask

__all__ = ["CLOSED_PIPE", "STOPPED", "UNFORESEEN", "close_pipes", "interruptible", "unforeseen"]

UNFORESEEN = 70
"""EX_SOFTWARE of BSD's sysexits: a fault in the program."""
STOPPED = 130
"""128 + SIGINT, as shells report it."""
CLOSED_PIPE = 141
"""128 + SIGPIPE."""
_SHOW_CURSOR = "\x1b[?25h"


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """The first Ctrl-C raises KeyboardInterrupt, so that files and servers are closed; a second one ends the process at
    once, even while that is going on."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) != (
        signal.default_int_handler
    ):
        yield  # Ctrl-C is someone else's, or is ignored, as for a process in the background
        return

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, _second)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is first:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _second(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            os.write(2, _SHOW_CURSOR.encode())  # a progress bar hides it
    os._exit(STOPPED)


def close_pipes() -> None:
    """Let the interpreter end in silence where the reader of stdout is gone, as of `rmbench tasks | head -1`."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def unforeseen(error: BaseException, words: Sequence[str]) -> str:
    """One line on an error that nobody foresaw, whose traceback is written to a file of the user's temporary folder."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    line = f"unexpected {' '.join(mask(what).split())[:300]}"
    try:
        file = _write_traceback(error, words)
    except OSError as problem:
        return f"{line}; the traceback could not be written ({problem})."
    return f"{line}; please report it with the traceback in {file}"


def _write_traceback(error: BaseException, words: Sequence[str]) -> Path:
    """Only the user can read the file."""
    from rmbench.evaluation.build_record import versions
    from rmbench.records.digest import clean_command

    facts = ", ".join(f"{name} {version}" for name, version in versions().items())
    command = clean_command(["rmbench", *words])
    trace = mask("".join(traceback.format_exception(error)))
    handle, name = tempfile.mkstemp(prefix="rmbench-error-", suffix=".txt")
    os.close(handle)
    Path(name).write_text(f"{command}\n{facts}, {sys.platform}\n\n{trace}", "utf-8", errors="backslashreplace")
    return Path(name)
