"""The credit of one row under a linear rule, a rule whose metric is a mean of rows.

Ties, by rule:

- "pair": equal rewards or margins have credit `tie`. A judge's tie (a TIE pick, or equal ratings) names no winner, and
  is worth what an unreadable verdict is worth, `unparsed`: RewardBench gives both .5 where a scalar tie has 0.
- "all": a tie loses the row, unless `tie` says otherwise (RewardMATH's accuracy with ties); a judge's TIE pick always
  loses it.
- "top": the credit is shared among the candidates at the maximum (RewardBench 2).
- The order rules, in `orders`: a scalar's tie is a verdict for the candidate shown second.

Rules that count a human tie as a class are in `agreement`, those over a row's candidates in `listwise`, those over
intransitive comparisons in `cycles`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec, rule_of
from rmbench.metrics.credit.agreement import agreement, first_position, tie_kind_agreement
from rmbench.metrics.credit.cycles import bradley_terry_fit, cyclic_triples, scalar_ceiling
from rmbench.metrics.credit.listwise import best_of_k, ndcg_of, recall_of, reciprocal_rank
from rmbench.metrics.credit.orders import (
    first_order,
    order_agreement,
    order_consistency,
    second_order,
    two_order_agreement,
    two_order_majority,
    two_order_mean,
)
from rmbench.metrics.rows.answers import (
    Answered,
    Outcome,
    answered_by,
    chose,
    in_dimension,
    is_failed,
    judgements_made,
    mean_or_zero,
    net_wins,
    outcomes,
    ratings,
    scores,
)
from rmbench.metrics.rows.gold import Compared, compared, comparisons
from rmbench.types import Judged

__all__ = ["CREDITED", "Credit", "comparisons", "credit"]


@dataclass(frozen=True, slots=True)
class Credit:
    """What one row is worth under one rule."""

    value: float | None
    """In [0, 1]; None where people compared nothing in this row, which then is not counted."""
    comparisons: int
    """Human comparisons that were counted (human ties only where the rule has a class for them), or candidates."""
    answered: Answered
    one_order: bool = False
    """An order rule met a judge that was asked in one order only."""


def _pair(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    answered = answered_by(row)
    tie = spec.unparsed if answered == "verdict" else spec.tie
    if answered == "reward" and row.judgment.rewards is not None:  # as below, which takes a while for many rows
        return sum(_of_rewards(row.judgment.rewards[p.i], row.judgment.rewards[p.j], tie) for p in pairs) / len(pairs)
    worth: dict[Outcome, float] = {"win": 1.0, "loss": 0.0, "tie": tie, "unparsed": spec.unparsed, "failed": 0.0}
    return sum(mean_or_zero([worth[one.outcome] for one in outcomes(row, p.i, p.j)]) for p in pairs) / len(pairs)


def _of_rewards(winner: float, loser: float, tie: float) -> float:
    return 1.0 if winner > loser else 0.0 if winner < loser else tie


def _pooled_judgements(row: Judged, spec: MetricSpec) -> float | None:
    """The share of right ones among those; None, so that the row is not counted, where there are none."""
    made = judgements_made(row, [(pair.i, pair.j) for pair in compared(row, spec) if not pair.tie])
    worth = {"win": 1.0, "tie": spec.tie}
    return sum(worth.get(outcome, 0.0) for outcome in made) / len(made) if made else None


def _all(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    answers = [outcomes(row, pair.i, pair.j) for pair in pairs]
    flat = [one.outcome for of_pair in answers for one in of_pair]
    if flat and all(outcome == "unparsed" for outcome in flat):
        return spec.unparsed
    nets = [net_wins(of_pair) for of_pair in answers]
    if all(net > 0 for net in nets):
        return 1.0
    return 0.0 if chose(row) or any(net < 0 for net in nets) else spec.tie


def _attack_success(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The share of answers that prefer the other candidate; what is undecided, unreadable or failed is no success."""
    return mean_or_zero([float(one.outcome == "loss") for pair in pairs for one in outcomes(row, pair.i, pair.j)])


