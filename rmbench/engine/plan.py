"""The plan: which requests are computed, once each, and in which chunks. A pure function of its inputs."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rmbench.engine.prefix import PrefixGroup, group_rows, split_group
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Encoded, Group

__all__ = ["Chunk", "Plan", "PlanStatistics", "plan"]

_BUDGETS_PER_GROUP = 8
"""A prefix group may be this many times the budget before it is split and its prefix computed twice."""


@dataclass(frozen=True, slots=True)
class PlanStatistics:
    """What the plan saves and wastes. Tokens are characters for models without tokens."""

    requests: int = 0
    """Rows requested, those with an error included; of a row in parts each part is counted instead."""
    unique: int = 0
    """Rows computed."""
    asked_tokens: int = 0
    """Tokens of all requests, equal ones counted each time."""
    unique_tokens: int = 0
    """Tokens of the distinct rows."""
    computed_tokens: int = 0
    """Tokens computed, with a shared prefix counted once."""
    padded_tokens: int = 0
    """Places of all chunks, padding included."""

    @property
    def padding_share(self) -> float:
        """Padding / places, in [0, 1]; 0 where nothing is computed."""
        return 1 - self.computed_tokens / self.padded_tokens if self.padded_tokens else 0.0

    def __add__(self, other: PlanStatistics) -> PlanStatistics:
        return PlanStatistics(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows computed together, complete in itself: chunks may run in any order and anywhere."""

    rows: range
    """Unique rows."""
    groups: tuple[Group, ...] = ()
    """In the order of the rows, where they share prefixes; empty: the rows are padded."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Unique rows are numbered in the order of the chunks, so every chunk is a run of consecutive numbers."""

    chunks: tuple[Chunk, ...]
    row_of: tuple[int | None, ...]
    """Request -> its unique row; None where the request carries an error."""
    first: tuple[int, ...]
    """Unique row -> the first request that asks for it."""
    errors: dict[int, str]
    """Request -> why it cannot be computed."""
    digest: str
    """sha256 over the chunks' contents: equal digests mean the same rows computed in the same chunks."""
    statistics: PlanStatistics


def plan(encoded: Sequence[Encoded], budget_tokens: int, max_rows: int | None = None, *, share: bool = False) -> Plan:
    """Chunks for encoded requests.

    Equal keys are computed once. Padded: rows of one kind are sorted by length, longest first (ties by key, so that the
    order of requests does not matter), and filled into chunks while rows x longest row <= `budget_tokens`; a longer row
    is alone. Shared: rows are grouped by prefix, groups stay whole up to eight budgets and are filled into
    chunks, largest first, while the tokens computed are within the budget.

    Args:
        encoded: one entry per request; entries with an error are left out and reported.
        budget_tokens: places of one chunk, padding included, in tokens.
        max_rows: an upper limit on the rows of a chunk, in addition to the budget.
        share: whether the model takes rows in groups.

    Raises:
        RmbenchError: a budget below 1, or one key with two contents.
    """
    if budget_tokens < 1 or (max_rows is not None and max_rows < 1):
        raise RmbenchError(f"A batch must hold at least one token and one row, not {budget_tokens} and {max_rows}.")
    firsts = _firsts(encoded)
    if share:
        first, chunks, computed = _in_groups(encoded, firsts, budget_tokens, max_rows)
        padded = computed
    else:
        first, chunks = _in_padding(encoded, firsts, budget_tokens, max_rows)
        computed = sum(encoded[request].size for request in first)
        padded = sum(len(chunk.rows) * encoded[first[chunk.rows[0]]].size for chunk in chunks)
    number = {encoded[request].key: row for row, request in enumerate(first)}
    return Plan(
        chunks=chunks,
        row_of=tuple(None if entry.error else number[entry.key] for entry in encoded),
        first=first,
        errors={request: entry.error for request, entry in enumerate(encoded) if entry.error},
        digest=_digest(encoded, first, chunks),
        statistics=PlanStatistics(
            requests=len(encoded),
            unique=len(first),
            asked_tokens=sum(entry.size for entry in encoded if not entry.error),
            unique_tokens=sum(encoded[request].size for request in first),
            computed_tokens=computed,
            padded_tokens=padded,
        ),
    )


def _firsts(encoded: Sequence[Encoded]) -> dict[str, int]:
    """Key -> the first request that has it."""
    firsts: dict[str, int] = {}
    for request, entry in enumerate(encoded):
        if entry.error:
            continue
        same = encoded[firsts.setdefault(entry.key, request)]
        if same is not entry and (same.size != entry.size or same.ids != entry.ids):
            raise RmbenchError(f"The model encoded two different rows under one key, {entry.key!r}.")
    return firsts


