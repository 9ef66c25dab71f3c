"""Scores that were computed elsewhere: there is no adapter to check, but there are the scores themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.models.scores.scorer import Precomputed

__all__ = ["score_file"]

_ELSEWHERE = "the scores were computed elsewhere"


def score_file(model: Precomputed, names: Iterable[str]) -> Iterator[CheckResult]:
    """The checks of the names given, those of the file's own scores among them."""
    answered = passed(
        "answers", f"{len(model.rows)} rows of {', '.join(sorted(model.tasks))}", {"rows": len(model.rows)}
    )
    own = {"answers": answered, "finite": _finite(model), "spread": _spread(model)}
    yield from (own.get(name) or not_run(name, _ELSEWHERE) for name in names)


def _finite(model: Precomputed) -> CheckResult:
    bad = [row for row in model.rows.values() if any(not _is_number(one) for one in _scores(row.scores))]
    figures = {"rows": len(model.rows), "not_finite": len(bad)}
    if bad:
        line = (
            f"{len(bad)} of {len(model.rows)} rows have a score that is null or not finite; the first is {bad[0].place}"
        )
        return failed("finite", line, figures)
    if not any(_scores(row.scores) for row in model.rows.values()):
        return not_run("finite", "the file holds verdicts, and no scores")
    return passed("finite", f"no NaN, nothing infinite in {len(model.rows)} rows", figures)


def _spread(model: Precomputed) -> CheckResult:
    found = [one for row in model.rows.values() for one in _scores(row.scores) if _is_number(one)]
    if not found:
        return not_run("spread", "there is no score to look at")
    low, high = min(found), max(found)
    figures = {"scores": len(found), "range": high - low}
    if low == high and len(found) > 1:
        return failed("spread", f"all {len(found)} scores are {low:.6g}: a constant", figures)
    return passed("spread", f"{low:.4g} to {high:.4g} in {len(found)} scores", figures)


def _scores(scores: object) -> list[float]:
    """All entries of a row, whatever its form; NaN where one is no number."""
    if isinstance(scores, dict):
        return [one for column in scores.values() for one in _scores(column)]
    entries = scores if isinstance(scores, list) else []
    return [float(one) if isinstance(one, int | float) else math.nan for one in entries]


def _is_number(value: float) -> bool:
    return math.isfinite(value)
