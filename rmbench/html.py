"""HTML of ours: the one way in which text of others gets into a page, and intervals drawn as positions in an SVG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from rmbench.text import figure, printable

__all__ = ["WIDTH", "Scale", "environment", "scale_of"]

WIDTH = 96
_EDGE = 3.0
"""Units left free at both ends, so that a point at the end of the scale is whole."""
_LONGEST = 2_000


def environment() -> Environment:
    """Templates of pages. Every text that they put into a page is made printable and then escaped, and a name that
    they misspell is an error. Filters: `figure` for values, `name` for names."""
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    made.filters.update(figure=figure, name=printable)
    return made


def _shown(value: Any) -> Any:
    return printable(value, _LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


@dataclass(frozen=True, slots=True)
class Scale:
    """The values at the two ends of a drawing."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """The position of `value` in units of the drawing; values outside the scale are at its ends. Positions are
        attributes of the drawing, which any content policy allows.

        >>> Scale(0, 1).x(0), Scale(0, 1).x(0.5), Scale(-1, 1).x(2)
        (3.0, 48.0, 93.0)
        """
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return round(_EDGE + share * (WIDTH - 2 * _EDGE), 1)


class Drawn(Protocol):
    """What is drawn: a value, the lower limit of its interval, and the level of chance."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def chance(self) -> float | None: ...


def scale_of(values: Iterable[Drawn | None]) -> Scale:
    """0 to 1; -1 to 1 where anything is negative, or chance is 0: a correlation."""
    known = [each for each in values if each is not None]
    negative = any(number is not None and number < 0 for each in known for number in (each.value, each.low))
    return Scale(-1.0, 1.0) if negative or any(each.chance == 0 for each in known) else Scale(0.0, 1.0)