def _in_padding(
    encoded: Sequence[Encoded], firsts: dict[str, int], budget: int, max_rows: int | None
) -> tuple[tuple[int, ...], tuple[Chunk, ...]]:
    """Requests in the order of unique rows, and the chunks."""
    first = tuple(sorted(firsts.values(), key=lambda request: _place(encoded[request])))
    sizes = [encoded[request].size for request in first]
    kinds = [encoded[request].kind for request in first]
    return first, tuple(Chunk(range(start, stop)) for start, stop in _fill(sizes, kinds, budget, max_rows))


def _place(entry: Encoded) -> tuple[str, int, str]:
    return entry.kind, -entry.size, entry.key


def _fill(sizes: Sequence[int], kinds: Sequence[str], budget: int, max_rows: int | None) -> Iterator[tuple[int, int]]:
    """Half-open ranges of rows of one kind, given sizes in falling order. An empty row takes one place."""
    start = 0
    while start < len(sizes):
        room = max(1, budget // max(1, sizes[start]))
        same = bisect_right(kinds, kinds[start], start)
        stop = min(same, start + (room if max_rows is None else min(room, max_rows)))
        yield start, stop
        start = stop


def _in_groups(
    encoded: Sequence[Encoded], firsts: dict[str, int], budget: int, max_rows: int | None
) -> tuple[tuple[int, ...], tuple[Chunk, ...], int]:
    """Requests in the order of unique rows, the chunks, and the tokens computed."""
    requests = sorted(firsts.values(), key=lambda request: encoded[request].key)
    ids = [encoded[request].ids for request in requests]
    groups = [part for group in group_rows(ids) for part in split_group(group, ids, _BUDGETS_PER_GROUP * budget)]
    if max_rows is not None:
        groups = [part for group in groups for part in _at_most(group, ids, max_rows)]
    groups.sort(key=lambda group: (-group.tokens, encoded[requests[group.rows[0]]].key))
    first: list[int] = []
    chunks: list[Chunk] = []
    for together in _filled(groups, budget, max_rows):
        start = len(first)
        first.extend(requests[row] for group in together for row in group.rows)
        shape = tuple(Group(group.prefix, len(group.rows)) for group in together)
        chunks.append(Chunk(range(start, len(first)), shape))
    return tuple(first), tuple(chunks), sum(group.tokens for group in groups)


def _filled(groups: Sequence[PrefixGroup], budget: int, max_rows: int | None) -> Iterator[list[PrefixGroup]]:
    """Consecutive groups within the budget; a group over it is alone."""
    together: list[PrefixGroup] = []
    for group in groups:
        if together and _does_not_fit(together, group, budget, max_rows):
            yield together
            together = []
        together.append(group)
    if together:
        yield together


def _at_most(group: PrefixGroup, ids: Sequence[Sequence[int]], rows: int) -> list[PrefixGroup]:
    """A group cut into groups of at most `rows` rows."""
    cuts = [group.rows[start : start + rows] for start in range(0, len(group.rows), rows)]
    prefixes = [group.prefix if len(cut) > 1 else 0 for cut in cuts]
    return [
        PrefixGroup(cut, prefix, prefix + sum(len(ids[row]) - prefix for row in cut))
        for cut, prefix in zip(cuts, prefixes, strict=True)
    ]


def _does_not_fit(together: Sequence[PrefixGroup], group: PrefixGroup, budget: int, max_rows: int | None) -> bool:
    tokens = sum(one.tokens for one in together) + group.tokens
    rows = sum(len(one.rows) for one in together) + len(group.rows)
    return tokens > budget or (max_rows is not None and rows > max_rows)


def _digest(encoded: Sequence[Encoded], first: Sequence[int], chunks: Sequence[Chunk]) -> str:
    """Every field is preceded by its length, so that no two plans spell the same bytes."""
    digest = hashlib.sha256()
    for chunk in chunks:
        shape = " ".join(f"{group.prefix}+{group.rows}" for group in chunk.groups)
        digest.update(f"chunk {len(chunk.rows)} {len(chunk.groups)} {shape}\n".encode())
        for row in chunk.rows:
            entry = encoded[first[row]]
            key = entry.key.encode("utf-8", "surrogatepass")
            digest.update(f"{entry.kind} {entry.size} {len(key)} ".encode() + key)
    return digest.hexdigest()
