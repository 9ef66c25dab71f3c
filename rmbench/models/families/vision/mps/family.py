"""Recognises MPS checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.protocols import Scorer

__all__ = ["MPS", "prefix_of"]

_MARKS = (
    "cross_model.layers.0.0.fn.to_kv.weight",
    "cross_model.layers.0.1.fn.fused_attn_ff_proj.weight",
    "model.visual_projection.weight",
    "model.text_projection.weight",
    "model.logit_scale",
)


def prefix_of(checkpoint: Checkpoint) -> str | None:
    """What stands before the names: "" of the model's own state dict, "mps." of imscore's; None: it is none."""
    return next((one for one in ("", "mps.") if all(one + name in checkpoint.tensors for name in _MARKS)), None)


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
