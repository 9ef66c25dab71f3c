"""Which candidates of an example are compared, and in which position orders."""

from __future__ import annotations

import hashlib
import random
from typing import Literal

from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.prompt import PromptError
from rmbench.types import Example

__all__ = ["pairs_to_compare", "position_orders"]

Shown = tuple[int, ...]


def position_orders(
    example: Example,
    protocol: JudgeProtocol,
    orders: Literal["both", "single", "first"],
    *,
    tournament: bool,
    seed: int,
) -> list[Shown]:
    """The candidates of each question, in the order shown.

    A pointwise judge is asked about each candidate. A pairwise judge is asked about the pairs of `pairs_to_compare`,
    the lower index first, then swapped; with "single" in one order, which the row's id and the seed decide, and with
    "first" as the task has them. A judge of more candidates gets one seeded permutation and its reverse, or the
    permutation alone, or all as the task has them.

    Raises:
        PromptError: there are fewer or more candidates than the protocol can show.
    """
    size = len(example.candidates)
    if protocol.most == 1:
        return [(k,) for k in range(size)]
    if size < 2:
        raise PromptError(f"{protocol.name} compares candidates, and the row has {size}")
    if protocol.most == 2:
        shown: list[Shown] = []
        for i, j in pairs_to_compare(example, tournament=tournament):
            swapped = _number(seed, example.id, i, j) % 2 == 1
            one = (j, i) if swapped and orders == "single" else (i, j)
            shown += [(i, j), (j, i)] if orders == "both" else [one]
        return shown
    if size > protocol.most:
        raise PromptError(f"{size} candidates; {protocol.name} shows {protocol.most} at most")
    places = list(range(size))
    if orders == "single" or (size > 2 and orders == "both"):
        random.Random(_number(seed, example.id)).shuffle(places)
    return [tuple(places), tuple(reversed(places))] if orders == "both" else [tuple(places)]


def pairs_to_compare(example: Example, *, tournament: bool = False) -> list[tuple[int, int]]:
    """(lower index, higher index) of the pairs that the judge compares, sorted: those that annotators compared, ties
    included; all pairs where they compared none, or in a tournament. The order does not reveal which one is better."""
    size = len(example.candidates)
    compared = {(min(edge.i, edge.j), max(edge.i, edge.j)) for edge in example.gold.relation if edge.i != edge.j}
    if compared and not tournament:
        return sorted(compared)
    return [(i, j) for i in range(size) for j in range(i + 1, size)]


def _number(*key: object) -> int:
    """A number that depends on the arguments alone."""
    digest = hashlib.sha256(repr(key).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")
