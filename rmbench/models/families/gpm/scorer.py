"""General preference models: one forward per candidate, margins of all pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from rmbench.models.backbone.backbone import Backbone, BackboneSharing
from rmbench.models.backbone.tensors import array_of
from rmbench.models.families.gpm.heads import Gate, Head, gate_of, unit
from rmbench.models.families.gpm.margins import margins
from rmbench.models.families.gpm.text import GpmText
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request

__all__ = ["GpmScorer"]


@dataclass(frozen=True)
class GpmScorer(BackboneSharing):
    """A Scorer whose margin of candidates a and b is s(a, b) / tau, so that its sigmoid is P(a > b).

    s is that of `margins`, of embeddings v = value head(h) with h the last layer's state at the row's last real token,
    and gates of the state at the last token of the first message. A value head of width 1 is upstream's Bradley-Terry
    mode: the reward r is the head's output and the margin (r_a - r_b) / tau.
    """

    backbone: Backbone
    text: GpmText
    facts: ModelFacts
    pad_id: int
    value: Head
    prompt: Head | None
    """None: there is no gate."""
    gate: Gate
    tau: float
    l2: bool
    """Whether embeddings are given length 1."""
    answers: frozenset[Answer] = frozenset({"margin"})

    def with_hidden(self) -> GpmScorer:
        """The same model, which also answers "hidden" [B, H]."""
        return replace(self, answers=self.answers | {"hidden"})

    @property
    def backbones(self) -> tuple[Backbone]:
        """The one that gives the head's states."""
        return (self.backbone,)

    @property
    def encoder(self) -> GpmText:
        """Its text's."""
        return self.text

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        return self.text.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"_embedding": [B, d], "_gate": [B, d/2]}, or {"reward": [B, 1]} of a head of width 1; and "hidden" [B, H]
        where it is answered."""
        with torch.inference_mode():
            gated = self.prompt is not None
            wanted = [[len(row.ids) - 1, *([_place(row)] if gated else [])] for row in batch.rows]
            states = self.backbone.states(batch, wanted)  # [B, H], or [2B, H] with the prompts' in between
            state = states[:: 1 + gated]
            answered = {"hidden": array_of(state)} if "hidden" in self.answers else {}
            values = self.value(state).float()
            if "reward" in self.answers:
                return answered | {"reward": array_of(values)}
            embedding = unit(values) if self.l2 else values
            gate = self._gates(states[1::2] if gated else state, embedding.shape[-1] // 2)
        return answered | {"_embedding": array_of(embedding), "_gate": array_of(gate)}

    def combine(self, outputs: Sequence[Mapping[str, FloatArray]]) -> FloatArray:
        """Margins [K, K] in log-odds, row above column, of the outputs of K candidates."""
        if "reward" in self.answers:
            rewards = np.array([output["reward"][0] for output in outputs], dtype=np.float64)
            found = rewards[:, None] - rewards[None, :]
        else:
            embeddings = np.stack([output["_embedding"] for output in outputs])
            found = margins(embeddings, np.stack([output["_gate"] for output in outputs]))
        log_odds: FloatArray = (found / self.tau).astype(np.float32)
        return log_odds

    def _gates(self, prompts: torch.Tensor, blocks: int) -> torch.Tensor:
        """[B, d/2] from the prompts' states [B, H]."""
        if self.prompt is None:
            return torch.ones((len(prompts), blocks))
        return gate_of(self.prompt(prompts).float(), self.gate, prompts.shape[-1])


def _place(row: Encoded) -> int:
    """Where in the row the prompt ends, as the encoder said it."""
    if not isinstance(row.payload, int):
        raise TypeError(f"a row of a gated GPM says where its prompt ends, not {row.payload!r}")
    return row.payload
