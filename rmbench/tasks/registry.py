"""Task registry: declarations read from TOML, and tasks selected by id, alias, glob, category, suite or file."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from rmbench import resources
from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.tasks.declaration.checks import check
from rmbench.tasks.declaration.schema import Declaration, TaskFacts
from rmbench.tasks.suites import FOLDER, Suite, suites
from rmbench.tasks.task import Task
from rmbench.validation import read_toml, validated

__all__ = [
    "declared",
    "folders",
    "get",
    "known",
    "load_file",
    "load_folder",
    "load_text",
    "members",
    "named_tasks",
    "plain_name",
    "select",
]


_SPEC: TypeAdapter[MetricSpec] = TypeAdapter(MetricSpec)


@cache
def declared() -> Mapping[str, Task]:
    """The bundled tasks by id, ordered by category and id.

    Raises:
        RmbenchError: a declaration is wrong, or two of them share an id or alias.
    """
    return MappingProxyType(load_folder(resources.tasks()))


def folders(include: Sequence[str | Path] = ()) -> list[Path]:
    """The folders of declarations that `include` and the variable RMBENCH_TASKS name, in which they are separated as in
    PATH. Raises RmbenchError where one does not exist."""
    named = [part for part in os.environ.get("RMBENCH_TASKS", "").split(os.pathsep) if part]
    found = list(dict.fromkeys(Path(part).expanduser() for part in (*named, *include)))
    for folder in found:
        if not folder.is_dir():
            raise RmbenchError(f"{folder}: --include-path and RMBENCH_TASKS name folders of tasks; there is none.")
    return found


def known(include: Sequence[str | Path] = ()) -> Mapping[str, Task]:
    """The bundled tasks, and those of the further `folders`, by id.

    Raises:
        RmbenchError: a folder does not exist or holds no declaration; one of them is wrong, or has the id or alias of
            another.
    """
    tasks = dict(declared())
    for folder in folders(include):
        found = load_folder(folder)
        if not found and not any((folder / FOLDER).glob("*.toml")):
            raise RmbenchError(f"{folder}: holds no task declaration (*.toml).")
        for task in found.values():
            _refuse_taken(task, tasks)
        tasks |= found
    return tasks


def load_folder(folder: Path) -> dict[str, Task]:
    """Every task below a folder, its `samples` and `suites` left out, by id, ordered by category and id."""
    others = {"samples", FOLDER}
    paths = [path for path in sorted(folder.rglob("*.toml")) if others.isdisjoint(path.relative_to(folder).parts)]
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
    """The task of this id or alias, as `plain_name` reads it. `include` is as in `folders`.

    Raises:
        RmbenchError: there is none; the message has the nearest id.
    """
    return _get(task_id, known(include))


def plain_name(text: str) -> str:
    """A name as ids are spelt: `RM_Bench` is rm-bench. Blanks and underscores read as hyphens, capitals as small."""
    return "-".join(text.lower().replace("_", " ").split())


def select(selector: str | Path | Sequence[str | Path], include: Sequence[str | Path] = ()) -> list[Task]:
    """Tasks by `all`, ids, aliases, names of suites, globs, `family=...`, `modality=...`, `suite=...` or paths of TOML
    files, comma-separated. A name that a task and a suite share is the task's.

    Args:
        selector: one or several.
        include: further folders of declarations, as in `folders`.

    Returns:
        Each task once, ordered by category and id, in whatever order the items come.

    Raises:
        RmbenchError: an item selects nothing, or a file's id is that of another task.
    """
    items = _items(selector)
    if not items:
        raise RmbenchError("no task is selected. `rmbench tasks` lists them; `all` selects every one.")
    selected: dict[str, Task] = {}
    tasks, further = known(include), folders(include)
    for item in items:
        for task in _tasks_of(item, tasks, further):
            other = selected.setdefault(task.id, task)
            if other.digest != task.digest:
                raise RmbenchError(f'{task.path}: id: "{task.id}" is taken by {other.path}.')
    return sorted(selected.values(), key=lambda task: (task.family, task.id))


def named_tasks(selector: str | Path | Sequence[str | Path], include: Sequence[str | Path] = ()) -> set[str]:
    """Ids of the tasks that a selector spells out by id, alias or file, and not by `all`, suite, glob or attribute."""
    items = _items(selector)
    names = {plain_name(item) for item in items}
    files = {load_file(item).id for item in items if item.endswith(".toml")}
    return files | {task.id for task in known(include).values() if names & {task.id, *task.aliases}}


def _items(selector: str | Path | Sequence[str | Path]) -> list[str]:
    """The items of a selector: of one text or several the parts between commas, of a path the whole.

    Raises:
        RmbenchError: it holds something else.
    """
    parts: Any = [selector] if isinstance(selector, str | Path) else selector  # whatever the user gives
    if not isinstance(parts, Iterable) or not all(isinstance(part, str | Path) for part in parts):
        raise RmbenchError(f"tasks must be texts or paths, one or several, not {selector!r}.")
    split = [[str(part)] if isinstance(part, Path) else part.split(",") for part in parts]
    return [item.strip() for items in split for item in items if item.strip()]


def members(suite: Suite, tasks: Mapping[str, Task]) -> list[Task]:
    """The tasks of a suite among `tasks`, each once, in its order.

    Raises:
        RmbenchError: an entry selects nothing, or another version of a task than there is.
    """
    found: dict[str, Task] = {}
    for entry in suite.tasks:
        name, _, version = entry.partition("@")
        try:
            matching = _matching(name, tasks)
            selected = [_get(name, tasks)] if matching is None else matching
        except RmbenchError as error:
            raise RmbenchError(f"{suite.path}: tasks: {error}") from error
        of_version = {task.id: task for task in selected if version in ("", str(task.version))}
        if not of_version:
            raise RmbenchError(f'{suite.path}: tasks: "{entry}" is of another version here.')
        found |= of_version
    return list(found.values())


def _tasks_of(item: str, tasks: Mapping[str, Task], further: Sequence[Path]) -> Iterable[Task]:
    if item.endswith(".toml"):
        task = load_file(item)
        _refuse_taken(task, tasks)
        return [task]
    key, equals, value = item.partition("=")
    if equals and key.strip() == "suite":
        return members(_suite(value.strip(), suites(further)), tasks)
    matching = _matching(item, tasks)
    if matching is not None:
        return matching
    found = _found(item, tasks)
    if found is not None:
        return [found]
    named, plain = suites(further), plain_name(item)
    if plain in named:
        return members(named[plain], tasks)
    near = did_you_mean(plain, [*_names(tasks), *named], most=3)
    if Path(item).is_file():
        near = f" It is a file: rows of your own are named by --data {item}."
    raise RmbenchError(
        f'no task and no suite is called "{item}".{near} `rmbench tasks` and `rmbench tasks --suites` list them.'
    )


def _suite(name: str, named: Mapping[str, Suite]) -> Suite:
    plain = plain_name(name)
    if plain not in named:
        near = did_you_mean(plain, named, most=3)
        raise RmbenchError(f'no suite is called "{name}".{near} Known: {", ".join(named)}.')
    return named[plain]


def _get(name: str, tasks: Mapping[str, Task]) -> Task:
    task = _found(name, tasks)
    if task is None:
        near = did_you_mean(plain_name(name), _names(tasks))
        raise RmbenchError(f'no task is called "{name}".{near} `rmbench tasks` lists them.')
    return task


def _found(name: str, tasks: Mapping[str, Task]) -> Task | None:
    plain = plain_name(name)
    return next((task for task in tasks.values() if plain in (task.id, *task.aliases)), None)


def _names(tasks: Mapping[str, Task]) -> list[str]:
    return [name for task in tasks.values() for name in (task.id, *task.aliases)]


def _matching(item: str, tasks: Mapping[str, Task]) -> Iterable[Task] | None:
    """Tasks by `all`, globs and attributes; None for what is none of these, a name."""
    name = plain_name(item)
    if name == "all":
        return tasks.values()
    key, equals, value = item.partition("=")
    if equals:
        return _by_attribute(key.strip(), value.strip(), tasks.values())
    if any(sign in name for sign in "*?["):
        matches = [task for task in tasks.values() if fnmatch.fnmatchcase(task.id, name)]
        if not matches:
            raise RmbenchError(f'no task matches "{item}". `rmbench tasks` lists them.')
        return matches
    return None


def _by_attribute(key: str, value: str, tasks: Iterable[Task]) -> list[Task]:
    if key not in ("family", "modality"):
        near = did_you_mean(key, ["family", "modality", "suite"])
        raise RmbenchError(f'tasks cannot be selected by "{key}"; use family=..., modality=... or suite=....{near}')
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
