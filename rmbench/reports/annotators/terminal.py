"""A model between people and AI labels, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmbench.reports.annotators.compare import Agreements, Comparison
from rmbench.reports.report import Estimate
from rmbench.text import figure, line, text_table, wrapped

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["ComparisonView"]


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """A comparison, ready for `rich.print`."""

    comparison: Comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        found, width = self.comparison, options.max_width
        yield wrapped(f"{found.model} on {found.task}", width, "bold")
        yield wrapped(f"{found.whole.pairs:,} pairs labelled by people and by AI ({found.ai})", width)
        for why, pairs in found.left_out.items():
            yield wrapped(f"left out: {pairs:,} pairs, {why}", width)
        yield _whole(found.whole)
        if found.by_feature:
            yield line("")
            yield wrapped(
                "By feature: how often the AI labels otherwise than people, the model's agreement with each, and with "
                "people where the two differ:",
                width,
            )
            yield _by_feature(found, width)
        if found.mixes:
            yield line("")
            yield wrapped(
                "Mixes: a share of the pairs labelled by people, at random or the pairs with the largest gain, and the "
                "others by the AI:",
                width,
            )
            yield _mixes(found)


def _whole(of: Agreements) -> Table:
    rows = [
        ("the model with people", _shown(of.with_people)),
        ("the model with the AI", _shown(of.with_ai)),
        ("  difference", _shown(of.difference)),
        ("the AI with people", _shown(of.ai_with_people)),
        (f"where they differ ({of.sides_with_people.n:,} pairs), with people", _shown(of.sides_with_people)),
        ("  ... with the AI", _shown(of.sides_with_ai)),
    ]
    return text_table([("agreement", "left"), ("[95%]", "left")], rows, gap=2)


def _shown(of: Estimate) -> str:
    limits = "" if of.low is None or of.high is None else f" [{figure(of.low, 2)}, {figure(of.high, 2)}]"
    return figure(of.value) + limits


def _by_feature(found: Comparison, width: int) -> Table:
    rows: list[list[str | Text]] = [
        [
            wrapped(each.feature, max(width - 46, 12)),
            f"{each.pairs:,}",
            figure(None if each.ai_with_people.value is None else 1 - each.ai_with_people.value),
            figure(each.with_people.value),
            figure(each.with_ai.value),
            figure(each.sides_with_people.value),
        ]
        for each in found.by_feature
    ]
    heads = ("pairs", "differ", "people", "AI", "sides")
    return text_table([("", "left"), *((head, "right") for head in heads)], rows, gap=2)


def _mixes(found: Comparison) -> Table:
    rows = [
        [
            figure(mix.share, 2),
            figure(mix.model_at_random),
            figure(mix.model_routed),
            figure(mix.labels_at_random),
            figure(mix.labels_routed),
            figure(mix.labels_at_best),
        ]
        for mix in found.mixes
    ]
    heads = ("people", "model: random", "by gain", "labels: random", "by gain", "at best")
    return text_table([(head, "right") for head in heads], rows, gap=2)
