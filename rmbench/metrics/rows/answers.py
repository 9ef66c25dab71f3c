"""A judgment read as outcomes of comparisons, scores and margins, whichever way the model answered."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rmbench.numeric import skew_half
from rmbench.types import TIE, Judged, Verdict

__all__ = [
    "Answered",
    "Order",
    "Outcome",
    "QuestionOutcome",
    "answered_by",
    "answered_share",
    "chose",
    "in_dimension",
    "is_failed",
    "item_scores",
    "judgements_made",
    "label_names",
    "margin",
    "mean_or_zero",
    "net_wins",
    "outcomes",
    "ratings",
    "scores",
]

Answered = Literal["reward", "margin", "verdict", "none"]
"""How a row was answered: a reward per candidate, directed margins, a judge's verdicts, or not at all."""

Outcome = Literal["win", "loss", "tie", "unparsed", "failed"]
"""The result of one question about a comparison, seen from the candidate that people prefer."""

Order = Literal["first", "second"]
"""Which of the two candidates the question showed first: the one of the lower index, or the other."""


@dataclass(frozen=True, slots=True)
class QuestionOutcome:
    """The outcome of one question about one comparison."""

    outcome: Outcome
    order: Order
    vote: int = 0


def _all_finite(row: Judged) -> bool:
    """Whether every number that a metric would read is one: NaN and infinities are no scores."""
    judgment = row.judgment
    if judgment.rewards is not None:
        return all(map(math.isfinite, judgment.rewards))
    return judgment.directed is None or all(math.isfinite(margin) for line in judgment.directed for margin in line)


def is_failed(row: Judged) -> bool:
    """Whether the model failed on the row: by its status, by a NaN or infinite score, or as every verdict did."""
    verdicts = row.judgment.verdicts
    if row.judgment.status == "failed" or not _all_finite(row):
        return True
    scored = row.judgment.rewards is not None or row.judgment.directed is not None
    return not scored and bool(verdicts) and all(verdict.status == "failed" for verdict in verdicts)


def answered_share(rows: Sequence[Judged]) -> float:
    """Rows not failed / rows; 0 without rows."""
    return sum(not is_failed(row) for row in rows) / len(rows) if rows else 0.0


def answered_by(row: Judged) -> Answered:
    """Rewards before margins before verdicts; "none" where the row failed or holds no such answer."""
    judgment = row.judgment
    if is_failed(row):
        return "none"
    if judgment.rewards is not None:
        return "reward"
    if judgment.directed is not None:
        return "margin"
    return "verdict" if judgment.verdicts else "none"


def ratings(verdicts: Sequence[Verdict], size: int) -> list[float] | None:
    """[K] mean readable rating of each candidate, -inf where there is none; None where the judge gave no ratings."""
    rated = [verdict for verdict in verdicts if verdict.kind == "rating"]
    if not rated:
        return None
    values: list[list[float]] = [[] for _ in range(size)]
    for verdict in rated:
        if verdict.status == "ok" and isinstance(verdict.value, int | float):
            values[verdict.shown[0]].append(float(verdict.value))
    return [sum(of) / len(of) if of else -math.inf for of in values]


def _net_won(verdicts: Sequence[Verdict], size: int) -> list[float] | None:
    """[K] comparisons won less comparisons lost over all readable picks, rankings and labels that name the better of
    two; None where none is readable. Of one ranking that is the order itself.
    """
    net = [0.0] * size
    readable = False
    for verdict in verdicts:
        places = _places(verdict)
        if places is None:
            continue
        readable = True
        for k, place in places.items():
            net[k] += sum((place < other) - (place > other) for other in places.values())
    return net if readable else None


