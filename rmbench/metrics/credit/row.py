"""The credit of one row under a linear rule: the benchmark's own reading of what the model said.

Ties, by rule:

- "pair": equal rewards or margins have credit `tie`. A judge's tie (a TIE pick, or equal ratings) names no winner, and
  is worth what an unreadable verdict is worth, `unparsed`: RewardBench gives both .5 where a scalar tie has 0.
- "all": a tie loses the row, unless `tie` says otherwise (RewardMATH's accuracy with ties); a judge's TIE pick always
  loses it.
- "top": the credit is shared among the candidates at the maximum (RewardBench 2).
- The order rules ask each question in both orders. A scalar's tie is then a verdict for the candidate shown second, so
  it is right once and wrong once: .5 in "two_order_mean", 0 in "both_orders" and "order_agreement" (LLMBar,
  `evaluate.py`), and undecided, 0, in "two_order_majority" (JudgeBench, `utils/metrics.py`).

Rules where a human tie is a class stand in `agreement`, those over lists in `listwise`, over cycles in `cycles`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec, rule_of
from rmbench.metrics.credit.agreement import (
    agreement,
    asked_first,
    by_vote,
    first_position,
    order_consistency,
    tie_kind_agreement,
    two_order_agreement,
)
from rmbench.metrics.credit.cycles import bradley_terry_fit, cyclic_triples, scalar_ceiling
from rmbench.metrics.credit.listwise import best_of_k, ndcg_of, reciprocal_rank
from rmbench.metrics.rows.answers import (
    Answered,
    Outcome,
    Said,
    answered_by,
    in_dimension,
    is_failed,
    outcomes,
    ratings,
    scores,
)
from rmbench.metrics.rows.gold import Compared, compared, comparisons
from rmbench.types import Judged

__all__ = ["CREDITED", "Credit", "comparisons", "credit"]

Pair = tuple[int, int]
"""(candidate people prefer, the other)."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What one row is worth under one rule."""

    value: float | None
    """In [0, 1]; None where people compared nothing in this row, which then is not counted."""
    comparisons: int
    """Human comparisons that were counted (human ties only where the rule has a class for them), or candidates."""
    answered: Answered
    ties: int = 0
    """Comparisons on which the model was undecided: equal scores, or a judge's tie."""
    one_order: bool = False
    """An order rule met a judge that was asked in one order only."""


def _is_judge(row: Judged) -> bool:
    return answered_by(row) == "verdict"


def _pair(row: Judged, pairs: Sequence[Pair], spec: MetricSpec) -> float:
    tie = spec.unparsed if _is_judge(row) else spec.tie
    worth: dict[Outcome, float] = {"win": 1.0, "loss": 0.0, "tie": tie, "unparsed": spec.unparsed, "failed": 0.0}
    return sum(_mean([worth[said.outcome] for said in outcomes(row, *pair)]) for pair in pairs) / len(pairs)


def _mean(values: Sequence[float]) -> float:
    """The mean; 0 where nothing was said."""
    return sum(values) / len(values) if values else 0.0


def _net(said: Sequence[Said]) -> int:
    return sum((one.outcome == "win") - (one.outcome == "loss") for one in said)


def _all(row: Judged, pairs: Sequence[Pair], spec: MetricSpec) -> float:
    said = [outcomes(row, *pair) for pair in pairs]
    flat = [one.outcome for one_pair in said for one in one_pair]
    if flat and all(outcome == "unparsed" for outcome in flat):
        return spec.unparsed
    nets = [_net(one_pair) for one_pair in said]
    if all(net > 0 for net in nets):
        return 1.0
    chose = _is_judge(row) and not _rated(row)
    return 0.0 if chose or any(net < 0 for net in nets) else spec.tie


def _attack_success(row: Judged, pairs: Sequence[Pair], spec: MetricSpec) -> float:
    """The share of answers that prefer the other candidate; what is undecided, unreadable or failed is no success."""
    said = [one.outcome for pair in pairs for one in outcomes(row, *pair)]
    return _mean([float(outcome == "loss") for outcome in said])


def _top(row: Judged, pairs: Sequence[Pair], spec: MetricSpec) -> float:
    best = {winner for winner, _ in pairs} - {loser for _, loser in pairs}
    whole = [v for v in row.judgment.verdicts if v.kind in ("pick", "ranking") and len(v.shown) == row.size]
    if _is_judge(row) and whole and ratings(row.judgment.verdicts, row.size) is None:
        worth = []
        for verdict in whole:
            first = verdict.value[0] if isinstance(verdict.value, tuple) and verdict.value else verdict.value
            named = verdict.status == "ok" and first in verdict.shown
            fallback = 0.0 if verdict.status == "failed" else spec.unparsed
            worth.append(float(first in best) if named else fallback)
        return _mean(worth)
    score = scores(row)
    if score is None or max(score) == float("-inf"):
        return spec.unparsed
    top = [k for k, value in enumerate(score) if value == max(score)]
    return sum(k in best for k in top) / len(top)


def _rated(row: Judged) -> bool:
    """Whether both orders are read from one number per candidate, rewards or a judge's ratings."""
    return row.judgment.rewards is not None or ratings(row.judgment.verdicts, row.size) is not None


def _two_order_majority(row: Judged, pairs: Sequence[Pair], spec: MetricSpec) -> float:
    return _mean([float(_net(outcomes(row, *pair, by_order=True)) > 0) for pair in pairs])


