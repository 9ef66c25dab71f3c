"""Does a judgment agree with itself? Metrics use its numbers without looking; models and files are distrusted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import get_args

from rmbench.types import TIE, Judgment, Status, Verdict

__all__ = ["judgment_problem"]

_KINDS = ("pick", "ranking", "rating", "label")


def judgment_problem(judgment: Judgment, size: int) -> str:
    """What is wrong with the judgment of an example with so many candidates, or ""."""
    return next(_problems(judgment, size), "")


def _problems(judgment: Judgment, size: int) -> Iterator[str]:
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


def _fits(verdict: Verdict, size: int) -> bool:
    value = verdict.value
    if verdict.kind == "pick":
        return type(value) is int and (value == TIE or 0 <= value < size)
    if verdict.kind == "ranking":
        return isinstance(value, tuple) and all(type(one) is int and 0 <= one < size for one in value)
    if verdict.kind == "rating":
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    return isinstance(value, str | int)
