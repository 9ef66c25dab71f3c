"""A model that answers a checklist, with another one's score beside its answers where the checklist has it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmbench.models.families.vision.blip.scorer import BlipScorer
from rmbench.models.families.vl.scorer import VisionLanguageScorer
from rmbench.models.families.vqa.checklist import Checklist
from rmbench.models.protocols import Batch, Encoded, FloatArray, Request

__all__ = ["ChecklistScorer"]

_ALIGNMENT = "alignment"
"""The kind of the other model's rows."""


@dataclass(frozen=True, kw_only=True)
class ChecklistScorer(VisionLanguageScorer):
    """Its passes are the questions, whose rewards are the answers, 1 or -1."""

    checklist: Checklist
    aligner: BlipScorer | None = None
    """Whose score of the image is part of the reward."""

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request: a part for each question, and the other model's row."""
        rows = [row if row.error or row.parts else replace(row, parts=(row,)) for row in super().encode(requests)]
        if self.aligner is None:
            return rows
        return [_beside(row, other) for row, other in zip(rows, self.aligner.encode(requests), strict=True)]

    def decoded(self, rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
        """The other model's rows with their pixels."""
        return tuple(rows) if self.aligner is None else self.aligner.decoded(rows)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}: answers, or the other model's scores."""
        if self.aligner is not None and batch.rows[0].kind == _ALIGNMENT:
            return self.aligner.forward(batch)
        return super().forward(batch)

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """The reward [1], and the weighted answers as "objectives" [questions]."""
        asked = len(self.checklist.questions)
        parts = self.checklist.parts([float(each["reward"][0]) for each in outputs[:asked]])
        others = [float(each["reward"][0]) for each in outputs[asked:]]  # of a video one for each frame
        reward = self.checklist.reward(parts, sum(others) / len(others) if others else 0.0)
        return {"reward": np.array([reward], np.float32), "objectives": np.array(parts, np.float32)}


def _beside(row: Encoded, other: Encoded) -> Encoded:
    """Both models' rows of a request as one."""
    if row.error or other.error:
        return row if row.error else other
    more = tuple(replace(part, kind=_ALIGNMENT) for part in other.parts or (other,))
    key = hashlib.sha256(" ".join(part.key for part in (*row.parts, *more)).encode()).hexdigest()
    remarks = tuple(dict.fromkeys((*row.remarks, *other.remarks)))
    return replace(
        row, key=key, size=row.size + other.size, parts=(*row.parts, *more), remarks=remarks, truncated=other.truncated
    )
