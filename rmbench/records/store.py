"""Records on disk: `<out>/<org>__<model>@<revision>/<task>@<version>/` with record.json and judgments.parquet; where
the user's settings or data make it another result, the names go on: `...@<revision>+dtype=float16/...@1+limit=10/`."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from rmbench.collector import paused
from rmbench.errors import RmbenchError
from rmbench.records.digest import digest_of, sha256_file
from rmbench.records.files import replace_file
from rmbench.records.identity import Identity
from rmbench.records.record import SCHEMA_VERSION, JudgmentsFile, Record
from rmbench.records.shard_number import SHARD_NAME
from rmbench.records.slug import model_slug
from rmbench.records.table import iter_table, read_credits_from, write_table
from rmbench.types import Judged
from rmbench.untrusted.kind import refuse_stand_in
from rmbench.untrusted.masking import masked
from rmbench.validation import validated

__all__ = [
    "JUDGMENTS_NAME",
    "RECORD_NAME",
    "credit_columns",
    "digests_of_parts",
    "find",
    "folder_of",
    "iter_rows",
    "iter_table_of",
    "model_slug",
    "no_constant",
    "no_record_in",
    "read",
    "read_credits",
    "read_rows",
    "read_table_at",
    "read_table_of",
    "rewrite",
    "table_of",
    "verify",
    "write",
    "write_published",
]

RECORD_NAME = "record.json"
JUDGMENTS_NAME = "judgments.parquet"
_PLAIN_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_LARGEST_RECORD = 256 * 1024 * 1024  # bytes; a record is kilobytes, and megabytes where every row failed


def folder_of(out: Path, record: Record) -> Path:
    """Where a record lies below a results folder."""
    return Identity.of(record).folder(out)


def write(
    out: Path, record: Record, rows: Sequence[Judged], credits_: Mapping[str, float | None] | None = None
) -> Record:
    """Write both files, each whole or not at all, and return the record with its digest filled in.

    Args:
        out: the results folder.
        record: complete but for `judgments`.
        rows: the examples' figures and judgments, in the order of the task.
        credits_: example id -> credit by the task's rule, where the headline is a mean of rows.

    Raises:
        RmbenchError: the folder cannot be written, or the record is published, which has no rows.
    """
    if record.kind != "measured":
        raise RmbenchError(f"record of {record.task.id}: it is {record.kind}, so no rows belong to it.")
    folder = folder_of(out, record)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        digest = replace_file(
            folder / JUDGMENTS_NAME, lambda path: write_table(path, rows, credits_), folder / RECORD_NAME
        )
        facts = JudgmentsFile(file=JUDGMENTS_NAME, sha256=digest, rows=len(rows))
        whole = _sealed(record.model_copy(update={"judgments": facts}))
        replace_file(folder / RECORD_NAME, lambda path: _write_record(path, whole))
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot write the record ({error.strerror or error}).") from error
    return whole


def rewrite(folder: Path, record: Record) -> None:
    """Rewrite record.json beside its rows, which stay as they are; RmbenchError where the record names other rows, or
    the folder cannot be written."""
    before = read(folder)
    if before.judgments != record.judgments:
        raise RmbenchError(f"{folder}: the record to write names other rows than the existing one.")
    try:
        replace_file(folder / RECORD_NAME, lambda path: _write_record(path, _sealed(record)))
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot write the record ({error.strerror or error}).") from error


def write_published(out: Path, record: Record) -> Record:
    """Write a record of published figures, which is record.json only; RmbenchError as in `write`, or it is measured."""
    if record.kind != "published":
        raise RmbenchError(f"record of {record.task.id}: it is {record.kind}, so its rows belong to it.")
    folder, record = folder_of(out, record), _sealed(record)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / RECORD_NAME, lambda path: _write_record(path, record), folder / JUDGMENTS_NAME)
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot write the record ({error.strerror or error}).") from error
    return record


def read(folder: Path | str) -> Record:
    """The record in a folder (or at the path of its record.json).

    Raises:
        RmbenchError: missing, malformed, or of a newer schema; the message names file and key.
    """
    path = _record_path(folder)
    try:
        if path.exists() and not path.is_file():  # a FIFO would wait for ever
            raise RmbenchError(f"{path}: is no regular file.")
        if path.stat().st_size > _LARGEST_RECORD:
            raise RmbenchError(f"{path}: larger than {_LARGEST_RECORD >> 20} MiB, so it is no record.")
        refuse_stand_in(path)
        data = json.loads(path.read_text("utf-8"), parse_constant=no_constant)
    except FileNotFoundError as error:
        raise RmbenchError(f"{path.parent}: no {RECORD_NAME} here{_shards_in(path.parent)}.") from error
    except OSError as error:
        raise RmbenchError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{path}: not JSON ({error}).") from error
    return _parse(path, data)


def read_rows(folder: Path | str) -> list[Judged]:
    """The rows of a record, exactly as written.

    Raises:
        RmbenchError: a bad record or a published one, a missing or changed table, or a row that contradicts itself.
    """
    return [row for row, _ in read_table_of(folder, read(folder))]


def read_credits(folder: Path | str, record: Record | None = None) -> dict[str, float | None]:
    """Example id -> credit by the task's rule; None where the headline is no mean of rows. Of the table only these two
    columns are read, and no row is looked at further. `record` is the folder's, where it was read already. Raises as in
    `read_rows`."""
    table = credit_columns(folder, read(folder) if record is None else record)
    return dict(zip(table["id"].to_pylist(), table["credit"].to_pylist(), strict=True))


def credit_columns(folder: Path | str, record: Record) -> pa.Table:
    """What `read_credits` reads, as the columns `id` and `credit`: some 20 bytes a row."""
    return read_credits_from(table_of(folder, record))


def read_table_of(folder: Path | str, record: Record) -> list[tuple[Judged, float | None]]:
    """The rows of a record that was read, with their credits; raises as `read_rows`."""
    return read_table_at(_record_path(folder), _file_of(folder, record))


def iter_rows(folder: Path | str) -> Iterator[Judged]:
    """The rows of a record one after the other, which takes the memory of a few thousand however many there are; raises
    as `read_rows`, of what is wrong with a row when it comes to it."""
    for row, _ in iter_table_of(folder, read(folder)):
        yield row


def iter_table_of(folder: Path | str, record: Record, *, texts: bool = True) -> Iterator[tuple[Judged, float | None]]:
    """The rows of a record that was read, with their credits, as `iter_rows` gives them; `texts`: with what a judge
    wrote."""
    return _iterated(_record_path(folder), _file_of(folder, record), texts)


def read_table_at(path: Path, file: JudgmentsFile) -> list[tuple[Judged, float | None]]:
    """The rows of the table that the file at `path` describes and lies beside; raises as `read_rows`."""
    with paused():
        return list(_iterated(path, file, True))


def _iterated(path: Path, file: JudgmentsFile, texts: bool) -> Iterator[tuple[Judged, float | None]]:
    table, count = _table_at(path, file), 0
    for row in iter_table(table, texts=texts):
        yield row
        count += 1
    if count != file.rows:
        raise RmbenchError(f"{path}: judgments.rows: {file.rows}, but {table.name} has {count}.")


def table_of(folder: Path | str, record: Record) -> Path:
    """The file of a record's rows, which has the digest that the record says; raises as `read_rows`."""
    return _table_at(_record_path(folder), _file_of(folder, record))


