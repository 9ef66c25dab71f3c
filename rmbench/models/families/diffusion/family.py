"""Recognises the denoisers of diffusion pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.protocols import Responder

__all__ = ["CLASSES", "DIFFUSION"]

CLASSES = {
    "UNet2DConditionModel": "unet",
    "SD3Transformer2DModel": "sd3",
    "FluxTransformer2DModel": "flux",
    "PixArtTransformer2DModel": "pixart",
}
"""diffusers' class, as config.json names it -> layout. "unet": Stable Diffusion 1 and 2, and SDXL."""


@dataclass(frozen=True, slots=True)
class DiffusionFamily:
    """The denoisers of text-to-image pipelines that diffusers saves."""

    name: str = "diffusion"

    @property
    def layouts(self) -> Sequence[str]:
        """One for each architecture."""
        return tuple(CLASSES.values())

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """By the class that config.json names, which is a denoiser and nothing else."""
        named = str(checkpoint.config.get("_class_name", ""))
        own = CLASSES.get(named)
        if own is None or layout not in (None, own):
            return ()
        return (Fit(own, f"config.json names diffusers' {named}, {len(checkpoint.tensors)} tensors"),)

    def lacks(self, checkpoint: Checkpoint, layout: str | None) -> str:
        """Which classes are known, of another class of diffusers."""
        named = checkpoint.config.get("_class_name")
        if named is None or str(named) in CLASSES:
            return ""
        return f"It is a model of diffusers, {named}; the denoisers that are known are {', '.join(CLASSES)}."

    def open(self, opening: Opening) -> Responder:
        from rmbench.models.families.diffusion.open import open_diffusion

        return open_diffusion(opening)


DIFFUSION = DiffusionFamily()
