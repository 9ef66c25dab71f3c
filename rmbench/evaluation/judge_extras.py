"""What a run does with a judge beyond asking it: keep its answers, say what they cost, credit what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rmbench.models.protocols import ModelFacts
    from rmbench.records.journal import Journal
    from rmbench.tasks.task import Task
    from rmbench.types import Example

__all__ = ["credited", "expected_cost", "remembering"]

Model = TypeVar("Model")


def remembering(model: Model, journal: Journal) -> Model:
    """The model, which keeps every answer of a judge beside the journal as it comes; another model as it is."""
    members: tuple[Any, ...] = getattr(model, "members", ())
    if members:
        kept = tuple(remembering(member, journal) for member in members)
        return model if kept == members else replace(model, members=kept)  # type: ignore[type-var]
    keep: Callable[..., Model] | None = getattr(model, "remembering", None)
    return model if keep is None else keep(journal.replies)


def expected_cost(model: object, examples: Sequence[Example]) -> str:
    """What asking a judge about the rows takes, as a line; "" for other models, and where there is no row."""
    estimate: Callable[..., object] | None = getattr(model, "estimate", None)
    return "" if estimate is None or not examples else str(estimate(examples))


def credited(task: Task, facts: ModelFacts) -> Task:
    """The task with the credit that the judge's protocol gives verdicts nobody can read; most leave it to the task."""
    credit = facts.settings.get("unparsed") if facts.family == "judge" else None
    if not isinstance(credit, int | float) or isinstance(credit, bool):
        return task
    metrics = tuple(replace(metric, unparsed=float(credit)) for metric in task.metrics)
    return task.model_copy(update={"metrics": metrics})
