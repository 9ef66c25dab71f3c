"""Pages of ours: the one way in which text of others gets into HTML, and intervals drawn as positions in an SVG.

`shell.document` makes a whole page, `charts.svg` a chart in it, `assets` the files that pages share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Protocol

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from rmbench.text import figure, printable

__all__ = ["WIDTH", "Scale", "bar", "environment", "fitted_scale", "scale_of"]

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
    """What is drawn: a value, the limits of its interval, and the level of chance."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def chance(self) -> float | None: ...


def scale_of(values: Iterable[Drawn | None]) -> Scale:
    """0 to 1; -1 to 1 where anything is negative, or chance is 0: a correlation; the ends of what is drawn where that
    is more: scores in a model's own units."""
    known = [each for each in values if each is not None]
    numbers = [number for each in known for number in (each.value, each.low, each.high) if number is not None]
    least, most = min(numbers, default=0.0), max(numbers, default=1.0)
    if least < -1 or most > 1:
        return Scale(least, most if most > least else least + 1)
    return Scale(-1.0, 1.0) if least < 0 or any(each.chance == 0 for each in known) else Scale(0.0, 1.0)


def fitted_scale(values: Iterable[Drawn | None]) -> Scale:
    """The tenths that hold everything that is drawn, the levels of chance too: narrow intervals stay apart.

    Values in a model's own units have the scale of `scale_of`.
    """
    known = [each for each in values if each is not None and each.low is not None and each.high is not None]
    whole = scale_of(known)
    numbers = [x for each in known for x in (each.value, each.low, each.high, each.chance) if x is not None]
    if not numbers or whole.low < -1 or whole.high > 1:
        return whole
    low, high = floor(min(numbers) * 10) / 10, ceil(max(numbers) * 10) / 10
    return Scale(low, high) if low < high else whole


def bar(
    scale: Scale, value: float | None, low: float | None, high: float | None, chance: float | None = None
) -> Markup:
    """A value and its limits as a thin drawing, with an upright line at the level of chance; "" without limits.

    It is hidden from screen readers, which have the same numbers beside it.
    """
    if value is None or low is None or high is None:
        return Markup("")
    upright = f'<path class="chance" d="M{scale.x(chance):g} 0v10"/>' if chance is not None else ""
    # Numbers only, so there is nothing to escape.
    return Markup(  # noqa: S704
        f'<svg class="bar" viewBox="0 0 {WIDTH} 10" width="{WIDTH}" height="10" aria-hidden="true" focusable="false">'
        f'<path class="axis" d="M3 5h90"/>{upright}<path class="range" d="M{scale.x(low):g} 5H{scale.x(high):g}"/>'
        f'<circle class="point" cx="{scale.x(value):g}" cy="5" r="2.2"/></svg>'
    )
