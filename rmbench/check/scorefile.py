"""Scores that were computed elsewhere: without an adapter, only the scores themselves are checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.models.scores.scorer import Precomputed

__all__ = ["score_file"]

_ELSEWHERE = "the scores were computed elsewhere"


def score_file(model: Precomputed, names: Iterable[str]) -> Iterator[CheckResult]:
    """A result for each named check; those that read scores run on the file's."""
    answered = passed(
        "answers", f"{len(model.rows)} rows of {', '.join(sorted(model.tasks))}", {"rows": len(model.rows)}
    )
    checks = {"answers": answered, "finite": _finite(model), "spread": _spread(model)}
    yield from (checks.get(name) or not_run(name, _ELSEWHERE) for name in names)


def _finite(model: Precomputed) -> CheckResult:
    bad = [row for row in model.rows.values() if any(not _is_number(one) for one in _scores(row.scores))]
    figures = {"rows": len(model.rows), "not_finite": len(bad)}
    if bad:
        line = (
            f"{len(bad)} of {len(model.rows)} rows have a score that is null or not finite; the first is {bad[0].place}"
        )
        return failed("finite", line, figures)
    if not any(_scores(row.scores) for row in model.rows.values()):
        return not_run("finite", "the file holds verdicts, not scores")
    return passed("finite", f"no NaN, nothing infinite in {len(model.rows)} rows", figures)


def _spread(model: Precomputed) -> CheckResult:
    scores = [one for row in model.rows.values() for one in _scores(row.scores) if _is_number(one)]
    if not scores:
        return not_run("spread", "there are no scores")
    low, high = min(scores), max(scores)
    figures = {"scores": len(scores), "range": high - low}
    if low == high and len(scores) > 1:
        return failed("spread", f"all {len(scores)} scores are {low:.6g}: a constant", figures)
    return passed("spread", f"{low:.4g} to {high:.4g} in {len(scores)} scores", figures)


def _scores(scores: object) -> list[float]:
    """All entries of a row, whatever its form; NaN where one is not a number."""
    if isinstance(scores, dict):
        return [one for column in scores.values() for one in _scores(column)]
    entries = scores if isinstance(scores, list) else []
    return [float(one) if isinstance(one, int | float) else math.nan for one in entries]


def _is_number(value: float) -> bool:
    return math.isfinite(value)
