"""Files that the pages share: one look for all of them, and the choice of light or dark."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rmbench.errors import RmbenchError

__all__ = ["FOLDER", "SCRIPT", "STYLE", "write_assets"]

STYLE = Path(__file__).with_name("site.css")
SCRIPT = Path(__file__).with_name("theme.js")
FOLDER = "assets"
"""Where a site keeps them, under its root."""


def write_assets(site: Path, more: Iterable[Path] = ()) -> None:
    """Copy the shared files, and the scripts and styles that `shell.document` was given, into `<site>/assets`.

    Raises:
        RmbenchError: the folder cannot be written.
    """
    folder = site / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in (STYLE, SCRIPT, *more):
            (folder / file.name).write_bytes(file.read_bytes())
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot write the pages' files ({error.strerror or error}).") from error