def _places(verdict: Verdict) -> dict[int, int] | None:
    """The place of each candidate shown, 0 the best; None for a tie, a rating, a class, and what cannot be read."""
    shown, value = verdict.shown, verdict.value
    if verdict.status != "ok":
        return None
    if verdict.kind == "ranking":
        whole = isinstance(value, tuple) and sorted(value) == sorted(shown)
        return {k: place for place, k in enumerate(value)} if whole and isinstance(value, tuple) else None
    named = label_names(verdict)
    best = value if verdict.kind == "pick" else named[0] if named is not None else None
    return {k: int(k != best) for k in shown} if best in shown else None


def scores(row: Judged) -> list[float] | None:
    """[K] one number per candidate that orders them: the reward, the mean margin over the others (skew half of the
    directed margins), the mean rating, or the comparisons won less lost in picks and rankings. None where the row gives
    no order.
    """
    kind = answered_by(row)
    judgment = row.judgment
    if kind == "reward" and judgment.rewards is not None:
        return list(judgment.rewards)
    if kind == "margin" and judgment.directed is not None:
        margins, others = judgment.directed, max(row.size - 1, 1)
        # The diagonal cancels in the skew half, so it needs no care.
        return [sum(skew_half(margins, i, j) for j in range(row.size)) / others for i in range(row.size)]
    rated = ratings(judgment.verdicts, row.size)
    return rated if rated is not None else _net_won(judgment.verdicts, row.size)


def in_dimension(row: Judged, dimension: str) -> Judged:
    """The row with the model's own figures for the dimension as its rewards, where the model gives such figures."""
    part = row.judgment.parts.get(dimension) if dimension else None
    if part is None:
        return row
    return replace(row, judgment=replace(row.judgment, rewards=tuple(line[0] for line in part), directed=None))


def item_scores(row: Judged, dimension: str = "") -> list[float] | None:
    """[K] scores that can be compared between rows: the model's own figures for the dimension, its rewards, or a
    judge's mean ratings (-inf where unreadable). None where the row failed, or is answered by comparison alone.
    """
    if is_failed(row):
        return None
    row = in_dimension(row, dimension)
    if row.judgment.rewards is not None:
        return list(row.judgment.rewards)
    return ratings(row.judgment.verdicts, row.size) if answered_by(row) == "verdict" else None


def margin(row: Judged, i: int, j: int) -> float | None:
    """How much candidate `i` is above `j`, in the model's own units: the skew half of directed margins, also where the
    model has rewards as well (they are then no log-odds), a difference of scores, or the picks won less lost. None
    where the row failed or no readable answer compares the two.
    """
    judgment = row.judgment
    if answered_by(row) in ("reward", "margin") and judgment.directed is not None:
        return skew_half(judgment.directed, i, j)
    score = item_scores(row)
    if score is not None:
        return score[i] - score[j] if math.isfinite(score[i]) and math.isfinite(score[j]) else None
    readable = [one for one in outcomes(row, i, j) if one.outcome in ("win", "loss", "tie")]
    return float(net_wins(readable)) if readable else None


def mean_or_zero(values: Sequence[float]) -> float:
    """The mean; 0 of no values."""
    return sum(values) / len(values) if values else 0.0


def net_wins(answers: Sequence[QuestionOutcome]) -> int:
    """Questions won less questions lost."""
    return sum((one.outcome == "win") - (one.outcome == "loss") for one in answers)


def chose(row: Judged) -> bool:
    """Whether a judge answered by choosing among candidates, not by one number for each."""
    return answered_by(row) == "verdict" and ratings(row.judgment.verdicts, row.size) is None


def _of_margin(margin: float) -> Outcome:
    return "win" if margin > 0 else "loss" if margin < 0 else "tie"


def _of_scores(score: Sequence[float], winner: int, loser: int) -> Outcome:
    # Compared, not subtracted: two infinities are equal, their difference is no number.
    return "win" if score[winner] > score[loser] else "loss" if score[winner] < score[loser] else "tie"


