"""How many triples of candidates a model's margins order in a circle, over all rows of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rmbench.types import Judgment

__all__ = ["Intransitive", "circles", "intransitive"]


@dataclass(frozen=True, slots=True)
class Intransitive:
    """Triples of candidates counted over rows."""

    cyclic: int
    """Triples that go round: a above b, b above c, c above a, all strictly."""
    total: int
    """All triples."""
    rows: int
    """Rows with three candidates or more, those that failed left out."""


def circles(directed: npt.ArrayLike) -> int:
    """Triples that go round by margins [K, K], of which the skew half counts.

    A circle of three is three closed walks of length 3 in the graph of "above", so they are trace(A^3) / 3.
    """
    margins = np.asarray(directed, dtype=np.float64)
    above = (margins > margins.T).astype(np.float64)
    return round(float(np.einsum("ij,ji->", above @ above, above)) / 3)


def intransitive(judgments: Sequence[Judgment]) -> Intransitive | None:
    """The count over judgments that hold margins and no rewards, which cannot go round; None where no such judgment has
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
    return Intransitive(sum(circles(directed) for directed in found), total, len(found))
