"""Rows out of judgments.parquet: a batch column by column, and what rows have in common made once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from rmbench.consistency import row_problem
from rmbench.errors import RmbenchError
from rmbench.types import Edge, Gold, Judged, Judgment, Verdict

__all__ = ["MASS_NAME", "PROMPT_NAME", "RATIONALE_NAME", "Decoder", "Row"]

Row: TypeAlias = tuple[Judged, float | None]
"""A row and its credit."""
Made = TypeVar("Made")
Columns = dict[str, Sequence[Any]]
MASS_NAME = "option_mass"
PROMPT_NAME = "prompt_sha256"
RATIONALE_NAME = "rationale"
_SHARED = 4096
"""Kinds of gold and of groups that are kept for rows that have the same."""
_VERDICT = ("shown", "kind", "value", "status", "vote", "logprob")
_PLAIN = ("id", "cluster", "rater", "weight", "size", "credit", "status", "error")
_LISTS = ("dimensions", "ratings", "rewards", "directed", "lengths", "truncated")
_MAPS = ("groups", "labels", "parts")


class Decoder:
    """Makes rows of one table's batches."""

    def __init__(self, path: Path) -> None:
        """`path` is the table's, for errors."""
        self._path = path
        self._shared: dict[Any, Any] = {}

    def rows(self, batch: pa.RecordBatch) -> Iterator[Row]:
        """The rows of a batch; RmbenchError where one contradicts itself."""
        columns: Columns = {name: batch[name].to_pylist() for name in _PLAIN}
        columns |= {name: _tuples(batch[name]) for name in _LISTS}
        columns |= {name: _tuples(batch[name]) for name in _MAPS}
        columns["relation"] = _structs(batch["relation"], Edge.__slots__)
        columns["verdicts"] = _structs(batch["verdicts"], _VERDICT)
        there = batch.schema.names
        columns[MASS_NAME] = _tuples(batch[MASS_NAME]) if MASS_NAME in there else list(repeat(None, len(batch)))
        columns[RATIONALE_NAME] = _tuples(batch[RATIONALE_NAME]) if RATIONALE_NAME in there else [()] * len(batch)
        columns[PROMPT_NAME] = batch[PROMPT_NAME].to_pylist() if PROMPT_NAME in there else [""] * len(batch)
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            yield self._checked(row), row["credit"]

    def _checked(self, row: dict[str, Any]) -> Judged:
        try:
            judged = self._judged(row)
            problem = row_problem(judged)
        except (json.JSONDecodeError, RecursionError) as error:
            problem = f"a verdict's value is not JSON ({error})"
        except ValueError as error:
            problem = str(error)
        if problem:
            raise RmbenchError(f"{self._path}: row {row['id']!r}: {problem}.")
        return judged

    def _judged(self, row: dict[str, Any]) -> Judged:
        judgment = Judgment(
            id=row["id"],
            rewards=row["rewards"],
            directed=row["directed"],
            parts=dict(row["parts"]) if row["parts"] else self._once(("no parts",), _nothing),
            verdicts=_verdicts(row) if row["verdicts"] or row[MASS_NAME] else (),
            status=row["status"],
            error=row["error"],
            lengths=row["lengths"],
            truncated=self._once(("truncated", row["truncated"]), lambda key: key[1]),
            rationale=row[RATIONALE_NAME],
        )
        return Judged(
            id=row["id"],
            size=row["size"],
            gold=self._gold(row),
            judgment=judgment,
            groups=self._once(("groups", row["groups"]), lambda key: dict(key[1])),
            cluster=sys.intern(row["cluster"]),
            weight=row["weight"],
            rater=row["rater"],
            prompt_sha256=row[PROMPT_NAME],
        )

    def _gold(self, row: dict[str, Any]) -> Gold:
        """The gold; of rows that have nothing but comparisons, one for all that have the same."""
        edges = row["relation"]
        alone = not row["ratings"] and not row["dimensions"] and not row["labels"]
        if alone and all(edge[2] != 0 for edge in edges):  # 0.0 and -0.0 would be one
            gold: Gold = self._once(("gold", edges), lambda key: Gold(tuple(Edge(*edge) for edge in key[1])))
            return gold
        relation = tuple(Edge(*edge) for edge in edges)
        return Gold(relation, row["ratings"], row["dimensions"], dict(row["labels"]))

    def _once(self, key: Hashable, make: Callable[[Any], Made]) -> Made:
        """What is made of a key; equal keys share it, so that memory does not grow with rows that are alike in it."""
        made = self._shared.get(key)
        if made is None:
            if len(self._shared) >= _SHARED:
                self._shared.clear()
            made = self._shared[key] = make(key)
        found: Made = made
        return found


def _nothing(key: Hashable) -> dict[str, Any]:
    return {}


def _verdicts(row: dict[str, Any]) -> tuple[Verdict, ...]:
    asked = row["verdicts"]
    masses = row[MASS_NAME] or (None,) * len(asked)
    if len(masses) != len(asked):
        raise ValueError(f"{MASS_NAME} has {len(masses)} entries for {len(asked)} verdicts")
    return tuple(map(_verdict, asked, masses))


def _verdict(fields: tuple[Any, ...], mass: float | None) -> Verdict:
    shown, kind, said, status, vote, logprob = fields
    value = json.loads(said)
    return Verdict(shown, kind, tuple(value) if isinstance(value, list) else value, status, vote, logprob, mass)


def _tuples(column: pa.Array) -> list[Any]:
    """A column of lists as tuples (of tuples), one of maps as tuples of (key, value); None for null."""
    without = _without_values(column)
    if without is not None:
        return without
    if pa.types.is_map(column.type):  # which have no such functions
        column = column.cast(pa.list_(pa.struct([column.type.key_field, column.type.item_field])))
    values = column.flatten()
    if pa.types.is_struct(values.type):
        flat = list(zip(*(_values(each) for each in values.flatten()), strict=True))
    else:
        flat = _values(values)
    return _grouped(flat, column.value_lengths())


def _without_values(column: pa.Array) -> list[Any] | None:
    """The rows of a column in which no list holds anything, as most do; None of any other column."""
    values = column.keys if pa.types.is_map(column.type) else column.values
    if len(values) or 0 < column.null_count < len(column):
        return None
    return [None if column.null_count else ()] * len(column)


def _structs(column: pa.Array, names: Sequence[str]) -> list[tuple[tuple[Any, ...], ...]]:
    """A column of lists of structs as tuples of their fields, in the order of `names`."""
    without = _without_values(column)
    if without is not None:
        return without
    values = column.flatten()
    fields = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
    return _grouped(list(zip(*(_values(fields[name]) for name in names), strict=True)), column.value_lengths())


def _values(column: pa.Array) -> list[Any]:
    return _tuples(column) if pa.types.is_list(column.type) else column.to_pylist()


def _grouped(flat: list[Any], lengths: pa.Array) -> list[Any]:
    """The values of all rows as a tuple for each."""
    sizes = lengths.to_pylist()
    first = sizes[0] if sizes else 0
    if not flat and not lengths.null_count:
        return [()] * len(sizes)
    if first and len(flat) == first * len(sizes) and not lengths.null_count and _all_are(first, sizes):
        return list(zip(*[iter(flat)] * first, strict=True))
    found, start = [], 0
    for size in sizes:
        found.append(None if size is None else tuple(flat[start : start + size]))
        start += size or 0
    return found


def _all_are(one: int, values: Iterable[int]) -> bool:
    return all(value == one for value in values)
