"""Whether a checkpoint is a model with T5 that can be asked: its configuration and tensors."""

from __future__ import annotations

from rmbench.models.checkpoint.opening import Fit
from rmbench.models.checkpoint.read import Checkpoint

__all__ = ["BLIPS", "CLIP_T5", "SEQ2SEQ", "with_t5"]

SEQ2SEQ, CLIP_T5 = "vqa-seq2seq", "vqa-clip-t5"
"""Layouts: transformers' classes, and VQAScore's own."""
BLIPS = {"blip-2": "BLIP-2", "instructblip": "InstructBLIP"}
"""`model_type` -> what it is."""
_PROJECTOR = ("mm_projector.0.weight", "mm_projector.2.weight")


def with_t5(checkpoint: Checkpoint) -> Fit | None:
    """The layout that it has; None: neither."""
    kind, text = checkpoint.config.get("model_type"), checkpoint.config.get("text_config")
    if kind in BLIPS and isinstance(text, dict) and text.get("model_type") == "t5":
        return Fit(SEQ2SEQ, f"{BLIPS[kind]} with T5")
    if kind == "clip_t5" and all(name in checkpoint.tensors for name in _PROJECTOR):
        return Fit(CLIP_T5, "T5 with a CLIP tower and mm_projector")
    return None
