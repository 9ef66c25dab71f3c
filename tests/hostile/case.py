"""What every hostile file has: a name, how it is made, and what must come of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["KINDS_OF_FILE", "Case", "Outcome", "in_turn", "put"]

Outcome = Literal["refused", "rows"]
"""refused: one error and no number. rows: rows fail with a reason, or are scored as if nothing were wrong."""


@dataclass(frozen=True)
class Case:
    """One hostile checkpoint or file."""

    name: str
    make: Callable[[Path], object]
    """Changes a folder, which holds a good checkpoint, or none where the case is of media or rows."""
    outcome: Outcome = "refused"
    options: tuple[str, ...] = ()
    """Further words of the command line."""


def in_turn(*changes: Callable[[Path], object]) -> Callable[[Path], object]:
    """Several changes of one folder."""

    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


KINDS_OF_FILE = ("fifo", "zero", "socket", "folder", "loop", "dangling", "empty")


def put(file: Path, kind: str) -> None:
    """Something that is no usable file in place of `file`, of one of `KINDS_OF_FILE`."""
    file.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "zero":
        file.symlink_to("/dev/zero")
    elif kind == "socket":
        before = Path.cwd()
        os.chdir(file.parent)  # a socket's path may not be long
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
        os.chdir(before)
    elif kind == "folder":
        file.mkdir()
    elif kind == "loop":
        other = file.with_name(file.name + ".other")
        other.symlink_to(file)
        file.symlink_to(other)
    elif kind == "dangling":
        file.symlink_to(file.with_name("nowhere"))
    else:
        file.write_bytes(b"")
