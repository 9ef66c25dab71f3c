"""Row transforms for benchmarks whose candidates are what an agent did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["web_trajectory"]

_SUITES = {"webarena": "WebArena", "visualwebarena": "VisualWebArena", "assistantbench": "AssistantBench"}
_HARDER = "l2"
"""In the ids of WorkArena's compositional tasks, which are WorkArena++."""


def web_trajectory(row: Mapping[str, Any]) -> dict[str, Any]:
    """AgentRewardBench: adds `trajectory`, the agent's steps and the last page as one text, and `suite`, the benchmark.

    A step is upstream's four lines: its number, the page's address, the action, and the agent's reasoning (no line
    where there is none); the last page is the last step's whole accessibility tree, as upstream shows it first.

    Raises ValueError where `steps` is no list of steps, or a step lacks an address.
    """
    steps = row.get("steps")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, Mapping) for step in steps):
        raise ValueError('column "steps": expected a list of steps')
    shown = [_step(number, step) for number, step in enumerate(steps, 1)]
    tree = steps[-1].get("axtree")
    if not isinstance(tree, str):
        raise ValueError(f'column "steps[{len(steps) - 1}].axtree": expected a text')
    trajectory = "\n\n".join([*shown, f"Last accessibility tree:\n{tree}"])
    return {**row, "trajectory": trajectory, "suite": _suite(row)}


def _step(number: int, step: Mapping[str, Any]) -> str:
    lines = [f"Step: {number}"]
    for key, name in (("url", "URL"), ("action", "Action"), ("reasoning", "Reasoning")):
        value = step.get(key)
        if value is None and key != "url":  # the last step has no action, where the agent gave up
            continue
        if not isinstance(value, str):
            raise ValueError(f'column "steps[{number - 1}].{key}": expected a text')
        lines.append(f"{name}: {value}")
    return "\n".join(lines)


def _suite(row: Mapping[str, Any]) -> str:
    benchmark, task = str(row.get("benchmark")), str(row.get("task_id"))
    if benchmark == "workarena":
        return "WorkArena++" if _HARDER in task.lower() else "WorkArena"
    if benchmark not in _SUITES:
        raise ValueError(f'column "benchmark": {benchmark!r} is none of workarena, {", ".join(_SUITES)}')
    return _SUITES[benchmark]
