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
"""What two ways to compute in float32 may differ by."""


def other_spec(model: str, backend: str) -> str:
    """What `--against BACKEND` names: `vllm` and `served` are MODEL there, anything else is what `--model` takes."""
    return f"{backend}:{model}" if backend in ("vllm", "served") else backend


def against(subject: Subject, spec: str, open_other: Callable[[], Scorer | Responder]) -> CheckResult:
    """The probes' rewards from both.

    Args:
        subject: the model under check.
        spec: the other one, for the line.
        open_other: opens it; it is let go of afterwards.

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
    found = compare(
        {judgment.id: judgment.rewards for judgment in subject.judgments},
        {judgment.id: judgment.rewards for judgment in theirs},
        within=allowed,
    )
    figures = {
        "largest_difference": found.largest,
        "tolerance": allowed,
        "rewards": found.rewards,
        "pairs": found.pairs,
        "flips": found.flips,
        "missing": len(found.missing),
    }
    if not found.rewards:
        return not_run(NAME, f"{subject.facts.name} and {spec} have no reward in common")
    line = f"{spec}: {found.line()}"
    if found.largest > allowed or found.flips or found.missing:
        return failed(NAME, f"{line}; {allowed:.2g} is allowed", figures)
    return passed(NAME, f"{line} (allowed {allowed:.2g})", figures)
