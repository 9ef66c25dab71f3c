"""A scalar model behind /classify: token ids are sent, raw logits come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.servers.client import Client
from rmbench.models.servers.pool import Server
from rmbench.models.servers.replies import parse_labels
from rmbench.models.servers.requests import CLASSIFY, classify_body
from rmbench.models.text.tokens import TextEncoder
from rmbench.numeric import sigmoid

__all__ = ["ServedScorer", "check_raw", "classify"]

_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ServedScorer:
    """A Scorer whose forward pass is a request. It sends token ids, because a server puts a second BOS before text."""

    client: Client
    model: str
    """As the server calls it."""
    text: TextEncoder
    facts: ModelFacts
    pad_id: int
    stop: Callable[[], None] | None = None
    """Stops a server that was started for this model alone."""
    answers: frozenset[Answer] = field(default=frozenset({"reward"}))
    threads: int = 4
    """Batches in flight at once; the server makes batches of its own."""

    @property
    def encoder(self) -> TextEncoder:
        """Its text's."""
        return self.text

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        return self.text.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}: raw logits. Raises what `Client.post` does."""
        logits = classify(self.client, self.model, [row.ids for row in batch.rows])
        return {"reward": np.asarray(logits, dtype=np.float32).reshape(-1, 1)}

    def close(self) -> None:
        """Break off requests, then stop the server, if it is ours."""
        self.client.close()
        if self.stop is not None:
            self.stop()


def classify(
    client: Client,
    model: str,
    rows: Sequence[Sequence[int]],
    *,
    activation: bool = False,
    server: Server | None = None,
) -> list[float]:
    """[B] outputs of a classifier with one label.

    Args:
        client: sends the request.
        model: as the server calls it.
        rows: [B] rows of token ids.
        activation: whether the server applies its activation (a sigmoid) to the logits.
        server: see `Client.post`.

    Raises:
        RmbenchError: the model has another number of labels; or see `Client.post`.
    """
    body = classify_body(model, rows, activation=activation)
    return client.post(CLASSIFY, body, lambda data: parse_labels(data, len(rows), model), server)


def check_raw(client: Client, model: str, rows: Sequence[Sequence[int]]) -> None:
    """Make sure that every server returns logits. Servers accept fields that they do not know, and a sigmoid that stays
    on keeps the order of rows and spoils their margins.

    Args:
        client: each of its servers is checked.
        model: as they call it.
        rows: a few rows of token ids.

    Raises:
        RmbenchError: a server's logits are those after a sigmoid, or neither.
    """

    def check(server: Server) -> None:
        raw = classify(client, model, rows, server=server)
        squashed = classify(client, model, rows, activation=True, server=server)
        same = all(abs(one - other) < 1e-9 for one, other in zip(raw, squashed, strict=True))
        if same and all(0 < value < 1 for value in raw):
            raise RmbenchError(
                f"{server.api} gives the same numbers between 0 and 1 with the activation and without it, so it does "
                "not know `use_activation`; logits are needed."
            )
        near = all(abs(sigmoid(one) - other) < _TOLERANCE for one, other in zip(raw, squashed, strict=True))
        if not same and not near:
            raise RmbenchError(f"{server.api}: the numbers without the activation are not the logits of those with it.")

    for _ in client.ask_each(check, f"does not classify rows of {model}"):
        pass
