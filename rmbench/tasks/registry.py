"""Task registry: declarations read from TOML, and tasks selected by id, alias, glob, category, modality or file."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from pydantic import TypeAdapter

from rmbench import resources
from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.tasks.declaration.checks import check
from rmbench.tasks.declaration.schema import Declaration, TaskFacts
from rmbench.tasks.task import Task
from rmbench.validation import read_toml, validated

__all__ = ["declared", "get", "known", "load_file", "load_folder", "load_text", "select"]


_SPEC: TypeAdapter[MetricSpec] = TypeAdapter(MetricSpec)


@cache
def declared() -> Mapping[str, Task]:
    """The bundled tasks by id, ordered by category and id.

    Raises:
        RmbenchError: a declaration is wrong, or two of them share an id or alias.
    """
    return MappingProxyType(load_folder(resources.tasks()))


def known(include: Sequence[str | Path] = ()) -> Mapping[str, Task]:
    """The bundled tasks, and those of the folders that `include` and the variable RMBENCH_TASKS name, by id.

    Args:
        include: folders of declarations; in RMBENCH_TASKS they are separated as in PATH.

    Raises:
        RmbenchError: a folder does not exist or holds no declaration; one of them is wrong, or has the id or alias of
            another.
    """
    named = [part for part in os.environ.get("RMBENCH_TASKS", "").split(os.pathsep) if part]
    tasks = dict(declared())
    for folder in dict.fromkeys(Path(part).expanduser() for part in (*named, *include)):
        if not folder.is_dir():
            raise RmbenchError(f"{folder}: --include-path and RMBENCH_TASKS name folders of tasks; there is none.")
        found = load_folder(folder)
        if not found:
            raise RmbenchError(f"{folder}: holds no task declaration (*.toml).")
        for task in found.values():
            _refuse_taken(task, tasks)
        tasks |= found
    return tasks


def load_folder(folder: Path) -> dict[str, Task]:
    """Every declaration below a folder, its `samples` left out, by id, ordered by category and id."""
    paths = [path for path in sorted(folder.rglob("*.toml")) if "samples" not in path.relative_to(folder).parts]
    by_name: dict[str, Task] = {}
    for task in map(load_file, paths):
        for name in (task.id, *task.aliases):
            if name in by_name:
                raise RmbenchError(f'{task.path}: id: "{name}" is taken by {by_name[name].path}.')
            by_name[name] = task
    tasks = sorted({task.id: task for task in by_name.values()}.values(), key=lambda task: (task.family, task.id))
    return {task.id: task for task in tasks}


def load_file(path: str | Path) -> Task:
    """One declaration.

    Raises:
        RmbenchError: no such file, no TOML, or a key that is unknown, missing, or of the wrong type or value.
    """
    path = Path(path)
    return _checked(read_toml(path), path, path.read_bytes())


def load_text(toml: str, path: Path) -> Task:
    """The task of a declaration that is in no file, as if it lay at the place of `path`."""
    return _checked(tomllib.loads(toml), path, toml.encode())


def _checked(content: object, path: Path, text: bytes) -> Task:
    declaration = validated(Declaration, content, path)
    check(declaration, path)
    return _task(declaration, path, hashlib.sha256(text).hexdigest())


def get(task_id: str, include: Sequence[str | Path] = ()) -> Task:
    """The task of this id or alias; underscores read as hyphens. `include` is as in `known`.

    Raises:
        RmbenchError: there is none; the message has the nearest id.
    """
    name = task_id.strip().replace("_", "-")
    tasks = known(include).values()
    for task in tasks:
        if name == task.id or name in task.aliases:
            return task
    names = [name for task in tasks for name in (task.id, *task.aliases)]
    raise RmbenchError(f'no task is called "{task_id}".{did_you_mean(name, names)} `rmbench tasks` lists them.')


def select(selector: str | Sequence[str], include: Sequence[str | Path] = ()) -> list[Task]:
    """Tasks by `all`, ids, aliases, globs, `family=...`, `modality=...` or paths of TOML files, comma-separated.

    Args:
        selector: one or several.
        include: further folders of declarations, as in `known`.

    Returns:
        Each task once, ordered by category and id, in whatever order the items come.

    Raises:
        RmbenchError: an item selects nothing, or a file's id is that of another task.
    """
    selectors = [selector] if isinstance(selector, str) else selector
    items = [item.strip() for part in selectors for item in part.split(",") if item.strip()]
    if not items:
        raise RmbenchError("no task is selected. `rmbench tasks` lists them; `all` selects every one.")
    selected: dict[str, Task] = {}
    for item in items:
        for task in _tasks_of(item, include):
            other = selected.setdefault(task.id, task)
            if other.digest != task.digest:
                raise RmbenchError(f'{task.path}: id: "{task.id}" is taken by {other.path}.')
    return sorted(selected.values(), key=lambda task: (task.family, task.id))


def _tasks_of(item: str, include: Sequence[str | Path]) -> Iterable[Task]:
    if item.endswith(".toml"):
        task = load_file(item)
        _refuse_taken(task, known(include))
        return [task]
    tasks = known(include).values()
    if item == "all":
        return tasks
    key, equals, value = item.partition("=")
    if equals:
        return _by_attribute(key.strip(), value.strip(), tasks)
    name = item.replace("_", "-")
    if any(sign in name for sign in "*?["):
        matches = [task for task in tasks if fnmatch.fnmatchcase(task.id, name)]
        if not matches:
            raise RmbenchError(f'no task matches "{item}". `rmbench tasks` lists them.')
        return matches
    return [get(item, include)]


def _by_attribute(key: str, value: str, tasks: Iterable[Task]) -> list[Task]:
    if key not in ("family", "modality"):
        near = did_you_mean(key, ["family", "modality"])
        raise RmbenchError(f'tasks cannot be selected by "{key}"; use family=... or modality=....{near}')
    values = {task.id: task.family if key == "family" else task.modality for task in tasks}
    matches = [task for task in tasks if values[task.id] == value]
    if not matches:
        known = sorted(set(values.values()))
        raise RmbenchError(f'no task has {key} "{value}".{did_you_mean(value, known)} Known: {", ".join(known)}.')
    return matches


def _refuse_taken(task: Task, others: Mapping[str, Task]) -> None:
    """Raise RmbenchError where another task has the id: their records could not be told apart."""
    for other in others.values():
        if task.digest != other.digest and {task.id, *task.aliases} & {other.id, *other.aliases}:
            what = "a bundled task" if other.id in declared() else str(other.path)
            raise RmbenchError(f'{task.path}: id: "{task.id}" is that of {what}; give yours another.')


def _task(declaration: Declaration, path: Path, digest: str) -> Task:
    source = declaration.source
    return Task(
        **declaration.model_dump(include=set(TaskFacts.model_fields)),
        metrics=tuple(_SPEC.validate_python(metric.model_dump()) for metric in declaration.metric),
        hub=source.hub or next((part.hub for part in source.parts if part.hub), None),
        hub_revision=source.revision,
        git=source.git,
        path=path,
        digest=digest,
        fit_split=declaration.fit.split if declaration.fit else None,
        max_tokens=declaration.rows.max_tokens,
        declaration=declaration,
    )
