"""Rows asked otherwise than they stand: with a rater's earlier choices before them, or with and without a reference."""

from __future__ import annotations

from rmbench.tasks.reference import given_and_withheld, reference_id, reference_task
from rmbench.tasks.shots.rows import few_shot_id, few_shot_task, with_shots
from rmbench.tasks.task import Asked, Loaded, Task

__all__ = ["asked_id", "asked_rows"]


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
