"""Scalar reward models that only their own Python files can build and run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.media import MEDIA_REJECTED, MediaError, Medium, media_of, open_medium, pixels_of
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
    seen: tuple[str, ...] = ()
    """What its images show, by content."""
    images: tuple[Medium, ...] = field(default=(), repr=False)


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
        rows = zip(self.text.rows(requests), requests, strict=True)
        return [_with_turns(row, request, self.remote.images) for row, request in rows]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}."""
        with torch.inference_mode():
            return {"reward": np.array([[self._score(row)] for row in batch.rows], dtype=np.float32)}

    def _score(self, row: Encoded) -> float:
        if self.remote.method is not None:
            return self._by_method(row.payload if isinstance(row.payload, _Chat) else _WARM, self.remote.method)
        device = device_of(self.model)
        ids = torch.tensor([row.ids], device=device)
        found = self.model(input_ids=ids, attention_mask=torch.ones_like(ids))
        if self.remote.output == "first":
            found = found[0]
        elif self.remote.output != "itself":
            found = getattr(found, self.remote.output)
        return _number(found)

    def _by_method(self, asked: _Chat, name: str) -> float:
        """The score of a conversation. Its images are files for as long as the method runs: encoded anew here, so that
        no file, name or address of a benchmark reaches the model's own code."""
        chat = [{"role": role, "content": text} for role, text in asked.turns]
        method, keywords = getattr(self.model, name), self.remote.keywords
        if self.remote.images is None:
            return _number(method(chat, *self.remote.arguments, **keywords))
        with tempfile.TemporaryDirectory(prefix="rmbench-images-") as folder:
            files = [Path(folder) / f"{number}.png" for number in range(len(asked.images))]
            for file, medium in zip(files, asked.images, strict=True):
                pixels_of(medium)[0].save(file)
            return _number(method(chat, list(map(str, files)), *self.remote.arguments, **keywords))


_WARM = _Chat((("user", "a"), ("assistant", "b")))


def _with_turns(row: TextRow | Encoded, request: Request, mark: str | None) -> Encoded:
    """The row with its conversation; `mark` is the text that stands for an image, None where the model sees none."""
    if isinstance(row, Encoded):
        return row
    if request.render == "raw":
        return Encoded(key="", size=0, error="the model takes conversations, and the task gives raw text")
    if any(message.role == TOOLS for message in request.conversation):
        return Encoded(key="", size=0, error="the model's own code takes conversations without tools")
    turns = tuple((message.role, bare_text(message)) for message in request.conversation)
    images: tuple[Medium, ...] = ()
    if mark is not None:
        if any(mark in text for _, text in turns):
            return Encoded(key="", size=0, error=f"a text spells {mark}, which takes an image's place in this model")
        if media_of(request.conversation[request.prompt_messages :]):
            return Encoded(key="", size=0, error="the answer shows an image, and the model is shown those of prompts")
        try:
            images = tuple(open_medium(part, None) for part in media_of(request.conversation))
            for medium in images:
                pixels_of(medium)  # a broken one fails its row here, and no batch later
        except MediaError as error:
            return Encoded(key="", size=0, error=f"{MEDIA_REJECTED}: {error}")
    chat = _Chat(turns, tuple(medium.key for medium in images), images)
    return replace(row, text="", remarks=()).encoded(chat)  # the template's text is not what the model reads


def _number(found: Any) -> float:
    """The one number that a model returned in whatever shape."""
    values = found if isinstance(found, Tensor) else torch.tensor(found)
    if values.numel() != 1:
        raise RmbenchError(f"The model's own code returned {list(values.shape)}, expected one score of one row.")
    return float(values)
