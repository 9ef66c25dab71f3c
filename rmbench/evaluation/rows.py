"""The rows of a run: which tasks the user named, what of each task is read, and the tasks that the model skips."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.evaluation.compatibility import cannot_read, cannot_take
from rmbench.evaluation.options import RunOptions
from rmbench.evaluation.results import Skipped
from rmbench.text import is_unicode

if TYPE_CHECKING:
    from rmbench.evaluation.ensemble import Model
    from rmbench.tasks.task import Asked, Loaded, Task

__all__ = ["load_rows", "load_tasks", "selected_tasks"]


def selected_tasks(
    tasks: str | Path | Sequence[str | Path] | None, settings: RunOptions, note: Callable[[str], None]
) -> tuple[list[Task], set[str]]:
    """The tasks of a run, and the ids of those that the user wrote out.

    Args:
        tasks: as `rmbench.run` takes them; None: those of `data` alone, or all where there is no `data`.
        settings: of which `data`, `columns` and `include_path` count.
        note: takes a line on how each file of `data` was read.

    Raises:
        RmbenchError: a selector selects nothing; rows of the user's own cannot be read; two tasks have one id.
    """
    from rmbench.tasks.own.declare import own_task
    from rmbench.tasks.registry import named_tasks, select
    from rmbench.tasks.where import folder_of

    if settings.source not in ("auto", "hub", "sample"):
        folder_of(settings.source)  # before the model is opened
    if settings.columns and not settings.data:
        raise RmbenchError("--columns says what the columns of --data hold, and there is no --data.")
    selected = {}
    for data in settings.data:
        own = own_task(data, settings.columns, include=settings.include_path)
        if own.task.id in selected:
            raise RmbenchError(f'--data {data}: another file is called "{own.task.id}" too; rename one of them.')
        selected[own.task.id] = own.task
        note(own.line)
    named = set(selected)
    if tasks is not None or not selected:
        tasks = "all" if tasks is None else tasks
        named |= named_tasks(tasks, settings.include_path)
        for task in select(tasks, settings.include_path):
            if task.id in selected:
                raise RmbenchError(f'{task.path}: id: "{task.id}" is that of {selected[task.id].path} too.')
            selected[task.id] = task
    if settings.shots is not None and settings.limit is not None:
        raise RmbenchError("--shots needs all rows of each rater, and --limit draws some; give one of the two.")
    if settings.shots is not None and settings.reference is not None:
        raise RmbenchError("--shots and --reference ask rows in two ways; give one of the two.")
    asked = [way for each in named if (way := _otherwise(each, settings)) is not None]
    if asked:
        from rmbench.tasks.asked import asked_id

        named |= set(map(asked_id, asked))
    return list(selected.values()), named


def load_tasks(
    model: Model, tasks: Sequence[Task], named: Container[str], settings: RunOptions, skipped: list[Skipped]
) -> Iterator[tuple[Task, Loaded]]:
    """The tasks that the model can judge, each with its rows; the others are added to `skipped`, with the reason.

    Raises:
        RmbenchError: the data of a task whose id is `named` are there and cannot be read.
    """
    for task in tasks:
        why = cannot_take(model, task)
        if not why:
            try:
                asked, loaded = _asked(task, load_rows(task, settings), settings)
                _check_ids(task, loaded)
                why = cannot_read(model, task, loaded)
            except AbsentDataError as error:
                skipped.append(Skipped(task.id, _without_id(task, error), missed=task.id in named))
                continue
            except RmbenchError as error:
                if task.id in named:
                    raise
                why = _without_id(task, error)
        if why:
            skipped.append(Skipped(task.id, why))
        else:
            yield asked, loaded


def _otherwise(task: str, settings: RunOptions) -> Asked | None:
    """How the options ask the rows of a task otherwise than they stand."""
    from rmbench.tasks.task import Asked

    if settings.reference is not None:
        return Asked(task, reference=settings.reference)
    return None if settings.shots is None else Asked(task, settings.shots, settings.shots_layout)


def _asked(task: Task, loaded: Loaded, settings: RunOptions) -> tuple[Task, Loaded]:
    """The task and its rows, asked as the options say."""
    from rmbench.tasks.asked import asked_rows

    otherwise = _otherwise(task.id, settings)
    return (task, loaded) if otherwise is None else asked_rows(task, loaded, otherwise, settings.seed)


def _without_id(task: Task, error: RmbenchError) -> str:
    """The reason, which is printed behind the task's id."""
    return str(error).removeprefix(f"{task.id}: ")


def _check_ids(task: Task, loaded: Loaded) -> None:
    """Ids go into journals and records, which are UTF-8."""
    wrong = next((example.id for example in loaded.examples if not is_unicode(example.id)), None)
    if wrong is not None:
        raise RmbenchError(f"{task.id}: the id {wrong!r} of a row is no Unicode text: it holds a lone surrogate.")


def load_rows(task: Task, settings: RunOptions) -> Loaded:
    """The task's rows from the source that the options name, drawn where there is a limit."""
    from rmbench.tasks.sources import load

    return load(
        task,
        settings.source,
        limit=settings.limit,
        seed=settings.seed,
        allow_changed_data=settings.allow_changed_data,
        images=settings.images if task.modality != "text" else None,
        allow_url_fetch=settings.allow_url_fetch,
    )
