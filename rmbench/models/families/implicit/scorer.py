"""Implicit rewards: a policy's log-probabilities, and its references', as a Scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import torch

from rmbench.models.backbone.backbone import Backbone, BackboneSharing
from rmbench.models.families.implicit.answers import Answer
from rmbench.models.families.implicit.formulas import Fusion, Rule, fuse, reward
from rmbench.models.families.implicit.language import LanguageModel
from rmbench.models.protocols import Answer as Answers
from rmbench.models.protocols import Batch, Encoded, Encoder, FloatArray, ModelFacts, Request

__all__ = ["ImplicitScorer", "PolicyScorer"]

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PolicyScorer:
    """A Scorer whose reward is a formula over the log-probabilities of the answer's tokens.

    Beside "reward" it gives "logp", the whole answer's log-probability in nats, and "tokens", the number of tokens that
    it is a sum over; with a reference also "ref_logp", the same under the (fused) reference, and "beta". Token weights
    are in the reward alone.
    """

    policy: LanguageModel
    references: tuple[LanguageModel, ...]
    text: Encoder
    """Makes rows whose payload is an `Answer`."""
    rule: Rule
    facts: ModelFacts
    pad_id: int
    fusion: Fusion = "mean"
    ref_weights: tuple[float, ...] | None = None
    answers: frozenset[Answers] = frozenset({"reward"})

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Render, tokenise and find the answers, one entry per request."""
        return self.text.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward", "logp", "tokens"}, and {"ref_logp", "beta"} with a reference: each [B, 1]."""
        spans = [_answer(row) for row in batch.rows]
        places = [range(span.start, len(row.ids)) for span, row in zip(spans, batch.rows, strict=True)]
        with torch.inference_mode():
            logps = _split(self.policy.logps(batch, places), places)
            refs = [_split(reference.logps(batch, places), places) for reference in self.references]
        found = [
            self._row(span, own, np.stack(others) if others else None)
            for span, own, *others in zip(spans, logps, *refs, strict=True)
        ]
        return {name: np.array([[row[name]] for row in found], dtype=np.float32) for name in found[0]}

    def _row(self, span: Answer, logps: Doubles, refs: Doubles | None) -> dict[str, float]:
        """One row's figures from its tokens' log-probabilities [n], and [R, n] under the references."""
        fused = None if refs is None else fuse(refs, self.ref_weights, self.fusion)
        weights = None if span.weights is None else np.array(span.weights, dtype=np.float64)
        figures = {
            "reward": reward(logps, fused, self.rule, weights),
            "logp": float(logps.sum()),
            "tokens": float(len(logps)),
        }
        return figures if fused is None else figures | {"ref_logp": float(fused.sum()), "beta": self.rule.beta}


@dataclass(frozen=True)
class ImplicitScorer(PolicyScorer, BackboneSharing):
    """The same of text alone, whose rows may come in prefix groups."""

    @property
    def backbones(self) -> list[Backbone | None]:
        """The policy's and the references'."""
        return [model.backbone for model in (self.policy, *self.references)]

    @property
    def encoder(self) -> Encoder:
        """What `encode` calls."""
        return self.text


def _answer(row: Encoded) -> Answer:
    if not isinstance(row.payload, Answer):
        raise TypeError(f"row {row.key!r} does not say where its answer begins")
    return row.payload


def _split(values: torch.Tensor, places: Sequence[range]) -> list[Doubles]:
    """[N] token log-probabilities as one array per row."""
    flat: Doubles = values.double().cpu().numpy()
    ends = accumulate((len(place) for place in places), initial=0)
    return [flat[start:end] for start, end in pairwise(ends)]
