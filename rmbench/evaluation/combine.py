"""Judgments of several models -> judgments of an ensemble, and how far the models agree.

Rows count as common where every model judged them. Of those, over all candidates of the task:

- method "mean": each model's rewards become z-scores, (r - mean) / standard deviation (population, over all candidates
  of all common rows), and the ensemble's reward is their weighted mean. A model whose rewards are all equal gives 0
  everywhere. Any a r + b with a > 0 in place of a model's rewards changes nothing.
- method "mean" where a model gives margins alone: every model's margins (differences, where it gives rewards) are
  divided by the root mean square of their skew half over all pairs of candidates, and the ensemble's directed margins
  are the weighted mean, so a position bias stays visible. A model that calls every pair equal gives 0.
- method "rank": each model ranks the candidates within an example, 1 the lowest, equal ones sharing the mean of their
  ranks (rewards, or the mean margin over the others); the ensemble's reward is the weighted mean rank. Such rewards can
  be compared within an example only.

Weights may differ by row, as those of a model of the prompt do (PRO); then each row keeps them with the models'
z-scores or ranks, as `weights` and `objectives` of its candidates, and a row without weights is a failed row.

A row on which a model failed is a failed row, and its error names the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rmbench.errors import RmbenchError
from rmbench.types import Judgment

__all__ = ["Agreement", "Method", "Recipe", "agreement", "combine"]

Method = Literal["mean", "rank"]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How judgments are combined."""

    method: Method = "mean"
    weights: tuple[float, ...] = ()
    """One per model, above 0; (): equal ones. They are divided by their sum."""
    by_row: Mapping[str, tuple[float, ...]] | None = None
    """Row id -> its weights, at least 0; None: `weights` hold for all rows."""

    def shares(self, models: int, row: str = "") -> Array:
        """[models] summing to 1, of a row where weights differ by row."""
        given = self.weights if self.by_row is None else self.by_row.get(row, ())
        weights = np.array(given or (1.0,) * models, dtype=np.float64)
        shares: Array = weights / weights.sum()
        return shares


@dataclass(frozen=True, slots=True)
class Agreement:
    """Pairs of candidates that are ordered alike, over the rows that every model judged. A tie agrees with a tie."""

    pairs: int
    """Unordered pairs of candidates."""
    between: tuple[tuple[int, ...], ...]
    """[M, M] pairs on which two models agree."""
    ensemble: tuple[int, ...]
    """[M] pairs on which a model agrees with the ensemble."""


def combine(
    names: Sequence[str], members: Sequence[Sequence[Judgment]], recipe: Recipe | None = None
) -> list[Judgment]:
    """The ensemble's judgments.

    Args:
        names: [M] the models' names, for messages.
        members: [M, N] each model's judgments of the same N examples, in one order.
        recipe: how; None: the plain mean.

    Raises:
        RmbenchError: a model gives verdicts alone, or an example to rank has one candidate.
        ValueError: the models did not judge the same examples.
    """
    recipe = recipe or Recipe()
    rows = list(zip(*members, strict=True))
    for row in rows:
        if len({judgment.id for judgment in row}) != 1:
            raise ValueError(f"judgments of several examples in one row: {[judgment.id for judgment in row]}")
    failures = ["; ".join(_failures(names, row)) or _unweighed(row[0].id, recipe) for row in rows]
    common = [row for row, why in zip(rows, failures, strict=True) if not why]
    scores = iter(_combined(names, common, recipe))
    return [
        _judgment(row, **({"status": "failed", "error": why} if why else next(scores)))
        for row, why in zip(rows, failures, strict=True)
    ]


def _unweighed(row: str, recipe: Recipe) -> str:
    missing = recipe.by_row is not None and row not in recipe.by_row
    return "the file of weights has none for this row" if missing else ""


def agreement(members: Sequence[Sequence[Judgment]], combined: Sequence[Judgment]) -> Agreement | None:
    """How far the models and their ensemble order pairs of candidates alike; None where no common row has a pair."""
    rows = [row for row, whole in zip(zip(*members, strict=True), combined, strict=True) if whole.status == "ok"]
    wholes = [whole for whole in combined if whole.status == "ok"]
    signs = [_signs([row[member] for row in rows]) for member in range(len(members))]
    ensemble = _signs(wholes)
    if not len(ensemble):
        return None
    return Agreement(
        pairs=len(ensemble),
        between=tuple(tuple(int((one == other).sum()) for other in signs) for one in signs),
        ensemble=tuple(int((one == ensemble).sum()) for one in signs),
    )


def _failures(names: Sequence[str], row: Sequence[Judgment]) -> list[str]:
    """Why models failed on a row, a clause for each that did."""
    clauses = []
    for name, judgment in zip(names, row, strict=True):
        numbers = itertools.chain(judgment.rewards or (), *(judgment.directed or ()))
        if judgment.status != "ok":
            clauses.append(f"{name}: {judgment.error or judgment.status}")
        elif not all(map(math.isfinite, numbers)):
            clauses.append(f"{name}: a score is NaN or infinite")
    return clauses


