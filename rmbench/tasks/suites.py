"""Suites: named sets of tasks, one TOML each in `tasks/suites/`. A board is a suite of its tasks too, by its own id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rmbench import resources
from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.strict import STRICT, TaskId
from rmbench.validation import read_toml, validated

__all__ = ["FOLDER", "Suite", "load_suite", "suites"]

FOLDER = "suites"
"""Its name, below a folder of tasks."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A named set of tasks."""

    id: str
    title: str
    tasks: tuple[str, ...]
    """Ids or aliases, `id@version`, globs, `family=...` or `modality=...`."""
    path: Path
    """The file that declares it, of a suite or of a board."""
    description: str = ""
    paper: str | None = None
    """`arXiv:...` or an address: whose set it is."""


class _SuiteTasks(BaseModel):
    """What a suite and a board have in common."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: TaskId
    title: str = Field(min_length=1)
    tasks: tuple[str, ...] = Field(min_length=1, strict=False)

    @field_validator("tasks")
    @classmethod
    def _selectors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if not entry or entry != entry.strip() or "," in entry:
                raise ValueError(f"{entry!r} is no single selector of tasks")
            if entry.startswith("suite=") or entry.endswith(".toml"):
                raise ValueError(f"{entry!r}: a suite holds ids, globs, family=... or modality=...")
            if value.count(entry) > 1:
                raise ValueError(f"{entry!r} is listed twice")
        return value


class _Declaration(_SuiteTasks):
    """A suite's TOML."""

    model_config = STRICT

    description: str = ""
    paper: str | None = None


def load_suite(path: Path) -> Suite:
    """The suite that one TOML declares.

    Raises:
        RmbenchError: an unreadable file, an unknown key, a wrong type, an id unlike the file's name; by file and key.
    """
    return _loaded(path, _Declaration)


def suites(folders: Sequence[Path] = ()) -> Mapping[str, Suite]:
    """The suites of the package and of `suites/` in further folders of tasks, then the boards whose id no suite has; by
    id, sorted.

    Raises:
        RmbenchError: a declaration is wrong, or two files declare one id.
    """
    found: dict[str, Suite] = {}
    for folder in (resources.tasks(), *folders):
        for path in sorted((folder / FOLDER).glob("*.toml")):
            suite = load_suite(path)
            other = found.setdefault(suite.id, suite)
            if other.path.resolve() != path.resolve():
                raise RmbenchError(f'{path}: id: "{suite.id}" is that of {other.path}; give yours another.')
    for path in sorted(resources.leaderboards().glob("*.toml")):
        if path.stem not in found:
            found[path.stem] = _loaded(path, _SuiteTasks)
    return {suite_id: found[suite_id] for suite_id in sorted(found)}


def _loaded(path: Path, schema: type[_SuiteTasks]) -> Suite:
    declared = validated(schema, read_toml(path), path)
    if declared.id != path.stem:
        raise RmbenchError(f'{path}: id: "{declared.id}" is not the name of the file, "{path.stem}".')
    return Suite(path=path, **declared.model_dump())
