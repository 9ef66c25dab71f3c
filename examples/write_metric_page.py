"""Write docs/metrics.md from the table of rules: `python examples/write_metric_page.py`. A test compares the two."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from rmbench.metric_spec import RULES, Kind, Rule, of_kind

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"

_HEAD = """\
# Metrics

Made from the table in `rmbench/metric_spec.py` by `python examples/write_metric_page.py`. A task declares its metrics
by the name of a rule and settings ([adding a task](adding-a-task.md#metrics)); `rmbench show TASK` prints what its
rules mean. How intervals are made is in [statistics](statistics.md), how a rule is added in
[adding a metric](adding-a-metric.md).

- **Needs** is what of the gold a rule can be computed from; any one of several is enough.
- **Credit** marks linear rules, whose metric is a mean of rows: each row has a credit, and comparisons, gates and
  boards work row by row. Any other metric is a figure of all rows together.
- **Numbers** marks rules for which a model has to give a number for each candidate. Any other takes a judge's ranking
  or picks as well, and a judge that only compares skips a task whose headline needs numbers.
- **Range** is that of the figure. A dash: other settings, or the model's scores, decide.
- **Better** is the direction; rules that describe the data or the model rather than rate it have none.
- **Ties** is what equal scores of the model are worth; `tie` stands for the credit that the task declares.
"""
_SECTIONS: dict[Kind, str] = {
    "comparisons": "Comparisons that people decided",
    "orders": "Pairs judged in both orders",
    "human ties": "Pairs where a human tie is a class",
    "candidates": "The candidates of a row",
    "intransitive": "Intransitive comparisons",
    "raters": "People: each rater's own preference",
    "correlation": "Correlation with ratings",
    "list correlation": "Correlation within lists",
    "difference correlation": "Correlation with graded preferences",
    "classes": "Classes",
    "likelihoods": "Likelihoods of policies",
    "others": "Others",
}
_NOTES: dict[Kind, str] = {
    "orders": "A scalar model's score holds for both orders.",
    "human ties": "Comparisons that people tied count here. The calibrated rules tune a threshold on the same labels, "
    "which suits the model best; the accuracy without one is reported with them.",
    "raters": "Rows ask for one person's preference, and people are what is resampled. [Whose preference?](raters.md) "
    "says what each figure answers.",
    "likelihoods": "Models that give log-probabilities have these in addition to a task's metrics.",
}


def page() -> str:
    """The whole page, a table per kind of rule."""
    return "\n".join([_HEAD, *map(_section, get_args(Kind)), f"{len(RULES)} rules.\n"])


def _section(kind: Kind) -> str:
    lines = [
        f"## {_SECTIONS[kind]}\n",
        *([_NOTES[kind] + "\n"] if kind in _NOTES else []),
        "| rule | what it is | needs | credit | numbers | range | better | ties | source |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_line(RULES[name]) for name in of_kind(kind)),
    ]
    return "\n".join(lines) + "\n"


def _line(rule: Rule) -> str:
    cells = (
        f"`{rule.name}`",
        rule.summary,
        ", ".join(sorted(rule.needs)) or "no gold",
        "yes" if rule.linear else "no",
        "yes" if rule.numbers else "no",
        f"{_end(rule.low)} to {_end(rule.high)}" if rule.low is not None or rule.high is not None else "-",
        "-" if rule.better == "neither" else rule.better,
        rule.ties or "`tie`",
        rule.source,
    )
    return f"| {' | '.join(cells)} |"


def _end(limit: float | None) -> str:
    return "∞" if limit is None else f"{limit:g}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
