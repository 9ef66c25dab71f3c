"""Assembles the results of rows into judgments of examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmbench.engine.compute import reason
from rmbench.engine.requests import pairs_of
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Encoded, MarginScorer, Scorer, VerdictScorer
from rmbench.types import Example, Judgment

__all__ = ["assemble"]


def assemble(scorer: Scorer, example: Example, encoded: Sequence[Encoded], results: Sequence[RowResult]) -> Judgment:
    """The judgment of one example from its rows: K, or K(K - 1) of a model that reads pairs.

    "reward" becomes `rewards`; margins of pairs become `directed`; a model that answers margins combines its
    rows into `directed`, in addition to its rewards where it has both (margins in other units than theirs); other names
    become `parts`, except those that begin with an underscore, which are for the model's own `combine` and `join`. A
    judge turns its outputs into verdicts. One failed row makes a failed judgment that names the candidate.
    """
    id_, size = example.id, len(example.candidates)
    pairs = pairs_of(size) if "pair" in scorer.answers else None
    lengths, truncated = _read(size, encoded, pairs)
    for place, result in enumerate(results):
        if result.error:
            who = f"candidate {place}" if pairs is None else "candidates {} and {}".format(*pairs[place])
            return _failed(id_, f"{who}: {result.error}", lengths, truncated)
    if len({frozenset(result.values) for result in results}) > 1:
        return _failed(id_, "the model answered different names for its candidates", lengths, truncated)
    directed: tuple[tuple[float, ...], ...] | str | None = None
    if pairs is not None:
        directed = _of_pairs(size, pairs, results)
    elif "margin" in scorer.answers:
        directed = _directed(scorer, results)
    if isinstance(directed, str):
        return _failed(id_, directed, lengths, truncated)
    rewarded = "reward" in scorer.answers
    judgment = Judgment(
        id=id_,
        rewards=tuple(float(result.values["reward"][0]) for result in results) if rewarded else None,
        directed=directed,
        parts={} if pairs is not None or not results else _parts(results),
        lengths=lengths,
        truncated=truncated,
    )
    # To ask for the whole protocol takes as long as all of the above, for each example.
    if not hasattr(scorer, "as_verdicts") or not isinstance(scorer, VerdictScorer):
        return judgment
    shown: Sequence[tuple[int, ...]] = [(k,) for k in range(size)] if pairs is None else pairs
    outputs = {places: result.values for places, result in zip(shown, results, strict=True)}
    return scorer.as_verdicts(example, judgment, outputs)


def _parts(results: Sequence[RowResult]) -> dict[str, tuple[tuple[float, ...], ...]]:
    names = [name for name in results[0].values if name != "reward" and not name.startswith("_")]
    return {name: tuple(tuple(result.values[name].tolist()) for result in results) for name in names}


def _read(
    size: int, encoded: Sequence[Encoded], pairs: Sequence[tuple[int, int]] | None
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Tokens read per candidate and whether some were cut off; of pairs, the longest with the candidate shown first."""
    if pairs is None:
        return tuple(entry.size for entry in encoded), tuple(entry.truncated for entry in encoded)
    shown = [[entry for entry, (i, _) in zip(encoded, pairs, strict=True) if i == k] for k in range(size)]
    lengths = tuple(max((entry.size for entry in own), default=0) for own in shown)
    return lengths, tuple(any(entry.truncated for entry in own) for own in shown)


def _of_pairs(
    size: int, pairs: Sequence[tuple[int, int]], results: Sequence[RowResult]
) -> tuple[tuple[float, ...], ...]:
    """Margins [K, K] from those of the pairs; a candidate against itself is 0."""
    margins = [[0.0] * size for _ in range(size)]
    for (i, j), result in zip(pairs, results, strict=True):
        margins[i][j] = float(result.values["margin"][0])
    return tuple(tuple(row) for row in margins)


def _failed(id_: str, error: str, lengths: tuple[int, ...], truncated: tuple[bool, ...]) -> Judgment:
    return Judgment(id=id_, status="failed", error=error, lengths=lengths, truncated=truncated)


def _directed(scorer: Scorer, results: Sequence[RowResult]) -> tuple[tuple[float, ...], ...] | str:
    """Margins [K, K], or why there are none."""
    if not isinstance(scorer, MarginScorer):
        raise RmbenchError(f"{scorer.facts.name} answers margins and has no `combine`.")
    try:
        margins = scorer.combine([result.values for result in results])
    except Exception as error:
        return f"combine: {reason(error)}"
    if margins is None or np.shape(margins) != (len(results), len(results)):
        raise RmbenchError(
            f"{scorer.facts.name}: combine gave {'nothing' if margins is None else list(np.shape(margins))}, "
            f"expected margins [{len(results)}, {len(results)}]."
        )
    if not np.isfinite(margins).all():
        return "the model's margins are not finite"
    return tuple(tuple(float(margin) for margin in row) for row in margins)
