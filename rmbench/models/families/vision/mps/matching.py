"""Whether a checkpoint holds MPS: its tensors."""

from __future__ import annotations

from rmbench.models.checkpoint.read import Checkpoint

__all__ = ["prefix_of"]

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
