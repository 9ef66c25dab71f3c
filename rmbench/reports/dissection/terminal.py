"""A dissection for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from rmbench.reports.dissection.fit import Dissection, Fit, Scenario
from rmbench.text import figure, line, text_table, wrapped

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["AlikeView", "DissectionView"]

_APART = 1.05


@dataclass(frozen=True, slots=True)
class DissectionView:
    """A dissection, ready for `rich.print`."""

    dissection: Dissection

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        found, width = self.dissection, options.max_width
        yield wrapped(f"{found.model} on {found.task}", width, "bold")
        ends = "" if found.settings.method == "map" else " [95% of the posterior]"
        yield wrapped(
            f"The chance that an answer is preferred which has more of one property, all else being equal{ends}; "
            f"prior Laplace(0, {found.settings.scale:g}).",
            width,
        )
        for why, pairs in found.left_out.items():
            yield wrapped(f"left out: {pairs:,} pairs, {why}", width)
        for scenario in found.scenarios:
            yield line("")
            yield wrapped(f"{scenario.name}: {scenario.pairs:,} pairs", width, "bold")
            yield _table(scenario, found.properties)
            yield wrapped(f"similarity of the model and people {figure(scenario.similarity)}", width)
            worst = max(each.r_hat or 1.0 for each in (scenario.model, scenario.people))
            if worst > _APART:
                yield wrapped(f"The chains disagree (R-hat {worst:.2f}): more --draws are needed.", width)


def _table(scenario: Scenario, properties: Sequence[str]) -> Table:
    order = np.argsort(-np.array(scenario.model.weights), kind="stable")
    rows = [
        (properties[k], f"{scenario.differ[k]:,}", _chance(scenario.model, k), _chance(scenario.people, k))
        for k in order
    ]
    return text_table([("property", "left"), ("pairs", "right"), ("model", "left"), ("people", "left")], rows, gap=2)


def _chance(fit: Fit, k: int) -> str:
    value, low, high = fit.weights[k], fit.low[k], fit.high[k]
    shown = figure(float(special.expit(value)))
    if low is None or high is None:
        return shown
    return f"{shown} [{figure(float(special.expit(low)), 2)}, {figure(float(special.expit(high)), 2)}]"


@dataclass(frozen=True, slots=True)
class AlikeView:
    """How alike several models and people are, ready for `rich.print`."""

    similarities: Mapping[tuple[str, str], float | None]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield wrapped("Similarity: Pearson's r of the weights, the mean over scenarios.", options.max_width)
        rows: list[list[str | Text]] = [
            [wrapped(f"{one} and {other}", options.max_width - 12), figure(value)]
            for (one, other), value in self.similarities.items()
        ]
        yield text_table([("", "left"), ("r", "right")], rows, gap=2)
