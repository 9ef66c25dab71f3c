"""The outcome of `rmbench check` for a model: its report beside the records, and a mark in each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rmbench.errors import RmbenchError
from rmbench.records.files import replace_file
from rmbench.records.record import CheckRecord
from rmbench.records.store import find, read, rewrite
from rmbench.untrusted.masking import masked

__all__ = ["CHECK_NAME", "mark_records", "read_mark", "write_check"]

CHECK_NAME = "check.json"
_LARGEST = 16 * 1024 * 1024  # bytes; a report is kilobytes


def write_check(folder: Path, report: Mapping[str, Any]) -> None:
    """Write a report as `check.json` into a model's folder, whole or not at all.

    Raises:
        RmbenchError: the folder cannot be written.
    """
    text = json.dumps(masked(report), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / CHECK_NAME, lambda path: path.write_text(text, "utf-8"))
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot write {CHECK_NAME} ({error.strerror or error}).") from error


def read_mark(folder: Path, fingerprint: str) -> CheckRecord | None:
    """The outcome in the `check.json` of a model's folder; None where no such file exists, or where it is of another
    fingerprint: the model was opened with other settings.

    Raises:
        RmbenchError: the file exists and cannot be read.
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
        reason = " ".join(str(error).split())[:200]
        raise RmbenchError(f"{path}: no report of `rmbench check` ({reason}); check again, or delete it.") from error


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
    for each in find(folder) if folder.is_dir() and fingerprint else []:
        try:
            record = read(each)
            if record.kind == "measured" and record.model.fingerprint == fingerprint:
                rewrite(each, record.model_copy(update={"model": record.model.model_copy(update={"check": mark})}))
                marked += 1
        except RmbenchError as error:
            notes.append(str(error))
    return marked, notes
