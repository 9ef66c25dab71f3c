"""Positions in the drawing of an interval: numbers for SVG attributes, which any content policy allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rmbench.boards.table import Cell

__all__ = ["HEIGHT", "WIDTH", "Scale", "scale_of"]

WIDTH = 96
HEIGHT = 10
_EDGE = 3.0
"""Units left free at both ends, so that a point at the end of the scale is whole."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The values at the two ends of a drawing."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """The position of `value` in units of the drawing; values outside the scale are at its ends.

        >>> Scale(0, 1).x(0), Scale(0, 1).x(0.5), Scale(-1, 1).x(2)
        (3.0, 48.0, 93.0)
        """
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return round(_EDGE + share * (WIDTH - 2 * _EDGE), 1)


def scale_of(cells: Iterable[Cell | None]) -> Scale:
    """0 to 1; -1 to 1 where anything is negative, or chance is 0: a correlation."""
    known = [cell for cell in cells if cell is not None]
    negative = any(number is not None and number < 0 for cell in known for number in (cell.value, cell.low))
    return Scale(-1.0, 1.0) if negative or any(cell.chance == 0 for cell in known) else Scale(0.0, 1.0)
