"""Upstream's files: located below a folder, checked against their digests, read, and joined."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.tasks.declaration.schema import JoinRule, LayoutRule, SourceRule
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.formats import FORMATS, rows_of
from rmbench.tasks.rows.join import joined, named
from rmbench.tasks.rows.paths import captured, kept
from rmbench.tasks.task import DataFileFacts
from rmbench.untrusted.files import check_file, read_file
from rmbench.untrusted.packed import MOST_UNPACKED, PACKED, plain_name, unpacked

__all__ = ["LayoutFiles", "expected", "find", "number_in", "read_all", "spellings", "stem"]

_FLAGS = {"true": True, "false": False}
_WHOLE = re.compile(r"[+-]?[0-9]+")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class LayoutFiles:
    """The files of a layout in a folder, and the names of the missing ones."""

    root: Path
    layout: LayoutRule
    paths: tuple[Path, ...]
    missing: tuple[str, ...]


def find(source: SourceRule, layouts: list[LayoutRule], folder: Path) -> LayoutFiles | None:
    """The first layout with a file below `folder/<data set>`, or below `folder` itself; None where none has one.

    A file is found with or without `.gz`, `.xz` or `.zst`, whichever way the layout names it.
    """
    for root in (folder / source.folder, folder):
        for layout in layouts:
            matches = {path: _matches(root, path) for path in layout.paths}
            paths = dict.fromkeys(match for each in matches.values() for match in each)
            if paths:
                missing = tuple(path for path, each in matches.items() if not each)
                return LayoutFiles(root, layout, tuple(paths), missing)
    return None


def expected(source: SourceRule, layouts: list[LayoutRule], folder: Path) -> str:
    """The files that were looked for, for a message."""
    names = " or ".join(_few(layout.paths) for layout in layouts)
    return f"{names} below {' or '.join(map(str, dict.fromkeys((folder / source.folder, folder))))}"


def _few(paths: list[str]) -> str:
    shown = ", ".join(f'"{path}"' for path in paths[:6])
    return shown if len(paths) <= 6 else f"{shown} and {len(paths) - 6} more"


def _matches(root: Path, path: str) -> list[Path]:
    for name in spellings(path):
        if any(sign in name for sign in "*?"):
            matches = sorted(each for each in root.glob(name) if each.is_file())
        else:
            _refuse_broken_link(root / name)
            found = os.path.lexists(root / name)
            matches = [check_file(root / name, MOST_UNPACKED)] if found else []
        if matches:
            return matches
    return []


def spellings(path: str) -> tuple[str, ...]:
    """The names that a file of a layout may have: as declared, unpacked, or packed in one of the known ways."""
    plain = plain_name(path)
    return (path, plain, *(plain + packed for packed in PACKED))


def _refuse_broken_link(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        target = path.readlink()
        annex = " `git annex get` fetches it." if "annex" in target.parts else ""
        raise RmbenchError(f"{path}: a link to {target}, which is not there.{annex}")


def stem(name: str) -> str:
    """A file's name without folder, formats and the hub's shard numbers.

    >>> stem("data/filtered-00000-of-00001.parquet"), stem("harmless-base/test.jsonl.gz")
    ('filtered', 'test')
    """
    base = name.rsplit("/", 1)[-1]
    for ending in (*PACKED, *FORMATS):
        base = base.removesuffix(ending)
    return _SHARD.sub("", base)


def read_all(files: LayoutFiles, *, allow_changed: bool = False) -> tuple[list[RawRow], list[DataFileFacts]]:
    """All rows in the order of the layout's files, with the columns that the files' paths stand for.

    Raises:
        RmbenchError: a file is broken, or is not the one that the task declares (unless `allow_changed`); it is named,
            with the line where the format has lines.
    """
    rows: list[RawRow] = []
    facts: list[DataFileFacts] = []
    rows_of_split: dict[str, int] = {}
    layout = files.layout
    for path in files.paths:
        name = path.relative_to(files.root).as_posix()
        content = read_file(path, MOST_UNPACKED)
        digest = _checked(layout, name, content, allow_changed)
        values = rows_of(name, content, layout, under=layout.under, scalar=layout.scalar)
        extra = _columns_of(layout.capture, layout.set, name)
        label = stem(name)
        split = name.rpartition("/")[0] + "/" + label  # its shards lie in one folder, and rows are numbered across them
        start = rows_of_split.get(split, 0)
        for index, row in enumerate(values, start):
            columns = _with_columns(name, index, _numbered(layout, name, index, row), extra)
            columns = _without_texts(name, index, columns, layout.absent)
            rows.append(RawRow(name, label, index, columns, files.root))
        rows_of_split[split] = start + len(values)
        facts.append(DataFileFacts(name, digest, len(values)))
    for rule in layout.join:
        second, fact = _second(files, rule, allow_changed)
        rows = joined(rows, second, rule)
        facts.append(fact)
    return rows, facts


def _second(files: LayoutFiles, rule: JoinRule, allow_changed: bool) -> tuple[list[RawRow], DataFileFacts]:
    """The rows of the files that a join names."""
    matches = _matches(files.root, rule.path)
    if not matches:
        what = f'"{rule.path}" is missing below {files.root}; rows take columns from it by {named(rule.on)}.'
        raise RmbenchError(what)
    rows: list[RawRow] = []
    digests = []
    for path in matches:
        name = path.relative_to(files.root).as_posix()
        content = read_file(path, MOST_UNPACKED)
        digests.append(_checked(files.layout, name, content, allow_changed))
        extra = _columns_of(rule.capture, {}, name)
        for index, row in enumerate(rows_of(name, content, rule)):
            columns = _with_columns(name, index, kept(row, rule.keep) if rule.keep else row, extra)
            rows.append(RawRow(name, stem(name), index, columns))
    if len(matches) == 1:
        return rows, DataFileFacts(rows[0].file if rows else rule.path, digests[0], len(rows))
    return rows, DataFileFacts(rule.path, hashlib.sha256("".join(digests).encode()).hexdigest(), len(rows))


def _checked(layout: LayoutRule, name: str, content: bytes, allow_changed: bool) -> str:
    """The file's sha256, checked against the declared one, which is of the file as upstream names it."""
    digest = hashlib.sha256(content).hexdigest()
    plain = plain_name(name)
    declared = layout.sha256.get(name) or layout.sha256.get(plain)
    if declared is None or allow_changed or declared in (digest, hashlib.sha256(unpacked(name, content)).hexdigest()):
        return digest
    raise RmbenchError(
        f"{name}: its sha256 is {digest[:12]}..., but the task declares {declared[:12]}...: not upstream's file. "
        "--allow-changed-data (allow_changed_data=True) reads it anyway."
    )


