"""Answers rated behind a critique that the model writes of them first (MM-RLHF-Reward).

Upstream (Kwai-YuanQi/MM-RLHF, llava/eval/eval_mm_reward_bench.py) asks for the critique, decodes it, puts its text into
the conversation as the assistant's turn, and reads the head at the end of that. It is greedy there by default, so that
one critique is all there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import array_of
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.scalar.heads.build import HeadTensors
from rmbench.models.families.vl.encoder import VisionEncoder
from rmbench.models.families.vl.rows import UnreadableError, VisionRow, row_of
from rmbench.models.families.vl.scorer import VisionLanguageScorer
from rmbench.models.protocols import Batch, Encoded, FloatArray, Request, Sharing
from rmbench.types import Message

__all__ = ["CritiqueScorer", "OutputLayer", "ends_of", "output_layer", "with_critique"]

_NAMES = ("lm_head.weight", "language_model.lm_head.weight", "model.embed_tokens.weight")
"""Of the output layer, and of the embeddings that it may be tied to."""


@dataclass(frozen=True, slots=True)
class CritiqueRow(VisionRow):
    """A row that asks for a critique, with the request that the critique then stands behind."""

    request: Request | None = None


@dataclass(frozen=True, eq=False)
class OutputLayer:
    """Logits of tokens."""

    weight: Tensor
    """[V, H]"""

    def __call__(self, state: Tensor) -> Tensor:
        """[H] -> [V]"""
        return F.linear(state, self.weight)


def output_layer(tensors: HeadTensors) -> OutputLayer:
    """The language-model head of a checkpoint; raises RmbenchError where it has none."""
    name = next((name for name in _NAMES if name in tensors.checkpoint.tensors), None)
    if name is None:
        raise RmbenchError(
            f"{tensors.where(None)} has no {_NAMES[0]}, with which the model writes its critique: pass "
            "critique=none to rate answers without one."
        )
    taken = set(tensors.taken)
    (weight,) = tensors.read([name])
    tensors.taken = taken | ({name} if "lm_head" in name else set())
    return OutputLayer(weight)


@dataclass(frozen=True)
class CritiqueScorer(VisionLanguageScorer):
    """A Scorer that writes a critique of each answer, a row at a time, and reads the head behind it."""

    logits: OutputLayer
    ends: frozenset[int]
    """Tokens that end a critique."""
    most: int
    """Tokens of a critique at most."""
    behind: VisionEncoder
    """Reads conversations that end with the critique."""

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request, of the question alone, and of a kind of its own: a critique that makes its row too
        long costs no other row's again."""
        (wording,) = self.text.wordings
        found = []
        for row, request in zip(self.text.encode(requests), requests, strict=True):
            if not row.error:
                read = row_of(row)
                row = replace(
                    row, kind=row.key, payload=CritiqueRow(read.places, read.spots, request=wording.turn(request))
                )
            found.append(row)
        return found

    def packing(self) -> Sharing:
        """Each row is computed alone."""
        return Sharing(False, "")

    def critique(self, row: Encoded) -> str:
        """What the model writes of a row's answer."""
        with torch.inference_mode():
            ids = self.backbone.written(row, self.logits, self.ends, self.most)
        text: str = self.text.tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}; raises UnreadableError where a critique makes a row too long."""
        states = []
        with torch.inference_mode():
            for row in batch.rows:
                row = self._answered(row)
                ids = torch.tensor([row.ids])
                states.append(self.backbone.states([row], ids, torch.ones_like(ids))[0])
            found = self.heads[0](torch.stack(states)[:, None].to(self.head_dtype))
            return {name: array_of(values) for name, values in found.items()}

    def _answered(self, row: Encoded) -> Encoded:
        """The row of the question, the critique and its end; that of the warm-up as it is."""
        if not isinstance(row.payload, CritiqueRow) or row.payload.request is None:
            return row
        asked = row.payload.request
        turns = (*asked.conversation, Message.of("assistant", self.critique(row)))
        (found,) = self.behind.encode([replace(asked, conversation=turns)])
        if found.error:
            raise UnreadableError(found.error)
        return found


def ends_of(scorer: VisionLanguageScorer, checkpoint: Checkpoint) -> frozenset[int]:
    """The tokens of which config.json or the tokenizer says that a text ends there."""
    declared = checkpoint.config.get("eos_token_id")
    several = declared if isinstance(declared, list) else [declared]
    return frozenset(each for each in (*several, scorer.text.tokenizer.eos_token_id) if isinstance(each, int))


def with_critique(
    scorer: VisionLanguageScorer, logits: OutputLayer, most: int, checkpoint: Checkpoint
) -> CritiqueScorer:
    """The scorer with a critique before each score, which ends where config.json or the tokenizer says a text does."""
    own = {name: getattr(scorer, name) for name in scorer.__dataclass_fields__}
    template = replace(scorer.text.template, generation_prompt=False)
    return CritiqueScorer(
        **own,
        logits=logits,
        ends=ends_of(scorer, checkpoint),
        most=most,
        behind=replace(scorer.text, template=template, wordings=()),
    )
