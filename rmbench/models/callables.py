"""A Python function over conversations as a Scorer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request

__all__ = ["CallableScorer", "RewardFunction", "open_callable"]

RewardFunction = Callable[[list[list[dict[str, str]]]], Sequence[float]]
"""Takes B conversations, each a list of {"role", "content"} and further keys, and returns B rewards, higher
is better."""


@dataclass(frozen=True)
class CallableScorer:
    """A Scorer around a function. Its rows have no tokens; their size is in characters."""

    function: RewardFunction
    facts: ModelFacts
    answers: frozenset[Answer] = frozenset({"reward"})
    pad_id: int = 0

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Each request as a list of {"role", "content"}."""
        return [_encode(request) for request in requests]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}. Raises RmbenchError where the function returns anything but B numbers."""
        conversations: list[Any] = [[dict(turn) for turn in _turns(row)] for row in batch.rows]
        returned = self.function(conversations)
        try:
            rewards = np.asarray(_as_array(returned), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise RmbenchError(f"{self.facts.name} must return one number per conversation: {error}") from error
        if rewards.ndim == 0 or rewards.size != len(batch.rows):
            raise RmbenchError(
                f"{self.facts.name} must return one reward per conversation: it was given {len(batch.rows)} and "
                f"returned {rewards.size if rewards.ndim else 'a single number'}."
            )
        return {"reward": rewards.reshape(-1, 1).astype(np.float32)}


def open_callable(function: RewardFunction, options: OpenOptions) -> CallableScorer:
    """A function as a model.

    Its name is `options.name`, else that of the function. What a function computes cannot be hashed, so it has no
    fingerprint, and an unfinished run of it starts over instead of going on.

    Raises:
        RmbenchError: a lambda without `name`: all of them would share one folder of records.
    """
    options.check_model_args("callable", ())
    name = _own_name(function) if options.name is None else options.name.strip()
    if not name:
        raise RmbenchError('name must say something: it is what the function is called, as in name="mine".')
    if name == "<lambda>":
        raise RmbenchError(
            'A lambda has no name that tables and records could show: add name="mine", or use a function.'
        )
    facts = ModelFacts(name=name, revision="unversioned", family="callable", why="it is a Python callable")
    return CallableScorer(function, facts)


def _own_name(function: Callable[..., Any]) -> str:
    """A function's name, that of the function in a `functools.partial`, or an object's class."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _encode(request: Request) -> Encoded:
    turns = tuple(message.as_dict for message in request.conversation)
    text = json.dumps(turns)
    size = sum(len(message.text) for message in request.conversation)
    return Encoded(key=hashlib.sha256(text.encode()).hexdigest(), size=size, payload=turns)


def _turns(row: Encoded) -> tuple[dict[str, Any], ...]:
    if not isinstance(row.payload, tuple):
        raise TypeError("a row of a callable carries its conversation as payload")
    return row.payload


def _as_array(returned: Any) -> Any:
    """What numpy can read: a tensor is first brought to the CPU, whatever its dtype."""
    if hasattr(returned, "detach"):
        return returned.detach().float().cpu().numpy()
    return returned
