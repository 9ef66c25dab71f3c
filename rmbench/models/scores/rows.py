"""Reads and checks the rows of a score file: `{task, id, scores | verdicts}` as JSON Lines, JSON, Parquet or Arrow,
compressed or not, or a result file of a benchmark as it lies (`rmbench.models.scores.released`)."""

from __future__ import annotations

import codecs
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.scores.released import Form, Released, form_of, lists_as_rows
from rmbench.untrusted.arrow import read_arrow
from rmbench.untrusted.files import MIB, read_file, read_text
from rmbench.untrusted.kind import HEAD, content_kind, refuse_stand_in, stand_in
from rmbench.untrusted.packed import MOST_UNPACKED, PACKED, plain_name, unpacked
from rmbench.untrusted.parquet import read_table
from rmbench.validation import validated

__all__ = ["ScoreFile", "ScoreRow", "number", "read_rows"]

_ANSWERS = ("scores", "verdicts", "decisions")
_EXACT = 2.0**53
"""Below it every integer is a float."""
_INDEX = re.compile(r"__index_level_\d+__")
_TABLES = (".parquet", ".arrow")
_LARGEST_JSON = 1024 * MIB
"""Of a file that is one JSON value; RewardBench's, which repeat every text, have up to 60 MiB."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    task: str
    id: str
    scores: Any = None
    verdicts: Any = None
    decisions: Any = None
    status: Literal["unparsed"] | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One row of the file."""

    place: str
    """File and line, for messages."""
    task: str
    id: str
    scores: object
    verdicts: object
    model: str
    unparsed: bool = False
    """Whether the model answered and no score could be read from its answer."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Groups that the file says the task's row is in."""


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """The rows of a file in their order."""

    rows: Iterator[ScoreRow]
    form: str = ""
    """Whose kind of file it is; "" where it is rmbench's own."""
    mended: str = ""
    """What was put right, in words."""
    unread: set[str] = field(default_factory=set)
    """Keys that rows have and nobody reads, filled while `rows` are read."""


def read_rows(file: Path) -> ScoreFile:
    """The rows of a score file.

    Raises:
        RmbenchError: the file does not exist or is not such a table, or a row lacks a key or has an unknown key or a
            wrong type; the message names the file and the line (JSONL, from 1) or the row (Parquet, from 0).
    """
    if not file.is_file():
        raise RmbenchError(f"scores:{file} does not exist." if not file.exists() else f"scores:{file} is no file.")
    refuse_stand_in(file)
    content = unpacked(file.name, read_file(file, MOST_UNPACKED)) if file.name.endswith(PACKED) else None
    _check_kind(file, content)
    suffix = Path(plain_name(file.name)).suffix
    raw = _table(file, content, suffix) if suffix in _TABLES else _json(file, content, lines=suffix != ".json")
    first = next(raw, None)
    if first is None:
        return ScoreFile(iter(()))
    place, values = first
    form, raw = form_of(values, place), chain([first], raw)
    if form is not None:
        return _released(form, raw)
    unread: set[str] = set()
    filled = ((at, _filled(values) if suffix in _TABLES else values) for at, values in raw)
    return ScoreFile((_row(at, values, unread) for at, values in filled), unread=unread)


def _check_kind(file: Path, content: bytes | None) -> None:
    """Raise RmbenchError where the first bytes are those of another format than the name's."""
    suffix = Path(plain_name(file.name)).suffix
    if suffix in (".csv", ".tsv"):
        raise RmbenchError(f"{file}: a score file is .jsonl, .json, .parquet or .arrow: its rows hold lists.")
    if content is None:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    else:
        head = content[:HEAD]
    what = None if content is None else stand_in(head)
    if what is not None:
        raise RmbenchError(f"{file}: it is {what}.")
    found = content_kind(head)
    if found is not None and suffix not in _TABLES:
        raise RmbenchError(f"{file}: expected JSON, but its first bytes are those of {found}.")


