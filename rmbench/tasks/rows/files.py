"""Upstream's own files: found below a folder, held against their digests, read, and joined to one another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.tasks.declaration.schema import JoinRule, LayoutRule, SourceRule
from rmbench.tasks.rows.fields import RawRow, captured, lookup
from rmbench.tasks.rows.formats import FORMATS, PACKED, plain_name, rows_of, unpacked
from rmbench.tasks.task import DataFileFacts

__all__ = ["Found", "expected", "find", "read_all", "stem"]

_WHOLE = re.compile(r"[+-]?[0-9]+")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a layout that are there, and those that are not."""

    root: Path
    layout: LayoutRule
    paths: tuple[Path, ...]
    missing: tuple[str, ...]


def find(source: SourceRule, layouts: list[LayoutRule], folder: Path) -> Found | None:
    """The first layout of which a file lies below `folder/<data set>`, or below `folder` itself; None: none does.

    A file is found with or without `.gz` or `.xz`, whichever way the layout names it.
    """
    for root in (folder / source.folder, folder):
        for layout in layouts:
            there: list[Path] = []
            missing: list[str] = []
            for path in layout.paths:
                matches = _matches(root, path)
                there.extend(matches)
                if not matches:
                    missing.append(path)
            if there:
                return Found(root, layout, tuple(dict.fromkeys(there)), tuple(missing))
    return None


def expected(source: SourceRule, layouts: list[LayoutRule], folder: Path) -> str:
    """The files that were looked for, for a message."""
    ways = " or ".join(_few(layout.paths) for layout in layouts)
    return f"{ways} below {folder / source.folder} or {folder}"


def _few(paths: list[str]) -> str:
    shown = ", ".join(f'"{path}"' for path in paths[:6])
    return shown if len(paths) <= 6 else f"{shown} and {len(paths) - 6} more"


def _matches(root: Path, path: str) -> list[Path]:
    plain = plain_name(path)
    for name in (path, plain, *(plain + packed for packed in PACKED)):
        if any(sign in name for sign in "*?"):
            found = sorted(each for each in root.glob(name) if each.is_file())
        else:
            found = [root / name] if (root / name).is_file() else []
        if found:
            return found
    return []


def stem(name: str) -> str:
    """A file's name without folder, formats and the hub's shard numbers.

    >>> stem("data/filtered-00000-of-00001.parquet"), stem("harmless-base/test.jsonl.gz")
    ('filtered', 'test')
    """
    base = name.rsplit("/", 1)[-1]
    for ending in (*PACKED, *FORMATS):
        base = base.removesuffix(ending)
    return _SHARD.sub("", base)


def read_all(found: Found, *, allow_changed: bool = False) -> tuple[list[RawRow], list[DataFileFacts]]:
    """All rows in the order of the layout's files, with the columns that the files' paths stand for.

    Raises:
        RmbenchError: a file is broken, or is not the one that the task declares (unless `allow_changed`); it is named,
            with the line where the format has lines.
    """
    rows: list[RawRow] = []
    facts: list[DataFileFacts] = []
    counted: dict[str, int] = {}
    layout = found.layout
    for path in found.paths:
        name = path.relative_to(found.root).as_posix()
        content = path.read_bytes()
        digest = _checked(layout, name, content, allow_changed)
        values = rows_of(name, content, layout, under=layout.under, scalar=layout.scalar)
        extra = _columns_of(layout, name)
        label = stem(name)
        shards = name.rpartition("/")[0] + "/" + label  # shards of one split lie in one folder and are counted through
        start = counted.get(shards, 0)
        for index, row in enumerate(values, start):
            joined = _joined(name, index, _numbered(layout, name, index, row), extra)
            rows.append(RawRow(name, label, index, joined, found.root))
        counted[shards] = start + len(values)
        facts.append(DataFileFacts(name, digest, len(values)))
    for rule in layout.join:
        rows, fact = _taken_over(found, rows, rule, allow_changed)
        facts.append(fact)
    return rows, facts


def _checked(layout: LayoutRule, name: str, content: bytes, allow_changed: bool) -> str:
    """The file's sha256, after it was held against the declared one, which is of the file as upstream names it."""
    digest = hashlib.sha256(content).hexdigest()
    plain = plain_name(name)
    declared = layout.sha256.get(name) or layout.sha256.get(plain)
    if declared is None or allow_changed or declared in (digest, hashlib.sha256(unpacked(name, content)).hexdigest()):
        return digest
    raise RmbenchError(
        f"{name}: its sha256 is {digest[:12]}..., but the task declares {declared[:12]}...: not upstream's file. "
        "--allow-changed-data (allow_changed_data=True) reads it all the same."
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
        return int(cell) if _WHOLE.fullmatch(cell) else float(cell) if cell else None
    except ValueError:
        raise RmbenchError(f"{place}: {cell!r} is no number.") from None


def _taken_over(
    found: Found, rows: list[RawRow], rule: JoinRule, allow_changed: bool
) -> tuple[list[RawRow], DataFileFacts]:
    """The rows with the second file's columns, each taken from the row whose `key` is theirs."""
    there = _matches(found.root, rule.path)
    if not there:
        raise RmbenchError(f'"{rule.path}" below {found.root} is not there; rows take columns from it by "{rule.on}".')
    name = there[0].relative_to(found.root).as_posix()
    content = there[0].read_bytes()
    digest = _checked(found.layout, name, content, allow_changed)
    second: dict[str, Mapping[str, Any]] = {}
    for index, values in enumerate(rows_of(name, content, rule)):
        key = str(lookup(RawRow(name, stem(name), index, values), rule.key))
        if key in second:
            raise RmbenchError(f'{name}, row {index}: "{rule.key}" {key!r} stands there twice.')
        second[key] = values
    out = []
    for row in rows:
        key = str(lookup(row, rule.on))
        if key not in second:
            raise row.error(f'"{rule.on}" {key!r} is no "{rule.key}" of {name}.')
        out.append(replace(row, values={**second[key], **row.values}))
    return out, DataFileFacts(name, digest, len(second))


def _columns_of(layout: LayoutRule, name: str) -> dict[str, str]:
    plain = plain_name(name)
    for pattern in layout.capture:
        names = captured(plain_name(pattern), plain)
        if names is not None:
            return {**layout.set, **names}
    if layout.capture:
        raise RmbenchError(f"{name}: the path has none of the declared forms {', '.join(layout.capture)}.")
    return layout.set


def _joined(name: str, index: int, row: Mapping[str, Any], extra: Mapping[str, str]) -> Mapping[str, Any]:
    if not extra:
        return row
    for key, value in extra.items():
        if key in row and row[key] != value:
            what = f'column "{key}" is {row[key]!r}, but the file\'s place says {value!r}.'
            raise RmbenchError(f"{name}, row {index}: {what}")
    return {**row, **extra}
