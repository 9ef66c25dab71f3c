"""How an image is noised and what a denoiser should have predicted: noise, v, or the velocity of a flow; and draws of
step and noise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.families.diffusion.library import diffusers

__all__ = ["Draw", "Process", "draw", "process_of"]

Target = Literal["epsilon", "v_prediction", "flow"]
_SHARED = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
"""Keys of scheduler_config.json that say how images were noised in training, whichever sampler it names."""
_FLOW = "FlowMatchEulerDiscreteScheduler"
_NAMES = {"epsilon": "noise", "v_prediction": "v", "flow": "velocity of a flow, noise - image"}


@dataclass(frozen=True, slots=True)
class Draw:
    """A step and noise, shared by a row's images."""

    time: float
    """The training step, a whole number from 0; of a flow the share of noise, in [0, 1]."""
    noise: Tensor
    """[1 + n, C, h, w] standard normal: the noise of the step, and what each step of an inversion adds."""


def draw(
    shared: str, number: int, *, seed: int, shape: Sequence[int], process: Process, steps: Sequence[int], inner: int
) -> Draw:
    """The draw of this number of a row: it depends on `seed`, what rows share it, and the number alone.

    Args:
        shared: the rows' cluster, or the id of a row that has none.
        number: from 0.
        seed: of the model.
        shape: [C, h, w] of the latents.
        process: of the denoiser.
        steps: the steps to take in turn; (): uniform over all.
        inner: how many further noises an inversion adds.
    """
    key = hashlib.sha256(f"{seed} {number} {shared}".encode("utf-8", "surrogatepass")).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)
    share = float(torch.rand((), generator=generator, dtype=torch.float64))
    if steps:
        time = steps[number % len(steps)] / (process.steps if process.flow else 1)
    else:
        time = share if process.flow else float(int(share * process.steps))
    return Draw(time, torch.randn(1 + inner, *shape, generator=generator))


@dataclass(frozen=True, slots=True)
class Process:
    """The forward process that a denoiser was trained on."""

    target: Target
    steps: int
    """Training steps, T."""
    scheduler: Any
    """diffusers' DDPMScheduler; None for a flow."""

    @property
    def flow(self) -> bool:
        """Whether images are mixed with noise on a straight line."""
        return self.target == "flow"

    @property
    def facts(self) -> dict[str, str]:
        """For the record."""
        return {"target": _NAMES[self.target]}

    def noised(self, latent: Tensor, times: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Noised latents, and what should be predicted of them, each [B, C, h, w].

        Args:
            latent: [C, h, w] of the clean image.
            times: [B] float64, one per draw.
            noise: [B, C, h, w].
        """
        clean = latent.expand_as(noise)
        if self.flow:
            share = times.to(noise)[:, None, None, None]
            return (1 - share) * clean + share * noise, noise - clean
        steps = times.long()
        noisy = self.scheduler.add_noise(clean, noise, steps)
        return noisy, noise if self.target == "epsilon" else self.scheduler.get_velocity(clean, noise, steps)


def process_of(config: dict[str, Any], flow: bool, where: object) -> Process:
    """The process that a pipeline's scheduler_config.json declares.

    Args:
        config: the file's content.
        flow: whether the denoiser is of a flow's architecture.
        where: the file, for messages.

    Raises:
        RmbenchError: another target, or a flow for a denoiser of noise and the reverse.
    """
    steps = int(config.get("num_train_timesteps", 1000))
    if (config.get("_class_name") == _FLOW) != flow:
        expected = _FLOW if flow else "one of noise or v prediction"
        raise RmbenchError(f"{where}: the scheduler is {config.get('_class_name')}, expected {expected}.")
    if flow:
        return Process("flow", steps, None)
    target = config.get("prediction_type", "epsilon")
    if target not in ("epsilon", "v_prediction"):
        raise RmbenchError(f"{where}: prediction_type {target!r} is not known here, only epsilon and v_prediction.")
    return Process(target, steps, diffusers().DDPMScheduler(**{key: config[key] for key in _SHARED if key in config}))
