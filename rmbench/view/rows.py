"""What models said of a row: right, wrong or tied, by how much, and what people say of each candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rmbench.metric_spec import MetricSpec, better_of, is_linear
from rmbench.metrics.credit.row import credit
from rmbench.metrics.rows.answers import answered_by, in_dimension, is_failed, item_scores, margin, outcomes, scores
from rmbench.metrics.rows.gold import compared
from rmbench.types import Example, Judged, Judgment

__all__ = ["OUTCOMES", "WON_LESS_LOST", "Answer", "Outcome", "Row", "answer_of", "gold_words"]

Outcome = Literal["right", "partly right", "wrong", "tie", "unparsed", "failed", "neither"]
"""Full credit, some, none; a tie of the model's that has no full credit; no verdict could be read; the row failed;
neither right nor wrong, where the benchmark's figure is of all rows together and people compared nothing here."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
WON_LESS_LOST = "won less lost"
_FULL = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model said of a row."""

    judgment: Judgment
    """As it is in the record, with every vote."""
    outcome: Outcome
    credit: float | None
    """By the benchmark's rule; None where the figure is no mean of rows."""
    margin: float | None
    """The lowest over the row's comparisons, of what people prefer over what they do not; None where the model gives
    none, or people compared nothing."""
    scores: tuple[float | None, ...] | None
    """[K], a number that orders the candidates; None where the model gives no order."""
    unit: str
    """What the scores are."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the record, with the texts where they are at hand."""

    judged: Judged
    answers: tuple[Answer, ...]
    """Of the record's model; and of the other one, where two are shown."""
    gold: tuple[str, ...]
    """[K], what people say of each candidate, in words."""
    example: Example | None = None
    """None: its texts are not at hand."""

    @property
    def id(self) -> str:
        """As in the record."""
        return self.judged.id

    @property
    def labels(self) -> frozenset[str]:
        """`name=value` of its groups and of the tags of its comparisons."""
        tags = (tag for edge in self.judged.gold.relation for tag in edge.tags)
        return frozenset([*(f"{name}={value}" for name, value in self.judged.groups.items()), *tags])


def answer_of(row: Judged, voted: Judged, worth: float | None, spec: MetricSpec) -> Answer:
    """A model's answer to a row.

    Args:
        row: as recorded.
        voted: with the votes of a question joined to one verdict.
        worth: the recorded credit.
        spec: the task's first metric.
    """
    own = spec.parts[0] if spec.parts else spec
    counted = in_dimension(voted, own.dimension)
    decided = _decided(counted, own)
    ordered = scores(counted)
    return Answer(
        judgment=row.judgment,
        outcome=_outcome(counted, decided, _right_share(counted, worth, spec, own)),
        credit=worth,
        margin=_lowest_margin(counted, decided, own),
        scores=None if ordered is None else tuple(value if math.isfinite(value) else None for value in ordered),
        unit=_unit(counted),
    )


def _decided(row: Judged, spec: MetricSpec) -> list[tuple[int, int]]:
    """(candidate people prefer, the other) of the comparisons that count."""
    return [(one.i, one.j) for one in compared(row, spec) if not one.tie]


def _right_share(row: Judged, worth: float | None, spec: MetricSpec, own: MetricSpec) -> float | None:
    """How right the row is, in [0, 1]: its credit, turned round where lower is better; by its comparisons where the
    benchmark's figure is no mean of rows, or does not rate the model."""
    better = better_of(spec)
    if is_linear(spec) and better != "neither":
        return None if worth is None else 1 - worth if better == "lower" else worth
    return credit(row, MetricSpec("pair", "pair", dimension=own.dimension, annotator=own.annotator)).value


def _outcome(row: Judged, decided: Sequence[tuple[int, int]], share: float | None) -> Outcome:
    if is_failed(row):
        return "failed"
    if row.judgment.status == "unparsed":
        return "unparsed"
    if share is None:
        return "neither"
    if share >= _FULL:
        return "right"
    said = {one.outcome for i, j in decided for one in outcomes(row, i, j)}
    if said == {"tie"} or said == {"unparsed"}:
        return "tie" if said == {"tie"} else "unparsed"
    return "wrong" if share <= 1 - _FULL else "partly right"


def _lowest_margin(row: Judged, decided: Sequence[tuple[int, int]], spec: MetricSpec) -> float | None:
    if row.judgment.directed is None and (score := item_scores(row)) is not None:
        known = [score[i] - score[j] for i, j in decided] or _rating_margins(row, score, spec)
        return min((value for value in known if math.isfinite(value)), default=None)
    return min((value for i, j in decided if (value := margin(row, i, j)) is not None), default=None)


def _rating_margins(row: Judged, score: Sequence[float], spec: MetricSpec) -> list[float]:
    """Of each candidate, its score less the highest score that a candidate with a lower rating has."""
    names = list(row.gold.dimensions)
    column = names.index(spec.dimension) if spec.dimension in names else 0
    if not row.gold.ratings or (len(names) > 1 and spec.dimension not in names):
        return []
    order = sorted((line[column], value) for line, value in zip(row.gold.ratings, score, strict=True))
    margins = []
    below, level, highest = -math.inf, -math.inf, -math.inf
    for rating, value in order:
        if rating > level:
            below, level = highest, rating
        if math.isfinite(below):
            margins.append(value - below)
        highest = max(highest, value)
    return margins


def _unit(row: Judged) -> str:
    kind = answered_by(row)
    if kind == "verdict":
        rated = any(verdict.kind == "rating" for verdict in row.judgment.verdicts)
        return "rating" if rated else WON_LESS_LOST
    return {"reward": "reward", "margin": "mean margin", "none": ""}[kind]


def gold_words(row: Judged, spec: MetricSpec) -> tuple[str, ...]:
    """[K] what people say of each candidate.

    >>> from rmbench.types import Edge, Gold
    >>> row = Judged("r", 3, Gold((Edge(0, 1), Edge(2, 1), Edge(0, 2, 0.0))), Judgment("r"))
    >>> gold_words(row, MetricSpec("accuracy", "pair"))
    ('preferred', 'not preferred', 'preferred')
    """
    counts = [[0, 0, 0] for _ in range(row.size)]
    for one in compared(row, spec.parts[0] if spec.parts else spec):
        counts[one.i][2 if one.tie else 0] += 1
        counts[one.j][2 if one.tie else 1] += 1
    return tuple("; ".join(filter(None, [_place(*counts[k]), _rated(row, k)])) for k in range(row.size))


def _place(won: int, lost: int, tied: int) -> str:
    if won and lost:
        return f"preferred in {won} of {won + lost + tied} comparisons"
    return "preferred" if won else "not preferred" if lost else "tie" if tied else ""


def _rated(row: Judged, k: int) -> str:
    if not row.gold.ratings:
        return ""
    named: Mapping[str, float] = dict(zip(row.gold.dimensions, row.gold.ratings[k], strict=True))
    return ", ".join(f"{name} {value:.3g}" for name, value in named.items() if not math.isnan(value))
