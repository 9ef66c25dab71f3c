"""Agreement where a human tie is a class of its own, so that a model may be right by calling two candidates equal.

- "agreement": the model's answer in the order first asked against people's (Auto-J's "single"; PandaLM's accuracy).
  Equal classes have 1, opposite ones 0; a model's tie where people decided has `tie`, a model's choice where people
  tied `human_tie`. Both 0 is exact match; both .5 is Pick-a-Pic's credit; `human_tie` = 1 is HPD v2's, where a human
  tie can never be wrong.
- "tie_kind_agreement": as agreement, and a tie is right only if it is of people's kind, by a tag `tie=good` or
  `tie=bad` of the comparison; a judge's bare "A=B" is right for either (GenAI-Bench, `inference.py`).
- "first_position" needs no gold: the share of a judge's picks from pairs that name the candidate shown first.

A scalar ties at equal scores alone, in both orders. An unreadable verdict has `unparsed`.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import Outcome, answered_by, label_names, margin, outcomes
from rmbench.metrics.rows.gold import Compared
from rmbench.types import Judged

__all__ = [
    "agreement",
    "first_answers",
    "first_position",
    "order_asked_first",
    "right_outcome",
    "tie_kind_agreement",
]


def order_asked_first(row: Judged) -> str:
    """The order of the first question, "first" where it showed the lower index first; a scalar is read as asked so."""
    scored = answered_by(row) != "verdict"
    shown = (0, 1) if scored else row.judgment.verdicts[0].shown
    return "first" if len(shown) < 2 or shown[0] == min(shown[:2]) else "second"


def first_answers(row: Judged, pair: Compared, spec: MetricSpec) -> list[Outcome]:
    """The row's outcomes on the comparison in the order first asked, one per vote, seen from `pair.i`."""
    if spec.tie_within > 0 and answered_by(row) in ("reward", "margin"):
        apart = margin(row, pair.i, pair.j)
        if apart is not None and abs(apart) <= spec.tie_within:
            return ["tie"]
    order = order_asked_first(row)
    answers = outcomes(row, pair.i, pair.j, by_order=True)
    return [one.outcome for one in answers if one.order == order] or [one.outcome for one in answers]


def right_outcome(pair: Compared) -> Outcome:
    """The outcome that agrees with people."""
    return "tie" if pair.tie else "win"


def _worth(outcome: Outcome, pair: Compared, spec: MetricSpec) -> float:
    if outcome == right_outcome(pair):
        return 1.0
    if outcome == "unparsed":
        return spec.unparsed
    if outcome == "failed":
        return 0.0
    if pair.tie:
        return spec.human_tie
    return spec.tie if outcome == "tie" else 0.0


def agreement(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The mean credit over comparisons and votes."""
    total = 0.0
    for pair in pairs:
        answers = first_answers(row, pair, spec)
        total += sum(_worth(answer, pair, spec) for answer in answers) / max(len(answers), 1)
    return total / len(pairs)


def first_position(row: Judged, spec: MetricSpec) -> float | None:
    """The share of readable picks from pairs that name the candidate shown first, ties left out; None where there is
    none. A judge without position bias has one half where it is asked in both orders."""
    picks = [v for v in row.judgment.verdicts if v.kind == "pick" and len(v.shown) == 2 and v.status == "ok"]
    named = [verdict.value == verdict.shown[0] for verdict in picks if verdict.value in verdict.shown]
    return sum(named) / len(named) if named else None


def tie_kind_agreement(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """As `agreement`, with the kind of a tie compared too; a model that names no kind is right about either."""
    total = 0.0
    for pair in pairs:
        labelled = [v for v in row.judgment.verdicts if v.kind == "label" and {pair.i, pair.j} <= set(v.shown)]
        if answered_by(row) != "verdict" or not labelled:
            total += agreement(row, [pair], spec)
            continue
        for verdict in labelled:
            named = label_names(verdict) if verdict.status == "ok" else None
            if named is None:
                total += (0.0 if verdict.status == "failed" else spec.unparsed) / len(labelled)
            elif named[0] is not None:
                total += _worth("win" if named[0] == pair.i else "loss", pair, spec) / len(labelled)
            else:
                other = named[1] and f"tie={named[1]}" not in pair.tags
                total += (0.0 if pair.tie and other else _worth("tie", pair, spec)) / len(labelled)
    return total / len(pairs)
