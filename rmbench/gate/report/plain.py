"""Comparisons and outcomes as plain data for JSON: fractions, null where there is no number, never NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rmbench.gate.decide import decidable_margin, exit_code, worst
from rmbench.gate.policy import Policy
from rmbench.gate.task import TaskComparison, TaskOutcome

__all__ = ["comparison", "outcomes"]


def comparison(a: str, b: str, tasks: Sequence[TaskComparison]) -> dict[str, Any]:
    """`{"a", "b", "tasks": [...]}`; a refused task has `refused` and a null `comparison`."""
    return {"a": a, "b": b, "tasks": [_task(task) for task in tasks]}


def outcomes(
    baseline: str, candidate: str, policy: Policy, tasks: Sequence[TaskOutcome], remarks: Sequence[str]
) -> dict[str, Any]:
    """`{"verdict", "exit_code", "baseline", "candidate", "policy", "tasks": [...], "remarks"}`; a task's limits are
    one-sided at alpha each."""
    outcome = worst(task.decision.verdict for task in tasks)
    return {
        "verdict": outcome,
        "exit_code": exit_code(outcome, policy),
        "baseline": baseline,
        "candidate": candidate,
        "policy": asdict(policy),
        "tasks": [_outcome(task, policy) for task in tasks],
        "remarks": list(remarks),
    }


def _outcome(task: TaskOutcome, policy: Policy) -> dict[str, Any]:
    comparison = task.compared.comparison
    margin = None if comparison is None else decidable_margin(comparison, policy)
    return {**asdict(task.decision), "decidable_margin": margin, **_task(task.compared)}


def _task(task: TaskComparison) -> dict[str, Any]:
    fields = asdict(task.comparison) if task.comparison is not None else None
    return {
        "task": task.task,
        "version": task.version,
        "refused": task.refused or None,
        "comparison": fields and {key: _finite(value) for key, value in fields.items()},
        "identical": task.identical,
        "flips": [asdict(flip) for flip in task.flips],
        "notes": list(task.notes),
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
