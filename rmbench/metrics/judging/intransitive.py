"""How many triples of candidates a model's margins are intransitive on, over all rows of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.metrics.credit.cycles import count_cyclic_triples
from rmbench.types import Judgment

__all__ = ["Intransitive", "intransitive"]


@dataclass(frozen=True, slots=True)
class Intransitive:
    """Triples of candidates counted over rows."""

    cyclic: int
    """Intransitive triples: a above b, b above c, c above a, all strictly."""
    total: int
    """All triples."""
    rows: int
    """Rows with three candidates or more, those that failed left out."""


def intransitive(judgments: Sequence[Judgment]) -> Intransitive | None:
    """The count over judgments that hold margins and no rewards, which are transitive; None where no such judgment has
    three candidates."""
    margins = [
        judgment.directed
        for judgment in judgments
        if judgment.status == "ok" and judgment.rewards is None and len(judgment.directed or ()) >= 3
    ]
    found = [directed for directed in margins if directed is not None]
    if not found:
        return None
    sizes = [len(directed) for directed in found]
    total = sum(size * (size - 1) * (size - 2) // 6 for size in sizes)
    return Intransitive(sum(count_cyclic_triples(directed) for directed in found), total, len(found))
