"""Recognises checkpoints of ImageReward, CycleReward, BLIP and BLIP-2."""

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
_MATCHING = {
    "blip-itm": ("BlipForImageTextRetrieval", ("vision_proj.weight", "text_proj.weight", "itm_head.weight")),
    "blip2-itm": (
        "Blip2ForImageTextRetrieval",
        ("query_tokens", "vision_projection.weight", "text_projection.weight", "itm_head.weight"),
    ),
}
"""Layout -> the class that config.json names, and tensors."""


@dataclass(frozen=True, slots=True)
class BlipFamily:
    """BLIP scorers as a family."""

    name: str = "blip"

    @property
    def layouts(self) -> Sequence[str]:
        """Flat state dicts of ImageReward and CycleReward, and transformers' models that match images and texts."""
        return ("imagereward", "cyclereward", *_MATCHING)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """Upstream's flat files have no config.json; one without a class may be the tokenizer's."""
        if layout is None and checkpoint.architectures:
            named = [name for name, (kind, _) in _MATCHING.items() if checkpoint.architectures == (kind,)]
        else:
            named = [layout] if layout in _MATCHING else []
        if named:
            tensors = _MATCHING[named[0]][1]
            held = all(name in checkpoint.tensors for name in tensors)
            return (Fit(named[0], f"the checkpoint holds {', '.join(tensors)}"),) if held else ()
        if layout is None and checkpoint.architectures:
            return ()
        if not all(name in checkpoint.tensors for name in _MARKS):
            return ()
        found = "cyclereward" if _LAST_OF_CYCLEREWARD in checkpoint.tensors else "imagereward"
        if layout not in (None, found):
            return ()
        return (Fit(found, "its file holds blip.visual_encoder, blip.text_encoder and mlp.layers"),)

    def open(self, opening: Opening) -> Scorer:
        if opening.family.layout in _MATCHING:
            from rmbench.models.families.vision.blip.open_matching import open_matching

            return open_matching(opening)
        from rmbench.models.families.vision.blip.open import open_imagereward

        return open_imagereward(opening)


BLIP = BlipFamily()
