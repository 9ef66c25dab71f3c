"""What was found of generators under reward models, and how a terminal shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rmbench.evaluation.generators.best import BestOf
from rmbench.evaluation.generators.compared import ALPHA, Agreement, Standing, Win
from rmbench.text import ColumnLayout, line, paragraph, text_table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

__all__ = ["Ranking"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What `rank_generators` found. Prints as text in a terminal."""

    pattern: str
    kind: str
    """"image" or "video"."""
    prompts: int
    found: int
    """Images or videos that are there."""
    generators: tuple[str, ...]
    standings: Mapping[str, tuple[Standing, ...]]
    """Model -> its generators, the best first."""
    compared: Mapping[str, int]
    """Model -> prompts for which every generator has a score."""
    wins: Mapping[str, tuple[Win, ...]]
    """Model -> every ordered pair of generators."""
    agreement: tuple[Agreement, ...]
    best_of: Mapping[str, tuple[BestOf, ...]]
    """Model -> what is had by keeping the image that it scores highest of n; empty where there is one of a generator
    and a prompt."""
    similarity: Mapping[str, Mapping[str, float]]
    """Model with a text tower -> generator that was given rewritten prompts -> the mean cosine of these and the
    original ones."""
    records: Mapping[str, str]
    """Model -> the folder of its record."""
    notes: tuple[str, ...]
    """What is missing or was passed over."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _lines(self)


def _lines(ranking: Ranking) -> Iterator[RenderableType]:
    """A table per reward model, how far they agree, and notes."""
    counts = f"{len(ranking.generators)} generators, {ranking.prompts:,} prompts, {ranking.found:,} {ranking.kind}s"
    yield paragraph(f"{ranking.pattern}: {counts}")
    columns: list[tuple[str, ColumnLayout]] = [("generator", "fold")]
    columns += [(name, "right") for name in ("place", "mean", "95% interval", "behind", "p", "wins")]
    for model, standings in ranking.standings.items():
        if not standings:
            yield paragraph(f"{model}: no prompt for which every generator has a score.")
            continue
        best = standings[0].generator
        against = {win.winner: win for win in ranking.wins[model] if win.loser == best}
        alike = ranking.similarity.get(model, {})
        rows = []
        for one in standings:
            style = "bold" if one.not_told_apart else ""
            win = against.get(one.generator)
            cells = (
                str(one.place),
                _number(one.mean),
                "" if one.low is None or one.high is None else f"[{_number(one.low)}, {_number(one.high)}]",
                "" if one.p is None else _number(one.behind),
                "" if one.p is None else f"{one.p:.2g}",
                "" if win is None else f"{win.share:.0%}",
                *([_number(alike[one.generator]) if one.generator in alike else ""] if alike else []),
            )
            rows.append([line(one.generator, style), *(line(cell, style) for cell in cells)])
        heads = [*columns, ("prompts alike", "right")] if alike else columns
        yield ""
        yield text_table(heads, rows, title=f"{model}, {ranking.compared[model]:,} prompts", gap=2)
    yield ""
    yield paragraph(
        f"Bold: not told apart from the first (sign flips of differences paired by prompt, Holm, {ALPHA:g}). behind: "
        "the mean difference from the first; wins: how often it beats the first, a tie being half."
    )
    if ranking.similarity:
        yield paragraph(
            "prompts alike: the mean cosine of the original and the rewritten prompts, by the model's own text tower; "
            "scores are of the original ones."
        )
    yield from _best(ranking)
    if ranking.agreement:
        agreed: list[tuple[str, ColumnLayout]] = [
            ("models", "fold"),
            ("of generators", "right"),
            ("by prompt", "right"),
        ]
        pairs = [[" and ".join(one.models), _tau(one.on_generators), _tau(one.on_prompts)] for one in ranking.agreement]
        yield ""
        yield text_table(agreed, pairs, title="Agreement of the models, Kendall's tau", gap=2)
    if ranking.notes:
        yield ""
    yield from map(paragraph, ranking.notes)


def _best(ranking: Ranking) -> Iterator[RenderableType]:
    """A table per model of what is had by keeping the best of n images."""
    for model, curves in ranking.best_of.items():
        most = max(one.n for one in curves)
        shown = [n for n in (*(2**k for k in range(most.bit_length())), most) if n <= most]
        shown = list(dict.fromkeys(shown))
        heads: list[tuple[str, ColumnLayout]] = [("generator", "fold"), *((f"n={n}", "right") for n in shown)]
        means = {(one.generator, one.n): _number(one.mean) for one in curves}
        names = dict.fromkeys(one.generator for one in curves)
        rows = [[line(name), *(line(means[name, n]) for n in shown)] for name in names]
        yield ""
        yield text_table(heads, rows, title=f"{model}, mean of the best of n images of a prompt", gap=2)


def _number(value: float) -> str:
    """Four digits, since each model has its own unit."""
    return f"{value:.4g}"


def _tau(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
