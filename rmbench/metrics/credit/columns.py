"""The credits of many rows as columns: of a row some forty bytes, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.rows.answers import is_failed
from rmbench.metrics.rows.collection import batches
from rmbench.metrics.rows.gold import with_tags
from rmbench.metrics.rows.selection import GroupCodes, selected_rows
from rmbench.metrics.uncertainty.aggregate import Floats, Ints, Nest, nest
from rmbench.types import Judged

_FEW = 512
"""Names that are numbered sooner than Arrow is set up."""
Earned = tuple[float, int, bool, bool]
"""Credit (nan where there is none), comparisons, whether judged in one order, whether answered."""

__all__ = ["CreditColumns", "Leaves", "columns_of", "sorted_codes"]


class Leaves:
    """Collects the leaf of the metric's levels that each row belongs to."""

    def __init__(self, spec: MetricSpec) -> None:
        self._levels = spec.levels
        self._numbered: dict[tuple[str | None, ...], int] = {}
        self.first: list[Judged] = []
        """The first row of each leaf."""

    def of(self, row: Judged) -> int:
        """The leaf's number, in the order of appearance."""
        path = tuple(row.groups.get(level.group) for level in self._levels)
        number = self._numbered.setdefault(path, len(self.first))
        if number == len(self.first):
            self.first.append(row)
        return number

    def nest(self, leaf: Ints, weight: Floats) -> Nest:
        """The nest of rows whose leaves, at least one, and weights these are; raises as `nest`."""
        there, places = np.unique(leaf, return_inverse=True)
        few = nest([self.first[number] for number in there], self._levels)
        return replace(few, leaf_of=few.leaf_of[places.ravel()], weight=weight)


def sorted_codes(names: Sequence[pa.Array]) -> Ints:
    """[n] each name as a number from 0, in sorted order of the names, as `cluster_codes` counts."""
    if sum(map(len, names)) <= _FEW:
        listed = [name for part in names for name in part.to_pylist()]
        number = {name: place for place, name in enumerate(sorted(set(listed)))}
        return np.array([number[name] for name in listed], dtype=np.int64)
    coded = pa.chunked_array(names, pa.string()).combine_chunks().dictionary_encode()
    rank = np.empty(len(coded.dictionary), dtype=np.int64)
    rank[pc.sort_indices(coded.dictionary).to_numpy()] = np.arange(len(rank))
    codes: Ints = rank[coded.indices.to_numpy()]
    return codes


@dataclass(frozen=True, slots=True)
class CreditColumns:
    """The rows that a linear metric counts, [n] each."""

    value: Floats
    """nan where people compared nothing in the row."""
    comparisons: Ints
    one_order: npt.NDArray[np.bool_]
    answered: npt.NDArray[np.bool_]
    """Not failed."""
    size: Ints
    weight: Floats
    groups: GroupCodes
    kept: Sequence[Judged]
    """The rows themselves, where they were asked for."""
    _leaf: Ints
    _leaves: Leaves
    _cluster: Ints

    def earned(self, start: int, stop: int) -> list[Earned]:
        """What the rows from `start` to before `stop` earned."""
        columns = (self.value, self.comparisons, self.one_order, self.answered)
        return list(zip(*(column[start:stop].tolist() for column in columns), strict=True))

    def nest(self, numbers: Ints) -> Nest:
        """The nest of some rows with credits, at least one."""
        return self._leaves.nest(self._leaf[numbers], self.weight[numbers])

    def clusters(self, numbers: Ints) -> Ints:
        """The clusters of some rows, as `cluster_codes` numbers them."""
        codes = np.unique(self._cluster[numbers], return_inverse=True)[1]
        return codes.ravel().astype(np.int64)


def columns_of(
    rows: Iterable[Judged],
    spec: MetricSpec,
    tags: Sequence[str] = (),
    *,
    keep: bool = False,
    known: CreditColumns | None = None,
) -> CreditColumns:
    """The credits of the rows that count by `spec.where`, with only the comparisons that carry `tags`; `keep`: with
    the rows themselves; `known`: where the same rows have the same credits there. Raises as `credit`."""
    leaves, groups = Leaves(spec), GroupCodes([name for names in spec.report for name in names])
    kept: list[Judged] = []
    count = 0
    numbers: list[npt.NDArray[np.void]] = []
    clusters: list[pa.Array] = []
    alone = spec.rule != "inverse_propensity"  # of which a row's weight depends on the others
    for batch in batches(rows) if alone else [list(rows)]:
        chosen = selected_rows(with_tags(batch, tags) if tags else batch, spec)
        groups.add(chosen)
        earned = [_earned(row, spec) for row in chosen] if known is None else known.earned(count, count + len(chosen))
        count += len(chosen)
        found = [
            (*one, row.size, row.weight, leaves.of(row) if one[0] == one[0] else -1)
            for one, row in zip(earned, chosen, strict=True)
        ]
        numbers.append(np.array(found, dtype=_NUMBERS))
        clusters.append(pa.array((row.cluster or row.id for row in chosen), pa.string()))
        kept += chosen if keep else ()
    whole = np.concatenate(numbers) if numbers else np.zeros(0, dtype=_NUMBERS)
    return CreditColumns(
        **{name: whole[name].copy() for name in _NUMBERS.names or () if name != "leaf"},
        groups=groups,
        kept=kept,
        _leaf=whole["leaf"].copy(),
        _leaves=leaves,
        _cluster=sorted_codes(clusters),
    )


_NUMBERS = np.dtype(
    [
        ("value", np.float64),
        ("comparisons", np.int32),
        ("one_order", np.bool_),
        ("answered", np.bool_),
        ("size", np.int32),
        ("weight", np.float64),
        ("leaf", np.int32),
    ]
)


def _earned(row: Judged, spec: MetricSpec) -> Earned:
    one = credit(row, spec)
    value = float("nan") if one.value is None else one.value
    return value, one.comparisons, one.one_order, not is_failed(row)
