"""The rewards of one model from two backends, compared on the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between two backends."""

    rewards: int
    """Rewards that both computed."""
    largest: float
    """Largest absolute difference of a reward; 0 where there is none to compare."""
    at: str
    """The row it is in; "" where there is none."""
    pairs: int
    """Pairs of candidates of one row that were compared."""
    flips: int
    """Pairs that the two order differently, a tie on one side included."""
    flipped: tuple[str, ...]
    """The rows of these pairs, each once."""
    missing: tuple[str, ...]
    """Rows that one of them did not score."""

    def line(self) -> str:
        """All of it in one line."""
        where = f" (row {self.at})" if self.at else ""
        lost = f"; {len(self.missing)} rows were not scored by both" if self.missing else ""
        return (
            f"largest difference {self.largest:.3g}{where} over {self.rewards:,} rewards; "
            f"{self.flips:,} of {self.pairs:,} pairs flip{lost}"
        )


def compare(
    ours: Mapping[str, Sequence[float] | None],
    theirs: Mapping[str, Sequence[float] | None],
    *,
    within: float = 0.0,
) -> Comparison:
    """Compare the rewards of the same rows from two backends.

    Args:
        ours: row id -> [K] rewards of its candidates; None for a row that failed.
        theirs: the same from the other backend; a row may be missing.
        within: margins that differ by no more than this are equal, so that rounding does not break a tie.

    Raises:
        ValueError: a row has another number of candidates on the other side.
    """
    rewards = pairs = flips = 0
    largest, at = 0.0, ""
    flipped: list[str] = []
    missing = [row for row in theirs if row not in ours]
    for row, one in ours.items():
        other = theirs.get(row)
        if not _complete(one) or not _complete(other):
            missing.append(row)
            continue
        if len(one or ()) != len(other or ()):
            raise ValueError(f"row {row!r} has {len(one or ())} candidates here and {len(other or ())} there")
        values = list(zip(one or (), other or (), strict=True))
        rewards += len(values)
        for mine, yours in values:
            if abs(mine - yours) > largest:
                largest, at = abs(mine - yours), row
        changed = 0
        for first, (mine, yours) in enumerate(values):
            for mine_next, yours_next in values[first + 1 :]:
                pairs += 1
                here, there = mine - mine_next, yours - yours_next
                changed += _sign(here) != _sign(there) and abs(here - there) > within
        flips += changed
        flipped += [row] if changed else []
    return Comparison(rewards, largest, at, pairs, flips, tuple(flipped), tuple(missing))


def _complete(values: Sequence[float] | None) -> bool:
    return values is not None and all(math.isfinite(value) for value in values)


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)
