"""Position bias: swapping the candidates must not change the result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rmbench.check.probes import mirrored
from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject, largest_change, numbers
from rmbench.types import Example, Judgment

__all__ = ["order"]


def order(subject: Subject) -> CheckResult:
    """Candidates in the opposite order get the same rewards in the opposite order; margins are antisymmetric; equal
    candidates score alike. A model that reads pairs is run in both orders, and the difference between its two margins
    is shown: it is a property of the model, not of the adapter."""
    name = "order"
    if not len(subject.scores()):
        return not_run(name, "there are no scores")
    reordered = [_reversed(one) for one in subject.ask([mirrored(example) for example in subject.examples])]
    change, where = largest_change(subject.judgments, reordered)
    allowed = subject.tolerance
    if change > allowed:
        line = f"{where}: with its candidates in the opposite order a score moves by {change:.3g}"
        return failed(name, line, {"largest_change": change, "tolerance": allowed})
    gap = max((_equal_gap(*pair) for pair in zip(subject.examples, subject.judgments, strict=True)), default=0.0)
    if gap > allowed:
        return failed(name, f"two equal responses score {gap:.3g} apart", {"equal_answers": gap})
    if all(one.directed is None for one in subject.judgments):
        return passed(name, "rewards follow their candidates; equal responses score alike", {"largest_change": change})
    return _of_margins(subject, change)


def _of_margins(subject: Subject, change: float) -> CheckResult:
    skew, flips, pairs = 0.0, 0, 0
    for judgment in subject.judgments:
        if judgment.directed is not None:
            margins = np.asarray(judgment.directed, dtype=np.float64)
            upper = np.triu_indices(len(margins), 1)
            skew = max(skew, float(np.abs(margins + margins.T).max()))
            flips += int((margins[upper] * margins.T[upper] > 0).sum())
            pairs += len(upper[0])
    figures = {"largest_change": change, "asymmetry": skew, "flips": flips, "pairs": pairs}
    if subject.scorer is not None and "pair" in subject.scorer.answers:
        line = f"run in both orders: m(i, j) + m(j, i) is up to {skew:.3g}; the order decides {flips} of {pairs} pairs"
        return passed("order", line, figures)
    if skew > subject.tolerance:
        return failed("order", f"margins are not antisymmetric: m(i, j) + m(j, i) is up to {skew:.3g}", figures)
    return passed("order", f"margins are antisymmetric to {skew:.2g} in {pairs} pairs", figures)


def _reversed(judgment: Judgment) -> Judgment:
    """The judgment of a mirrored example with its numbers in the first order again."""
    rewards = None if judgment.rewards is None else tuple(reversed(judgment.rewards))
    directed = judgment.directed and tuple(tuple(reversed(row)) for row in reversed(judgment.directed))
    return replace(judgment, rewards=rewards, directed=directed)


def _equal_gap(example: Example, judgment: Judgment) -> float:
    """The largest difference between the rewards of equal candidates; 0 without such candidates, and for margins."""
    if judgment.rewards is None or not len(numbers(judgment)):
        return 0.0
    by_text: dict[object, list[float]] = {}
    for candidate, reward in zip(example.candidates, judgment.rewards, strict=True):
        by_text.setdefault(candidate.messages, []).append(reward)
    return max(max(rewards) - min(rewards) for rewards in by_text.values())
