"""Two models on the same tasks, row by row: values, differences with intervals and tests, and the rows that flipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.gate.sides import Pairing, models_of, notes, pair
from rmbench.gate.task import Flip, TaskComparison
from rmbench.metric_spec import MetricSpec, better_of
from rmbench.metrics.credit.row import comparisons
from rmbench.metrics.paired.comparison import Paired, pair_rows
from rmbench.metrics.paired.difference import Differences
from rmbench.numeric import skew_half
from rmbench.types import Judged

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Compared", "compare", "compare_pair", "find_flips", "judged_alike"]

_ROUNDING = 1e-4
"""Scores of one model on two machines or batch sizes differ by less than this share of the row's largest score."""


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
        paired = pair_rows(a, b, spec, seed=seed)
        comparison = paired.compare(level)
    except RmbenchError as error:
        return TaskComparison(pairing.task, pairing.version, None, str(error)), None
    flips = find_flips(paired.differences, {row.id: row for row in b}, spec) if paired.differences else ()
    compared = TaskComparison(
        task=pairing.task,
        version=pairing.version,
        comparison=comparison,
        refused="",
        flips=flips,
        identical=not flips and comparison.value_a == comparison.value_b and judged_alike(a, b),
        notes=(*_other_prompts(a, b), *notes(*pairing.records())),
    )
    return compared, paired


def _other_prompts(a: Sequence[Judged], b: Sequence[Judged]) -> Iterator[str]:
    """A note on rows of which A and B read something else, where both runs kept digests of it."""
    prompts_b = {row.id: row.prompt_sha256 for row in b}
    kept = [(row.prompt_sha256, prompts_b.get(row.id, "")) for row in a if row.prompt_sha256 and prompts_b.get(row.id)]
    other = sum(one != another for one, another in kept)
    if other:
        yield f"prompts: different in {other:,} of {len(kept):,} rows"


def find_flips(differences: Differences, rows_b: Mapping[str, Judged], spec: MetricSpec) -> tuple[Flip, ...]:
    """The rows whose credit differs, the greatest loss first; of equal losses the lowest margin of B first."""
    sign = -1 if better_of(spec) == "lower" else 1
    credits_of = zip(differences.ids, differences.a.tolist(), differences.b.tolist(), strict=True)
    flips = [Flip(row, a, b, _lowest_margin(rows_b[row], spec)) for row, a, b in credits_of if a != b]
    return tuple(sorted(flips, key=lambda flip: (sign * (flip.b - flip.a), sign * (flip.margin or 0.0), flip.id)))


def judged_alike(a: Sequence[Judged], b: Sequence[Judged]) -> bool:
    """Whether two models judged every row alike: the same verdicts, and scores within 1e-4 of the row's largest score.

    On these rows such models are one and the same, so there is no difference to infer.
    """
    rows_b = {row.id: row for row in b}
    return len(rows_b) == len(a) and all(row.id in rows_b and _alike(row, rows_b[row.id]) for row in a)


def _alike(a: Judged, b: Judged) -> bool:
    verdicts_a, verdicts_b = (
        [(v.shown, v.kind, v.value, v.status, v.vote) for v in row.judgment.verdicts] for row in (a, b)
    )
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    # The row's own scores are the measure: one outlier elsewhere must not hide a difference here.
    slack = _ROUNDING * max(map(abs, numbers_a), default=0.0)
    return (
        a.judgment.status == b.judgment.status
        and verdicts_a == verdicts_b
        and len(numbers_a) == len(numbers_b)
        and all(abs(x - y) <= slack for x, y in zip(numbers_a, numbers_b, strict=True))
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


def _lowest_margin(row: Judged, spec: MetricSpec) -> float | None:
    rewards, directed = row.judgment.rewards, row.judgment.directed
    pairs = comparisons(row, spec.dimension)
    if rewards is not None:
        return min((rewards[i] - rewards[j] for i, j in pairs), default=None)
    if directed is not None:
        return min((skew_half(directed, i, j) for i, j in pairs), default=None)
    return None
