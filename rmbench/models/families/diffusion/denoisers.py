"""What each architecture's denoiser is given beside the noised latents, through diffusers' own modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rmbench.models.families.diffusion.library import diffusers

__all__ = ["CALLS", "Denoiser", "TextState"]

TextState = Mapping[str, Tensor]
"""What a pipeline makes of one prompt: "states" [1, N, D] with, by architecture, "pooled" [1, P], "mask" [1, N] and
"ids" [N, 3]."""


@dataclass(frozen=True)
class Denoiser:
    """A denoiser, policy or reference."""

    model: Any
    layout: str
    steps: int
    """Training steps, T."""
    pixels: int
    """Side of the image."""
    guidance: float

    def __call__(self, noisy: Tensor, times: Tensor, text: TextState) -> Tensor:
        """Its prediction [B, C, h, w] in float32.

        Args:
            noisy: [B, C, h, w].
            times: [B], training steps; of a flow shares of noise.
            text: of the one prompt.
        """
        dtype = self.model.dtype
        given = {name: _spread(name, state, len(noisy), dtype) for name, state in text.items()}
        return CALLS[self.layout](self, noisy.to(dtype), times, given).float()


def _spread(name: str, state: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """One prompt's state for each row of a batch; positions are given once."""
    if name == "ids":
        return state
    spread = state.expand(count, *state.shape[1:])
    return spread if name == "mask" else spread.to(dtype)


def _unet(denoiser: Denoiser, noisy: Tensor, times: Tensor, text: TextState) -> Tensor:
    added = None
    if "pooled" in text:  # SDXL: original size, place of the crop, size
        side = denoiser.pixels
        sizes = torch.tensor([[side, side, 0, 0, side, side]], dtype=noisy.dtype, device=noisy.device)
        added = {"text_embeds": text["pooled"], "time_ids": sizes.expand(len(noisy), -1)}
    predicted: Tensor = denoiser.model(
        noisy, times.long(), encoder_hidden_states=text["states"], added_cond_kwargs=added, return_dict=False
    )[0]
    return predicted


def _sd3(denoiser: Denoiser, noisy: Tensor, times: Tensor, text: TextState) -> Tensor:
    predicted: Tensor = denoiser.model(
        hidden_states=noisy,
        timestep=(times * denoiser.steps).to(noisy),
        encoder_hidden_states=text["states"],
        pooled_projections=text["pooled"],
        return_dict=False,
    )[0]
    return predicted


def _flux(denoiser: Denoiser, noisy: Tensor, times: Tensor, text: TextState) -> Tensor:
    pipeline = diffusers().FluxPipeline
    count, channels, height, width = noisy.shape
    guidance = None
    if denoiser.model.config.guidance_embeds:
        guidance = torch.full((count,), denoiser.guidance, dtype=noisy.dtype, device=noisy.device)
    packed = denoiser.model(
        hidden_states=pipeline._pack_latents(noisy, count, channels, height, width),
        timestep=times.to(noisy),
        guidance=guidance,
        encoder_hidden_states=text["states"],
        pooled_projections=text["pooled"],
        txt_ids=text["ids"],
        img_ids=pipeline._prepare_latent_image_ids(count, height // 2, width // 2, noisy.device, noisy.dtype),
        return_dict=False,
    )[0]
    predicted: Tensor = pipeline._unpack_latents(packed, height, width, 1)
    return predicted


def _pixart(denoiser: Denoiser, noisy: Tensor, times: Tensor, text: TextState) -> Tensor:
    count = len(noisy)
    added: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
    if denoiser.model.use_additional_conditions:
        side = float(denoiser.pixels)
        added["resolution"] = torch.tensor([[side, side]], dtype=noisy.dtype, device=noisy.device).expand(count, -1)
        added["aspect_ratio"] = torch.ones(count, 1, dtype=noisy.dtype, device=noisy.device)
    predicted: Tensor = denoiser.model(
        noisy,
        encoder_hidden_states=text["states"],
        encoder_attention_mask=text["mask"],
        timestep=times.long(),
        added_cond_kwargs=added,
        return_dict=False,
    )[0]
    return predicted[:, : noisy.shape[1]]  # behind it a learned variance, if any


CALLS: Mapping[str, Callable[[Denoiser, Tensor, Tensor, TextState], Tensor]] = {
    "unet": _unet,
    "sd3": _sd3,
    "flux": _flux,
    "pixart": _pixart,
}
"""Layout -> how its module is called."""
