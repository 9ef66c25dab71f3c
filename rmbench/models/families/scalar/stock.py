"""Scalar reward models: any stock sequence classifier with one label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from rmbench.errors import RmbenchError
from rmbench.models.backbone.backbone import Backbone, BackboneSharing
from rmbench.models.backbone.tensors import array_of, left_align, linear_head, tensors_of
from rmbench.models.families.scalar.pooling import BoundPooling, PooledEncoder, spot_of
from rmbench.models.families.scalar.segments import PairEncoder, segment_ids
from rmbench.models.protocols import Answer, Batch, Encoded, Encoder, FloatArray, IntArray, ModelFacts, Request
from rmbench.models.text.tokens import TextEncoder

__all__ = ["ScalarScorer"]


@dataclass(frozen=True)
class ScalarScorer(BackboneSharing):
    """A Scorer whose reward is W h + b.

    Decoders: h is the last layer's state at the row's last real token, whatever the padding side and whatever the pad
    token, unless the card asks for upstream's rule. Encoders: the class's own pooling.
    """

    why_whole: ClassVar[str] = "an encoder's states depend on what follows them"

    model: Any
    """A transformers sequence classifier in eval mode."""
    backbone: Backbone | None
    """The classifier's own, for decoders."""
    text: TextEncoder | PairEncoder
    facts: ModelFacts
    pad_id: int
    pooling: BoundPooling | None
    """None: the class's own, for encoders."""
    head_dtype: torch.dtype
    answers: frozenset[Answer] = frozenset({"reward"})

    def with_hidden(self) -> ScalarScorer:
        """The same model, which also answers "hidden" [B, H]; only decoders have such a state."""
        if self.pooling is None:
            raise RmbenchError(f"{self.facts.name} pools in its own way, so it has no state at a last token.")
        return replace(self, answers=self.answers | {"hidden"})

    @property
    def backbones(self) -> tuple[Backbone | None]:
        """The classifier's own; an encoder has none."""
        return (self.backbone,)

    @property
    def encoder(self) -> Encoder:
        """What `encode` calls."""
        if self.pooling is None or isinstance(self.text, PairEncoder):
            return self.text
        return PooledEncoder(self.pooling, self.text)

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        return self.encoder.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}, and "hidden" [B, H] where it is answered."""
        with torch.inference_mode():
            if self.backbone is None:
                return {"reward": array_of(self._classified(batch))}
            state = self.backbone.states(batch, [[spot_of(row).state] for row in batch.rows])
            answered = {"reward": array_of(self._rewards(state))}
            return answered | {"hidden": array_of(state)} if "hidden" in self.answers else answered

    def _rewards(self, state: torch.Tensor) -> torch.Tensor:
        """[B, 1] of states [B, H]. A head that an adapter wraps, as in training, is more than its weight."""
        head = self.model.score
        if isinstance(head, torch.nn.Linear):
            return linear_head(state, head.weight, head.bias, self.head_dtype)
        scores: torch.Tensor = head(state)
        return scores.float()

    def _classified(self, batch: Batch) -> torch.Tensor:
        """[B, 1] of an encoder's own class."""
        ids, mask = left_align(*tensors_of(batch, self.model))
        given = {name: torch.from_numpy(array).to(ids.device) for name, array in self._segments(batch).items()}
        scores: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, **given).logits
        return scores

    def _segments(self, batch: Batch) -> dict[str, IntArray]:
        """Segment ids [B, T] of rows at the left, where rows are pairs and the model tells segments apart."""
        tells = (getattr(self.model.config, "type_vocab_size", 0) or 0) > 1
        typed = isinstance(self.text, PairEncoder) and self.text.typed
        return {"token_type_ids": segment_ids(batch)} if tells and typed else {}
