"""Hidden states and class labels as arrays: what every probe checks first, and the standardising of coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rmbench.errors import RmbenchError
from rmbench.metrics.uncertainty.aggregate import Floats, Ints

__all__ = ["Standardizer", "States", "blocks", "checked_labels", "checked_states", "fit_standardizer"]

States = npt.NDArray[np.float32] | npt.NDArray[np.float64]
"""[N, H], a row per text."""

_CELLS = 4_000_000
"""Numbers held at once in double precision; bounds memory, changes no result."""


def checked_states(states: States, what: str, width: int | None = None) -> States:
    """The same states [N, H], N and H > 0, once they are known to be usable; `what` names them in the error.

    Raises RmbenchError where they are no such table, are not `width` wide, or hold NaN or an infinity: a row whose
    model failed has no state, and the caller leaves it out or counts it wrong.
    """
    if states.ndim != 2 or 0 in states.shape or states.dtype.kind != "f":
        raise RmbenchError(
            f"{what}: expected real numbers [rows, hidden size], got {states.dtype} {list(states.shape)}."
        )
    if width is not None and states.shape[1] != width:
        raise RmbenchError(f"{what}: hidden size {states.shape[1]}, expected {width}; are they of the same model?")
    for start, block in blocks(states):
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            row = start + int(bad.argmax())
            raise RmbenchError(f"{what}: row {row} is not finite; leave out the rows that the model failed on.")
    return states


def checked_labels(labels: Ints, rows: int, classes: int, what: str, lowest: int = 0) -> Ints:
    """The labels [N] as 64-bit integers, once each is known to be one of `lowest` .. `classes` - 1; `what` names them.

    Raises RmbenchError where they are not, or are not as many as `rows`.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise RmbenchError(f"{what}: expected whole numbers [rows], got {array.dtype} {list(array.shape)}.")
    if len(array) != rows:
        raise RmbenchError(f"{what}: {len(array)} labels for {rows} rows.")
    bad = (array < lowest) | (array >= classes)
    if bad.any():
        row = int(bad.argmax())
        raise RmbenchError(f"{what}: row {row} has label {array[row]}, expected {lowest} to {classes - 1}.")
    return array.astype(np.int64)


def blocks(states: States) -> Iterator[tuple[int, Floats]]:
    """The rows of `states` [N, H] in double precision, some at a time: (number of the first row, [block, H])."""
    step = max(1, _CELLS // states.shape[1])
    for start in range(0, len(states), step):
        yield start, states[start : start + step].astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Standardizer:
    """How coordinates are standardised. One that was constant where it was fitted becomes 0."""

    mean: Floats
    """[H]."""
    sd: Floats
    """[H] population standard deviation; 0 where the coordinate is constant."""

    def apply(self, states: Floats) -> Floats:
        """[N, H] standardised, in double precision."""
        return (states - self.mean) * self._inverse()

    def _inverse(self) -> Floats:
        varies = self.sd > 0
        return np.where(varies, 1 / np.where(varies, self.sd, 1.0), 0.0)


def fit_standardizer(tables: list[States], what: str) -> Standardizer:
    """Mean and standard deviation of each coordinate over the rows of all `tables` [N_k, H], pooled.

    Raises RmbenchError where no coordinate varies.
    """
    rows = sum(len(table) for table in tables)
    mean = sum(block.sum(axis=0) for table in tables for _, block in blocks(table)) / rows
    squares = sum(((block - mean) ** 2).sum(axis=0) for table in tables for _, block in blocks(table))
    lowest = np.min([table.min(axis=0) for table in tables], axis=0)
    highest = np.max([table.max(axis=0) for table in tables], axis=0)
    # Rounding leaves a constant coordinate a deviation near 1e-16, so whether it varies is asked of the values.
    sd = np.where(highest > lowest, np.sqrt(squares / rows), 0.0)
    if not (sd > 0).any():
        raise RmbenchError(f"{what}: all {rows} rows are the same; no coordinate separates classes.")
    return Standardizer(np.asarray(mean, dtype=np.float64), sd.astype(np.float64))
