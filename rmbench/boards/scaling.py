"""How a board's numbers grow with a model's size, within series of models that differ in size alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rmbench.boards.rows import Row

__all__ = ["Series", "series_of"]

_SIZE = re.compile(r"[-_]?(?<![0-9A-Za-z.])[0-9]+(?:[._][0-9]+)?[bm](?![0-9A-Za-z])", re.IGNORECASE)
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Series:
    """Models whose names differ in their size only, and the line through their values."""

    name: str
    points: tuple[tuple[int, float], ...]
    """(parameters, value), by size."""
    slope: float
    """Change of the value with ten times the parameters, by least squares."""
    low: float
    high: float
    """95% limits of the slope, t with as many degrees of freedom as points less 2."""
    intercept: float
    """The line's value at one parameter."""

    def at(self, size: float) -> float:
        """The line's value at a number of parameters."""
        return self.intercept + self.slope * math.log10(size)


def series_of(rows: Sequence[tuple[Row, float]]) -> list[Series]:
    """The series among (row, value) that have three sizes or more, by name."""
    named: dict[str, dict[int, list[float]]] = {}
    for row, value in rows:
        name, count = _SIZE.subn("", row.name)
        if count and row.parameters:
            named.setdefault(name, {}).setdefault(row.parameters, []).append(value)
    found = []
    for name, sizes in sorted(named.items()):
        if len(sizes) >= _FEWEST and all(len(values) == 1 for values in sizes.values()):
            found.append(_fitted(name, [(size, values[0]) for size, values in sorted(sizes.items())]))
    return found


def _fitted(name: str, points: Sequence[tuple[int, float]]) -> Series:
    x, y = np.log10([size for size, _ in points]), np.array([value for _, value in points])
    line = stats.linregress(x, y)
    reach = float(stats.t.ppf(0.975, len(points) - 2)) * float(line.stderr)
    slope = float(line.slope)
    return Series(name, tuple(points), slope, slope - reach, slope + reach, float(line.intercept))
