"""Ideal points of prompts (PAL-B, arXiv 2406.08469): prompt and answer are texts of their own, each read at its last
token, and a prompt is computed once for all of its answers.

Source: RamyaLab/pluralistic-alignment, integration/pal_integration.py, whose reward compares the last states of the two
texts. Its training compares them token by token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from rmbench.models.backbone.backbone import Backbone, BackboneSharing
from rmbench.models.backbone.tensors import array_of
from rmbench.models.families.scalar.heads.ideal import IdealPointHead
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.text.tokens import TextEncoder

__all__ = ["TwoTextEncoder", "TwoTextScorer"]

_PROMPT = "prompt"
"""The kind of rows that are prompts; those of answers are of none."""


@dataclass(frozen=True, slots=True)
class TwoTextEncoder:
    """Renders the messages of the prompt by themselves, and those of the answer by themselves."""

    text: TextEncoder

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """A row of two parts per request: the prompt, then the answer."""
        bare = replace(self.text, template=replace(self.text.template, system="", goal=""))  # the prompt has them
        prompts = self.text.encode([_part(request, slice(request.prompt_messages)) for request in requests])
        answers = bare.encode([_part(request, slice(request.prompt_messages, None)) for request in requests])
        return list(map(_row, prompts, answers))


@dataclass(frozen=True)
class TwoTextScorer(BackboneSharing):
    """A MultipartScorer: "point" [D] of a prompt, "item" [D] of an answer, and "reward" of both."""

    backbone: Backbone
    head: IdealPointHead
    head_dtype: torch.dtype
    text: TextEncoder
    facts: ModelFacts
    pad_id: int
    answers: frozenset[Answer] = frozenset({"reward"})

    @property
    def backbones(self) -> tuple[Backbone]:
        """The one that reads both texts."""
        return (self.backbone,)

    @property
    def encoder(self) -> TwoTextEncoder:
        """What `encode` calls."""
        return TwoTextEncoder(self.text)

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """See `TwoTextEncoder.encode`."""
        return self.encoder.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"point": [B, D]} of prompts, {"item": [B, D]} of answers."""
        with torch.inference_mode():
            state = self.backbone.last(batch).to(self.head_dtype)
            if batch.rows[0].kind == _PROMPT:
                return {"point": array_of(self.head.point(state).expand(len(state), -1))}
            return {"item": array_of(self.head.score(state))}

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """{"reward": [1]}."""
        prompt, answer = outputs
        item, point = (torch.from_numpy(values)[None] for values in (answer["item"], prompt["point"]))
        return {"reward": array_of(self.head.nearness(item, point))[0]}


def _part(request: Request, messages: slice) -> Request:
    kept = request.conversation[messages]
    return replace(request, conversation=kept, prompt_messages=len(kept) if messages.start is None else 0)


def _row(prompt: Encoded, answer: Encoded) -> Encoded:
    for name, part in (("prompt", prompt), ("answer", answer)):
        if part.error:
            return Encoded(key="", size=0, error=f"the {name}: {part.error}")
    parts = (replace(prompt, kind=_PROMPT, key=f"{_PROMPT}/{prompt.key}"), answer)
    return Encoded(
        key=_hash(*(part.key for part in parts)),
        size=prompt.size + answer.size,
        truncated=prompt.truncated or answer.truncated,
        parts=parts,
        remarks=tuple(dict.fromkeys((*prompt.remarks, *answer.remarks))),
        text_digest=_hash(prompt.text_digest, answer.text_digest),
    )


def _hash(*texts: str) -> str:
    return hashlib.sha256(" ".join(texts).encode()).hexdigest()
