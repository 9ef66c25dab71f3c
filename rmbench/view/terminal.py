"""Rows for a terminal: control characters made visible, long texts cut unless the row was asked for by its id."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmbench.reports.texts import message_text
from rmbench.text import block, figure, line, printable
from rmbench.types import Conversation, Verdict
from rmbench.view.rows import WON_LESS_LOST, Answer, Row
from rmbench.view.shown import Shown

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

__all__ = ["Lines", "number", "verdict_words"]

_LONGEST = 1_500
"""Characters of a text, where a row was not asked for by its id."""


@dataclass(frozen=True, slots=True)
class Lines:
    """For `rich.print`: a heading, then each row; at most so many rows."""

    view: Shown
    most: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view, task = self.view, self.view.record.task
        shown = view.rows[: self.most]
        models = [side + model for side, model in zip(_sides(view.models), view.models, strict=True)]
        yield line(f"{task.title} ({task.id}@{task.version}) by {' and '.join(models)}", "bold")
        yield line(f"{len(view.rows):,} of {view.total:,} rows{', ' + view.selection if view.selection else ''}")
        if view.note:
            yield line(view.note, "italic")
        for row in shown:
            yield line("")
            yield from _row(row, _sides(view.models), whole=view.whole)
        if left := len(view.rows) - len(shown):
            yield line("")
            yield line(f"and {left:,} more rows: --limit N prints more, and without --text a page shows all.")


def _sides(models: Sequence[str]) -> list[str]:
    """What tells two models apart in a line; nothing where there is one."""
    return ["A ", "B "] if len(models) > 1 else [""]


def _row(row: Row, sides: Sequence[str], *, whole: bool) -> Iterator[RenderableType]:
    yield line(row.id, "bold")
    for side, answer in zip(sides, row.answers, strict=True):
        yield line(side + _said(answer))
    if row.judged.groups:
        yield line(", ".join(f"{name}={value}" for name, value in row.judged.groups.items()))
    if row.judged.gold.labels:
        yield line("labels: " + ", ".join(f"{name} {value}" for name, value in row.judged.gold.labels.items()))
    if row.example is not None:
        for name, text in row.example.context.items():
            yield from _text(name, text, whole=whole)
        yield from _turns((*row.example.shots, *row.example.prompt), whole=whole)
    for k in range(row.judged.size):
        yield from _candidate(row, sides, k, whole=whole)
    for side, answer in zip(sides, row.answers, strict=True):
        yield from _verdicts(side, answer, whole=whole)


def _said(answer: Answer) -> str:
    words: list[str] = [] if answer.outcome == "neither" else [answer.outcome]
    if answer.credit is not None and 0 < answer.credit < 1:
        words.append(f"credit {figure(answer.credit)}")
    if answer.margin is not None:
        words.append(f"margin {number(answer.margin, answer.unit, signed=True)}")
    if answer.judgment.error:
        words.append(printable(answer.judgment.error, 500))
    return ", ".join(words)


def _candidate(row: Row, sides: Sequence[str], k: int, *, whole: bool) -> Iterator[RenderableType]:
    example = row.example
    words = [f"candidate {k}", row.gold[k]]
    if example is not None and example.candidates[k].source:
        words.append(f"by {example.candidates[k].source}")
    for side, answer in zip(sides, row.answers, strict=True):
        if answer.scores is not None:
            words.append(f"{side}{answer.unit} {number(answer.scores[k], answer.unit)}")
    if any(answer.judgment.truncated[k : k + 1] == (True,) for answer in row.answers):
        words.append("truncated")
    yield line("• " + ", ".join(filter(None, words)), "bold")
    if example is not None:
        candidate = example.candidates[k]
        yield from _turns(
            (*(candidate.prompt or ()), *candidate.messages), whole=whole, role=len(candidate.messages) > 1
        )


def _turns(conversation: Conversation, *, whole: bool, role: bool = True) -> Iterator[RenderableType]:
    for message in conversation:
        yield from _text(message.role if role else "", message_text(message), whole=whole)


def _text(name: str, text: str, *, whole: bool) -> Iterator[RenderableType]:
    from rich.padding import Padding

    if name:
        yield Padding(line(name, "italic"), (0, 0, 0, 2))
    cut = len(text) - _LONGEST
    if cut > 0 and not whole:
        text = f"{text[:_LONGEST]} ... {cut:,} more characters: --id shows all"
    yield Padding(block(text), (0, 0, 0, 4))


def _verdicts(side: str, answer: Answer, *, whole: bool) -> Iterator[RenderableType]:
    from rich.padding import Padding

    rationale = answer.judgment.rationale
    if answer.judgment.verdicts or any(rationale):
        yield line(f"• {side}verdicts", "bold")
    for place, verdict in enumerate(answer.judgment.verdicts):
        yield Padding(line(verdict_words(verdict)), (0, 0, 0, 2))
        if rationale[place : place + 1] not in ((), ("",)):
            yield from _text("", rationale[place], whole=whole)


def verdict_words(verdict: Verdict) -> str:
    """What a judge said, and of what.

    >>> verdict_words(Verdict((1, 0), "pick", 1, logprob=-0.5, mass=0.98))
    'shown 1, 0: prefers 1, probability .607, option mass .980'
    """
    words = [f"shown {_joined(verdict.shown)}: {_verdict(verdict)}"]
    if verdict.vote:
        words.append(f"vote {verdict.vote}")
    if verdict.logprob is not None:
        words.append(f"probability {figure(math.exp(verdict.logprob))}")
    if verdict.mass is not None:
        words.append(f"option mass {figure(verdict.mass)}")
    return ", ".join(words)


def _verdict(verdict: Verdict) -> str:
    value = verdict.value
    if verdict.status != "ok" or value is None:
        return verdict.status
    if verdict.kind == "pick":
        return "a tie" if value == -1 else f"prefers {value}"
    if isinstance(value, tuple):
        return f"orders {' > '.join(map(str, value))}"
    return f"{verdict.kind} {printable(str(value))}"


def _joined(places: Iterable[int]) -> str:
    return ", ".join(map(str, places))


def number(value: float | None, unit: str = "", *, signed: bool = False) -> str:
    """A score with as many digits as people read; comparisons won less those lost are whole numbers.

    >>> number(-1.23456), number(1.5, signed=True), number(None), number(12345.6), number(-2.0, "won less lost")
    ('-1.235', '+1.500', '-', '1.235e+04', '-2')
    """
    if value is None:
        return "-"
    sign = "+" if signed and value else ""
    if unit == WON_LESS_LOST and value == int(value):
        return format(int(value), f"{sign}d")
    return format(value, f"{sign}.3f") if value == 0 or 0.001 <= abs(value) < 10_000 else format(value, f"{sign}.3e")
