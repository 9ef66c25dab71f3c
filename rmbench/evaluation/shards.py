"""One of several runs that share the rows of their tasks: which rows are its own, and what it keeps of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError

if TYPE_CHECKING:
    from rmbench.evaluation.options import RunOptions
    from rmbench.models.protocols import ModelFacts
    from rmbench.records.shard_number import ShardNumber
    from rmbench.records.shards import ShardFacts
    from rmbench.tasks.task import Loaded, Task
    from rmbench.types import Example

__all__ = ["check_shard", "places_of", "shard_rows"]


def check_shard(facts: ModelFacts, settings: RunOptions) -> None:
    """Raise RmbenchError where the shards of a run would be no parts of one result."""
    if settings.shard is None:
        return
    if settings.requests_out is not None:
        raise RmbenchError("--shard: --requests-out judges nothing; its file holds the questions of all rows.")
    if facts.family == "ensemble":
        raise RmbenchError(
            "--shard: an ensemble combines what its members say of all rows. Run the shards of each member, merge "
            "them, and run ensemble:FOLDER,FOLDER of the merged records."
        )
    if not facts.fingerprint:
        raise RmbenchError(
            f"--shard: {facts.name} has no fingerprint, so its shards could not be told from those of another model; "
            "name a model that each run can open."
        )


def shard_rows(task: Task, loaded: Loaded, shard: ShardNumber) -> tuple[Loaded, ShardFacts]:
    """A task's rows with the shard's own in place of all, those of the fit split too; and what `rmbench merge` needs to
    know of all of them."""
    from rmbench.records.shards import ShardFacts

    places, fit_places = places_of(loaded.examples, shard), places_of(loaded.fit, shard)
    own = replace(
        loaded,
        examples=tuple(loaded.examples[place] for place in places),
        fit=tuple(loaded.fit[place] for place in fit_places),
    )
    facts = ShardFacts(
        index=shard.number,
        of=shard.of,
        places=places,
        rows=len(loaded.examples),
        total=loaded.total,
        totals=dict(loaded.known_totals),
        max_tokens=task.max_tokens,
        voting=task.voting,
        fit=None,
        fit_places=fit_places,
        fit_rows=len(loaded.fit),
    )
    return own, facts


def places_of(examples: Sequence[Example], shard: ShardNumber) -> list[int]:
    """Which of a task's rows are the shard's, in their order. Every row is in exactly one of the N shards.

    Rows that share a prompt or a cluster stay together, so that a shared beginning is computed once. These groups are
    put in the order of a hash of their prompts and cut into N runs of as equal a number of rows as whole groups allow;
    the seed and everything that is drawn by it do not matter.
    """
    groups = _groups(examples)
    ordered = sorted(groups, key=lambda group: _hash(examples[group[0]]))
    # A group belongs to the run that the middle of its rows falls into.
    ends = list(accumulate(map(len, ordered), initial=0))
    middles = [start + end for start, end in pairwise(ends)]
    runs = [middle * shard.of // (2 * len(examples)) for middle in middles]
    own = [group for group, run in zip(ordered, runs, strict=True) if run == shard.number - 1]
    return sorted(place for group in own for place in group)


def _groups(examples: Sequence[Example]) -> list[list[int]]:
    """Places of rows that share a prompt or a cluster with each other, or with a row between them."""
    parent = list(range(len(examples)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[object, int] = {}
    for place, example in enumerate(examples):
        for key in _shared_by(example):
            one, other = sorted((root(place), root(first.setdefault(key, place))))
            parent[other] = one
    groups: dict[int, list[int]] = {}
    for place in range(len(examples)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def _shared_by(example: Example) -> Iterator[object]:
    """What makes rows belong together; rows without texts have no prompt that says so."""
    if example.cluster:
        yield example.cluster
    if any(part.text or part.name for message in example.prompt for part in message.parts):
        yield example.prompt


def _hash(example: Example) -> bytes:
    """Of the prompt, and of the id where there is none or several groups have it."""
    content = repr((example.prompt, example.id))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()
