"""Boards as data: one TOML each in `leaderboards/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rmbench import resources
from rmbench.errors import RmbenchError, did_you_mean
from rmbench.validation import read_toml, validated

__all__ = ["GUARDED", "Board", "MeanColumn", "boards", "check_flags", "load_board"]

Guarded = Literal["sample", "fake", "demo", "baseline", "partial", "limited"]
GUARDED: tuple[str, ...] = get_args(Guarded)
"""Flags that keep a record off a board unless the board or the reader allows them. The other flags
(`contaminated`, `failed_rows`, `unverified`) only mark the number."""

_ID = re.compile(r"[a-z0-9][a-z0-9-]*")
_TASK = re.compile(r"[a-z0-9*?\[][a-z0-9*?\[\]!._-]*(@[0-9]+)?")


class MeanColumn(BaseModel):
    """`[[mean]]`: several tasks that count as one column, their plain mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1)
    tasks: tuple[str, ...]
    """Two or more entries of the board's `tasks`, no globs: where one has no records, the mean has no value."""
    published: str = ""
    """The metric under which printed tables give this column, in published records of the first of the tasks."""

    @field_validator("tasks")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) < 2:
            raise ValueError("a mean is of two tasks or more")
        for entry in value:
            if set(entry) & set("*?["):
                raise ValueError(f"{entry!r} is a glob: name the tasks, so that one without records is missed")
        return value


class Board(BaseModel):
    """A declared board."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    title: str = Field(min_length=1)
    description: str = ""
    tasks: tuple[str, ...] = Field(min_length=1)
    """Task ids, `id@version`, or globs, in the order of the columns. A glob matches the tasks that have records;
    an id has a column whether it has records or not."""
    weights: Mapping[str, float] = Field(default_factory=dict)
    """An entry of `tasks` -> its weight in the aggregate; 1 where it is not named."""
    mean: tuple[MeanColumn, ...] = ()
    metrics: Mapping[str, str] = Field(default_factory=dict)
    """An entry of `tasks` -> the metric of its column, where that is not the headline."""
    merge: bool = False
    """One row per model, whatever its revisions and sources: of several values in a cell, measured ones count first,
    and of printed ones that of the source whose name comes first. Without it each revision and source has a row."""
    slices: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """An entry of `tasks` -> what of its results has columns too: names of its groups (`domain`), a column for each
    value, or of its other metrics. They count nothing in the aggregate."""
    aggregate: Literal["mean", "win_share", "none"] = "mean"
    """"mean": the weighted mean of the tasks' headline values, for models that have all of them. "win_share": the share
    of a column's other models that a model is ahead of, ties half, as a mean over the columns that it has."""
    min_columns: int = Field(default=2, ge=1)
    """Columns that a model needs for a win share."""
    min_coverage: float = Field(default=0.99, ge=0, le=1)
    """Rows answered / rows of the task version, under which a record is refused."""
    allow: tuple[Guarded, ...] = ()
    require_check: bool = False
    """Admit only records whose model passed `rmbench check`. Without it a model that did not pass is marked, and one
    that was not checked is listed like any other."""
    facts: tuple[Literal["family", "parameters", "license", "revision"], ...] = ("family", "parameters", "license")
    """Facts of a model that the page shows with its numbers."""

    @field_validator("id")
    @classmethod
    def _plain_id(cls, value: str) -> str:
        if not _ID.fullmatch(value):
            raise ValueError("expected lower-case letters, digits and hyphens")
        return value

    @field_validator("tasks")
    @classmethod
    def _tasks_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if not _TASK.fullmatch(entry):
                raise ValueError(f"{entry!r} is not a task id, `id@version` or glob")
            if value.count(entry) > 1:
                raise ValueError(f"{entry!r} is listed twice")
        return value

    @model_validator(mode="after")
    def _weights_belong(self) -> Board:
        for entry, weight in self.weights.items():
            if entry not in self.tasks:
                raise ValueError(f"weights.{entry}: not one of `tasks`.{did_you_mean(entry, self.tasks)}")
            if not 0 < weight < float("inf"):
                raise ValueError(f"weights.{entry}: expected a positive number, not {weight}")
        if self.weights and self.aggregate != "mean":
            raise ValueError(f'weights: not allowed with aggregate = "{self.aggregate}"')
        return self

    @model_validator(mode="after")
    def _parts_belong(self) -> Board:
        taken: set[str] = set()
        for one in self.mean:
            for entry in one.tasks:
                if entry not in self.tasks:
                    raise ValueError(f"mean: {entry!r} is not one of `tasks`.{did_you_mean(entry, self.tasks)}")
                if entry in taken or entry in self.weights:
                    raise ValueError(f"mean: {entry!r} is in another mean, or has a weight of its own")
                taken.add(entry)
        for key, entries in (("slices", self.slices), ("metrics", self.metrics)):
            for entry in entries:
                if entry not in self.tasks:
                    raise ValueError(f"{key}.{entry}: not one of `tasks`.{did_you_mean(entry, self.tasks)}")
        return self

    def entry_for(self, task: str, version: int) -> str | None:
        """The first entry of `tasks` that matches this task version, or None."""
        for entry in self.tasks:
            pattern, _, wanted = entry.partition("@")
            if (not wanted or int(wanted) == version) and fnmatchcase(task, pattern):
                return entry
        return None


def load_board(path: Path) -> Board:
    """The board that one TOML declares.

    Raises:
        RmbenchError: unreadable file, unknown key, wrong type, an id unlike the file's name; by file and key.
    """
    board = validated(Board, read_toml(path), path)
    if board.id != path.stem:
        raise RmbenchError(f'{path}: id: "{board.id}" is not the name of the file, "{path.stem}".')
    return board


def boards(folder: Path | None = None) -> Mapping[str, Board]:
    """Id -> board, for every TOML of `folder` (the package's `leaderboards/` where it is None), sorted by id."""
    files = (folder or resources.leaderboards()).glob("*.toml")
    return MappingProxyType({path.stem: load_board(path) for path in sorted(files, key=lambda path: path.stem)})


def check_flags(flags: tuple[str, ...]) -> frozenset[str]:
    """Flags to admit, as a set. An unknown one is an RmbenchError that names the nearest."""
    for flag in flags:
        if flag not in GUARDED:
            raise RmbenchError(
                f'"{flag}" is not a flag of records. Known: {", ".join(GUARDED)}.{did_you_mean(flag, GUARDED)}'
            )
    return frozenset(flags)
