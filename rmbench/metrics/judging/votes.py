"""Several votes of a judge on one question into one verdict, and what more votes are worth.

A vote is one drawing of the judge's text; a question is a set of candidates in the order shown, so the two orders of a
pair stay two verdicts. The votes of a question become one by a rule:

- "majority": the candidate (or the tie) with the most votes; equally many make a tie.
- "mean": of a pair, the candidate with more votes than the other, ties counting for neither; as "majority" of more.
- "each": nothing is joined, and every vote is a verdict of its own.

Ratings are averaged and rankings ordered by mean place under both rules. Votes that failed are left out. Votes that
could not be read "abstain", or, with "count", make the verdict unreadable where they are at least half of those that
answered.

The curve: what the metric would be had the judge been asked k = 1, 3, 5 ... times, from one set of V votes. Each row's
credit is the mean over the floor(V / k) disjoint blocks of k votes, in the order drawn; since votes are drawn alike,
that is an unbiased estimate, and at k = V the joined verdict itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.rows.collection import Rows, batches
from rmbench.metrics.rows.selection import selected_rows
from rmbench.metrics.uncertainty.aggregate import cluster_codes, nest
from rmbench.metrics.uncertainty.interval import linear_interval
from rmbench.types import TIE, Judged, Setting, Value, Verdict

__all__ = ["TASK_VOTING", "VotedRows", "has_votes", "joined_votes", "vote_curve", "voted"]

TASK_VOTING = "task"
"""The value of "voting" of a model that leaves the rule to the task; records hold the task's."""

Settings = Mapping[str, Setting]
"""A model's settings; "voting" and "voting_unparsed" of them name the rules."""


def has_votes(row: Judged) -> bool:
    """Whether a question of the row has several verdicts."""
    questions = [(verdict.kind, verdict.shown) for verdict in row.judgment.verdicts]
    return len(set(questions)) < len(questions)


def voted(rows: Sequence[Judged], settings: Settings) -> list[Judged]:
    """The rows with one verdict per question; as they are where the model was asked once, or every vote stands by
    itself."""
    rule = settings.get("voting")
    if rule not in ("majority", "mean"):
        return list(rows)
    counts = settings.get("voting_unparsed") == "count"
    return [_joined(row, None, str(rule), counts) for row in rows]


@dataclass(frozen=True, slots=True)
class VotedRows:
    """`rows` with one verdict per question, as `voted` makes them, each time they are iterated."""

    rows: Rows
    settings: Settings

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Judged]:
        for batch in batches(self.rows):
            yield from voted(batch, self.settings)


def vote_curve(rows: Iterable[Judged], spec: MetricSpec, end: Value, settings: Settings) -> list[Value]:
    """The groups "votes=1", "votes=3" ... of a linear metric, to report with its overall value `end`; nothing
    where the votes are not joined.

    Args:
        rows: with every vote.
        spec: of a linear rule.
        end: what metric, coverage and chance are taken from.
        settings: the model's.
    """
    rule, counts = settings.get("voting"), settings.get("voting_unparsed") == "count"
    if rule not in ("majority", "mean"):
        return []
    rows = [*rows]
    votes = 1 + max((verdict.vote for row in rows for verdict in row.judgment.verdicts), default=0)
    if votes < 2:
        return []
    chosen = selected_rows(rows, spec)
    values = []
    for k in sorted({*range(1, votes + 1, 2), votes}):
        blocks = [range(start, start + k) for start in range(0, votes - k + 1, k)]
        earned = [[credit(_joined(row, block, str(rule), counts), spec).value for block in blocks] for row in chosen]
        found = [(row, [one for one in each if one is not None]) for row, each in zip(chosen, earned, strict=True)]
        counted = [row for row, each in found if each]
        if not counted:
            return []
        worth = np.array([sum(each) / len(each) for _, each in found if each])
        nested = nest(counted, spec.levels)
        interval = linear_interval(worth, nested, cluster_codes(counted))
        point = replace(end, group=f"votes={k}", value=nested.mean_of_rows(worth), n=len(counted))
        values.append(replace(point, low=interval.low, high=interval.high, interval=interval.method))
    return values


def _joined(row: Judged, votes: Container[int] | None, rule: str, counts: bool) -> Judged:
    verdicts = joined_votes(row.judgment.verdicts, votes, rule=rule, counts=counts)
    return replace(row, judgment=replace(row.judgment, verdicts=verdicts))


def joined_votes(
    verdicts: Sequence[Verdict], votes: Container[int] | None = None, *, rule: str = "majority", counts: bool = False
) -> tuple[Verdict, ...]:
    """One verdict per question, in the order of their first votes; `votes` are those that take part, None all of them.
    `counts`: votes that could not be read count, rather than abstain."""
    asked: dict[tuple[str, tuple[int, ...]], list[Verdict]] = {}
    for verdict in verdicts:
        if votes is None or verdict.vote in votes:
            asked.setdefault((verdict.kind, verdict.shown), []).append(verdict)
    return tuple(_one(cast, rule, counts) for cast in asked.values())


def _one(cast: Sequence[Verdict], rule: str, counts: bool) -> Verdict:
    read = [verdict for verdict in cast if verdict.status == "ok"]
    unread = sum(verdict.status == "unparsed" for verdict in cast)
    blank = replace(cast[0], value=None, vote=0, logprob=None, mass=None)
    if not read:
        return replace(blank, status="unparsed" if unread else "failed")
    if counts and 2 * unread >= len(read) + unread:
        return replace(blank, status="unparsed")
    return replace(blank, value=_value(read, rule), status="ok")


def _value(read: Sequence[Verdict], rule: str) -> int | float | str | tuple[int, ...] | None:
    kind, shown = read[0].kind, read[0].shown
    if kind == "rating":
        numbers = [float(verdict.value) for verdict in read if isinstance(verdict.value, int | float)]
        return sum(numbers) / len(numbers)
    if kind == "ranking":
        orders = [verdict.value for verdict in read if isinstance(verdict.value, tuple)]
        return tuple(sorted(shown, key=lambda k: (sum(order.index(k) for order in orders), shown.index(k))))
    counts = Counter(verdict.value for verdict in read)
    if kind == "pick" and rule == "mean" and len(shown) == 2:
        counts.pop(TIE, None)
    most = max(counts.values(), default=0)
    first = [value for value, count in counts.items() if count == most]
    if kind == "pick":
        return first[0] if len(first) == 1 else TIE
    return first[0]  # a label: the first one given
