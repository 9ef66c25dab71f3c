"""Whether the model scores every probe, with finite numbers that distinguish different responses."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from rmbench.check.image_probes import BROKEN
from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import RAISED, Subject, numbers
from rmbench.models.protocols import Encoded
from rmbench.numeric import skew_half
from rmbench.types import Example, Judgment

__all__ = ["answers", "finite", "spread"]

_TIES_ALARM = 0.25
"""Share of exact ties between different responses above which scores are too coarse to rank by."""
_NOT_FINITE = ("is NaN", "is infinite", "not finite", "NaN")


def answers(subject: Subject) -> CheckResult:
    """Every probe is scored. A conversation that the model refuses to read, with a reason, does not fail the check; one
    that it reads and then fails on does."""
    name = "answers"
    refused = _refused(subject)
    failures = [one for one in subject.judgments if one.status == "failed"]
    crashed = [one for one in failures if not (_not_finite(one) or one.id in refused or one.id.endswith(BROKEN))]
    total = len(subject.examples)
    figures = {"probes": total, "answered": total - len(failures), "refused": len(refused)}
    if crashed:
        return failed(name, f"{crashed[0].id}: {crashed[0].error}" + _more(len(crashed)), figures)
    if len(failures) == total:
        return failed(name, f"no probe is answered; {failures[0].id}: {failures[0].error}", figures)
    refusals = "".join(f"; {one.id} is refused: {one.error}" for one in failures if one.id in refused)
    kinds = Counter(_kind(one) for one in subject.judgments if one.status != "failed")
    counts = ", ".join(f"{count} by {kind}" for kind, count in kinds.items())
    return passed(name, f"{total - len(failures)} of {total} probes: {counts}{refusals}", figures)


def finite(subject: Subject) -> CheckResult:
    """No score is NaN or infinite."""
    bad = [one for one in subject.judgments if _not_finite(one)]
    rows = len(subject.scores())
    if bad:
        line = f"{len(bad)} of {len(subject.examples)} probes are not finite; {bad[0].id}: {bad[0].error}"
        return failed("finite", line, {"rows": rows, "not_finite": len(bad)})
    if not rows:
        return not_run("finite", "there are no scores")
    return passed("finite", f"no NaN, nothing infinite in {rows} scores", {"rows": rows, "not_finite": 0})


def spread(subject: Subject) -> CheckResult:
    """Different responses have different scores: a constant score and many exact ties fail the check."""
    name = "spread"
    scores = subject.scores()
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return not_run(name, "there are no scores")
    pairs, ties = _ties(subject)
    right, asked = _better_first(subject)
    width = float(scores.max() - scores.min())
    figures = {"scores": len(scores), "range": width, "ties": ties, "pairs": pairs, "better_first": right}
    if width == 0 and pairs:
        return failed(name, f"all {len(scores)} scores are {scores[0]:.6g}: a constant", figures)
    line = f"{scores.min():.4g} to {scores.max():.4g}; {ties} exact ties in {pairs} pairs of different responses"
    if pairs and ties / pairs > _TIES_ALARM:
        return failed(name, f"{line}, more than {_TIES_ALARM:.0%}", figures)
    return passed(name, f"{line}; the clearly better response scores higher in {right} of {asked} probes", figures)


def _refused(subject: Subject) -> set[str]:
    """Probes with a row that was refused when it was read, before any number was computed."""
    if subject.scorer is None:
        return {one.id for one in subject.judgments if one.status == "failed" and one.error.startswith("no score in ")}
    return {example.id for example, _, rows in subject.rows if any(map(_is_refused, rows))}


def _is_refused(row: Encoded) -> bool:
    return any(one.error and RAISED not in one.remarks for one in (row, *row.parts))


def _not_finite(judgment: Judgment) -> bool:
    return judgment.status == "failed" and any(mark in judgment.error for mark in _NOT_FINITE)


def _more(count: int) -> str:
    return f" (and {count - 1} more probes)" if count > 1 else ""


def _kind(judgment: Judgment) -> str:
    if judgment.rewards is not None:
        return "rewards"
    return "margins" if judgment.directed is not None else "verdicts"


def _ties(subject: Subject) -> tuple[int, int]:
    """(pairs of different responses to one prompt, those whose scores are exactly equal)."""
    pairs = ties = 0
    for example, judgment in zip(subject.examples, subject.judgments, strict=True):
        for i, j, margin in _margins(example, judgment):
            if example.candidates[i].messages != example.candidates[j].messages:
                pairs += 1
                ties += int(margin == 0)
    return pairs, ties


def _better_first(subject: Subject) -> tuple[int, int]:
    """(probes whose first response beats the second, probes scored), among those whose first response is better."""
    margins = [
        margin
        for example, judgment in zip(subject.examples, subject.judgments, strict=True)
        if not example.id.endswith("same")
        for i, j, margin in _margins(example, judgment)
        if (i, j) == (0, 1)
    ]
    return sum(margin > 0 for margin in margins), len(margins)


def _margins(example: Example, judgment: Judgment) -> list[tuple[int, int, float]]:
    """(i, j, margin of i over j) for i < j; the mean of both orders where a model reads pairs."""
    if not len(numbers(judgment)):
        return []
    pairs = itertools.combinations(range(len(example.candidates)), 2)
    if judgment.rewards is not None:
        return [(i, j, judgment.rewards[i] - judgment.rewards[j]) for i, j in pairs]
    assert judgment.directed is not None
    return [(i, j, skew_half(judgment.directed, i, j)) for i, j in pairs]
