"""A scalar model behind `/classify`: our tokens go there, raw logits come back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.servers.client import AgainError, Client
from rmbench.models.text.tokens import TextEncoder

__all__ = ["ServedScorer", "check_raw", "classify"]

_EQUAL = 1e-3


@dataclass(frozen=True)
class ServedScorer:
    """A Scorer whose forward is a request. It sends token ids, never text, before which a server puts a second BOS."""

    client: Client
    model: str
    """As the server calls it."""
    text: TextEncoder
    facts: ModelFacts
    pad_id: int
    stop: Callable[[], None] | None = None
    """Ends a server that was started for this model alone."""
    answers: frozenset[Answer] = field(default=frozenset({"reward"}))
    threads: int = 4
    """Batches under way at once; the server makes batches of its own."""

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Render and tokenise, one entry per request."""
        return self.text.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}: raw logits. Raises what `Client.post` does."""
        logits = classify(self.client, self.model, [row.ids for row in batch.rows])
        return {"reward": np.asarray(logits, dtype=np.float32).reshape(-1, 1)}

    def combine(self, outputs: Sequence[Mapping[str, FloatArray]]) -> None:
        """Nothing: the model answers rewards alone."""

    def close(self) -> None:
        """Break off requests, then stop the server, if it is ours."""
        self.client.close()
        if self.stop is not None:
            self.stop()


def classify(
    client: Client, model: str, rows: Sequence[Sequence[int]], *, activation: bool = False, **to: Any
) -> list[float]:
    """[B] what a one-label classifier says of rows of token ids.

    Args:
        client: whom to ask.
        model: as the server calls it.
        rows: [B] rows of token ids.
        activation: whether the server puts its activation (a sigmoid) on the logits.
        to: `server=` of `Client.post`.

    Raises:
        RmbenchError: the model has another number of labels.
        AgainError, RefusedError: as `Client.post` says.
    """

    def read(data: Any) -> list[float]:
        entries = data.get("data") if isinstance(data, dict) else None
        if not isinstance(entries, list) or len(entries) != len(rows):
            raise AgainError(f"the answer has not the {len(rows)} rows that were asked for")
        found: dict[int, float] = {}
        for entry in entries:
            values = entry.get("probs") if isinstance(entry, dict) else None
            if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
                raise AgainError("a row of the answer holds no numbers")
            if len(values) != 1:
                raise RmbenchError(f"{model} has {len(values)} labels; a scalar reward model has exactly one.")
            found[entry.get("index", -1)] = float(values[0])
        if set(found) != set(range(len(rows))):
            raise AgainError("the answer's rows are not those that were asked for")
        return [found[index] for index in range(len(rows))]

    body = {"model": model, "input": [list(row) for row in rows], "use_activation": activation}
    return client.post("/classify", body, read, **to)


def check_raw(client: Client, model: str, rows: Sequence[Sequence[int]]) -> None:
    """Make sure that every server gives logits. Servers accept switches that they do not know, and a sigmoid that
    stays on keeps the order of rows and spoils their margins.

    Args:
        client: its servers are asked one after the other.
        model: as they call it.
        rows: a few rows of token ids.

    Raises:
        RmbenchError: what is called a logit is a sigmoid, or neither.
    """
    for server in client.servers:
        if server.dropped:
            continue
        try:
            raw = classify(client, model, rows, server=server)
            squashed = classify(client, model, rows, activation=True, server=server)
        except RmbenchError:
            if server.dropped and any(not other.dropped for other in client.servers):
                continue
            raise
        except Exception as error:
            raise RmbenchError(f"{server.api} does not classify rows of {model}: {error}") from error
        same = all(abs(one - other) < 1e-9 for one, other in zip(raw, squashed, strict=True))
        if same and all(0 < value < 1 for value in raw):
            raise RmbenchError(
                f"{server.api} gives the same numbers between 0 and 1 with the activation and without it, so it does "
                "not know `use_activation`; logits are needed."
            )
        near = [abs(_sigmoid(one) - other) < _EQUAL for one, other in zip(raw, squashed, strict=True)]
        if not same and not all(near):
            raise RmbenchError(f"{server.api}: the numbers without the activation are not the logits of those with it.")


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
