"""Vision-language reward models as scorers: rows of texts and pictures through a backbone and its head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from rmbench.models.backbone.tensors import array_of
from rmbench.models.families.vl.backbone import VisionBackbone
from rmbench.models.families.vl.encoder import VisionEncoder
from rmbench.models.families.vl.heads import RowHead, joined
from rmbench.models.families.vl.rows import VisionRow
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request, Sharing

__all__ = ["VisionLanguageScorer"]


@dataclass(frozen=True)
class VisionLanguageScorer:
    """A MultipartScorer: a row of a model with several passes has a part for each, any other is computed as it is.

    Rows whose prompts show the same pictures are of one kind, so that they meet in one batch.
    """

    backbone: VisionBackbone
    heads: tuple[RowHead, ...]
    """One for each pass."""
    head_dtype: torch.dtype
    text: VisionEncoder
    passes: str
    """How the rewards of several passes become one."""
    facts: ModelFacts
    pad_id: int
    answers: frozenset[Answer] = field(default=frozenset({"reward"}), kw_only=True)

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request; pictures are decoded and counted in tokens here, and encoded in `forward`."""
        return self.text.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}, with "objectives" [B, K] and "sigma" [B, 1] where the head has them."""
        head = self.heads[batch.rows[0].payload.head if isinstance(batch.rows[0].payload, VisionRow) else 0]
        with torch.inference_mode():
            states = self.backbone.states(batch.rows, torch.from_numpy(batch.ids), torch.from_numpy(batch.mask))
            states = states.reshape(len(batch.rows), -1, states.shape[-1])
            wanted = 2 if self.text.header else len(self.text.spots)
            if states.shape[1] == 1 and wanted > 1:  # the warm-up's rows, which hold nothing to read
                states = states.expand(-1, wanted, -1)
            return {name: array_of(values) for name, values in head(states.to(self.head_dtype)).items()}

    def packing(self) -> Sharing:
        """Whether what rows share is computed once, by the backbone's trial."""
        return self.backbone.packing

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """The reward [1] of several passes, the standard deviation [1] where there is one, and the rewards of each as
        "objectives" [passes]."""
        passes = [{name: float(each[name][0]) for name in ("reward", "sigma") if name in each} for each in outputs]
        found = {name: np.array([value], dtype=np.float32) for name, value in joined(passes, self.passes).items()}
        return found | {"objectives": np.array([each["reward"] for each in passes], dtype=np.float32)}
