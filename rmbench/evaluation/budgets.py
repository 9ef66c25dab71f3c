"""One judge at several thinking budgets, or one model at several numbers of frames: what each buys, and what it
costs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.evaluation.all_failed import NothingMeasuredError
from rmbench.evaluation.results import Results
from rmbench.evaluation.run import run
from rmbench.records.headline import headline
from rmbench.text import ColumnLayout, figure, line, text_table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from rmbench.engine.interfaces import Progress
    from rmbench.records.record import Record

__all__ = ["BudgetCurve", "Budgets", "run_budgets"]

_FRAMES = "frames"
"""The setting that says which frames of a video are shown."""
_REFUSED = ("refused", *[""] * 7)
_SPELLED = re.compile(r"(?:(?P<setting>[A-Za-z_][\w.-]*)=)?(?P<numbers>[0-9]+(?:,[0-9]+)*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Budgets:
    """Which setting of a judge is its budget, and the values to run it at."""

    setting: str
    """Of `--model-args`: "max_tokens", "frames", or a field such as "extra_body.thinking_budget"."""
    values: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Budgets:
        """Budgets as the command line spells them: "256,1024,4096", which are `max_tokens`, or "SETTING=256,1024"."""
        match = _SPELLED.fullmatch(text.replace(" ", ""))
        values = tuple(map(int, match["numbers"].split(","))) if match else ()
        if match is None or 0 in values or len(set(values)) < len(values):
            raise RmbenchError(
                f"--budgets {text}: expected different numbers of tokens such as 256,1024,4096, or "
                "extra_body.thinking_budget=256,1024."
            )
        return cls(match["setting"] or "max_tokens", values)

    @classmethod
    def of_frames(cls, text: str) -> Budgets:
        """Numbers of frames of each video, as --frames spells them: "1,8,32"."""
        values = tuple(map(int, text.split(","))) if re.fullmatch("[0-9]{1,4}(?:,[0-9]{1,4})*", text) else ()
        if not values or 0 in values or len(set(values)) < len(values):
            raise RmbenchError(f"--frames {text}: expected different numbers of frames such as 1,8,32.")
        return cls(_FRAMES, values)

    def spelled(self, value: int) -> str:
        """A value as the setting takes it: frames are spread evenly over the video."""
        return f"uniform:{value}" if self.setting == _FRAMES else str(value)


@dataclass(frozen=True, slots=True, repr=False)
class BudgetCurve:
    """The results at each budget. Prints as a table."""

    setting: str
    values: tuple[int, ...]
    """In the order in which they were asked for."""
    points: tuple[tuple[int, Results], ...]
    refused: tuple[tuple[int, str], ...] = ()
    """Values at which every row failed, each with the reason."""

    def to_dict(self) -> dict[str, Any]:
        """The object that `rmbench run --budgets --json` prints."""
        runs = [
            {"budget": budget, "tokens": results.tokens, "cost": results.cost, **results.to_dict()}
            for budget, results in self.points
        ]
        refused = [{"budget": budget, "why": why} for budget, why in self.refused]
        return {"setting": self.setting, "runs": runs, "refused": refused}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        columns: list[tuple[str, ColumnLayout]] = [(self.setting, "right"), ("task", "left"), ("metric", "fold")]
        columns += [("value [95%]", "left"), ("n", "right"), ("unparsed", "right"), ("failed", "right")]
        columns += [("tokens", "right"), ("cost", "right")]
        lines: dict[int, list[tuple[str, ...]]] = {budget: [_REFUSED] for budget, _ in self.refused}
        for budget, results in self.points:
            cells = [_cells(record) for record in results.records]
            lines[budget] = [(*each, *(("", "") if place else _spent(results))) for place, each in enumerate(cells)]
        rows = [(f"{budget:,}", *each) for budget in self.values for each in lines[budget]]
        first = self.points[0][1]
        yield text_table(columns, rows, title=f"{first.model} on {first.source}")
        if any(not results.tokens for _, results in self.points):
            yield line("Tokens and cost are those of this run: none where every reply was at hand.")
        for budget, why in self.refused:
            yield line(f"{self.setting} {budget:,} is refused: {why}")
        for budget, results in self.points:
            for task, why in results.reasons.items():
                yield line(f"{self.setting} {budget:,}, {task}: {why}")


def run_budgets(
    model: str, tasks: str | Sequence[str], budgets: Budgets, *, progress: Progress | bool | None = None, **options: Any
) -> BudgetCurve:
    """Run one judge at several budgets, or any model at several numbers of frames, each with records of its own.

    Args:
        model: a judge at a server, as `rmbench.run` takes it.
        tasks: as of `rmbench.run`.
        budgets: the setting and its values.
        progress: as of `rmbench.run`.
        options: as of `rmbench.run`; `max_cost` is that of all budgets together.

    A value at which every row fails for one reason is refused, and the others are run.

    Raises:
        RmbenchError: as `rmbench.run`; every value is refused; a budget's setting is given among `model_args` too; the
            model is no judge, where the budget is not of frames.
    """
    given = dict(options.pop("model_args", None) or {})
    if budgets.setting in given:
        option = "--frames" if budgets.setting == _FRAMES else "--budgets"
        raise RmbenchError(f"{option}: {budgets.setting} is given by --model-args too.")
    if budgets.setting != _FRAMES and not model.startswith(("openai:", "vllm:")):
        raise RmbenchError(f"--budgets goes with a judge at a server, openai:NAME or vllm:MODEL, not {model}.")
    most, points, refused = options.pop("max_cost", None), list[tuple[int, Results]](), list[tuple[int, str]]()
    for value in budgets.values:
        spent = sum(results.cost or 0.0 for _, results in points)
        left = None if most is None else max(0.0, most - spent)
        args = {**given, budgets.setting: budgets.spelled(value)}
        try:
            points.append((value, run(model, tasks, progress=progress, model_args=args, max_cost=left, **options)))
        except NothingMeasuredError as error:
            if value == budgets.values[-1] and not points:
                raise
            refused.append((value, str(error)))
    return BudgetCurve(budgets.setting, budgets.values, tuple(points), tuple(refused))


def _cells(record: Record) -> tuple[str, ...]:
    value, counts = headline(record), record.counts
    limits = "" if value.low is None or value.high is None else f" [{figure(value.low, 2)}, {figure(value.high, 2)}]"
    rows = (f"{value.n:,}", f"{counts.unparsed:,}", f"{counts.failed:,}")
    return (record.task.id, value.metric, figure(value.value) + limits, *rows)


def _spent(results: Results) -> tuple[str, str]:
    """Tokens and cost, over all tasks of a run."""
    return f"{results.tokens:,}" if results.tokens else "-", "-" if results.cost is None else f"{results.cost:,.4f}"
