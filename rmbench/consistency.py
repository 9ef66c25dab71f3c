"""Consistency of rows and judgments: sizes, places and finite numbers, which metrics rely on. Models and files are
distrusted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import get_args

from rmbench.types import TIE, Gold, Judged, Judgment, Status, Verdict

__all__ = ["judgment_problem", "row_problem"]

_KINDS = ("pick", "ranking", "rating", "label")


def row_problem(row: Judged) -> str:
    """The first inconsistency of a row or of its judgment, or ""."""
    return next(_row_problems(row), "") or judgment_problem(row.judgment, row.size)


def judgment_problem(judgment: Judgment, size: int) -> str:
    """The first inconsistency of the judgment of an example with `size` candidates, or ""."""
    return next(_judgment_problems(judgment, size), "")


def _row_problems(row: Judged) -> Iterator[str]:
    if row.size < 0:
        yield f"size is {row.size}"
    if not math.isfinite(row.weight) or row.weight < 0:
        yield f"weight is {row.weight}"
    yield from _gold_problems(row.gold, row.size)


def _gold_problems(gold: Gold, size: int) -> Iterator[str]:
    for edge in gold.relation:
        if not (0 <= edge.i < size and 0 <= edge.j < size):
            yield f"relation names candidates {edge.i} and {edge.j} of {size}"
    if gold.ratings and len(gold.ratings) != size:
        yield f"ratings has {len(gold.ratings)} rows for {size} candidates"
    if any(len(rating) != len(gold.dimensions) for rating in gold.ratings):
        yield f"ratings has not one column per dimension ({', '.join(gold.dimensions) or 'there are none'})"


def _judgment_problems(judgment: Judgment, size: int) -> Iterator[str]:
    if judgment.status not in get_args(Status):
        yield f"status is {judgment.status!r}"
    sized = {"rewards": judgment.rewards, "directed": judgment.directed}
    sized |= {f"parts {name!r}": part for name, part in judgment.parts.items()}
    sized |= {"lengths": judgment.lengths or None, "truncated": judgment.truncated or None}
    for name, value in sized.items():
        if value is not None and len(value) != size:
            yield f"{name} has {len(value)} entries for {size} candidates"
    if any(len(margins) != size for margins in judgment.directed or ()):
        yield f"directed is not [{size}, {size}]"
    numbers = list(judgment.rewards or ())
    numbers += [
        number for part in (judgment.directed or (), *judgment.parts.values()) for one in part for number in one
    ]
    if not all(map(math.isfinite, numbers)):
        yield "a score is NaN or infinite"
    for verdict in judgment.verdicts:
        yield from _verdict_problems(verdict, size)


def _verdict_problems(verdict: Verdict, size: int) -> Iterator[str]:
    if verdict.kind not in _KINDS or verdict.status not in get_args(Status):
        yield f"a verdict has kind {verdict.kind!r}, status {verdict.status!r}"
    elif any(not 0 <= shown < size for shown in verdict.shown):
        yield f"a verdict shows candidates {list(verdict.shown)} of {size}"
    elif verdict.status == "ok" and not _fits(verdict, size):
        yield f"a {verdict.kind} verdict has the value {verdict.value!r}"
    if verdict.logprob is not None and math.isnan(verdict.logprob):
        yield "a verdict's logprob is NaN"
    if verdict.mass is not None and not verdict.mass >= 0:
        yield f"a verdict's mass is {verdict.mass}"


def _fits(verdict: Verdict, size: int) -> bool:
    value = verdict.value
    if verdict.kind == "pick":
        return type(value) is int and (value == TIE or 0 <= value < size)
    if verdict.kind == "ranking":
        return isinstance(value, tuple) and all(type(one) is int and 0 <= one < size for one in value)
    if verdict.kind == "rating":
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    return isinstance(value, str | int)
