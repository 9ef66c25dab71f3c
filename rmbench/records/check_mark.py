"""What `rmbench check` said of a model, beside its records and in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rmbench.errors import RmbenchError
from rmbench.records.record import CheckRecord
from rmbench.records.store import find, read, replace_file, rewrite

__all__ = ["CHECK_NAME", "mark_records", "read_mark", "write_check"]

CHECK_NAME = "check.json"
_LARGEST = 16 * 1024 * 1024  # bytes; a report is kilobytes


def write_check(folder: Path, report: Mapping[str, Any]) -> None:
    """Write a report as `check.json` into a model's folder, whole or not at all.

    Raises:
        RmbenchError: the folder cannot be written.
    """
    text = json.dumps(report, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / CHECK_NAME, lambda path: _write(path, text))
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot write {CHECK_NAME} ({error.strerror or error}).") from error


def read_mark(folder: Path, fingerprint: str) -> CheckRecord | None:
    """What the `check.json` of a model's folder says of the model with this fingerprint; None where there is no such
    file, or it is of the model opened in another way.

    Raises:
        RmbenchError: the file is there and cannot be read.
    """
    path = folder / CHECK_NAME
    if not fingerprint or not path.is_file():
        return None
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        data = json.loads(path.read_text("utf-8"))
        if data["model"]["fingerprint"] != fingerprint:
            return None
        return CheckRecord(passed=data["passed"], failed=data["failed"], date=data["date"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        why = " ".join(str(error).split())[:200]
        raise RmbenchError(f"{path}: no report of `rmbench check` ({why}); check again, or delete it.") from error


def mark_records(
    folder: Path, fingerprint: str, passed: bool, failed: Sequence[str], date: str
) -> tuple[int, list[str]]:
    """Write a check's outcome into the model's measured records below `folder`; the tables beside them keep their
    digests.

    Returns:
        How many records were marked, and which could not be, with the reason.
    """
    marked, notes = 0, []
    mark = CheckRecord(passed=passed, failed=list(failed), date=date)
    for place in find(folder) if folder.is_dir() and fingerprint else []:
        try:
            record = read(place)
            if record.kind == "measured" and record.model.fingerprint == fingerprint:
                rewrite(place, record.model_copy(update={"model": record.model.model_copy(update={"check": mark})}))
                marked += 1
        except RmbenchError as error:
            notes.append(str(error))
    return marked, notes


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
