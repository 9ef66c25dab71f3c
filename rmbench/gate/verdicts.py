"""The gate: a candidate's records held against a baseline's, task by task, under a policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.gate.comparison import TaskComparison, compare_pair
from rmbench.gate.decide import Decision, Verdict, decide, rows_needed, worst
from rmbench.gate.policy import GateError, Policy
from rmbench.gate.sides import Pairing, models_of, pair
from rmbench.metrics.paired.comparison import compare_rows
from rmbench.records.record import Record

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["EXIT_CODES", "GateResult", "TaskVerdict", "judge"]

EXIT_CODES: dict[Verdict, int] = {"pass": 0, "regression": 1, "inconclusive": 2, "broken": 3}


@dataclass(frozen=True, slots=True)
class TaskVerdict:
    """One task's comparison, its limits one-sided at the policy's alpha, and the decision on it."""

    compared: TaskComparison
    decision: Decision


@dataclass(frozen=True, slots=True)
class GateResult:
    """What `rmbench.gate` returns."""

    baseline: str
    """`name@revision`; "" where no record of it can be read."""
    candidate: str
    policy: Policy
    tasks: tuple[TaskVerdict, ...]
    remarks: tuple[str, ...]
    """Slips of units, tasks that only the candidate has."""

    @property
    def verdict(self) -> Verdict:
        """The worst of the tasks'."""
        return worst([task.decision.verdict for task in self.tasks])

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regression, 2 inconclusive (0 where the policy says so), 3 broken."""
        if self.verdict == "inconclusive" and self.policy.inconclusive == "pass":
            return 0
        return EXIT_CODES[self.verdict]

    def render(self) -> RenderableType:
        """For a terminal; its last word is the verdict."""
        from rmbench.gate.report.terminal import verdicts

        return verdicts(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: no NaN in it, values as fractions."""
        from rmbench.gate.report.plain import verdicts

        return verdicts(self)

    def to_markdown(self) -> str:
        """For a pull request or a step summary, names escaped."""
        from rmbench.gate.report.markdown import verdicts

        return verdicts(self)

    def __rich__(self) -> RenderableType:
        return self.render()


def judge(baseline: Path, candidate: Path, policy: Policy) -> GateResult:
    """Every task of the baseline under `policy`; see `rmbench.gate.gate`, which spells the settings out."""
    try:
        pairings = pair(baseline, candidate)
    except RmbenchError as error:
        raise GateError(str(error)) from error
    held = [one for one in pairings if one.a is not None]
    tasks = _corrected(held, [_judge(one, policy) for one in held], policy)
    new = [one.task for one in pairings if one.a is None]
    remarks = policy.remarks() + ([f"Not in the baseline: {', '.join(new)}."] if new else [])
    return GateResult(*models_of(pairings), policy, tuple(tasks), tuple(remarks))


def _judge(pairing: Pairing, policy: Policy) -> TaskVerdict:
    compared = compare_pair(pairing, seed=policy.seed, level=1 - 2 * policy.alpha)
    if compared.found is None:
        return TaskVerdict(compared, Decision("broken", compared.refused))
    why = _unfit(compared, *pairing.records(), policy)
    if why:
        return TaskVerdict(compared, Decision("broken", why))
    return TaskVerdict(compared, decide(compared.found, policy, identical=compared.identical))


def _unfit(compared: TaskComparison, a: Record, b: Record, policy: Policy) -> str:
    """Why a comparison that can be computed still decides nothing, or ""."""
    for name, record in (("the baseline", a), ("the candidate", b)):
        failed, rows = record.counts.failed, record.data.rows
        if not rows or 1 - failed / rows < policy.min_coverage:
            first = f", first {record.failed[0].id}: {record.failed[0].why}" if record.failed else ""
            return f"{name} failed on {failed} of {rows} rows{first}"
    found = compared.found
    for name, value in (("the baseline", found and found.value_a), ("the candidate", found and found.value_b)):
        if value is None:
            return f"the metric is undefined on {name}'s answers"
    return ""


def _corrected(held: list[Pairing], tasks: list[TaskVerdict], policy: Policy) -> list[TaskVerdict]:
    """Holm's step-down over the tasks that were decided: the i-th smallest p of k has its limit made at alpha/(k - i),
    and from the first that does not hold on, what looked like a regression is inconclusive."""
    alarms = [k for k, task in enumerate(tasks) if task.decision.verdict == "regression"]
    alarms.sort(key=lambda k: _p(tasks[k]))
    family = sum(task.decision.verdict != "broken" for task in tasks)
    out, holds = list(tasks), True
    for step, k in enumerate(alarms):
        at = policy.alpha / (family - step)
        holds = holds and (at == policy.alpha or _still_worse(held[k], policy, at))
        found = tasks[k].compared.found
        if not holds and found is not None:
            reason = f"worse by itself, but not as one of {family} tasks (Holm)"
            out[k] = replace(tasks[k], decision=Decision("inconclusive", reason, rows_needed(found, policy)))
    return out


def _p(task: TaskVerdict) -> float:
    found = task.compared.found
    return 1.0 if found is None or found.p_midp is None else found.p_midp


def _still_worse(pairing: Pairing, policy: Policy, alpha: float) -> bool:
    found = compare_rows(*pairing.rows(), seed=policy.seed, level=1 - 2 * alpha)
    return found.high is not None and found.high < 0
