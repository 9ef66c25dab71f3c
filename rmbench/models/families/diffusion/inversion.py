"""InPO's noised images: inverted from clean ones by the policy itself (arXiv 2503.18454, JaydenLyh/InPO, train.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.families.diffusion.library import diffusers
from rmbench.models.families.diffusion.process import Process

__all__ = ["Inversion", "inversion_of"]

_KEYS = (
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "num_train_timesteps",
    "rescale_betas_zero_snr",
    "set_alpha_to_one",
    "steps_offset",
)


@dataclass(frozen=True)
class Inversion:
    """DDIM inversion in few steps, each with a share `eta` of its variance as noise.

    Upstream draws this noise for each image; here a row's images share it, as they share the step. Its variance of the
    last step asks for a step behind the last one, which is taken as the last.
    """

    inverse: Any
    """diffusers' DDIMInverseScheduler with its steps set."""
    forward: Any
    """diffusers' DDIMScheduler, for variances."""
    eta: float

    @property
    def inner(self) -> int:
        """How many noises a draw needs."""
        return len(self.inverse.timesteps)

    def __call__(
        self, latent: Tensor, times: Tensor, noise: Tensor, predict: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Noised latents, and the noise that leads to them, each [B, C, h, w].

        Args:
            latent: [C, h, w] of the clean image.
            times: [B] the steps to reach.
            noise: [B, n, C, h, w] for the n steps of the inversion.
            predict: the policy's noise of latents [b, C, h, w] at steps [b].
        """
        noisy = latent.expand(len(times), *latent.shape).clone()
        width = self.inverse.config.num_train_timesteps // self.inverse.num_inference_steps
        last = self.inverse.config.num_train_timesteps - 1
        for place, step in enumerate(self.inverse.timesteps.tolist()):
            active = times > step
            if not active.any():
                break
            at = torch.full((int(active.sum()),), float(step), dtype=times.dtype, device=times.device)
            moved = self.inverse.step(predict(noisy[active], at), step, noisy[active]).prev_sample
            variance = float(self.forward._get_variance(min(step + width, last), step)) ** 0.5
            noisy[active] = moved + self.eta * variance * noise[active, place]
        alpha = self.forward.alphas_cumprod.to(noisy)[times.long()][:, None, None, None]
        return noisy, (noisy - alpha.sqrt() * latent) / (1 - alpha).sqrt()


def inversion_of(config: dict[str, Any], process: Process, steps: int, eta: float, where: object) -> Inversion:
    """The inversion for a pipeline's scheduler.

    Args:
        config: of scheduler_config.json.
        process: what it declares.
        steps: of the inversion.
        eta: share of the variance.
        where: the file, for messages.

    Raises:
        RmbenchError: the denoiser predicts no noise, or has fewer steps.
    """
    library = diffusers()
    if process.target != "epsilon":
        raise RmbenchError(f"score=inpo inverts a prediction of noise, and {where} declares {process.target}.")
    if steps > process.steps:
        raise RmbenchError(f"inversion_steps={steps}: {where} has {process.steps} training steps.")
    shared = {key: config[key] for key in _KEYS if key in config}
    inverse = library.DDIMInverseScheduler(**shared, clip_sample=bool(config.get("clip_sample", False)))
    inverse.set_timesteps(steps)
    return Inversion(inverse, library.DDIMScheduler(**shared), eta)
