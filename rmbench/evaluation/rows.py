"""The rows of a run: which tasks the user named, what of each task is read, and the tasks that the model skips."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError
from rmbench.evaluation.compatibility import cannot_read, cannot_take
from rmbench.evaluation.options import RunOptions
from rmbench.evaluation.results import Skipped
from rmbench.text import is_unicode

if TYPE_CHECKING:
    from rmbench.evaluation.ensemble import Model
    from rmbench.tasks.task import Loaded, Task

__all__ = ["load_rows", "load_tasks", "named_tasks"]


def named_tasks(tasks: str | Sequence[str]) -> set[str]:
    """Ids of the tasks that the user wrote out: missing files are an error for these and a skip for the rest."""
    from rmbench.tasks.registry import declared, load_file

    items = tasks.split(",") if isinstance(tasks, str) else [part for item in tasks for part in item.split(",")]
    names = {item.strip().replace("_", "-") for item in items}
    files = {load_file(item).id for item in items if item.strip().endswith(".toml")}
    return files | {task.id for task in declared().values() if names & {task.id, *task.aliases}}


def load_tasks(
    model: Model, tasks: Sequence[Task], named: Container[str], settings: RunOptions, skipped: list[Skipped]
) -> Iterator[tuple[Task, Loaded]]:
    """The tasks that the model can judge, each with its rows; the others are added to `skipped`, with the reason.

    Raises:
        RmbenchError: a task whose id is `named` cannot be loaded.
    """
    for task in tasks:
        why = cannot_take(model, task)
        if not why:
            try:
                loaded = load_rows(task, settings)
                _check_ids(task, loaded)
                why = cannot_read(model, task, loaded)
            except RmbenchError as error:
                if task.id in named:
                    raise
                why = str(error)
        if why:
            skipped.append(Skipped(task.id, why))
        else:
            yield task, loaded


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
        settings.resolved_source,
        limit=settings.limit,
        seed=settings.seed,
        allow_changed_data=settings.allow_changed_data,
        images=settings.images if task.modality != "text" else None,
    )
