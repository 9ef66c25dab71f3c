"""How robust the choices along a user's direction are: those along the directions near it, from stored objectives.

The rule of "Robust Preference Selection" (arXiv 2510.20498, released directions): in the plane of two objectives the
candidate directions lie at -40, -35 ... 40 degrees from the first; the neighbours of a target are the five nearest of
those within 30 degrees, the lower one first where two are as near. The paper draws answers from a model steered along
each; here the answers are the row's own, and what is measured is how far the choice among them depends on the
direction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rmbench.errors import RmbenchError
from rmbench.evaluation.objectives import PART, Direction, Weights, direction_in, parse_weights
from rmbench.text import figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

    from rmbench.types import Judged

__all__ = ["Neighbourhood", "NeighbourhoodView", "Share", "neighbourhoods", "neighbours_of"]

_GRID = range(-40, 41, 5)
_WITHIN = 30.0
_NEAREST = 5
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Share:
    """A mean over rows with its 95% interval."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The choices of one record's rows along a direction and its neighbours."""

    task: str
    objectives: tuple[str, str]
    degrees: float
    """Of the direction, from the first objective."""
    neighbours: tuple[float, ...]
    """Their degrees, the nearest first."""
    rows: int
    left_out: int
    """Rows without objectives: those that failed."""
    agreement: Share
    """Mean share of the neighbours that choose as the direction does."""
    own: float | None
    """Mean score along the direction of its own choice, which is the highest there is; the direction has length 1."""
    mean: Share
    """The same of the neighbours' choices, their mean in each row."""
    worst: Share
    """... and their lowest."""


def neighbours_of(degrees: float) -> tuple[float, ...]:
    """The candidate directions near a direction, the nearest first.

    >>> neighbours_of(10), neighbours_of(45)
    ((10.0, 5.0, 15.0, 0.0, 20.0), (40.0, 35.0, 30.0, 25.0, 20.0))
    """
    near = [float(each) for each in _GRID if abs(each - degrees) <= _WITHIN + _ROUNDING]
    return tuple(sorted(near, key=lambda each: (round(abs(each - degrees), 9), each))[:_NEAREST])


def neighbourhoods(folder: Path | str, objective_weights: Weights | str) -> list[Neighbourhood]:
    """The neighbourhood of a direction in every record below a folder.

    Args:
        folder: a record, or the folder of one model's records.
        objective_weights: of the model's objectives, two of them other than 0; the direction is their proportion.

    Raises:
        RmbenchError: no record, or one without objectives; weights of more or fewer than two objectives; a direction
            with no candidate within 30 degrees.
    """
    from rmbench.records.store import find, read, read_rows

    weights, found = parse_weights(objective_weights), []
    for place in find(Path(folder)):
        record = read(place)
        if record.kind != "measured":
            continue
        direction = direction_in(weights, record.model.settings, record.model.name)
        found.append(_measured(f"{record.task.id}@{record.task.version}", read_rows(place), direction))
    if not found:
        raise RmbenchError(f"{folder} holds no record of a model's rows.")
    return found


def _measured(task: str, rows: Sequence[Judged], direction: Direction) -> Neighbourhood:
    used = [k for k, weight in enumerate(direction.weights) if weight]
    if len(used) != 2:
        raise RmbenchError(
            f"a neighbourhood is one of directions in the plane of two objectives; {direction} weighs {len(used)}."
        )
    first, second = used
    degrees = math.degrees(math.atan2(direction.weights[second], direction.weights[first]))
    neighbours = neighbours_of(degrees)
    if not neighbours:
        raise RmbenchError(
            f"{direction} lies at {degrees:.0f} degrees; directions from -40 to 40 are known, up to 30 away."
        )
    scored = [(row, row.judgment.parts[PART]) for row in rows if PART in row.judgment.parts]
    target, around = _unit(degrees), np.array([_unit(each) for each in neighbours])
    agree: list[float] = []
    own: list[float] = []
    mean: list[float] = []
    worst: list[float] = []
    for _, objectives in scored:
        plane = np.array([[one[first], one[second]] for one in objectives], dtype=np.float64)
        along = plane @ target
        chosen = int(np.argmax(along))
        theirs = np.argmax(plane @ around.T, axis=0)
        agree.append(float((theirs == chosen).mean()))
        own.append(float(along[chosen]))
        mean.append(float(along[theirs].mean()))
        worst.append(float(along[theirs].min()))
    of = [row for row, _ in scored]
    return Neighbourhood(
        task=task,
        objectives=(direction.names[first], direction.names[second]),
        degrees=degrees,
        neighbours=neighbours,
        rows=len(of),
        left_out=len(rows) - len(of),
        agreement=_share(agree, of, 0.0, 1.0),
        own=float(np.mean(own)) if own else None,
        mean=_share(mean, of),
        worst=_share(worst, of),
    )


def _unit(degrees: float) -> npt.NDArray[np.float64]:
    return np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


def _share(
    values: Sequence[float], rows: Sequence[Judged], low: float | None = None, high: float | None = None
) -> Share:
    from rmbench.metrics.uncertainty.sample import interval_of, mean_sample

    sample = mean_sample(values, rows)
    interval = interval_of(sample, 2, np.random.default_rng(0), low, high)
    return Share(sample.value, interval.low, interval.high)


@dataclass(frozen=True, slots=True)
class NeighbourhoodView:
    """Neighbourhoods, ready for `rich.print`."""

    found: Sequence[Neighbourhood]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rmbench.text import text_table, wrapped

        for one in self.found:
            angles = ", ".join(f"{each:g}" for each in one.neighbours)
            yield wrapped(
                f"{one.task}: {one.objectives[0]} towards {one.objectives[1]}, {one.degrees:.0f} degrees; neighbours "
                f"at {angles}; {one.rows:,} rows, {one.left_out:,} left out",
                options.max_width,
            )
            rows = [
                ("neighbours that choose alike", _shown(one.agreement)),
                ("score of the direction's own choice", figure(one.own)),
                ("mean score of the neighbours' choices", _shown(one.mean)),
                ("lowest score of the neighbours' choices", _shown(one.worst)),
            ]
            yield text_table([("", "left"), ("value", "left")], rows, gap=2)


def _shown(share: Share) -> str:
    ends = "" if share.low is None or share.high is None else f" [{figure(share.low, 2)}, {figure(share.high, 2)}]"
    return figure(share.value) + ends
