"""A user's weights of a model's objectives, fitted to a few of their choices among rows of a stored record, and how
well they serve on the user's other rows.

The fit is a Bradley-Terry model of the user: P(a is preferred to b) = sigmoid(sum over m of w_m (o_m(a) - o_m(b))),
each w_m times the standard deviation of its objective over the record's candidates ~ Normal(0, 1), at the mode of the
posterior. So few examples leave weights near 0, and objectives of any unit are weighed alike beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.evaluation.objectives import PART, Direction, direction_in
from rmbench.text import figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

    from rmbench.metric_spec import MetricSpec
    from rmbench.records.record import Record
    from rmbench.types import Judged

__all__ = ["Fitted", "FittedView", "Point", "fit_weights", "mode_of_weights"]

_SUBSETS = 20
"""Random subsets of each size that the curve is a mean over."""

Array = npt.NDArray[np.float64]
Preferred = tuple[str, int, int]
"""Row, the candidate preferred, the other."""


@dataclass(frozen=True, slots=True)
class Point:
    """The accuracy on held-out rows with weights of `examples` choices; 0: of the model's own reward."""

    examples: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A user's weights and their curve."""

    model: str
    task: str
    objectives: tuple[str, ...]
    weights: tuple[float, ...]
    """Fitted to all examples."""
    examples: int
    held_out: int
    """Rows of the record, of the same raters where it names any, that are not among the examples."""
    curve: tuple[Point, ...]

    def __str__(self) -> str:
        """As `--objective-weights` takes them."""
        return ",".join(f"{name}={weight:.6g}" for name, weight in zip(self.objectives, self.weights, strict=True))


def mode_of_weights(differences: Array, scale: Array) -> Array:
    """[M] the mode of the posterior of the weights.

    Args:
        differences: [n, M] the preferred candidate's objectives less the other's.
        scale: [M] the standard deviation of each objective, above 0.
    """
    x = differences / scale

    def loss(weights: Array) -> tuple[float, Array]:
        margins = x @ weights
        slope = weights - x.T @ special.expit(-margins)
        return float(np.logaddexp(0.0, -margins).sum() + weights @ weights / 2), slope

    def curvature(weights: Array) -> Array:
        margins = x @ weights
        spread = special.expit(margins) * special.expit(-margins)
        return np.asarray((x.T * spread) @ x + np.eye(len(weights)), dtype=np.float64)

    found = optimize.minimize(loss, np.zeros(x.shape[1]), jac=True, hess=curvature, method="trust-exact", tol=1e-10)
    return np.asarray(found.x / scale, dtype=np.float64)


def fit_weights(folder: Path | str, examples: Path | str, *, seed: int = 0) -> Fitted:
    """A user's weights from their choices, with the curve of accuracy on held-out rows by the number of choices.

    Args:
        folder: one record of a model with objectives.
        examples: JSON Lines, `{"id": "row-7"}`, of rows whose labels are the user's, or
            `{"id": "row-7", "preferred": 1, "over": 0}` of a choice that the record does not hold.
        seed: of the subsets of the examples.

    Raises:
        RmbenchError: the record has no objectives, or the file names rows that it does not have, or all of them.
    """
    from rmbench.records.headline import headline_spec
    from rmbench.records.store import read, read_rows
    from rmbench.tasks.asked import question_of

    folder, examples = Path(folder), Path(examples)
    record = read(folder)
    names = direction_in([1.0] * _count(record), record.model.settings, record.model.name).names
    rows = {row.id: row for row in read_rows(folder)}
    spec = headline_spec(record)
    chosen = _choices(examples, rows, spec, folder)
    raters = {rows[name].rater for name, _, _ in chosen}
    asked = {question_of(rows[name]) for name, _, _ in chosen}
    held = [row for row in rows.values() if question_of(row) not in asked and row.rater in raters]
    held = [row for row in held if _credit(row, spec) is not None]
    if not held:
        raise RmbenchError(f"{examples}: no row of {folder} is left to hold the weights against.")
    scale = _scale(list(rows.values()), len(names))
    differences = np.array([_difference(rows[name], i, j, examples) for name, i, j in chosen])
    rng = np.random.default_rng(seed)
    sizes = sorted({2**k for k in range(len(chosen).bit_length()) if 2**k < len(chosen)} | {len(chosen)})
    curve = [_point(0, held, [[_credit(row, spec) or 0.0 for row in held]])]
    for size in sizes:
        subsets = [rng.permutation(len(chosen))[:size] for _ in range(_SUBSETS if size < len(chosen) else 1)]
        fits = [Direction(names, tuple(mode_of_weights(differences[of], scale).tolist())) for of in subsets]
        curve.append(_point(size, held, [[_credit(row, spec, fit) or 0.0 for row in held] for fit in fits]))
    return Fitted(
        model=f"{record.model.name}@{record.model.revision}",
        task=f"{record.task.id}@{record.task.version}",
        objectives=names,
        weights=tuple(mode_of_weights(differences, scale).tolist()),
        examples=len(chosen),
        held_out=len(held),
        curve=tuple(curve),
    )


