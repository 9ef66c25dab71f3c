"""Files written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.records.digest import sha256_file

__all__ = ["replace_file", "write_file"]


def write_file(path: Path, content: str | bytes) -> None:
    """Write a text, in UTF-8 with its own line endings on every platform, or bytes; folders that lack are made.

    Raises:
        RmbenchError: the file cannot be written.
    """
    made = content.encode("utf-8") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda fresh: fresh.write_bytes(made))
    except OSError as error:
        raise RmbenchError(f"{path}: cannot be written ({error.strerror or error}).") from error


def replace_file(path: Path, fill: Callable[[Path], object], outdated: Path | None = None) -> str:
    """Fill a new file beside `path`, sync it to disk, then move it there; returns its sha256.

    `outdated` describes the file replaced and is deleted just before it: a record must never be beside another's table.
    """
    fresh = path.with_name(f".{path.name}.partial")  # one name, so that killed runs leave one at most
    try:
        fill(fresh)
        _sync(fresh)
        digest = sha256_file(fresh)
        if outdated is not None:
            outdated.unlink(missing_ok=True)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    _sync(path.parent)
    return digest


def _sync(path: Path) -> None:
    """Sync a file or a folder's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
