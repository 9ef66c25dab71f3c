"""A policy's likelihoods on a preference set, next to its reward: ranking accuracy, what the closed form could
reach, the gap between the two, and the lengths behind them.

Source: "Preference Learning Algorithms Do Not Learn Preference Rankings" (arXiv 2405.19534), after its text;
not compared with its authors' code or figures. For the candidate w that people prefer and the other one l, with alpha,
in (1/2, 1], the share of people who prefer w:

- ranking accuracy: log pi(w) > log pi(l). It reads likelihoods, not rewards; that a *reward* prefers w is "pair".
- idealised ranking accuracy: log ref(w) - log ref(l) + logit(alpha) / beta > 0, the ranking of the policy that solves
  the DPO objective exactly.
- alignment gap: idealised less actual, on the same comparisons.

alpha is the share of the annotators, a tie counting as half a vote for each; a pair on which they split evenly is left
out. Where a pair has one label only, alpha is 1 and the ideal ranks it right whatever the reference; a value that rests
on such labels alone has the flag "one_label".

The numbers come from the parts of a judgment, [K, 1] each: "logp" and "ref_logp" in nats, "beta", "tokens".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import is_failed
from rmbench.metrics.rows.gold import MAJORITY
from rmbench.metrics.uncertainty.sample import Sample, mean_sample, undefined_sample
from rmbench.types import Edge, Judged

__all__ = [
    "LIKELIHOOD_RULES",
    "Preference",
    "idealised",
    "idealised_margin",
    "implicit_specs",
    "likelihood_sample",
    "preferences",
]

LIKELIHOOD_RULES: Mapping[str, tuple[str, ...]] = {
    "ranking_accuracy": ("logp",),
    "idealised_ranking_accuracy": ("logp", "ref_logp", "beta"),
    "alignment_gap": ("logp", "ref_logp", "beta"),
    "answer_tokens": ("tokens",),
}
"""Rule -> the parts it reads."""

_CERTAIN = 1e-3
"""A share of 1 is read as 1 less this, as upstream does, and 0 as this: the logit of either is infinite."""


@dataclass(frozen=True, slots=True)
class Preference:
    """A pair of candidates on which people do not split evenly."""

    preferred: int
    other: int
    alpha: float
    """Share who prefer the first, in (1/2, 1]."""
    votes: int


def preferences(row: Judged, spec: MetricSpec) -> list[Preference]:
    """The row's pairs in `spec.dimension`, by the votes of all annotators unless `spec.annotator` names one."""
    edges = [edge for edge in row.gold.relation if edge.dimension == spec.dimension]
    edges = edges or ([] if spec.dimension else list(row.gold.relation))
    if spec.annotator not in ("", MAJORITY):
        edges = [edge for edge in edges if edge.annotator == spec.annotator]
    cast = [edge for edge in edges if edge.annotator not in ("", MAJORITY)] or edges
    by_pair: dict[tuple[int, int], list[Edge]] = {}
    for edge in cast:
        by_pair.setdefault((min(edge.i, edge.j), max(edge.i, edge.j)), []).append(edge)
    found = [_preference(pair, votes) for pair, votes in by_pair.items()]
    return [one for one in found if one.alpha > 0.5]


def _preference(pair: tuple[int, int], votes: Sequence[Edge]) -> Preference:
    low, high = pair
    worth = [0.5 if vote.strength == 0 else float((vote.strength > 0) == (vote.i == low)) for vote in votes]
    share = sum(worth) / len(worth)
    return Preference(low, high, share, len(votes)) if share >= 0.5 else Preference(high, low, 1 - share, len(votes))


def idealised_margin(log_ratio: float, share: float, beta: float) -> float:
    """What the ideal DPO policy has as log-ratio of the two answers (Corollary 3.3): above 0 it ranks them rightly.

    `log_ratio` is the reference's log-probability of the preferred answer less that of the other, `share` of the raters
    prefer it. (Upstream's code divides the log-probabilities where it does not normalise by length; this is the
    formula.) Raises RmbenchError for a share outside [0, 1] or a beta that is not above 0.
    """
    if not 0 <= share <= 1 or not beta > 0:
        raise RmbenchError(f"expected a share in [0, 1] and a beta above 0, not {share} and {beta}.")
    inside = min(max(share, _CERTAIN), 1 - _CERTAIN)
    return log_ratio + math.log(inside / (1 - inside)) / beta