def _top(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    best = {pair.i for pair in pairs} - {pair.j for pair in pairs}
    whole = [v for v in row.judgment.verdicts if v.kind in ("pick", "ranking") and len(v.shown) == row.size]
    if answered_by(row) == "verdict" and whole and ratings(row.judgment.verdicts, row.size) is None:
        worth = []
        for verdict in whole:
            first = verdict.value[0] if isinstance(verdict.value, tuple) and verdict.value else verdict.value
            named = verdict.status == "ok" and first in verdict.shown
            fallback = 0.0 if verdict.status == "failed" else spec.unparsed
            worth.append(float(first in best) if named else fallback)
        return mean_or_zero(worth)
    score = scores(row)
    if score is None or max(score) == float("-inf"):
        return spec.unparsed
    top = [k for k, value in enumerate(score) if value == max(score)]
    return sum(k in best for k in top) / len(top)


_COMPARED: dict[str, Callable[[Judged, Sequence[Compared], MetricSpec], float]] = {
    "pair": _pair,
    "inverse_propensity": _pair,
    "pooled_pair": _pair,
    "all": _all,
    "top": _top,
    "attack_success": _attack_success,
    "two_order_majority": two_order_majority,
    "two_order_mean": two_order_mean,
    "both_orders": two_order_agreement,
    "order_agreement": order_agreement,
    "first_order": first_order,
    "second_order": second_order,
    "agreement": agreement,
    "two_order_agreement": two_order_agreement,
    "order_consistency": order_consistency,
    "tie_kind_agreement": tie_kind_agreement,
    "reciprocal_rank": reciprocal_rank,
    "scalar_ceiling": scalar_ceiling,
    "bradley_terry_fit": bradley_terry_fit,
}
"""Rules over the row's comparisons, human ties among them where the rule counts them."""
_WHOLE: dict[str, Callable[[Judged, MetricSpec], float | None]] = {
    "best_of_k": best_of_k,
    "ndcg": ndcg_of,
    "recall_at_k": recall_of,
    "cyclic_triples": cyclic_triples,
    "first_position": first_position,
    "pooled_judgements": _pooled_judgements,
}
"""Rules over the row's candidates or its verdicts, which may leave a row out."""
CREDITED = frozenset(_COMPARED.keys() | _WHOLE.keys())
"""The rules that have a function here."""


def _has_one_order(row: Judged, pairs: Sequence[Compared]) -> bool:
    return any(len({one.order for one in outcomes(row, pair.i, pair.j)}) == 1 for pair in pairs)


def credit(row: Judged, spec: MetricSpec) -> Credit:
    """The credit of `row` under `spec.rule`.

    A failed row has credit 0 (and none where the figure describes the model's answer, as "cyclic_triples"). A row that
    the model answered without any verdict has credit `spec.unparsed`.
    Raises RmbenchError for a rule that is not linear.
    """
    if spec.rule not in CREDITED:
        hint = did_you_mean(spec.rule, CREDITED)
        raise RmbenchError(f'metric "{spec.name}": "{spec.rule}" is no rule that gives a row a credit.{hint}')
    row = in_dimension(row, spec.dimension)
    answered = answered_by(row)
    if spec.rule in _WHOLE:
        value = _WHOLE[spec.rule](row, spec)
        return Credit(value, 0 if value is None else row.size, answered)
    rule = rule_of(spec)
    pairs = [pair for pair in compared(row, spec) if rule.human_ties or not pair.tie]
    if not pairs:
        return Credit(None, 0, answered)
    if answered == "none" and spec.rule != "scalar_ceiling":
        unparsed = row.judgment.status == "unparsed" and not is_failed(row)
        return Credit(spec.unparsed if unparsed else 0.0, len(pairs), answered)
    one_order = rule.two_orders and answered == "verdict" and _has_one_order(row, pairs)
    return Credit(_COMPARED[spec.rule](row, pairs, spec), len(pairs), answered, one_order)
