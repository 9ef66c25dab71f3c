"""Which rows a metric counts, and the groups it reports them by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec, rule_of
from rmbench.metrics.noise import by_propensity
from rmbench.metrics.rows.answers import judgements_made
from rmbench.metrics.rows.gold import compared
from rmbench.metrics.uncertainty.aggregate import Ints
from rmbench.types import Judged

__all__ = ["Group", "GroupCodes", "groups_of", "selected_rows"]

Group = tuple[str, Ints, tuple[str, ...]]
"""(label "a=x,b=y", row numbers, tags that comparisons must carry)."""


def selected_rows(rows: Sequence[Judged], spec: MetricSpec) -> list[Judged]:
    """The rows that count by `spec.where`, with the weights that the rule gives them."""
    counting = [row for row in rows if all(row.groups.get(name) in among for name, among in spec.where.items())]
    if rule_of(spec).equal_rows:
        return [row if row.weight == 1 else replace(row, weight=1.0) for row in counting]
    if spec.rule == "pooled_pair":
        return [replace(row, weight=float(sum(not one.tie for one in compared(row, spec)))) for row in counting]
    if spec.rule == "pooled_judgements":
        pairs = ([(one.i, one.j) for one in compared(row, spec) if not one.tie] for row in counting)
        made = [len(judgements_made(row, of_row)) for row, of_row in zip(counting, pairs, strict=True)]
        return [replace(row, weight=float(count)) for row, count in zip(counting, made, strict=True)]
    return by_propensity(counting, spec) if spec.rule == "inverse_propensity" else counting


class GroupCodes:
    """The values that rows have in some groups, as numbers, and the tags of their comparisons."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names` of the groups that are asked for."""
        self._values: dict[str, dict[str, int]] = {name: {} for name in names}
        self._codes: dict[str, list[Ints]] = {name: [] for name in names}
        self._marks: set[str] = set()
        self._known: set[str] = set()
        self._count = 0

    def add(self, rows: Sequence[Judged]) -> None:
        """Further rows."""
        self._count += len(rows)
        for name, values in self._values.items():
            found = [-1 if (value := row.groups.get(name)) is None else _number(values, value) for row in rows]
            self._codes[name].append(np.array(found, dtype=np.int32))
        if self._values:
            self._known.update(*(row.groups for row in rows))
            self._marks.update(tag for row in rows for edge in row.gold.relation for tag in edge.tags)

    def crossed(self, names: Sequence[str], metric: str) -> list[Group]:
        """The values of crossed groups, sorted.

        A name that no row carries as a group is taken as a tag of the comparisons. RmbenchError where it is neither.
        """
        found: list[tuple[tuple[str, ...], Ints, tuple[str, ...]]] = [((), np.arange(self._count), ())]
        for name in names:
            if self._values[name]:
                codes = np.concatenate(self._codes[name])
                found = [
                    ((*labels, f"{name}={value}"), members, tags)
                    for labels, numbers, tags in found
                    for value, code in sorted(self._values[name].items())
                    if len(members := numbers[codes[numbers] == code])
                ]
                continue
            marks = sorted(tag for tag in self._marks if tag.startswith(f"{name}="))
            if not marks:
                hint = did_you_mean(name, self._known)
                raise RmbenchError(
                    f'metric "{metric}" reports "{name}", which is no group of the rows, nor a tag.{hint}'
                )
            found = [((*labels, mark), numbers, (*tags, mark)) for labels, numbers, tags in found for mark in marks]
        return [(",".join(labels), numbers, tags) for labels, numbers, tags in sorted(found, key=lambda one: one[0])]


def _number(values: dict[str, int], value: str) -> int:
    return values.setdefault(value, len(values))


def groups_of(rows: Sequence[Judged], names: Sequence[str], metric: str) -> list[Group]:
    """The values of crossed groups of these rows, as `GroupCodes.crossed`."""
    codes = GroupCodes(names)
    codes.add(rows)
    return codes.crossed(names, metric)
