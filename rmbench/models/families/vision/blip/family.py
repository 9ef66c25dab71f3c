"""Recognises ImageReward and CycleReward checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.protocols import Scorer

__all__ = ["BLIP"]

_MARKS = (
    "blip.visual_encoder.cls_token",
    "blip.text_encoder.embeddings.word_embeddings.weight",
    "blip.text_encoder.encoder.layer.0.crossattention.self.key.weight",
    "mlp.layers.0.weight",
)
_LAST_OF_CYCLEREWARD = "mlp.layers.8.weight"


@dataclass(frozen=True, slots=True)
class BlipFamily:
    """BLIP scorers as a family."""

    name: str = "blip"

    @property
    def layouts(self) -> Sequence[str]:
        """Flat state dicts of ImageReward and CycleReward."""
        return ("imagereward", "cyclereward")

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """Upstream has no config.json; one without a class may be the tokenizer's."""
        if layout is None and checkpoint.architectures:
            return ()
        if not all(name in checkpoint.tensors for name in _MARKS):
            return ()
        found = "cyclereward" if _LAST_OF_CYCLEREWARD in checkpoint.tensors else "imagereward"
        if layout not in (None, found):
            return ()
        return (Fit(found, "its file holds blip.visual_encoder, blip.text_encoder and mlp.layers"),)

    def open(self, opening: Opening) -> Scorer:
        from rmbench.models.families.vision.blip.open import open_imagereward

        return open_imagereward(opening)


BLIP = BlipFamily()
