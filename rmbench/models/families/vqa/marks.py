"""Whether a checkpoint holds CLIP-FlanT5: its configuration and tensors."""

from __future__ import annotations

from rmbench.models.checkpoint.read import Checkpoint

__all__ = ["CLIP_T5", "is_clip_t5"]

CLIP_T5 = "vqa-clip-t5"
"""The layout."""
_TENSORS = ("mm_projector.0.weight", "mm_projector.2.weight")


def is_clip_t5(checkpoint: Checkpoint) -> bool:
    """Whether it does."""
    return checkpoint.config.get("model_type") == "clip_t5" and all(name in checkpoint.tensors for name in _TENSORS)
