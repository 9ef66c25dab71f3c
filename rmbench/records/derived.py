"""What a record says of its rows besides the values: how they ended, and the mark of an incomplete set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rmbench.records.record import Counts
from rmbench.types import Gold, Judgment, Value

__all__ = ["counts_of", "flag_partial"]


def flag_partial(values: Sequence[Value], missing: Sequence[str]) -> list[Value]:
    """The values; where rows are missing, overall ones carry a flag, so that a value quoted alone still shows it."""
    if not missing:
        return list(values)
    return [replace(value, flags=(*value.flags, "partial")) if value.group is None else value for value in values]


def counts_of(golds: Sequence[Gold], judgments: Sequence[Judgment]) -> Counts:
    """How rows ended, and how many of the annotators' comparisons the model ties."""
    ties = 0
    for gold, judgment in zip(golds, judgments, strict=True):
        rewards, margins = judgment.rewards, judgment.directed
        if rewards is not None:
            ties += sum(rewards[edge.i] == rewards[edge.j] for edge in gold.relation)
        elif margins is not None:
            ties += sum(margins[edge.i][edge.j] == margins[edge.j][edge.i] for edge in gold.relation)
    return Counts(
        judged=sum(judgment.status == "ok" for judgment in judgments),
        failed=sum(judgment.status == "failed" for judgment in judgments),
        unparsed=sum(judgment.status == "unparsed" for judgment in judgments),
        truncated=sum(any(judgment.truncated) for judgment in judgments),
        ties=ties,
    )
