"""Recognises MPS checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.vision.mps.matching import prefix_of
from rmbench.models.protocols import Scorer

__all__ = ["MPS"]


@dataclass(frozen=True, slots=True)
class MpsFamily:
    """MPS as a family."""

    name: str = "mps"

    @property
    def layouts(self) -> Sequence[str]:
        """A state dict of towers and cross model."""
        return ("mps",)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """The published file is a pickled module, which is not read; a copy of its tensors is."""
        if prefix_of(checkpoint) is None:
            return ()
        return (Fit("mps", "its file holds CLIP's towers and cross_model.layers"),)

    def open(self, opening: Opening) -> Scorer:
        from rmbench.models.families.vision.mps.open import open_mps

        return open_mps(opening)


MPS = MpsFamily()
