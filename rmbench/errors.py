"""Errors for users: each is one message that names what is wrong, where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["AbsentDataError", "RmbenchError", "UnreachableError", "did_you_mean", "panics_as_errors"]


class RmbenchError(Exception):
    """Bad input of any kind: a declaration, a file, an argument, a model, a record.

    The command line prints only the message and ends with `exit_code`; the API raises it.
    """

    exit_code = 2


class AbsentDataError(RmbenchError):
    """The data of a task are neither here nor to be had from where they come from; other tasks can do without them."""


class UnreachableError(RmbenchError):
    """No server is reachable; stopping rather than marking every remaining row failed."""


def did_you_mean(word: str, known: Iterable[str], most: int = 1) -> str:
    """The nearest known spelling of `word`, or the `most` nearest, as a sentence that begins with a space, or "" where
    none is near.

    >>> did_you_mean("colums", ["columns", "metric"])
    ' Did you mean "columns"?'
    """
    near = [f'"{one}"' for one in difflib.get_close_matches(word, dict.fromkeys(known), n=most, cutoff=0.6)]
    listed = " or ".join([", ".join(near[:-1]), near[-1]] if len(near) > 1 else near)
    return f" Did you mean {listed}?" if near else ""


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """A panic of a library in Rust, whose class is no Exception, as a RuntimeError. Tokenizers panic on input that they
    do not expect."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RuntimeError(f"panicked: {error}") from error
