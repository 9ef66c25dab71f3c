"""What one record says of its model in depth: margins, calibration, ties, length, order, and where people disagree with
it most.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmbench.reports.report import Report

__all__ = ["report_of"]


def report_of(folder: Path | str, *, resamples: int = 1000) -> Report:
    """What a record says of its model beyond its values.

    Args:
        folder: holds one record.
        resamples: draws of clusters behind the intervals of calibration and correlations.

    Returns:
        Margins, calibration of sigmoid(margin), ties, length, order of the answers, and the pairs on which the model is
        furthest from people, with 95% intervals. A part that the record cannot tell is None, and `missing` says why.
        `dataclasses.asdict` makes it JSON.

    Raises:
        RmbenchError: the folder holds no record, or one whose files do not hold.
    """
    from rmbench.reports.build import build

    return build(Path(folder), resamples=resamples)
