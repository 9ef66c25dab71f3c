"""Scalar reward models with a declared head: hidden states of a backbone through that head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rmbench.models.backbone.backbone import Backbone, BackboneSharing
from rmbench.models.backbone.tensors import array_of
from rmbench.models.families.scalar.heads.forward import ScoreHead
from rmbench.models.families.scalar.heads.mixture import mixed_margins
from rmbench.models.families.scalar.pooling import BoundPooling, PooledEncoder, spot_of
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.text.tokens import TextEncoder

__all__ = ["DeclaredScorer"]


@dataclass(frozen=True)
class DeclaredScorer(BackboneSharing):
    """A Scorer of a declared head.

    "reward" is [B, 1]; a head of several objectives gives them as "objectives" [B, K], and where weights depend on the
    row "weights" [B, K] and the reward's "quantiles" or "distribution". A mixture of probabilities has no reward of one
    answer: it answers margins.
    """

    backbone: Backbone
    head: ScoreHead
    head_dtype: torch.dtype
    text: TextEncoder
    facts: ModelFacts
    pad_id: int
    pooling: BoundPooling
    objectives: tuple[str, ...]
    """Names of the objectives, in their order; empty where they have none."""
    answers: frozenset[Answer] = frozenset({"reward"})

    def with_hidden(self) -> DeclaredScorer:
        """The same model, which also answers "hidden" [B, H], the state that the head reads."""
        return replace(self, answers=self.answers | {"hidden"})

    @property
    def backbones(self) -> tuple[Backbone]:
        """The one that gives the head's states."""
        return (self.backbone,)

    @property
    def encoder(self) -> PooledEncoder:
        """What `encode` calls."""
        return PooledEncoder(self.pooling, self.text)

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Render, tokenise, and find the states to read, one entry per request."""
        return self.encoder.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """Name -> [B, M], as the class says."""
        with torch.inference_mode():
            state, prompt = self._states(batch)
            found = self.head(state.to(self.head_dtype), None if prompt is None else prompt.to(self.head_dtype))
            found |= {"hidden": state} if "hidden" in self.answers else {}
            return {name: array_of(values) for name, values in found.items()}

    def combine(self, outputs: Sequence[Mapping[str, FloatArray]]) -> FloatArray | None:
        """Margins [K, K] of a mixture of probabilities; None for models that answer rewards."""
        if "margin" not in self.answers:
            return None
        return mixed_margins([one["objectives"] for one in outputs], [one["weights"] for one in outputs])

    def _states(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The answers' states [B, H] and, where the head reads them, the prompts'."""
        spots = [spot_of(row) for row in batch.rows]
        if self.pooling.pooling.rule == "mean":
            lengths = [len(row.ids) for row in batch.rows]
            each = torch.split(self.backbone.states(batch, [range(length) for length in lengths]), lengths)
            return torch.stack([states.mean(0) for states in each]), None
        if not self.head.reads_prompt:
            return self.backbone.states(batch, [[spot.state] for spot in spots]), None
        wanted = [[spot.state, 0 if spot.prompt is None else spot.prompt] for spot in spots]
        both = self.backbone.states(batch, wanted)
        return both[0::2], both[1::2]