def _count(record: Record) -> int:
    listed = record.model.settings.get(PART)
    return len(listed.split(",")) if isinstance(listed, str) else 1


def _choices(path: Path, rows: Mapping[str, Judged], spec: MetricSpec, folder: Path) -> list[Preferred]:
    from rmbench.metrics.rows.gold import compared
    from rmbench.untrusted.files import MIB, read_text

    found: list[Preferred] = []
    for number, line in enumerate(read_text(path, 64 * MIB, f"{path}:").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        said = _said(line, where)
        if said["id"] not in rows:
            raise RmbenchError(f'{where}: {folder} has no row "{said["id"]}".{did_you_mean(said["id"], rows)}')
        row = rows[said["id"]]
        if "preferred" in said:
            if max(said["preferred"], said["over"]) >= row.size or said["preferred"] == said["over"]:
                raise RmbenchError(f"{where}: preferred and over are two of the row's {row.size} candidates, from 0.")
            found.append((row.id, said["preferred"], said["over"]))
            continue
        pairs = [(row.id, one.i, one.j) for one in compared(row, spec) if not one.tie]
        if not pairs:
            raise RmbenchError(
                f'{where}: people decided nothing in row "{row.id}"; say which is "preferred" and "over".'
            )
        found += pairs
    if not found:
        raise RmbenchError(f"{path} names no row.")
    return found


def _said(line: str, where: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError as error:
        raise RmbenchError(f"{where}: it is no JSON ({error}).") from error
    whole = {"id", "preferred", "over"}
    places = [said.get(key) for key in ("preferred", "over")] if isinstance(said, dict) else []
    given = [place for place in places if place is not None]
    if (
        not isinstance(said, dict)
        or not isinstance(said.get("id"), str)
        or said.keys() - whole
        or len(given) not in (0, 2)
        or not all(type(place) is int and place >= 0 for place in given)
    ):
        raise RmbenchError(f'{where}: expected {{"id": "..."}} or {{"id": "...", "preferred": 1, "over": 0}}.')
    return {key: value for key, value in said.items() if value is not None}


def _difference(row: Judged, i: int, j: int, path: Path) -> list[float]:
    objectives = row.judgment.parts.get(PART)
    if objectives is None:
        raise RmbenchError(f'{path}: row "{row.id}" has no objectives: {row.judgment.error or "it failed"}.')
    return [a - b for a, b in zip(objectives[i], objectives[j], strict=True)]


def _scale(rows: Sequence[Judged], count: int) -> Array:
    """[M] standard deviations over all candidates; 1 for an objective that never changes."""
    every = np.array([one for row in rows for one in row.judgment.parts.get(PART, ())], dtype=np.float64)
    spread = every.reshape(-1, count).std(axis=0) if len(every) else np.ones(count)
    return np.where(spread > 0, spread, 1.0)


def _credit(row: Judged, spec: MetricSpec, direction: Direction | None = None) -> float | None:
    from rmbench.metrics.credit.row import credit

    judged = row if direction is None else replace(row, judgment=direction.judgment(row.judgment))
    return credit(judged, replace(spec, rule="top" if spec.rule == "top" else "pair")).value


def _point(examples: int, rows: Sequence[Judged], credits_of: Sequence[Sequence[float]]) -> Point:
    """The mean over fits of each row's credit, and over rows."""
    from rmbench.metrics.uncertainty.aggregate import cluster_codes, nest
    from rmbench.metrics.uncertainty.interval import linear_interval

    values = np.mean(np.array(credits_of), axis=0)
    nested = nest(rows, ())
    interval = linear_interval(values, nested, cluster_codes(rows), 0.0, 1.0)
    return Point(examples, nested.mean_of_rows(values), interval.low, interval.high)


@dataclass(frozen=True, slots=True)
class FittedView:
    """Fitted weights, ready for `rich.print`."""

    found: Fitted

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rmbench.text import text_table, wrapped

        found = self.found
        yield wrapped(f"{found.model} on {found.task}", options.max_width, "bold")
        yield wrapped(f"weights of {found.examples:,} choices: {found}", options.max_width)
        yield wrapped(
            f"accuracy on {found.held_out:,} other rows, by the number of choices (0: the model's own reward; fewer "
            f"than all: the mean over {_SUBSETS} subsets)",
            options.max_width,
        )
        rows = [(f"{point.examples:,}", _shown(point)) for point in found.curve]
        yield text_table([("choices", "right"), ("accuracy [95%]", "left")], rows, gap=2)


def _shown(point: Point) -> str:
    ends = "" if point.low is None or point.high is None else f" [{figure(point.low, 2)}, {figure(point.high, 2)}]"
    return figure(point.value) + ends
