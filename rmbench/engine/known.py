"""Results that are there already, from a ledger or the score cache. What these hold is distrusted: files break, are
edited, and come from elsewhere. A broken batch of a ledger is an error, a broken row of the cache is computed."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rmbench.engine.compute import answer_problem
from rmbench.engine.interfaces import Ledger, ScoreCache
from rmbench.engine.plan import Chunk
from rmbench.engine.release import computed_by
from rmbench.engine.serialization import RowResult, load_result, load_results
from rmbench.models.protocols import Encoded, Group, Scorer, TowerScorer

__all__ = ["from_cache", "from_ledger", "left", "model_key"]

_FORMAT = 1
"""Of the cached results' JSON; raised when it changes."""


def from_ledger(
    ledger: Ledger, task: str, digest: str, scorer: Scorer, sizes: Sequence[int]
) -> dict[int, list[RowResult]]:
    """The results of finished batches by index.

    Args:
        ledger: where they were committed.
        task: the task's id.
        digest: the plan's.
        scorer: which gave them.
        sizes: how many rows each batch of the plan has.

    Raises:
        RmbenchError: a batch holds something else than results of this scorer.
    """
    batches = {}
    for index, payload in ledger.done(task, digest).items():
        if not 0 <= index < len(sizes):
            continue
        try:
            batches[index] = load_results(payload, sizes[index])
            for result in batches[index]:
                _check(scorer, result)
        except ValueError as error:
            raise ledger.damaged(f"batch {index} of {task}: {error}") from error
    return batches


def from_cache(cache: ScoreCache, model: str, scorer: Scorer, units: Mapping[str, Encoded]) -> dict[str, RowResult]:
    """The results of units by their keys, under `model_key`; those alone that the scorer could have given."""
    found: dict[str, RowResult] = {}
    answers = defaultdict(set)
    for key, text in cache.get(model, list(units)).items():
        try:
            result = load_result(text)
            _check(scorer, result)
        except ValueError:
            continue
        if not result.error:  # failed rows are not put there
            found[key] = result
            answers[units[key].kind].add(frozenset(result.values))
    # A model gives all rows of a kind the same names; which of these are the right ones cannot be told.
    return {key: result for key, result in found.items() if len(answers[units[key].kind]) == 1}


def left(chunk: Chunk, known: Mapping[int, RowResult]) -> tuple[list[int], tuple[Group, ...]]:
    """The rows of a chunk that are still to be computed, and their groups."""
    if not chunk.groups:
        return [row for row in chunk.rows if row not in known], ()
    rows: list[int] = []
    groups: list[Group] = []
    at = iter(chunk.rows)
    for group in chunk.groups:
        missing = [row for row in itertools.islice(at, group.rows) if row not in known]
        rows += missing
        if missing:
            groups.append(Group(group.prefix if len(missing) > 1 else 0, len(missing)))
    return rows, tuple(groups)


def model_key(scorer: Scorer) -> str:
    """sha256 over what decides a row's result besides the row: the model, where and how it is computed, and by what.
    For a scorer whose rows are in parts that others compute just so, what decides a part's."""
    facts = scorer.facts
    placed = [str(facts.settings.get(name, "")) for name in ("device", "dtype")]
    own = [facts.fingerprint, sorted(scorer.answers)]
    if isinstance(scorer, TowerScorer):
        own = ["tower", scorer.tower]
    whole = [_FORMAT, computed_by(), placed, *own]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def _check(scorer: Scorer, result: RowResult) -> None:
    problem = "" if result.error else answer_problem(scorer, result.values)
    if problem:
        raise ValueError(problem)
