"""Scalar reward models that only their own Python files can build and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import device_of
from rmbench.models.families.scalar.heads.schema import Remote
from rmbench.models.families.scalar.pooling import BoundPooling, encode
from rmbench.models.families.scalar.reference import ReferenceEncoder
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.text.tokens import TextEncoder, TextRow
from rmbench.types import TOOLS, bare_text

__all__ = ["RemoteScorer"]


@dataclass(frozen=True)
class _Chat:
    """A conversation as remote methods take it."""

    turns: tuple[tuple[str, str], ...]
    """(role, text)."""


@dataclass(frozen=True)
class RemoteScorer:
    """A Scorer around a model built by code in its checkpoint. Rows are computed one by one and without padding, since
    its pooling is its own, and which padding it supports is unknown."""

    model: Any
    text: TextEncoder | ReferenceEncoder
    facts: ModelFacts
    pad_id: int
    pooling: BoundPooling
    """Its own token at the end of a row, where it wants one; the model itself pools."""
    remote: Remote
    answers: frozenset[Answer] = frozenset({"reward"})

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Render and tokenise, one entry per request. A model that takes conversations gets them as they are; its
        tokens count the cost alone."""
        if self.remote.method is None:
            return encode(self.pooling, self.text, requests)
        return [_with_turns(row, request) for row, request in zip(self.text.rows(requests), requests, strict=True)]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}."""
        with torch.inference_mode():
            return {"reward": np.array([[self._score(row)] for row in batch.rows], dtype=np.float32)}

    def _score(self, row: Encoded) -> float:
        if self.remote.method is not None:
            turns = row.payload.turns if isinstance(row.payload, _Chat) else (("user", "a"), ("assistant", "b"))
            chat = [{"role": role, "content": text} for role, text in turns]
            method = getattr(self.model, self.remote.method)
            return _number(method(chat, *self.remote.arguments, **self.remote.keywords))
        device = device_of(self.model)
        ids = torch.tensor([row.ids], device=device)
        found = self.model(input_ids=ids, attention_mask=torch.ones_like(ids))
        if self.remote.output == "first":
            found = found[0]
        elif self.remote.output != "itself":
            found = getattr(found, self.remote.output)
        return _number(found)


def _with_turns(row: TextRow | Encoded, request: Request) -> Encoded:
    if isinstance(row, Encoded):
        return row
    if request.render == "raw":
        return Encoded(key="", size=0, error="the model takes conversations, and the task gives raw text")
    if any(message.role == TOOLS for message in request.conversation):
        return Encoded(key="", size=0, error="the model's own code takes conversations without tools")
    turns = tuple((message.role, bare_text(message)) for message in request.conversation)
    return replace(row, text="", remarks=()).encoded(_Chat(turns))  # the template's text is not what the model reads


def _number(found: Any) -> float:
    """The one number that a model returned in whatever shape."""
    values = found if isinstance(found, Tensor) else torch.tensor(found)
    if values.numel() != 1:
        raise RmbenchError(f"The model's own code returned {list(values.shape)}, expected one score of one row.")
    return float(values)