def _combined(names: Sequence[str], rows: Sequence[Sequence[Judgment]], recipe: Recipe) -> list[dict[str, Any]]:
    """The combined scores of each row as a field of a judgment: {"rewards": ...} or {"directed": ...}."""
    for name, judgment in ((name, one) for row in rows for name, one in zip(names, row, strict=True)):
        if judgment.rewards is None and judgment.directed is None:
            raise RmbenchError(
                f"{name} gives neither rewards nor margins (example {judgment.id}); an ensemble combines nothing else."
            )
    shares = [recipe.shares(len(names), row[0].id) for row in rows]
    if recipe.method == "rank":
        ranks = [list(_ranks(row)) for row in rows]
        return [_weighed(one, row, recipe) for one, row in zip(shares, ranks, strict=True)]
    by_member = [[row[member] for row in rows] for member in range(len(names))]
    if all(judgment.rewards is not None for one in by_member for judgment in one):
        scores = [_standardised([_array(judgment.rewards) for judgment in one]) for one in by_member]
        return [_weighed(one, row, recipe) for one, row in zip(shares, zip(*scores, strict=True), strict=True)]
    margins = [_scaled([_directed(judgment) for judgment in one]) for one in by_member]
    means = [_mean(one, row).tolist() for one, row in zip(shares, zip(*margins, strict=True), strict=True)]
    return [
        {"directed": tuple(map(tuple, mean))} | _kept(one, len(mean), recipe)
        for one, mean in zip(shares, means, strict=True)
    ]


def _weighed(shares: Array, scores: Sequence[Array], recipe: Recipe) -> dict[str, Any]:
    """The reward [K] of models' scores, each [K], and where weights differ by row what it is made of."""
    kept = _kept(shares, len(scores[0]), recipe)
    if kept:
        kept["parts"]["objectives"] = tuple(map(tuple, np.stack(scores, axis=1).tolist()))
    return {"rewards": tuple(_mean(shares, scores).tolist())} | kept


def _kept(shares: Array, candidates: int, recipe: Recipe) -> dict[str, Any]:
    return {} if recipe.by_row is None else {"parts": {"weights": (tuple(shares.tolist()),) * candidates}}


def _mean(shares: Array, parts: Sequence[Array]) -> Array:
    mean: Array = np.tensordot(shares, np.stack(parts), axes=1)
    return mean


def _standardised(rewards: Sequence[Array]) -> list[Array]:
    """z-scores over all of them; 0 where they are all equal."""
    everything = np.concatenate(rewards) if rewards else np.zeros(0)
    if not len(everything) or everything.min() == everything.max():
        return [np.zeros_like(one) for one in rewards]
    peak = np.abs(everything).max()  # squares of what is left neither overflow nor vanish
    scaled = everything / peak
    centre, spread = scaled.mean(), scaled.std()
    return [(one / peak - centre) / spread if spread else np.zeros_like(one) for one in rewards]


def _scaled(margins: Sequence[Array]) -> list[Array]:
    """Margins over the root mean square of their skew half; 0 where that is 0."""
    peak = max((np.abs(one).max(initial=0.0) for one in margins), default=0.0)
    if not peak:
        return list(margins)
    scaled = [one / peak for one in margins]
    upper = np.concatenate([((one - one.T) / 2)[np.triu_indices(len(one), 1)] for one in scaled])
    size = math.sqrt(float(np.mean(upper**2))) if len(upper) else 0.0
    return [one / size if size else np.zeros_like(one) for one in scaled]


def _directed(judgment: Judgment) -> Array:
    """[K, K] a model's own margins, else the differences of its rewards."""
    if judgment.rewards is None:
        return _array(judgment.directed)
    rewards = _array(judgment.rewards)
    return rewards[:, None] - rewards[None, :]


def _ranks(row: Sequence[Judgment]) -> Array:
    """[M, K] ranks from 1, the lowest, equal scores sharing the mean of theirs."""
    scores = np.stack([_scores(judgment) for judgment in row])
    if scores.shape[1] < 2:
        raise RmbenchError(
            f"method=rank ranks the candidates of an example, and {row[0].id} has one; take method=mean for such tasks."
        )
    below = (scores[:, None, :] < scores[:, :, None]).sum(-1)
    alike = (scores[:, None, :] == scores[:, :, None]).sum(-1)
    ranks: Array = below + (alike + 1) / 2
    return ranks


def _scores(judgment: Judgment) -> Array:
    """[K] rewards, or the skew half of the margins averaged over the other candidates."""
    if judgment.rewards is not None:
        return _array(judgment.rewards)
    margins = _array(judgment.directed)
    means: Array = (margins - margins.T).sum(1) / 2 / max(len(margins) - 1, 1)
    return means


def _signs(judgments: Sequence[Judgment]) -> npt.NDArray[np.int64]:
    """1, 0 or -1 of every pair of candidates, row after row. Compared, not subtracted: no difference can vanish."""
    signs: list[int] = []
    for judgment in judgments:
        rewards, margins = judgment.rewards, judgment.directed
        size = len(rewards if rewards is not None else margins or ())
        for i, j in itertools.combinations(range(size), 2):
            if rewards is not None:
                one, other = rewards[i], rewards[j]
            else:
                one, other = (margins or ())[i][j], (margins or ())[j][i]
            signs.append((one > other) - (one < other))
    return np.array(signs, dtype=np.int64)


def _array(values: object) -> Array:
    return np.array(values, dtype=np.float64)


def _judgment(row: Sequence[Judgment], **fields: Any) -> Judgment:
    """With the largest of the models' lengths and whether any truncated: too long for one is too long for all."""
    lengths = [judgment.lengths for judgment in row if judgment.lengths]
    truncated = [judgment.truncated for judgment in row if judgment.truncated]
    return Judgment(
        id=row[0].id,
        lengths=tuple(map(max, zip(*lengths, strict=True))),
        truncated=tuple(map(any, zip(*truncated, strict=True))),
        **fields,
    )
