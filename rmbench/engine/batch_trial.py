"""The batch trial: whether a row's results depend on the rows beside it.

A forward may derive something from the whole batch: a rope that looks at the longest row, the scale of a dynamic
quantisation, the capacity of experts, statistics of a batch norm. A few real rows of very different length, on both
sides of every length switch that the model names, are computed alone and together before anything counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import inf

import numpy as np

from rmbench.engine.compute import compute
from rmbench.engine.interfaces import Side
from rmbench.engine.serialization import RowResult
from rmbench.models.abilities import LengthSwitching
from rmbench.models.protocols import Encoded, Group, Scorer

__all__ = ["batch_dependence", "trial_batches"]

_ROUNDING = {"bfloat16": (0.1, 2**-7), "float16": (0.02, 2**-10)}
"""dtype -> shares of the spread of the results, and of the largest, that rounding explains."""
_FLOAT32 = (1e-4, 1e-5)
_LEAST = 1e-6
_NOISE = 4
"""How many times the change beside a copy of itself, which is rounding alone, a row's change must be."""
_ROWS = 8
"""The most rows of a trial's batch."""
_KINDS = 4
"""The most kinds of rows that are tried."""


def batch_dependence(scorer: Scorer, rows: Sequence[Encoded], budget: int, side: Side, *, packed: bool) -> float | None:
    """The largest change of a result beside another row, where rounding does not explain it; None: there is none.

    Args:
        scorer: the model.
        rows: what is to be computed.
        budget: tokens of a batch; rows of which no two fit are alone in any case.
        side: where padding goes.
        packed: whether rows are computed as groups, without padding.
    """
    switches = scorer.length_switches if isinstance(scorer, LengthSwitching) else ()
    found = 0.0
    for trial in trial_batches(rows, budget, switches):
        together = compute(scorer, trial, side, (Group(0, 1),) * len(trial) if packed else ())[:2]
        alone = [compute(scorer, [row], side)[0] for row in trial[:2]]
        change = max(map(_change, alone, together))
        if change <= max(_allowed(scorer, alone), found):
            continue
        if change == inf or change > _NOISE * _noise(scorer, trial, alone, side, packed):
            found = change
    return found or None


def trial_batches(rows: Sequence[Encoded], budget: int, switches: Sequence[int]) -> list[tuple[Encoded, ...]]:
    """The shortest row with the shortest beyond each switch (a number of tokens after which a model computes in another
    way), and with the longest ones; of each of the few kinds that have most rows, since kinds share no batch and may be
    as many as pictures. Only rows of which two fit into a batch are taken."""
    fit: dict[str, dict[str, Encoded]] = {}
    for row in rows:
        if row.ids and 2 * row.size <= budget:
            fit.setdefault(row.kind, {})[row.key] = row
    tried = sorted(fit, key=lambda kind: (-len(fit[kind]), kind))[:_KINDS]
    return [trial for kind in tried for trial in _trials(fit[kind].values(), budget, switches)]


def _trials(rows: Iterable[Encoded], budget: int, switches: Sequence[int]) -> list[tuple[Encoded, ...]]:
    fitting = sorted(rows, key=lambda row: (row.size, row.key))
    if len(fitting) < 2:
        return []
    sizes = [row.size for row in fitting]
    beyond = sorted({bisect_right(sizes, switch) for switch in switches} - {0, len(sizes), len(sizes) - 1})
    room = min(_ROWS, budget // sizes[-1])
    longest = fitting[:0:-1][: room - 1]
    return [*((fitting[0], fitting[place]) for place in beyond), (fitting[0], *longest)]


def _noise(scorer: Scorer, trial: Sequence[Encoded], alone: Sequence[RowResult], side: Side, packed: bool) -> float:
    """The change of a row beside a copy of itself."""
    groups = (Group(0, 1),) * 2 if packed else ()
    copies = [compute(scorer, [row, row], side, groups)[0] for row in trial[:2]]
    return max(map(_change, alone, copies))


def _allowed(scorer: Scorer, alone: Sequence[RowResult]) -> float:
    """What rounding explains."""
    share, of_largest = _ROUNDING.get(str(scorer.facts.settings.get("dtype")), _FLOAT32)
    numbers = [np.concatenate([each.values[name] for name in sorted(each.values)]) for each in alone if not each.error]
    if not numbers:
        return _LEAST
    spread, largest = np.ptp(numbers, axis=0).max(initial=0.0), np.abs(numbers).max(initial=0.0)
    return max(share * float(spread), of_largest * float(largest), _LEAST)


def _change(alone: RowResult, together: RowResult) -> float:
    """The largest difference; infinite where a row fails in one of two ways only."""
    if alone.error or together.error:
        return 0.0 if alone.error and together.error else inf
    changes = [np.abs(value - together.values[name]).max(initial=0.0) for name, value in alone.values.items()]
    return float(max(changes, default=0.0))
