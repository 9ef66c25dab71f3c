"""What a run does with a judge beyond asking it: keep its answers, say what they cost, credit what cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmbench.evaluation.ensemble import Model
    from rmbench.models.protocols import ModelFacts, Responder, Scorer
    from rmbench.records.journal import Journal
    from rmbench.tasks.task import Task
    from rmbench.types import Example

__all__ = ["credited", "expected_cost", "with_reply_cache"]


def with_reply_cache(model: Model, journal: Journal) -> Model:
    """The model, each judge of it with a cache of its replies in the journal's folder; other models as they are."""
    from rmbench.evaluation.ensemble import Ensemble

    if isinstance(model, Ensemble):
        return replace(model, members=tuple(_with_reply_cache(member, journal) for member in model.members))
    return _with_reply_cache(model, journal)


def _with_reply_cache(model: Scorer | Responder, journal: Journal) -> Scorer | Responder:
    from rmbench.models.abilities import ReplyCaching

    return model.with_reply_cache(journal.replies) if isinstance(model, ReplyCaching) else model


def expected_cost(model: Scorer | Responder, examples: Sequence[Example]) -> str:
    """What asking a judge about the rows takes, as a line; "" for other models, and where there is no row."""
    from rmbench.models.abilities import CostEstimating

    return str(model.estimate(examples)) if examples and isinstance(model, CostEstimating) else ""


def credited(task: Task, facts: ModelFacts) -> Task:
    """The task with the credit that the judge's protocol gives verdicts nobody can read; most leave it to the task."""
    credit = facts.settings.get("unparsed") if facts.family == "judge" else None
    if not isinstance(credit, int | float) or isinstance(credit, bool):
        return task
    metrics = tuple(replace(metric, unparsed=float(credit)) for metric in task.metrics)
    return task.model_copy(update={"metrics": metrics})
