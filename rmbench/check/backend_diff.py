"""The same model on another backend: the largest difference and the pairs that flip."""

from __future__ import annotations

from collections.abc import Callable

from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject
from rmbench.models.abilities import Closable
from rmbench.models.protocols import Responder, Scorer
from rmbench.models.served.compare import compare

__all__ = ["against", "other_spec"]

NAME = "against"
_NEAR = 1e-3
"""Difference that two implementations in float32 may have."""


def other_spec(model: str, backend: str) -> str:
    """The model that `--against BACKEND` names: MODEL on `vllm` or `served`; anything else is a model itself."""
    return f"{backend}:{model}" if backend in ("vllm", "served") else backend


def against(subject: Subject, spec: str, open_other: Callable[[], Scorer | Responder]) -> CheckResult:
    """Compare the probes' rewards of both.

    Args:
        subject: the model under check.
        spec: name of the other model, for the line.
        open_other: opens it; it is closed afterwards.

    Raises:
        RmbenchError: it cannot be opened.
    """
    other = open_other()
    try:
        theirs = subject.ask(subject.examples, other)
    finally:
        if isinstance(other, Closable):
            other.close()
    allowed = max(subject.tolerance, _NEAR)
    difference = compare(
        {judgment.id: judgment.rewards for judgment in subject.judgments},
        {judgment.id: judgment.rewards for judgment in theirs},
        within=allowed,
    )
    figures = {
        "largest_difference": difference.largest,
        "tolerance": allowed,
        "rewards": difference.rewards,
        "pairs": difference.pairs,
        "flips": difference.flips,
        "missing": len(difference.missing),
    }
    if not difference.rewards:
        return not_run(NAME, f"{subject.facts.name} and {spec} have no rewards in common")
    line = f"{spec}: {difference.line()}"
    if difference.largest > allowed or difference.flips or difference.missing:
        return failed(NAME, f"{line}; {allowed:.2g} is allowed", figures)
    return passed(NAME, f"{line} (allowed {allowed:.2g})", figures)
