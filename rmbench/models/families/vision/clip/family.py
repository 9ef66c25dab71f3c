"""Recognises CLIP checkpoints in three formats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.protocols import Scorer

__all__ = ["CLIP", "LAYOUTS"]

_OPEN_CLIP = (r"visual\..*", r"(text\.)?token_embedding\.weight", r"(text\.)?ln_final\.weight", "logit_scale")
_TRANSFORMERS = (r"text_model\..*", r"vision_model\..*", r"visual_projection\.weight", r"text_projection\.weight")

LAYOUTS = {
    "hpsv2": _OPEN_CLIP,
    "open-clip": _OPEN_CLIP,
    "hf-clip": (*_TRANSFORMERS, "logit_scale"),
}
"""Layout -> regular expressions, each of which names a tensor. "hpsv2": one torch file of open_clip's tensors and no
configuration. "open-clip": the same with open_clip_config.json. "hf-clip": transformers' CLIPModel (PickScore)."""


@dataclass(frozen=True, slots=True)
class ClipFamily:
    """Two-tower models as a family."""

    name: str = "clip"

    @property
    def layouts(self) -> Sequence[str]:
        """The three ways to save one."""
        return tuple(LAYOUTS)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        own = [layout] if layout else [name for name in LAYOUTS if name == _declared(checkpoint)]
        return tuple(Fit(name, _ground(checkpoint, name)) for name in own if _has(checkpoint, LAYOUTS[name]))

    def open(self, opening: Opening) -> Scorer:
        from rmbench.models.families.vision.clip.open import open_clip_model

        return open_clip_model(opening)


def _declared(checkpoint: Checkpoint) -> str:
    """The layout that the configuration, or its absence, indicates."""
    config = checkpoint.config
    if not config:
        return "hpsv2"
    if isinstance(config.get("model_cfg"), dict):
        return "open-clip"
    return "hf-clip" if checkpoint.architectures == ("CLIPModel",) else ""


def _has(checkpoint: Checkpoint, patterns: Sequence[str]) -> bool:
    return all(any(re.fullmatch(pattern, name) for name in checkpoint.tensors) for pattern in patterns)


def _ground(checkpoint: Checkpoint, layout: str) -> str:
    if layout == "hf-clip":
        return "the checkpoint holds text_model, vision_model, their projections and logit_scale"
    config = "open_clip_config.json" if "model_cfg" in checkpoint.config else "one torch file"
    return f"{config} and open_clip's tensors visual.*, token_embedding and logit_scale"


CLIP = ClipFamily()