def _file_of(folder: Path | str, record: Record) -> JudgmentsFile:
    if record.judgments is None:
        raise RmbenchError(f"{_record_path(folder)}: it holds published figures only, and no rows.")
    return record.judgments


def _table_at(path: Path, file: JudgmentsFile) -> Path:
    if not _PLAIN_NAME.fullmatch(file.file):
        raise RmbenchError(f"{path}: judgments.file: {file.file!r} is not a plain file name.")
    table = path.with_name(file.file)
    if not table.is_file():
        raise RmbenchError(f"{table}: missing; {path.name} beside it names it.")
    refuse_stand_in(table)
    if sha256_file(table) != file.sha256:
        raise RmbenchError(f"{table}: its sha256 is not the one in {path.name}; one of the two was changed.")
    return table


def verify(folder: Path) -> list[str]:
    """The problems of a record's files, a line each; empty where there is none. A published record has one file."""
    try:
        record = read(folder)
        if record.kind == "measured":
            read_table_of(folder, record)
    except RmbenchError as error:
        return [str(error)]
    return []


def find(root: Path | str) -> list[Path]:
    """Folders that hold a record, sorted: `root` itself or any below it. Links to folders are not followed.

    Raises:
        RmbenchError: there is no such folder.
    """
    if not Path(root).is_dir():
        raise RmbenchError(f"{root}: no such folder.{_near_folder(Path(root))}")
    return sorted(Path(folder) for folder, _, files in os.walk(root) if RECORD_NAME in files)


