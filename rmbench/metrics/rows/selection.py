"""Which rows a metric counts, and the groups it reports them by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec, rule_of
from rmbench.metrics.noise import by_propensity
from rmbench.metrics.rows.answers import judgements_made
from rmbench.metrics.rows.gold import compared
from rmbench.types import Judged

__all__ = ["Group", "groups_of", "selected_rows"]

Group = tuple[str, list[int], tuple[str, ...]]
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


def _tags(rows: Sequence[Judged], name: str) -> list[str]:
    return sorted(
        {tag for row in rows for edge in row.gold.relation for tag in edge.tags if tag.startswith(f"{name}=")}
    )


def groups_of(rows: Sequence[Judged], names: Sequence[str], metric: str) -> list[Group]:
    """The values of crossed groups, sorted.

    A name that no row carries as a group is taken as a tag of the comparisons.
    """
    found: list[tuple[tuple[str, ...], list[int], tuple[str, ...]]] = [((), list(range(len(rows))), ())]
    for name in names:
        if any(name in row.groups for row in rows):
            found = [
                ((*labels, f"{name}={value}"), members, tags)
                for labels, numbers, tags in found
                for value, members in sorted(_split(rows, numbers, name).items())
            ]
            continue
        marks = _tags(rows, name)
        if not marks:
            known = {key for row in rows for key in row.groups}
            hint = did_you_mean(name, known)
            raise RmbenchError(f'metric "{metric}" reports "{name}", which is no group of the rows, nor a tag.{hint}')
        found = [((*labels, mark), numbers, (*tags, mark)) for labels, numbers, tags in found for mark in marks]
    return [(",".join(labels), numbers, tags) for labels, numbers, tags in sorted(found, key=lambda group: group[0])]


def _split(rows: Sequence[Judged], numbers: Sequence[int], name: str) -> dict[str, list[int]]:
    by_value: dict[str, list[int]] = {}
    for number in numbers:
        value = rows[number].groups.get(name)
        if value is not None:
            by_value.setdefault(value, []).append(number)
    return by_value