def _numbered(layout: LayoutRule, name: str, index: int, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with the declared columns of a CSV as numbers."""
    if not layout.numbers:
        return row
    out = dict(row)
    for column in layout.numbers:
        if column not in out:
            near = did_you_mean(column, out)
            raise RmbenchError(f'{name}, row {index}: no column "{column}".{near} Columns here: {", ".join(out)}.')
        out[column] = _number(f'{name}, row {index}: column "{column}"', out[column])
    return out


def _number(place: str, cell: Any) -> int | float | None:
    if not isinstance(cell, str):
        return cell  # type: ignore[no-any-return]  # a format that knows numbers
    try:
        return number_in(cell)
    except ValueError:
        raise RmbenchError(f"{place}: {cell!r} is no number.") from None


def number_in(cell: str) -> int | float | None:
    """The number, or the truth value, of a cell of a CSV; None where it is empty.

    Raises:
        ValueError: it holds anything else.

    >>> number_in("12"), number_in("-0.5"), number_in("True"), number_in("")
    (12, -0.5, True, None)
    """
    if cell.lower() in _FLAGS:
        return _FLAGS[cell.lower()]
    if "_" in cell:  # which Python's own numbers may have
        raise ValueError(cell)
    return int(cell) if _WHOLE.fullmatch(cell) else float(cell) if cell else None


def _columns_of(capture: Sequence[str], more: Mapping[str, str], name: str) -> Mapping[str, str]:
    plain = plain_name(name)
    for pattern in capture:
        names = captured(plain_name(pattern), plain)
        if names is not None:
            return {**more, **names}
    if capture:
        raise RmbenchError(f"{name}: the path has none of the declared forms {', '.join(capture)}.")
    return more


def _without_texts(name: str, index: int, row: Mapping[str, Any], absent: list[str]) -> Mapping[str, Any]:
    """The row with an empty text in each declared column that its file lacks."""
    for column in absent:
        if column in row:
            what = f'column "{column}" is here, which the task declares `absent` from this file.'
            raise RmbenchError(f"{name}, row {index}: {what}")
    return {**row, **dict.fromkeys(absent, "")} if absent else row


def _with_columns(name: str, index: int, row: Mapping[str, Any], extra: Mapping[str, str]) -> Mapping[str, Any]:
    if not extra:
        return row
    for key, value in extra.items():
        if key in row and row[key] != value:
            what = f'column "{key}" is {row[key]!r}, but the file\'s path says {value!r}.'
            raise RmbenchError(f"{name}, row {index}: {what}")
    return {**row, **extra}
