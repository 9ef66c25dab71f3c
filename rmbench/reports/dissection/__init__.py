"""Which properties of answers a model prefers: a logistic fit over the differences of pairs, for model and people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rmbench.reports.dissection.fit import Dissection
    from rmbench.types import Example

__all__ = ["dissect"]


def dissect(
    folder: Path | str,
    *,
    features: Path | str | None = None,
    examples: Mapping[str, Example] | None = None,
    by: str = "",
    method: Literal["posterior", "map"] = "posterior",
    scale: float = 0.1,
    draws: int = 2000,
    folds: int = 1,
    seed: int = 0,
) -> Dissection:
    """The properties that a record's model, and the people of its rows, prefer (arXiv 2402.11296).

    Each pair that people decided is a row of the fit: the sign of the difference of each property between its answers,
    and which answer is preferred. Pairs that the model ties or left unanswered, and pairs with a missing property, are
    left out and counted. Rows of one prompt are taken as independent.

    Args:
        folder: holds one record.
        features: JSON Lines, `{"id": "r1", "features": {"polite": [1, 0], ...}}`: a number for each candidate, null
            where it is unknown. Without it, simple properties are computed from `examples`.
        examples: the record's rows by id, with their texts.
        by: a group, each value of which is fitted by itself, in addition to all rows.
        method: "posterior": the mean of the posterior, with 95% credible intervals, by a Gibbs sampler. "map": its
            mode, the L1 logistic regression, without intervals.
        scale: of the Laplace prior.
        draws: of the posterior, over four chains.
        folds: the paper's average: the weights are the mean over so many fits, each without one part of the rows in
            turn. 1: one fit of all rows. Intervals are always those of all rows.
        seed: of draws and folds.

    Raises:
        RmbenchError: no record, a broken file of features, none of its ids in the record, or no pair to fit.
    """
    from rmbench.reports.dissection.fit import Settings, dissection_of

    return dissection_of(
        Path(folder),
        None if features is None else Path(features),
        examples,
        Settings(by, method, scale, draws, folds, seed),
    )