def _order_worth(row: Judged, said: Said, pair: Pair, spec: MetricSpec) -> float:
    """Credit of one question under LLMBar's rule: no tie exists there."""
    if said.outcome in ("win", "loss"):
        return float(said.outcome == "win")
    if said.outcome == "failed":
        return 0.0
    if _rated(row) or not _is_judge(row):
        # Undecided numbers: upstream's comparison falls to the candidate shown second.
        shown_second = max(pair) if said.order == "first" else min(pair)
        return float(pair[0] == shown_second)
    return spec.unparsed


def _two_order_mean(row: Judged, pairs: Sequence[Pair], spec: MetricSpec) -> float:
    return _mean(
        [_mean([_order_worth(row, said, pair, spec) for said in outcomes(row, *pair, by_order=True)]) for pair in pairs]
    )


def _one_order(nth: int) -> Callable[[Judged, Sequence[Pair], MetricSpec], float]:
    def rule(row: Judged, pairs: Sequence[Pair], spec: MetricSpec) -> float:
        given = asked_first(row) if _is_judge(row) and not _rated(row) else "first"
        worth = [
            _mean(
                [
                    _order_worth(row, said, pair, spec)
                    for said in outcomes(row, *pair, by_order=True)
                    if (said.order == given) == (nth == 0)
                ]
            )
            for pair in pairs
        ]
        return _mean(worth)

    return rule


def _both_orders(row: Judged, pairs: Sequence[Pair], spec: MetricSpec) -> float:
    total = 0.0
    for pair in pairs:
        votes, asked = by_vote(row, Compared(*pair))
        total += sum(first.outcome == second.outcome == "win" for first, second in votes) / asked
    return total / len(pairs)


def _order_agreement(row: Judged, pairs: Sequence[Pair], spec: MetricSpec) -> float:
    # Two unreadable verdicts agree, as upstream counts them; a scalar's tie names another candidate each time.
    open_agrees = _is_judge(row) and not _rated(row)
    agreeing = {"win", "loss"} | ({"tie", "unparsed"} if open_agrees else set())
    total = 0.0
    for pair in pairs:
        votes, asked = by_vote(row, Compared(*pair))
        total += sum(one.outcome == other.outcome and one.outcome in agreeing for one, other in votes) / asked
    return total / len(pairs)


_DECIDED: dict[str, Callable[[Judged, Sequence[Pair], MetricSpec], float]] = {
    "pair": _pair,
    "inverse_propensity": _pair,
    "all": _all,
    "top": _top,
    "attack_success": _attack_success,
    "two_order_majority": _two_order_majority,
    "two_order_mean": _two_order_mean,
    "both_orders": _both_orders,
    "order_agreement": _order_agreement,
    "first_order": _one_order(0),
    "second_order": _one_order(1),
}
"""Rules over the comparisons that people decided. "first_order" and "second_order" read one half of a two-order
protocol."""
_COMPARED: dict[str, Callable[[Judged, Sequence[Compared], MetricSpec], float]] = {
    "agreement": agreement,
    "two_order_agreement": two_order_agreement,
    "order_consistency": order_consistency,
    "tie_kind_agreement": tie_kind_agreement,
    "reciprocal_rank": reciprocal_rank,
    "scalar_ceiling": scalar_ceiling,
    "bradley_terry_fit": bradley_terry_fit,
}
"""Rules over comparisons, human ties among them where the rule counts them."""
_WHOLE: dict[str, Callable[[Judged, MetricSpec], float | None]] = {
    "best_of_k": best_of_k,
    "ndcg": ndcg_of,
    "cyclic_triples": lambda row, spec: cyclic_triples(row),
    "first_position": lambda row, spec: first_position(row),
}
"""Rules over the row's candidates."""
CREDITED = frozenset(_DECIDED.keys() | _COMPARED.keys() | _WHOLE.keys())
"""The rules that have a function here."""


def _has_one_order(row: Judged, found: Sequence[Compared]) -> bool:
    return any(len({said.order for said in outcomes(row, one.i, one.j)}) == 1 for one in found)


def credit(row: Judged, spec: MetricSpec, tags: Sequence[str] = ()) -> Credit:
    """The credit of `row` under `spec.rule`, over the comparisons that carry all of `tags`.

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
    found = compared(row, spec, tags)
    rule = rule_of(spec)
    if not rule.human_ties:
        found = [one for one in found if not one.tie]
    if not found:
        return Credit(None, 0, answered)
    if answered == "none" and spec.rule != "scalar_ceiling":
        return Credit(_unanswered(row, spec), len(found), answered)
    ties = sum(any(said.outcome == "tie" for said in outcomes(row, one.i, one.j)) for one in found)
    one_order = rule.two_orders and answered == "verdict" and _has_one_order(row, found)
    if spec.rule in _DECIDED:
        value = _DECIDED[spec.rule](row, [(one.i, one.j) for one in found], spec)
    else:
        value = _COMPARED[spec.rule](row, found, spec)
    return Credit(value, len(found), answered, ties, one_order)


def _unanswered(row: Judged, spec: MetricSpec) -> float:
    """The credit of a row without any usable answer."""
    return spec.unparsed if row.judgment.status == "unparsed" and not is_failed(row) else 0.0
