"""The level that guessing reaches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from rmbench.metric_spec import MetricSpec, rule_of
from rmbench.metrics.credit.row import credit
from rmbench.metrics.rows.answers import label_names
from rmbench.metrics.rows.gold import compared
from rmbench.metrics.uncertainty.aggregate import Ints, Nest, nest, row_weights
from rmbench.types import TIE, Edge, Judged, Judgment, Verdict

__all__ = ["ChanceLevels"]

_ENUMERATED = 4_096
"""Combinations of guesses up to which all are tried; above, draws stand for them."""
_DRAWS = 8_000

Question = tuple[str, tuple[int, ...], int]
"""(kind, shown, vote)."""
Alike = tuple[str, int, tuple[Edge, ...], tuple[tuple[float, ...], ...], tuple[Question, ...]]
"""What decides the level of a row: the metric, the number of candidates, the gold, and the questions."""
Answer = int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChanceLevels:
    """The chance levels of one model's values."""

    answer_kind: Literal["reward", "verdict"]
    _known: MutableMapping[Alike, float] = field(default_factory=dict)

    def of(self, spec: MetricSpec, rows: Sequence[Judged]) -> float | None:
        """The chance level of `spec` for `rows`, the rows of the value that it belongs to.

        A declared number holds for every group; "one_over_k" is the mean of 1/K by the weights of the metric's levels.
        One per kind of answer is looked up (None where the kind has none). Its level for verdicts is that of a choice
        between the two candidates of each comparison, in both orders where the rule needs them and else in one. Where a
        judge was asked something else (rankings, a choice among more, ratings, the other number of orders) the level is
        the mean credit of random answers to its own questions.
        """
        declared = spec.chance
        if declared is None:
            return None
        if declared == "one_over_k":
            if not rows:
                return None
            return self.of_sizes(nest(rows, spec.levels), np.array([row.size for row in rows]))
        if not isinstance(declared, Mapping):
            return float(declared)
        level = declared.get(self.answer_kind)
        asked = [row for row in rows if row.judgment.verdicts]
        if level is None or self.answer_kind == "reward" or not rule_of(spec).linear:
            return level
        if all(_is_usual(row, spec) for row in asked):
            return level
        return self._guessed(spec, asked)

    def reads_rows(self, spec: MetricSpec) -> bool:
        """Whether the level depends on what a judge was asked in the rows."""
        return self.answer_kind == "verdict" and isinstance(spec.chance, Mapping)

    def of_sizes(self, nested: Nest, sizes: Ints) -> float:
        """The level "one_over_k" of rows with so many candidates."""
        return float(nested.shares() @ (1 / sizes))

    def _guessed(self, spec: MetricSpec, rows: Sequence[Judged]) -> float:
        """The weighted mean over rows of the credit of random answers, each answer of a question equally likely."""
        alike = [_alike(row, spec) for row in rows]
        new = {key: row for key, row in zip(alike, rows, strict=True) if key not in self._known}
        answers = _Answers.of(rows)
        for key, row in new.items():
            self._known[key] = _expected(row, spec, answers, max(100, _DRAWS // len(new)))
        return float(row_weights(rows, spec) @ np.array([self._known[key] for key in alike]))


def _is_usual(row: Judged, spec: MetricSpec) -> bool:
    """Whether the row's questions are those that a declared level of verdicts is of."""
    asked = {(verdict.kind, verdict.shown) for verdict in row.judgment.verdicts}
    if any(kind not in ("pick", "label") or len(shown) != 2 for kind, shown in asked):
        return False
    in_both = sum((kind, shown[::-1]) in asked for kind, shown in asked)
    return in_both == (len(asked) if rule_of(spec).two_orders else 0)


def _alike(row: Judged, spec: MetricSpec) -> Alike:
    # The place of a candidate among more than two decides nothing; of two it names the order of the question.
    questions = [
        (one.kind, one.shown if len(one.shown) == 2 else tuple(sorted(one.shown)), one.vote)
        for one in row.judgment.verdicts
    ]
    return spec.name, row.size, row.gold.relation, row.gold.ratings, tuple(sorted(questions))


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the judge may answer, as far as its answers to all rows show."""

    tie: bool
    labels: tuple[str, ...]
    ratings: tuple[float, ...]

    @classmethod
    def of(cls, rows: Sequence[Judged]) -> _Answers:
        read = [verdict for row in rows for verdict in row.judgment.verdicts if verdict.status == "ok"]
        labels = {str(verdict.value) for verdict in read if label_names(verdict) is not None}
        ratings = sorted(
            float(one.value) for one in read if one.kind == "rating" and isinstance(one.value, int | float)
        )
        tie = any(verdict.kind == "pick" and verdict.value == TIE for verdict in read)
        return cls(tie, tuple(sorted(labels | {"A>B", "B>A"})), tuple(ratings))

    def to(self, verdict: Verdict) -> list[Answer] | None:
        """All answers to a question; None where they are too many to list, or not equally likely."""
        if verdict.kind == "pick":
            return [*verdict.shown, *([TIE] if self.tie and len(verdict.shown) == 2 else [])]
        if verdict.kind == "label":
            return list(self.labels)
        if verdict.kind == "ranking" and math.factorial(len(verdict.shown)) <= _ENUMERATED:
            return list(itertools.permutations(verdict.shown))
        return None

    def drawn(self, verdict: Verdict, rng: np.random.Generator) -> Answer:
        """A random answer; of ratings one that the judge gave to some candidate."""
        if verdict.kind == "ranking":
            return tuple(rng.permutation(verdict.shown).tolist())
        if verdict.kind == "rating":
            return self.ratings[rng.integers(len(self.ratings))] if self.ratings else float(rng.random())
        among = self.to(verdict) or [TIE]
        return among[rng.integers(len(among))]


def _of_rankings(row: Judged, spec: MetricSpec) -> float | None:
    """The level of "all" where the row was ranked whole, once or twice: two rankings win a pair only where both do, so
    each has to put the good candidates first. None for anything else.
    """
    questions = row.judgment.verdicts
    whole = all(one.kind == "ranking" and len(one.shown) == row.size for one in questions)
    pairs = {(one.i, one.j) for one in compared(row, spec) if not one.tie}
    good, bad = {i for i, _ in pairs}, {j for _, j in pairs}
    if spec.rule != "all" or not whole or len(questions) > 2 or pairs != set(itertools.product(good, bad)):
        return None
    return float((1 / math.comb(len(good) + len(bad), len(good))) ** len(questions))


def _expected(row: Judged, spec: MetricSpec, answers: _Answers, draws: int) -> float:
    exact = _of_rankings(row, spec)
    if exact is not None:
        return exact
    verdicts = [replace(verdict, value=None, status="ok") for verdict in row.judgment.verdicts]
    listed = [one for verdict in verdicts if (one := answers.to(verdict)) is not None]
    rng = np.random.default_rng(0)
    guesses: list[tuple[Answer, ...]]
    if len(listed) == len(verdicts) and math.prod(map(len, listed)) <= _ENUMERATED:
        guesses = list(itertools.product(*listed))
    else:
        guesses = [tuple(answers.drawn(verdict, rng) for verdict in verdicts) for _ in range(draws)]
    earned = [_credit(row, spec, verdicts, guess) for guess in guesses]
    return sum(earned) / len(earned)


def _credit(row: Judged, spec: MetricSpec, verdicts: Sequence[Verdict], guess: Sequence[Answer]) -> float:
    given = tuple(replace(verdict, value=value) for verdict, value in zip(verdicts, guess, strict=True))
    return credit(replace(row, judgment=Judgment(row.id, verdicts=given)), spec).value or 0.0
