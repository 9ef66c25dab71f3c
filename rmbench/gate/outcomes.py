"""The gate: a candidate's records compared with a baseline's, task by task, under a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.gate.comparison import compare_pair
from rmbench.gate.decide import Decision, Outcome, decide, exit_code, rows_needed, worst
from rmbench.gate.policy import GateError, Policy
from rmbench.gate.sides import Pairing, models_of, pair
from rmbench.gate.task import TaskOutcome
from rmbench.metrics.paired.comparison import Comparison, Paired
from rmbench.records.record import Record

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["GateResult", "gate_folders"]


@dataclass(frozen=True, slots=True)
class GateResult:
    """What `rmbench.gate` returns."""

    baseline: str
    """`name@revision`; "" where no record of it can be read."""
    candidate: str
    policy: Policy
    tasks: tuple[TaskOutcome, ...]
    remarks: tuple[str, ...]
    """Slips of units, tasks that only the candidate has."""

    @property
    def verdict(self) -> Outcome:
        """The worst outcome of a task."""
        return worst(task.decision.verdict for task in self.tasks)

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regression, 2 inconclusive (0 where the policy says so), 3 broken."""
        return exit_code(self.verdict, self.policy)

    def render(self) -> RenderableType:
        """For a terminal; its last word is the outcome."""
        from rmbench.gate.report.terminal import outcomes

        return outcomes(self.baseline, self.candidate, self.policy, self.tasks, self.remarks)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: null in place of NaN, values as fractions."""
        from rmbench.gate.report.plain import outcomes

        return outcomes(self.baseline, self.candidate, self.policy, self.tasks, self.remarks)

    def to_markdown(self) -> str:
        """For a pull request or a step summary, names escaped."""
        from rmbench.gate.report.markdown import outcomes

        return outcomes(self.baseline, self.candidate, self.policy, self.tasks, self.remarks)

    def __rich__(self) -> RenderableType:
        return self.render()


def gate_folders(baseline: Path, candidate: Path, policy: Policy) -> GateResult:
    """Every task of the baseline under `policy`; see `rmbench.gate.gate`, which lists the settings."""
    try:
        pairings = pair(baseline, candidate)
    except RmbenchError as error:
        raise GateError(str(error)) from error
    tasks = _corrected([_outcome(pairing, policy) for pairing in pairings if pairing.a is not None], policy)
    new = [pairing.task for pairing in pairings if pairing.a is None]
    remarks = policy.remarks() + ([f"Not in the baseline: {', '.join(new)}."] if new else [])
    return GateResult(*models_of(pairings), policy, tuple(tasks), tuple(remarks))


def _outcome(pairing: Pairing, policy: Policy) -> tuple[TaskOutcome, Paired | None]:
    compared, paired = compare_pair(pairing, seed=policy.seed, level=1 - 2 * policy.alpha)
    if compared.comparison is None:
        return TaskOutcome(compared, Decision("broken", compared.refused)), None
    broken = _broken(compared.comparison, *pairing.records(), policy)
    if broken:
        return TaskOutcome(compared, Decision("broken", broken)), None
    return TaskOutcome(compared, decide(compared.comparison, policy, identical=compared.identical)), paired


def _broken(comparison: Comparison, a: Record, b: Record, policy: Policy) -> str:
    """Why a comparison that can be computed still decides nothing, or ""."""
    for name, record in (("the baseline", a), ("the candidate", b)):
        failed, rows = record.counts.failed, record.data.rows
        if not rows or 1 - failed / rows < policy.min_coverage:
            first = f", first {record.failed[0].id}: {record.failed[0].why}" if record.failed else ""
            return f"{name} failed on {failed} of {rows} rows{first}"
    for name, value in (("the baseline", comparison.value_a), ("the candidate", comparison.value_b)):
        if value is None:
            return f"the metric is undefined on {name}'s answers"
    return ""


def _corrected(tasks: Sequence[tuple[TaskOutcome, Paired | None]], policy: Policy) -> list[TaskOutcome]:
    """Holm's step-down over the decided tasks: of k, the i-th smallest p has its limit at alpha/(k - i); from the first
    one that does not hold, what looked like a regression is inconclusive."""
    corrected = [task for task, _ in tasks]
    alarms = [place for place, task in enumerate(corrected) if task.decision.verdict == "regression"]
    alarms.sort(key=lambda place: _p(corrected[place]))
    decided = sum(task.decision.verdict != "broken" for task in corrected)
    holds = True
    for step, place in enumerate(alarms):
        alpha = policy.alpha / (decided - step)
        task, paired = tasks[place]
        holds = holds and (alpha == policy.alpha or _still_worse(paired, alpha))
        comparison = task.compared.comparison
        if not holds and comparison is not None:
            reason = f"worse by itself, but not as one of {decided} tasks (Holm)"
            decision = Decision("inconclusive", reason, rows_needed(comparison, policy))
            corrected[place] = replace(task, decision=decision)
    return corrected


def _p(task: TaskOutcome) -> float:
    comparison = task.compared.comparison
    return 1.0 if comparison is None or comparison.p_midp is None else comparison.p_midp


def _still_worse(paired: Paired | None, alpha: float) -> bool:
    gain = paired.compare(1 - 2 * alpha).gain if paired is not None else None
    return gain is not None and gain[1] < 0
