"""Rules that ask each question in both orders (LLMBar, JudgeBench, Auto-J).

A scalar's tie is a verdict for the candidate shown second, so it is right once and wrong once: .5 in "two_order_mean",
0 in "both_orders" and "order_agreement" (LLMBar, `evaluate.py`), and undecided, 0, in "two_order_majority" (JudgeBench,
`utils/metrics.py`). "first_order" and "second_order" read one half of a two-order protocol.

With y what people prefer of a pair (one, the other, tie), p the model's answer in one order and q that in the other,
mapped back: "both_orders" and, where human ties count, "two_order_agreement" are p = q = y; "order_consistency" is
p = q (Auto-J, `codes/leaderboard/pairwise_eval.py`). An unreadable verdict is consistent with none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.agreement import order_asked_first, right_outcome
from rmbench.metrics.rows.answers import Outcome, QuestionOutcome, chose, mean_or_zero, net_wins, outcomes
from rmbench.metrics.rows.gold import Compared
from rmbench.types import Judged

__all__ = [
    "first_order",
    "order_agreement",
    "order_consistency",
    "second_order",
    "two_order_agreement",
    "two_order_majority",
    "two_order_mean",
]


def two_order_majority(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The share of pairs that are right in more orders than they are wrong."""
    return mean_or_zero([float(net_wins(outcomes(row, pair.i, pair.j, by_order=True)) > 0) for pair in pairs])


def _worth(row: Judged, one: QuestionOutcome, pair: Compared, spec: MetricSpec) -> float:
    """Credit of one question under LLMBar's rule: no tie exists there."""
    if one.outcome in ("win", "loss"):
        return float(one.outcome == "win")
    if one.outcome == "failed":
        return 0.0
    if chose(row):
        return spec.unparsed
    # Undecided numbers: upstream's comparison falls to the candidate shown second.
    shown_second = max(pair.i, pair.j) if one.order == "first" else min(pair.i, pair.j)
    return float(pair.i == shown_second)


def _mean_worth(row: Judged, pairs: Sequence[Compared], spec: MetricSpec, counts: Callable[[str], bool]) -> float:
    """The mean credit over pairs of the questions in the orders that count."""
    answers = [(pair, outcomes(row, pair.i, pair.j, by_order=True)) for pair in pairs]
    return mean_or_zero(
        [
            mean_or_zero([_worth(row, one, pair, spec) for one in of_pair if counts(one.order)])
            for pair, of_pair in answers
        ]
    )


def two_order_mean(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The mean credit over pairs and orders."""
    return _mean_worth(row, pairs, spec, lambda order: True)


def first_order(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The mean credit in the order asked first."""
    asked_first = order_asked_first(row)
    return _mean_worth(row, pairs, spec, lambda order: order == asked_first)


def second_order(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The mean credit in the other order."""
    asked_first = order_asked_first(row)
    return _mean_worth(row, pairs, spec, lambda order: order != asked_first)


def _share_of_votes(
    row: Judged, pairs: Sequence[Compared], holds: Callable[[Compared, Outcome, Outcome], bool]
) -> float:
    """The share of votes of which `holds` is true of the outcomes in both orders; an order not asked counts as not."""
    total = 0.0
    for pair in pairs:
        answers = sorted(outcomes(row, pair.i, pair.j, by_order=True), key=lambda one: one.vote)
        first, second = ([one.outcome for one in answers if one.order == order] for order in ("first", "second"))
        asked = max(len(first), len(second), 1)
        total += sum(holds(pair, p, q) for p, q in zip(first, second, strict=False)) / asked
    return total / len(pairs)


def order_agreement(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The share of votes with one answer in both orders.

    Two unreadable verdicts agree, as upstream counts them; a scalar's tie names another candidate each time.
    """
    agreeing = {"win", "loss"} | ({"tie", "unparsed"} if chose(row) else set())
    return _share_of_votes(row, pairs, lambda pair, p, q: p == q and p in agreeing)


def two_order_agreement(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The share of votes that are right in both orders."""
    return _share_of_votes(row, pairs, lambda pair, p, q: p == q == right_outcome(pair))


def order_consistency(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The share of votes with one readable answer in both orders, right or wrong."""
    return _share_of_votes(row, pairs, lambda pair, p, q: p == q and p in ("win", "loss", "tie"))
