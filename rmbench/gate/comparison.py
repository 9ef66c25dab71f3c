"""Two models on the same tasks, row by row: values, differences with intervals and tests, and the rows that flipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.gate.scan import scan
from rmbench.gate.sides import Pairing, models_of, notes, pair
from rmbench.gate.task import TaskComparison
from rmbench.metric_spec import is_linear
from rmbench.metrics.paired.comparison import Paired, pair_rows

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Compared", "compare", "compare_pair"]


@dataclass(frozen=True, slots=True)
class Compared:
    """What `rmbench.compare` returns."""

    a: str
    """`name@revision`."""
    b: str
    tasks: tuple[TaskComparison, ...]

    def render(self) -> RenderableType:
        """For a terminal."""
        from rmbench.gate.report.terminal import comparison

        return comparison(self.a, self.b, self.tasks)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: null in place of NaN, values as fractions."""
        from rmbench.gate.report.plain import comparison

        return comparison(self.a, self.b, self.tasks)

    def to_markdown(self) -> str:
        """For a pull request or a step summary, names escaped."""
        from rmbench.gate.report.markdown import comparison

        return comparison(self.a, self.b, self.tasks)

    def __rich__(self) -> RenderableType:
        return self.render()


def compare(a: Path | str, b: Path | str, *, seed: int = 0) -> Compared:
    """Every task on either side; see `rmbench.gate.compare`."""
    pairings = pair(Path(a), Path(b))
    if not any(pairing.a is not None and pairing.b is not None for pairing in pairings):
        tasks_a = ", ".join(pairing.task for pairing in pairings if pairing.a is not None)
        tasks_b = ", ".join(pairing.task for pairing in pairings if pairing.b is not None)
        raise RmbenchError(f"no task is on both sides: {a} has {tasks_a}; {b} has {tasks_b}.")
    model_a, model_b = models_of(pairings)
    return Compared(model_a, model_b, tuple(compare_pair(pairing, seed=seed)[0] for pairing in pairings))


def compare_pair(pairing: Pairing, *, seed: int = 0, level: float = 0.95) -> tuple[TaskComparison, Paired | None]:
    """One task, and its paired rows for limits at other levels. The reason against a comparison is in `refused`."""
    refused = pairing.refusal()
    if refused:
        return TaskComparison(pairing.task, pairing.version, None, refused), None
    try:
        a, b, spec = pairing.rows()
        scanned = scan(a, b, spec)
        linear = is_linear(spec)
        paired = Paired(spec, seed, scanned.differences, None) if linear else pair_rows([*a], [*b], spec, seed=seed)
        comparison = paired.compare(level)
    except RmbenchError as error:
        return TaskComparison(pairing.task, pairing.version, None, str(error)), None
    compared = TaskComparison(
        task=pairing.task,
        version=pairing.version,
        comparison=comparison,
        refused="",
        flips=scanned.flips,
        identical=not scanned.flips and comparison.value_a == comparison.value_b and scanned.alike,
        notes=(*scanned.notes(), *notes(*pairing.records())),
    )
    return compared, paired