def _of_verdict(verdict: Verdict, winner: int, loser: int) -> Outcome | None:
    """None where the verdict does not compare these two, as a pick of a third candidate does not."""
    if verdict.status != "ok":
        return verdict.status
    if verdict.kind == "ranking" and isinstance(verdict.value, tuple):
        if winner not in verdict.value or loser not in verdict.value:
            return "unparsed"
        return "win" if verdict.value.index(winner) < verdict.value.index(loser) else "loss"
    if verdict.kind == "label":
        return _of_label(verdict, winner)
    if verdict.kind != "pick":
        return None
    if verdict.value == TIE:
        return "tie"
    if verdict.value not in verdict.shown:
        return "unparsed"
    return "win" if verdict.value == winner else "loss" if verdict.value == loser else None


def label_names(verdict: Verdict) -> tuple[int | None, str] | None:
    """A label of two candidates as (the better one or None for a tie, the kind of tie).

    "A>B" and "A>>B" name the one shown first, "B>A" and "B>>A" the other, "A=B" is a tie, and a tie's kind may follow:
    "A=B=Good" is ("good"). None for any other label.
    """
    if verdict.kind != "label" or len(verdict.shown) != 2 or not isinstance(verdict.value, str):
        return None
    first, second = verdict.shown
    if verdict.value in ("A>B", "A>>B"):
        return first, ""
    if verdict.value in ("B>A", "B>>A"):
        return second, ""
    start, _, kind = verdict.value.partition("A=B")
    if start or not (kind == "" or kind.startswith("=")) or "A=B" not in verdict.value:
        return None
    return None, kind.removeprefix("=").lower()


def _of_label(verdict: Verdict, winner: int) -> Outcome | None:
    """None where the label is a class and compares no candidates."""
    named = label_names(verdict)
    if named is None:
        return "unparsed" if len(verdict.shown) == 2 else None
    if named[0] is None:
        return "tie"
    return "win" if named[0] == winner else "loss"


def _order(winner: int, loser: int, shown: Sequence[int]) -> Order:
    low_first = shown.index(min(winner, loser)) < shown.index(max(winner, loser))
    return "first" if low_first else "second"


def _both(outcome: Outcome) -> list[QuestionOutcome]:
    """A score is the same whichever candidate is shown first."""
    return [QuestionOutcome(outcome, "first"), QuestionOutcome(outcome, "second")]


def outcomes(row: Judged, winner: int, loser: int, *, by_order: bool = False) -> list[QuestionOutcome]:
    """The outcomes of candidate `winner` against `loser`, one entry per question asked.

    A reward or a rating counts as the same answer in both orders. Directed margins are read by their skew half, or,
    with `by_order`, once per order. Empty: the answer does not compare the two.
    """
    judgment = row.judgment
    kind = answered_by(row)
    if kind == "reward" and judgment.rewards is not None:
        return _both(_of_scores(judgment.rewards, winner, loser))
    if kind == "margin" and judgment.directed is not None:
        shown_first, shown_second = judgment.directed[winner][loser], -judgment.directed[loser][winner]
        if not by_order:
            return _both(_of_margin(shown_first + shown_second))
        first, second = (shown_first, shown_second) if winner < loser else (shown_second, shown_first)
        return [QuestionOutcome(_of_margin(first), "first"), QuestionOutcome(_of_margin(second), "second")]
    rated = ratings(judgment.verdicts, row.size)
    if rated is not None:
        missing = math.isinf(rated[winner]) or math.isinf(rated[loser])
        return _both("unparsed" if missing else _of_scores(rated, winner, loser))
    answers = []
    for verdict in judgment.verdicts:
        if winner in verdict.shown and loser in verdict.shown:
            outcome = _of_verdict(verdict, winner, loser)
            if outcome is not None:
                answers.append(QuestionOutcome(outcome, _order(winner, loser, verdict.shown), verdict.vote))
    return answers


def judgements_made(row: Judged, pairs: Iterable[tuple[int, int]]) -> list[Outcome]:
    """The outcomes of the questions about these pairs, (better, worse), that the model answered."""
    found = (one.outcome for winner, loser in pairs for one in outcomes(row, winner, loser))
    return [outcome for outcome in found if outcome not in ("unparsed", "failed")]
