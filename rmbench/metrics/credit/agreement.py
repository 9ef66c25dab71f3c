"""Agreement where a human tie is a class of its own, so that a model may be right by calling two candidates equal.

With y what people said of a pair (one, the other, tie), p the model's answer in the order first asked and q that in the
other order, mapped back:

- "agreement": credit of p against y (Auto-J's "single"; PandaLM's accuracy). Equal classes have 1, opposite ones 0; a
  model's tie where people decided has `tie`, a model's choice where people tied `human_tie`. Both 0 is exact match;
  both .5 is Pick-a-Pic's credit; `human_tie` = 1 is HPD v2's, where a human tie can never be wrong.
- "two_order_agreement": p = q = y; "order_consistency": p = q (Auto-J, `codes/leaderboard/pairwise_eval.py`).
- "tie_kind_agreement": as agreement, and a tie is right only if it is of the kind that people said, by a tag
  `tie=good` or `tie=bad` of the comparison; a judge's bare "A=B" is right for either (GenAI-Bench, `inference.py`).

A scalar ties at equal scores alone, in both orders. An unreadable verdict has `unparsed`, and is consistent with none.

"first_position" asks nothing of people: the share of a judge's picks from pairs that name the candidate shown first.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import Outcome, Said, answered_by, label_names, margin, outcomes
from rmbench.metrics.rows.gold import Compared
from rmbench.types import Judged

__all__ = [
    "agreement",
    "asked_first",
    "by_vote",
    "first_answers",
    "first_position",
    "order_consistency",
    "tie_kind_agreement",
    "two_order_agreement",
]


def asked_first(row: Judged) -> str:
    """The order of the first question, "first" where it showed the lower index first; a scalar is read as asked so."""
    scored = answered_by(row) != "verdict"
    shown = (0, 1) if scored else row.judgment.verdicts[0].shown
    return "first" if len(shown) < 2 or shown[0] == min(shown[:2]) else "second"


def first_answers(row: Judged, one: Compared, spec: MetricSpec) -> list[Outcome]:
    """What the row says of the comparison in the order first asked, one entry per vote, seen from `one.i`."""
    if spec.tie_within > 0 and answered_by(row) in ("reward", "margin"):
        apart = margin(row, one.i, one.j)
        if apart is not None and abs(apart) <= spec.tie_within:
            return ["tie"]
    order = asked_first(row)
    said = outcomes(row, one.i, one.j, by_order=True)
    return [each.outcome for each in said if each.order == order] or [each.outcome for each in said]


def by_vote(row: Judged, one: Compared) -> tuple[list[tuple[Said, Said]], int]:
    """The answers about one comparison vote by vote in both orders, and how many votes there ought to be."""
    said = sorted(outcomes(row, one.i, one.j, by_order=True), key=lambda each: each.vote)
    first = [each for each in said if each.order == "first"]
    second = [each for each in said if each.order == "second"]
    return list(zip(first, second, strict=False)), max(len(first), len(second), 1)


def _right(one: Compared) -> Outcome:
    return "tie" if one.tie else "win"


def _worth(outcome: Outcome, one: Compared, spec: MetricSpec) -> float:
    if outcome == _right(one):
        return 1.0
    if outcome == "unparsed":
        return spec.unparsed
    if outcome == "failed":
        return 0.0
    if one.tie:
        return spec.human_tie
    return spec.tie if outcome == "tie" else 0.0


def agreement(row: Judged, found: Sequence[Compared], spec: MetricSpec) -> float:
    """The mean credit over comparisons and votes."""
    total = 0.0
    for one in found:
        answers = first_answers(row, one, spec)
        total += sum(_worth(answer, one, spec) for answer in answers) / max(len(answers), 1)
    return total / len(found)


def first_position(row: Judged) -> float | None:
    """The share of readable picks from pairs that name the candidate shown first, ties left out; None where there is
    none. A judge that no place sways has one half where it is asked in both orders."""
    picks = [v for v in row.judgment.verdicts if v.kind == "pick" and len(v.shown) == 2 and v.status == "ok"]
    named = [verdict.value == verdict.shown[0] for verdict in picks if verdict.value in verdict.shown]
    return sum(named) / len(named) if named else None


def tie_kind_agreement(row: Judged, found: Sequence[Compared], spec: MetricSpec) -> float:
    """As `agreement`, with the kind of a tie compared too; a model that names no kind is right about either."""
    total = 0.0
    for one in found:
        labelled = [v for v in row.judgment.verdicts if v.kind == "label" and {one.i, one.j} <= set(v.shown)]
        if answered_by(row) != "verdict" or not labelled:
            total += agreement(row, [one], spec)
            continue
        for verdict in labelled:
            named = label_names(verdict) if verdict.status == "ok" else None
            if named is None:
                total += (0.0 if verdict.status == "failed" else spec.unparsed) / len(labelled)
            elif named[0] is not None:
                total += _worth("win" if named[0] == one.i else "loss", one, spec) / len(labelled)
            else:
                other = named[1] and f"tie={named[1]}" not in one.tags
                total += (0.0 if one.tie and other else _worth("tie", one, spec)) / len(labelled)
    return total / len(found)


def two_order_agreement(row: Judged, found: Sequence[Compared], spec: MetricSpec) -> float:
    """The share of votes that are right in both orders; an order not asked is wrong."""
    total = 0.0
    for one in found:
        votes, asked = by_vote(row, one)
        right = _right(one)
        total += sum(first.outcome == second.outcome == right for first, second in votes) / asked
    return total / len(found)


def order_consistency(row: Judged, found: Sequence[Compared], spec: MetricSpec) -> float:
    """The share of votes with one readable answer in both orders, right or wrong."""
    total = 0.0
    for one in found:
        votes, asked = by_vote(row, one)
        readable = ("win", "loss", "tie")
        total += sum(first.outcome == second.outcome and first.outcome in readable for first, second in votes) / asked
    return total / len(found)
