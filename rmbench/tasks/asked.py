"""Rows asked otherwise than they stand: with a rater's earlier choices before them, or with and without a reference."""

from __future__ import annotations

from rmbench.tasks import reference
from rmbench.tasks.reference import given_and_withheld, reference_id, reference_task
from rmbench.tasks.shots import rows as shots
from rmbench.tasks.shots.rows import few_shot_id, few_shot_task, with_shots
from rmbench.tasks.task import Asked, Loaded, Task
from rmbench.types import Judged

__all__ = ["asked_id", "asked_rows", "question_of", "unknown_way"]


def asked_id(asked: Asked) -> str:
    """The id of the task that the rows make, whose records lie beside those of the task itself."""
    return few_shot_id(asked.task) if asked.shots else reference_id(asked.task, asked.reference)


def asked_rows(task: Task, loaded: Loaded, asked: Asked, seed: int) -> tuple[Task, Loaded]:
    """The task that its rows make when they are asked so, and these rows; `seed` draws the shots.

    Raises:
        RmbenchError: its rows name no rater, or have too few choices of each, or no reference answer.
    """
    if asked.reference:
        made, rows = reference_task(task, asked.reference), given_and_withheld(task, loaded, asked.reference)
    else:
        made, rows = few_shot_task(task), with_shots(task, loaded, asked.shots, asked.layout, seed)
    return made.model_copy(update={"n": rows.total + len(rows.excluded)}), rows


def question_of(row: Judged) -> str:
    """The id of the row that this one asks in a way of its own: equal for all numbers of shots, and with a reference
    and without it. Of any other row its id."""
    suffixes = (f"/{group}={row.groups.get(group)}" for group in (shots.GROUP, reference.GROUP))
    return next((row.id.removesuffix(suffix) for suffix in suffixes if row.id.endswith(suffix)), row.id)


def unknown_way(task: str) -> str:
    """Why the rows of a record are not found again that says nothing of how they were asked, where its task's id is one
    that rows asked otherwise make; else ""."""
    made = task.endswith((few_shot_id(""), *(reference_id("", where) for where in ("prompt", "context"))))
    return made * (
        f"the rows of {task} were asked with --shots or --reference by a version that did not keep how, so that they "
        "cannot be made again. Its figures stand; a new run keeps how."
    )