def _released(form: Form, raw: Iterator[tuple[str, dict[str, Any]]]) -> ScoreFile:
    places: list[str] = []
    rows: list[Released] = []
    for index, (place, values) in enumerate(raw):
        for key in sorted(form.keys - values.keys()):
            raise RmbenchError(f'{place}: the key "{key}" is missing, which rows of {form.name} have.')
        places.append(place)
        rows.append(form.read(place, index, values))
    rows, mended = form.repair(rows)
    found = zip(places, rows, strict=True)
    return ScoreFile(
        (
            ScoreRow(at, row.task, row.id, row.scores, row.verdicts, row.model, groups=dict(row.groups))
            for at, row in found
        ),
        form.name,
        mended,
    )


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row of Parquet, where a key that other rows have is null."""
    return {name: value for name, value in values.items() if value is not None or name in _ANSWERS}


def _row(place: str, values: Mapping[str, Any], unread: set[str]) -> ScoreRow:
    """The row; keys that nobody reads are added to `unread`."""
    own = dict(values)
    for key in values.keys() - _Line.model_fields.keys():
        if not did_you_mean(key, _Line.model_fields):  # else it may well be one of ours, misspelled: an error
            del own[key]
            unread.add(key)
    if type(own.get("id")) is int:  # as tasks read ids
        own["id"] = str(own["id"])
    line = validated(_Line, own, place)
    unparsed = line.status == "unparsed"
    if unparsed and any(answer is not None for answer in (line.scores, line.verdicts, line.decisions)):
        raise RmbenchError(f'{place}: "status" says that no answer could be read, and there is one.')
    if not unparsed and not line.model_fields_set & set(_ANSWERS):
        raise RmbenchError(f'{place}: neither "scores" nor "verdicts" (it has {", ".join(values)}).')
    if line.verdicts is not None and line.decisions is not None:
        raise RmbenchError(f'{place}: "decisions" is another word for "verdicts"; give one of them.')
    verdicts = line.decisions if line.verdicts is None else line.verdicts
    scores = _without_nulls(line.scores)
    return ScoreRow(place, line.task.replace("_", "-"), line.id, scores, verdicts, line.model or "", unparsed)


def _without_nulls(scores: object) -> object:
    """Parquet stores a mapping as a struct, where a dimension that a row lacks is null."""
    if isinstance(scores, dict):
        return {name: value for name, value in scores.items() if value is not None} or None
    return scores


def _lines(file: Path, stream: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
    with stream as lines:
        for number, line in enumerate(lines, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            place = f"{file}:{number}"
            try:
                values = json.loads(line, parse_float=_decimal)
            except UnicodeDecodeError as error:
                raise RmbenchError(f"{place} is not JSON in UTF-8: {error.reason} at byte {error.start}.") from error
            except (ValueError, RecursionError) as error:
                raise RmbenchError(f"{place} is not JSON: {error}") from error
            if not isinstance(values, dict):
                more = ". A file that is one list ends in .json" if isinstance(values, list) else ""
                what = f"an object {{task, id, scores}}, not {type(values).__name__}{more}"
                raise RmbenchError(f"{place} must be {what}.")
            yield place, values


def _json(file: Path, content: bytes | None, *, lines: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """JSON Lines; or a file that is one JSON value: a list of rows, an object of parallel lists, or lines all the
    same."""
    if lines:
        yield from _lines(file, file.open("rb") if content is None else io.BytesIO(content))
        return
    text = _text(file, content).removeprefix("\ufeff")
    try:
        data = json.loads(text, parse_float=_decimal)
    except RecursionError as error:
        raise RmbenchError(f"{file} is not JSON: {error}") from error
    except ValueError as error:
        if "\n" in text.strip() and str(error).startswith("Extra data"):
            yield from _lines(file, io.BytesIO(text.encode()))
            return
        raise RmbenchError(f"{file} is not JSON: {error}") from error
    if isinstance(data, dict) and ("task" not in data or isinstance(data.get("id"), list)):
        data = list(lists_as_rows(data, str(file)))
    for index, values in enumerate(data if isinstance(data, list) else [data]):
        place = f"{file}, row {index}"
        if not isinstance(values, dict):
            raise RmbenchError(f"{place} must be an object {{task, id, scores}}, not {type(values).__name__}.")
        yield place, values


def _text(file: Path, content: bytes | None) -> str:
    if content is None:
        return read_text(file, _LARGEST_JSON, f"scores:{file}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RmbenchError(f"scores:{file} is not UTF-8: {error.reason} at byte {error.start}.") from error


def _table(file: Path, content: bytes | None, suffix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if suffix == ".arrow":
        table = read_arrow(read_file(file, MOST_UNPACKED) if content is None else content, file)
    else:
        table = read_table(file if content is None else content, file)
    # pandas stores a DataFrame's unnamed index as a column.
    table = table.drop_columns([name for name in table.column_names if _INDEX.fullmatch(name)])
    try:
        rows = table.to_pylist()
    except Exception as error:  # which it is depends on the type: text that is not UTF-8, dates beyond Python's
        raise RmbenchError(f"{file}: a value cannot be read ({error}).") from error
    for number, values in enumerate(rows):
        yield f"{file}, row {number}", values


def number(value: object) -> float | None:
    """A score as a float; None where it is null or not finite. A list of one score is that score, as some tools write
    [B, 1].

    Raises:
        TypeError: it is not a number.
        ValueError: it is one above 2^53 that floating point rounds, so that different scores would tie.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError(f"{value!r} is not a number")
    try:
        nearest = float(value)
    except OverflowError:  # an integer beyond the range of a float
        return None
    if not math.isfinite(nearest):
        return None
    if not isinstance(value, float) and abs(nearest) >= _EXACT and value != int(nearest):
        raise ValueError(
            f"{value} is read as {nearest:.0f}, and so are other scores near it: above 2^53 floating point has no room "
            "for every number; give ranks, or smaller scores"
        )
    return nearest


def _decimal(text: str) -> float | Decimal:
    """A number of a JSON file with a point or an exponent; exact where floating point would round it silently."""
    nearest = float(text)
    if abs(nearest) < _EXACT or math.isinf(nearest) or Decimal(repr(nearest)) == Decimal(text):
        return nearest
    return Decimal(text)
