"""Files of strangers: regular ones of a bounded size, or one error. A FIFO would wait for ever, a device never ends."""

from __future__ import annotations

import stat
from pathlib import Path

from rmbench.errors import RmbenchError

__all__ = ["MIB", "check_file", "file_fault", "read_file", "read_text"]

MIB = 2**20


def file_fault(path: Path, most: int) -> str:
    """Why a file is not read: it is not there, no regular file behind all its links, or has more than `most` bytes; ""
    where it can be."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # not there, a loop of links, a name with a null byte
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISDIR(found.st_mode):
        return "is no regular file but a folder"
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file but a device, a pipe or a socket"
    if found.st_size > most:
        return f"has {found.st_size:,} bytes, more than {most:,}"
    return ""


def check_file(path: Path, most: int, what: str = "") -> Path:
    """The path; raises RmbenchError with `what` or the path and the reason, see `file_fault`."""
    fault = file_fault(path, most)
    if fault:
        raise RmbenchError(f"{what or path} {fault}.")
    return path


def read_file(path: Path, most: int, what: str = "") -> bytes:
    """The content of a regular file of at most `most` bytes; raises RmbenchError for any other."""
    try:
        return check_file(path, most, what).read_bytes()
    except OSError as error:
        raise RmbenchError(f"{what or path} cannot be read ({error.strerror or error}).") from error


def read_text(path: Path, most: int, what: str = "") -> str:
    """As `read_file`, in UTF-8."""
    try:
        return read_file(path, most, what).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RmbenchError(f"{what or path} is not UTF-8: {error}.") from error
