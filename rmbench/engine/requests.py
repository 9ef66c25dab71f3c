"""The requests to a scorer for each example: one per candidate, or one per ordered pair of candidates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from rmbench.models.protocols import Request
from rmbench.types import Example

__all__ = ["pairs_of", "requests_of"]


def pairs_of(size: int) -> list[tuple[int, int]]:
    """The ordered pairs (i, j), i != j, of `size` candidates, in the order of their requests."""
    return list(itertools.permutations(range(size), 2))


def requests_of(
    examples: Sequence[Example], render: Literal["chat", "raw"], *, in_pairs: bool
) -> tuple[list[Request], list[range]]:
    """All requests, example by example, and each example's places among them: K, or K(K - 1) of pairs."""
    requests: list[Request] = []
    places: list[range] = []
    for example in examples:
        own = _of_pairs(example, render) if in_pairs else _of_candidates(example, render)
        places.append(range(len(requests), len(requests) + len(own)))
        requests.extend(own)
    return requests, places


def _of_candidates(example: Example, render: Literal["chat", "raw"]) -> list[Request]:
    return [
        Request(example.conversation(k), _prompt_length(example, k), render, example=example, shown=(k,))
        for k in range(len(example.candidates))
    ]


def _of_pairs(example: Example, render: Literal["chat", "raw"]) -> list[Request]:
    conversations = [example.conversation(k) for k in range(len(example.candidates))]
    return [
        Request(
            conversations[i],
            _prompt_length(example, i),
            render,
            against=conversations[j],
            example=example,
            shown=(i, j),
        )
        for i, j in pairs_of(len(conversations))
    ]


def _prompt_length(example: Example, k: int) -> int:
    own = example.candidates[k].prompt
    return len(example.prompt if own is None else own)