def _near_folder(absent: Path) -> str:
    """The folder beside it, or in results/, that begins with its name or is spelled nearly so."""
    for parent in dict.fromkeys((absent.parent, Path("results"))):
        names = sorted(each.name for each in parent.iterdir() if each.is_dir()) if parent.is_dir() else []
        longer = [name for name in names if name.startswith(absent.name)]
        if near := longer[:1] or difflib.get_close_matches(absent.name, names, n=1):
            return f' Did you mean "{parent / near[0]}"?'
    return ""


def no_record_in(root: Path | str) -> RmbenchError:
    """The error of a folder in which `find` finds nothing."""
    return RmbenchError(f"{root} holds no {RECORD_NAME}{_shards_in(root)}.")


def _shards_in(root: Path | str) -> str:
    """A clause on the shards in a folder; "" where there are none."""
    shards = any(SHARD_NAME in files for _, _, files in os.walk(root))
    return f" but {SHARD_NAME}; `rmbench merge` makes the records of all shards of a run" if shards else ""


def _record_path(folder: Path | str) -> Path:
    folder = Path(folder)
    return folder if folder.name == RECORD_NAME else folder / RECORD_NAME


def no_constant(name: str) -> None:
    """What JSON calls NaN and the like, refused by ValueError; for `json.loads`."""
    raise ValueError(f"{name} is not a JSON number")


def _parse(path: Path, data: Any) -> Record:
    if not isinstance(data, dict) or type(data.get("schema_version")) is not int:
        raise RmbenchError(f"{path}: no schema_version, so it is no record.")
    if data["schema_version"] > SCHEMA_VERSION:
        raise RmbenchError(
            f"{path}: schema_version {data['schema_version']} is newer than {SCHEMA_VERSION}, which this rmbench "
            "reads. Install a newer rmbench."
        )
    record = validated(Record, data, path, strict=True)
    _check_digests(path, data)
    return record


def _check_digests(path: Path, data: Mapping[str, Any]) -> None:
    """Raise RmbenchError that names the first part of a record that was changed after it was written."""
    if data["schema_version"] < 2:
        return
    if data.get("digests") is None:
        raise RmbenchError(f"{path}: digests: this key is missing.")
    try:
        digests = digests_of_parts(data)
    except ValueError as error:
        raise RmbenchError(f"{path}: it holds a number that is not finite.") from error
    for key in sorted(digests.keys() | data["digests"].keys()):
        if digests.get(key) != data["digests"].get(key):
            raise RmbenchError(f'{path}: "{key}" was changed after the record was written: its digest does not hold.')


def _sealed(record: Record) -> Record:
    """The record as it is written: without secrets, of today's schema, with a digest of each of its parts."""
    record = _without_secrets(record.model_copy(update={"schema_version": SCHEMA_VERSION}))
    return record.model_copy(update={"digests": digests_of_parts(record.model_dump(mode="json"))})


def digests_of_parts(data: Mapping[str, Any]) -> dict[str, str]:
    """Key of a record -> digest of what is under it; ValueError where a number there is not finite."""
    return {key: digest_of(value) for key, value in data.items() if key not in ("digests", "schema_version")}


def _without_secrets(record: Record) -> Record:
    data = record.model_dump()
    hidden = masked(data)
    return record if hidden == data else Record.model_validate(hidden)


def _write_record(path: Path, record: Record) -> None:
    text = json.dumps(record.model_dump(mode="json"), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", "utf-8")
