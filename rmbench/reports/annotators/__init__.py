"""How a model agrees with people and with AI labels of the same pairs, where the two differ, and with mixes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmbench.reports.annotators.compare import Comparison
    from rmbench.types import Example

__all__ = ["SHARES", "compare_annotators"]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the pairs that go to people in the mixes of MultiPref's paper."""


def compare_annotators(
    folder: Path | str,
    ai: Path | str | Sequence[str],
    *,
    people: Sequence[str] = (),
    by: Sequence[str] = (),
    features: Path | str | None = None,
    examples: Mapping[str, Example] | None = None,
    gains: Path | str | None = None,
    shares: Sequence[float] = SHARES,
) -> Comparison:
    """The agreement of a record's model with people and with AI labels (hybrid preferences, arXiv 2410.19133).

    A pair counts where people and AI both label it; a pair that people or AI tie counts where the task's first metric
    has a class for ties. A pair that the model left unanswered agrees with neither.

    Args:
        folder: holds one record.
        ai: names of annotators of its rows, whose majority is the AI's label; or the folder of a judge's record of the
            same rows, whose answers are the labels.
        people: annotators whose majority is people's label; without any, all that are not the AI's, or the rows' own
            comparison where they name none.
        by: groups of rows to set apart; without any, all groups of 2 to 30 values.
        features: JSON Lines of properties of the candidates, as `rmbench.reports.dissection.dissect` takes them.
        examples: the record's rows by id with their texts, of which simple properties are counted. By either, pairs are
            set apart in thirds by how far their answers differ in each.
        gains: JSON, {"category=Coding": 0.3, ...}: what a label of people's is worth for pairs with this feature. Pairs
            with the largest sums go to people. Without it, those that are most likely to be labelled otherwise by the
            AI, as fitted on the other pairs.
        shares: of the pairs that go to people, each from 0 to 1.

    Raises:
        RmbenchError: no record, annotators, groups or gains that do not exist, records of different rows, or no pair
            that both label.
    """
    from rmbench.reports.annotators.compare import Asked, comparison_of

    return comparison_of(
        Path(folder),
        Asked(
            ai=Path(ai) if isinstance(ai, str | Path) else tuple(ai),
            people=tuple(people),
            by=tuple(by),
            features=None if features is None else Path(features),
            gains=None if gains is None else Path(gains),
            shares=tuple(shares),
        ),
        examples,
    )
