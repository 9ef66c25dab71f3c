"""Two models on the same tasks, row by row: values, differences with intervals and tests, and the rows that flipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.gate.sides import Pairing, models_of, notes, pair
from rmbench.metric_spec import MetricSpec, is_linear
from rmbench.metrics.credit.row import comparisons, credit
from rmbench.metrics.measure import kept
from rmbench.metrics.paired.comparison import Comparison, compare_rows
from rmbench.types import Judged

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Compared", "Flip", "TaskComparison", "compare", "compare_pair", "flips", "identical"]

_SAME = 1e-4
"""Scores of one model on two machines or batch sizes differ by less than this share of the largest score."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A row whose credit changed."""

    id: str
    a: float
    """Credit of A, in [0, 1]."""
    b: float
    margin: float | None
    """B's lowest margin over the row's comparisons, in B's own units; None for models that give verdicts."""


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """B against A on one task."""

    task: str
    version: int | None
    found: Comparison | None
    """None where the records must not be compared."""
    refused: str
    """Why not; "" where they were."""
    flips: tuple[Flip, ...] = ()
    """Worst first; nothing for correlations, whose rows have no credit."""
    identical: bool = False
    """Both models judged every row alike (see `identical`)."""
    notes: tuple[str, ...] = ()
    """What differs in how the records were made."""


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

        return comparison(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: no NaN in it, values as fractions."""
        from rmbench.gate.report.plain import comparison

        return comparison(self)

    def to_markdown(self) -> str:
        """For a pull request or a step summary, names escaped."""
        from rmbench.gate.report.markdown import comparison

        return comparison(self)

    def __rich__(self) -> RenderableType:
        return self.render()


def compare(a: Path | str, b: Path | str, *, seed: int = 0) -> Compared:
    """Every task on either side; see `rmbench.gate.compare`."""
    pairings = pair(Path(a), Path(b))
    if not any(one.a is not None and one.b is not None for one in pairings):
        tasks = [", ".join(one.task for one in pairings if getattr(one, side) is not None) for side in ("a", "b")]
        raise RmbenchError(f"no task is on both sides: {a} has {tasks[0]}; {b} has {tasks[1]}.")
    first, second = models_of(pairings)
    return Compared(first, second, tuple(compare_pair(one, seed=seed) for one in pairings))


def compare_pair(pairing: Pairing, *, seed: int = 0, level: float = 0.95) -> TaskComparison:
    """One task. Whatever forbids the comparison stands in `refused`."""
    refused = pairing.refusal()
    if refused:
        return TaskComparison(pairing.task, pairing.version, None, refused)
    try:
        a, b, spec = pairing.rows()
        found = compare_rows(a, b, spec, seed=seed, level=level)
    except RmbenchError as error:
        return TaskComparison(pairing.task, pairing.version, None, str(error))
    changed = flips(a, b, spec)
    return TaskComparison(
        task=pairing.task,
        version=pairing.version,
        found=found,
        refused="",
        flips=changed,
        identical=not changed and found.value_a == found.value_b and identical(a, b),
        notes=tuple(notes(*pairing.records())),
    )


def flips(a: Sequence[Judged], b: Sequence[Judged], spec: MetricSpec) -> tuple[Flip, ...]:
    """The rows whose credit differs, the greatest loss first, and of equal ones the one B is most wrong about."""
    if not is_linear(spec):
        return ()
    of_b = {row.id: row for row in b}
    found = []
    for row in kept(a, spec):
        old, new = credit(row, spec).value, credit(of_b[row.id], spec).value
        if old is not None and new is not None and old != new:
            found.append(Flip(row.id, old, new, _margin(of_b[row.id], spec)))
    return tuple(sorted(found, key=lambda one: (one.b - one.a, 0.0 if one.margin is None else one.margin, one.id)))


def identical(a: Sequence[Judged], b: Sequence[Judged]) -> bool:
    """Whether two models judged every row alike: the same verdicts, and scores within 1e-4 of the largest score.

    Such a pair is one model for all this task can tell, so there is nothing to infer from the rows.
    """
    of_b = {row.id: row for row in b}
    slack = _SAME * max((abs(number) for row in a for number in _numbers(row)), default=0.0)
    return len(of_b) == len(a) and all(row.id in of_b and _alike(row, of_b[row.id], slack) for row in a)


def _alike(a: Judged, b: Judged, slack: float) -> bool:
    said = [[(v.shown, v.kind, v.value, v.status, v.vote) for v in row.judgment.verdicts] for row in (a, b)]
    old, new = _numbers(a), _numbers(b)
    return (
        a.judgment.status == b.judgment.status
        and said[0] == said[1]
        and len(old) == len(new)
        and all(abs(x - y) <= slack for x, y in zip(old, new, strict=True))
    )


def _numbers(row: Judged) -> list[float]:
    """The rewards, else the margins, else the rewards per dimension."""
    judgment = row.judgment
    if judgment.rewards is not None:
        return list(judgment.rewards)
    matrices = (
        [judgment.directed] if judgment.directed is not None else [judgment.parts[k] for k in sorted(judgment.parts)]
    )
    return [number for matrix in matrices for line in matrix for number in line]


def _margin(row: Judged, spec: MetricSpec) -> float | None:
    rewards, directed = row.judgment.rewards, row.judgment.directed
    pairs = comparisons(row, spec.dimension)
    if rewards is not None:
        return min((rewards[i] - rewards[j] for i, j in pairs), default=None)
    if directed is not None:
        return min(((directed[i][j] - directed[j][i]) / 2 for i, j in pairs), default=None)
    return None
