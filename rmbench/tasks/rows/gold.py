"""The gold of a row: human comparisons as edges, ratings and labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rmbench.tasks.declaration.schema import Declaration, GoldRule, LabelRule, RatingRule
from rmbench.tasks.rows.fields import ExcludedError, RawRow, as_figure, figure, kind_of, lookup, pairs_of
from rmbench.types import Edge, Gold

__all__ = ["GOLD_FORMS", "gold_of"]

GOLD_FORMS = ("winners", "flags", "index", "ranks", "grades", "positive", "pairs", "edges")
"""Forms in which a row can hold the winner; a rule has exactly one."""
_STYLES = 3
"""Answers of one content in three styles: concise, detailed plain text, detailed Markdown."""

Reader = Callable[[Any, str], list[Edge]]
"""(value, name) of a column -> comparisons without dimension and annotator."""


def gold_of(declaration: Declaration, row: RawRow, size: int, better: int | None, groups: Mapping[str, str]) -> Gold:
    """The gold of a row.

    Args:
        declaration: already checked.
        row: the row, brought into columns.
        size: K, the number of candidates.
        better: how many of the first ones are chosen; None where the row does not list chosen and rejected.
        groups: the row's groups, for labels whose dimension is a group's value.

    Raises:
        RmbenchError: a column is missing or of the wrong type.
        ExcludedError: the annotators have no majority, and the benchmark excludes such rows.
    """
    columns = declaration.columns
    if better is not None:
        return Gold(_sides(declaration.shape, row, better, size))
    ratings = {name: _ratings(rule, row, size) for name, rule in columns.ratings.items()}
    labels = {
        groups[name[1:]] if name.startswith("@") else name: _class(rule, row) for name, rule in columns.labels.items()
    }
    relation: tuple[Edge, ...] = ()
    if columns.gold is not None:
        relation = tuple(_relation(columns.gold, row, size, next(iter(ratings.values()), [])))
    return Gold(relation, tuple(zip(*ratings.values(), strict=True)), tuple(ratings), labels)


def _sides(shape: str, row: RawRow, better: int, size: int) -> tuple[Edge, ...]:
    worse = size - better
    if shape == "styles":
        if (better, worse) != (_STYLES, _STYLES):
            raise row.error(f"expected {_STYLES} chosen and {_STYLES} rejected answers, found {better} and {worse}.")
        return tuple(_style(i, j) for i in range(_STYLES) for j in range(_STYLES))
    if not better or not worse or (shape == "pair" and size > 2):
        raise row.error(f"{better} chosen and {worse} rejected answers make no {shape}.")
    return tuple(Edge(i, j) for i in range(better) for j in range(better, size))


def _style(i: int, j: int) -> Edge:
    """RM-Bench: hard where the chosen answer is the plainer one, easy where the rejected one is."""
    level = "hard" if i < j else "easy" if i > j else "normal"
    return Edge(i, _STYLES + j, tags=(f"level={level}", f"cell={i},{j}"))


def _relation(rule: GoldRule, row: RawRow, size: int, rated: Sequence[float]) -> list[Edge]:
    """All comparisons: without dimension and annotator first, then by dimension, each annotator after the majority."""
    read = _reader(rule, row, size, rated)
    if rule.columns:
        return read([lookup(row, name) for name in rule.columns], ", ".join(rule.columns))
    templated = any("{}" in path for path in rule.annotators.values())
    plain = {"": rule.column or ""} if rule.column is not None or not rule.dimensions else {}
    edges: list[Edge] = []
    for dimension, column in {**plain, **rule.dimensions}.items():
        if column and not templated:
            edges += _marked(read(lookup(row, column), column), dimension, "")
        if rule.annotators and (templated or not dimension):
            edges += _votes(rule, row, read, dimension, column)
    return edges


def _votes(rule: GoldRule, row: RawRow, read: Reader, dimension: str, column: str) -> list[Edge]:
    votes: list[Edge] = []
    for name, path in rule.annotators.items():
        path = path.replace("{}", column)
        value = lookup(row, path)
        several = "[]" in path
        for index, vote in enumerate(value if several else [value], 1):
            votes += _marked(read(vote, path), dimension, f"{name}{index}" if several else name)
    if not rule.majority:
        return votes
    counts = Counter((edge.strength > 0) - (edge.strength < 0) for edge in map(_from_first, votes))
    majority = [sign for sign, count in counts.items() if 2 * count > len(votes)]
    if not majority:
        if dimension:
            return votes  # only this dimension is undecided; the row counts by its first comparison
        raise ExcludedError(f"no majority among {len(votes)} annotators")
    return [Edge(1, 0, 1.0, dimension) if majority[0] < 0 else Edge(0, 1, float(majority[0]), dimension), *votes]


def _from_first(edge: Edge) -> Edge:
    """The same comparison with candidate 0 first."""
    return edge if edge.i == 0 else Edge(edge.j, edge.i, -edge.strength)


def _marked(edges: list[Edge], dimension: str, annotator: str) -> list[Edge]:
    return [Edge(each.i, each.j, each.strength, dimension, annotator, each.tags) for each in edges]


def _reader(rule: GoldRule, row: RawRow, size: int, rated: Sequence[float]) -> Reader:
    if rule.winners:
        return lambda value, name: _by_label(rule, row, size, value, name)
    if rule.flags:
        return lambda value, name: _by_flags(rule, row, size, value, name)
    if rule.ranks:
        return lambda value, name: _by_ranks(rule, row, size, value, name)
    if rule.index:
        return lambda value, name: _by_index(row, size, value, name)
    if rule.edges:
        return lambda value, name: _by_edges(row, size, value, name)
    if rule.pairs:
        sign = 1.0 if rule.pairs == "high" else -1.0
        return lambda value, name: _by_pairs(row, [sign * each for each in rated], value, name)
    return lambda value, name: _by_strength(rule, row, size, value, name)


def _by_label(rule: GoldRule, row: RawRow, size: int, value: Any, name: str) -> list[Edge]:
    """Edges from the candidate that the label names to all others; ties between all where the label is one of a tie."""
    if size != len(rule.winners):
        raise row.error(f"{size} candidates, but the task declares labels for {len(rule.winners)}.")
    for i, labels in enumerate(rule.winners):
        if _is_among(value, labels):
            return [Edge(i, j) for j in range(size) if j != i]
    if _is_among(value, rule.tie):
        return [Edge(i, j, 0.0) for i in range(size) for j in range(i + 1, size)]
    for kind, labels in rule.tie_kinds.items():
        if _is_among(value, labels):
            return [Edge(i, j, 0.0, tags=(f"tie={kind}",)) for i in range(size) for j in range(i + 1, size)]
    if _is_among(value, rule.skip):
        return []
    all_labels = (*rule.winners, rule.tie, *rule.tie_kinds.values(), rule.skip)
    known = ", ".join(repr(each) for labels in all_labels for each in labels)
    raise row.error(f'column "{name}": {value!r} is no label (expected one of {known}).')


def _is_among(value: object, labels: list[Any]) -> bool:
    """Membership by type and value: 1, True and "1" differ."""
    return any(type(value) is type(each) and value == each for each in labels)


def _by_flags(rule: GoldRule, row: RawRow, size: int, value: Any, name: str) -> list[Edge]:
    """Every right candidate above every wrong one."""
    yes, no = rule.right or [True, 1], rule.wrong or [False, 0]
    flags = _listed(row, size, value, name)
    for flag in flags:
        if not _is_among(flag, yes) and not _is_among(flag, no):
            known = ", ".join(map(repr, (*yes, *no)))
            raise row.error(f'column "{name}": expected one of {known} for each candidate, found {flag!r}.')
    right = [k for k in range(size) if _is_among(flags[k], yes)]
    wrong = [k for k in range(size) if k not in right]
    if not right or not wrong:
        raise row.error(f'column "{name}": {len(right)} right and {len(wrong)} wrong candidates make no comparison.')
    return [Edge(i, j) for i in right for j in wrong]


def _by_ranks(rule: GoldRule, row: RawRow, size: int, value: Any, name: str) -> list[Edge]:
    sign = 1.0 if rule.ranks == "high" else -1.0
    figures = [sign * as_figure(row, name, each) for each in _listed(row, size, value, name)]
    return [_compared(figures, i, j) for i in range(size) for j in range(i + 1, size)]


def _compared(figures: Sequence[float], i: int, j: int) -> Edge:
    """A comparison with the better candidate first and strength 1; a tie has strength 0."""
    if figures[i] == figures[j]:
        return Edge(i, j, 0.0)
    return Edge(i, j) if figures[i] > figures[j] else Edge(j, i)


def _by_index(row: RawRow, size: int, value: Any, name: str) -> list[Edge]:
    if type(value) is not int or not 0 <= value < size:
        raise row.error(f'column "{name}": expected a whole number from 0 to {size - 1}, found {kind_of(value)}.')
    return [Edge(value, j) for j in range(size) if j != value]


def _by_pairs(row: RawRow, rated: Sequence[float], value: Any, name: str) -> list[Edge]:
    edges = [_compared(rated, i, j) for i, j in pairs_of(row, name, value, len(rated))]
    return [edge for edge in edges if edge.strength]


def _by_edges(row: RawRow, size: int, value: Any, name: str) -> list[Edge]:
    """Comparisons as they are listed; they may be intransitive."""
    expected = f"expected a list of [i, j, strength] with places below {size}"
    if not isinstance(value, list | tuple):
        raise row.error(f'column "{name}": {expected}, found {kind_of(value)}.')
    edges = []
    for each in value:
        listed = isinstance(each, list | tuple) and len(each) == 3
        if not listed or any(type(place) is not int or not 0 <= place < size for place in each[:2]):
            raise row.error(f'column "{name}": {expected}, found {each!r}.')
        i, j, strength = each[0], each[1], as_figure(row, name, each[2])
        edges.append(Edge(j, i, -strength) if strength < 0 else Edge(i, j, strength))
    return edges


def _by_strength(rule: GoldRule, row: RawRow, size: int, value: Any, name: str) -> list[Edge]:
    """One edge of candidates 0 and 1, the better one first, with the strength that people gave."""
    if size != 2:
        raise row.error(f"{size} candidates, but grades compare two.")
    if rule.grades:
        if _is_among(value, rule.skip):
            return []
        if not isinstance(value, str) or value not in rule.grades:
            known = ", ".join(map(repr, rule.grades))
            raise row.error(f'column "{name}": {value!r} is no grade (expected one of {known}).')
        strength = rule.grades[value]
    else:
        strength = as_figure(row, name, value) * (1.0 if rule.positive == "first" else -1.0)
    return [Edge(1, 0, -strength) if strength < 0 else Edge(0, 1, abs(strength))]


def _listed(row: RawRow, size: int, value: Any, name: str) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) != size:
        found = f"{len(value)} entries" if isinstance(value, list | tuple) else kind_of(value)
        raise row.error(f'column "{name}": expected a list with one entry per candidate ({size}), found {found}.')
    return list(value)


def _ratings(rule: RatingRule, row: RawRow, size: int) -> list[float]:
    """[K]."""
    if rule.mean:
        means = [_mean_of(row, name) for name in rule.mean]
        return [math.fsum(means) / len(means)]
    if rule.columns:
        return [figure(row, name) for name in _listed(row, size, rule.columns, "ratings")]
    assert rule.column is not None  # the declaration was checked
    value = lookup(row, rule.column)
    if not isinstance(value, list | tuple):
        value = [value]
    if len(value) != size:
        raise row.error(f'column "{rule.column}": {len(value)} ratings of {size} candidates.')
    return [as_figure(row, rule.column, each, flags=rule.flags) for each in value]


def _mean_of(row: RawRow, name: str) -> float:
    """A column's number, or the mean of its list of numbers."""
    value = lookup(row, name)
    each = [as_figure(row, name, one) for one in (value if isinstance(value, list) else [value])]
    if not each:
        raise row.error(f'column "{name}": an empty list has no mean.')
    return math.fsum(each) / len(each)


def _class(rule: LabelRule, row: RawRow) -> int:
    value = lookup(row, rule.column)
    for index, members in enumerate(rule.classes):
        if _is_among(value, members):
            return index
    if rule.classes:
        known = ", ".join(repr(each) for members in rule.classes for each in members)
        raise row.error(f'column "{rule.column}": {value!r} is no class (expected one of {known}).')
    if type(value) is not int or value < 0:
        raise row.error(f'column "{rule.column}": expected a class from 0 up, found {kind_of(value)}.')
    return value