def idealised(log_ratio: float, alpha: float, beta: float) -> bool:
    """Whether the policy that solves the DPO objective ranks a pair right.

    Args:
        log_ratio: log ref(preferred) - log ref(other), in nats.
        alpha: share who prefer the first, in (0, 1].
        beta: of the objective, above 0.
    """
    return alpha == 1 or idealised_margin(log_ratio, alpha, beta) > 0


def likelihood_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """One of LIKELIHOOD_RULES over rows; of a row with several pairs the mean.

    Rows that failed, or whose judgment lacks the parts, are left out, with the flag "incomplete". "answer_tokens" is
    the mean number of answer tokens of the compared candidates; `answer=preferred` and `answer=other` come with it.
    """
    found = [(row, pairs) for row in rows if (pairs := preferences(row, spec))]
    usable = [(row, pairs) for row, pairs in found if _has(row, LIKELIHOOD_RULES[spec.rule])]
    flags = ("incomplete",) if len(usable) < len(found) else ()
    if not usable:
        return undefined_sample((*flags, "undefined"))
    if spec.rule == "answer_tokens":
        return replace(_tokens(usable), flags=flags)
    ideal = spec.rule != "ranking_accuracy"
    if ideal and all(pair.votes == 1 for _, pairs in usable for pair in pairs):
        flags = (*flags, "one_label")
    values = [_row_value(row, pairs, spec.rule) for row, pairs in usable]
    return replace(_mean(usable, values), flags=flags)


Pairs = Sequence[tuple[Judged, list[Preference]]]


def _row_value(row: Judged, pairs: Sequence[Preference], rule: str) -> float:
    actual = sum(_part(row, "logp", pair.preferred) > _part(row, "logp", pair.other) for pair in pairs)
    if rule == "ranking_accuracy":
        return actual / len(pairs)
    beta = _part(row, "beta", 0)
    ideal = sum(
        idealised(_part(row, "ref_logp", pair.preferred) - _part(row, "ref_logp", pair.other), pair.alpha, beta)
        for pair in pairs
    )
    return (ideal - actual if rule == "alignment_gap" else ideal) / len(pairs)


def _tokens(usable: Pairs) -> Sample:
    preferred = [sum(_part(row, "tokens", one.preferred) for one in pairs) / len(pairs) for row, pairs in usable]
    other = [sum(_part(row, "tokens", one.other) for one in pairs) / len(pairs) for row, pairs in usable]
    both = [(one + two) / 2 for one, two in zip(preferred, other, strict=True)]
    by_answer = {"answer=preferred": preferred, "answer=other": other}
    samples = tuple((label, _mean(usable, values)) for label, values in by_answer.items())
    return replace(_mean(usable, both), extras=samples)


def _mean(usable: Pairs, values: Sequence[float]) -> Sample:
    rows = [row for row, _ in usable]
    comparisons = sum(len(pairs) for _, pairs in usable)
    return mean_sample(values, rows, comparisons=comparisons)


def _has(row: Judged, parts: Sequence[str]) -> bool:
    return not is_failed(row) and all(
        len(lines := row.judgment.parts.get(name, ())) == row.size and all(lines) for name in parts
    )


def _part(row: Judged, name: str, k: int) -> float:
    return row.judgment.parts[name][k][0]


def implicit_specs(rows: Sequence[Judged], metrics: Sequence[MetricSpec]) -> tuple[MetricSpec, ...]:
    """What to measure in addition to a task's metrics where judgments hold log-probabilities; nothing for other models,
    or without comparisons. `reward_accuracy`, the share of pairs that the reward decides rightly, is left out
    where the task has that figure already."""
    head = metrics[0]
    compared = [row for row in rows if preferences(row, head)]
    if not any(_has(row, ("logp",)) for row in compared):
        return ()
    rules = [rule for rule, parts in LIKELIHOOD_RULES.items() if any(_has(row, parts) for row in compared)]
    own = MetricSpec("reward_accuracy", "pair", chance=0.5)
    given = [] if any(metric.rule == "pair" for metric in metrics) else [own]
    given += [MetricSpec(rule, rule, chance=0.5 if rule == "ranking_accuracy" else None) for rule in rules]
    taken = {metric.name for metric in metrics}
    return tuple(
        replace(spec, where=head.where, dimension=head.dimension, annotator=head.annotator)
        for spec in given
        if spec.name not in taken
    )
