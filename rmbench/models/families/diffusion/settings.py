"""The settings of a diffusion model's reward."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rmbench.errors import RmbenchError
from rmbench.models.families.diffusion.formulas import WITH_REFERENCE, Score
from rmbench.types import Setting

__all__ = ["DiffusionSettings"]

BETAS = {"noise": 5000.0, "flow": 500.0}
"""Of Diffusion-DPO, and of DenseDPO where the target is a velocity of a flow."""


class DiffusionSettings(BaseModel):
    """Settings of `--adapter diffusion`, by a card's [settings] or --model-args."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: Score | None = None
    """The formula, see `formulas`. None: "dpo" with a reference, "mapo" without one."""
    beta: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """None: 5000; 500 for flow models."""
    snr: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """s of "mapo"."""
    draws: int = Field(default=32, ge=2, le=100_000)
    """Pairs of a step and a noise for each row, which its images, the policy and the reference share."""
    batch: int = Field(default=8, ge=1, le=4096)
    """Draws of one image that are denoised together."""
    seed: int = Field(default=0, ge=0)
    """Of the draws: each depends on this, the row's cluster (or id) and its own number alone."""
    timesteps: Literal["uniform"] | tuple[int, ...] = "uniform"
    """"uniform": every draw's step is drawn from all training steps (of flow models from the whole of (0, 1)); else
    steps joined by ":", which the draws take in turn."""
    posterior: Literal["mode", "sample"] = "mode"
    """Which latents of an image: the mean that the VAE gives, or one sample, the same for all draws."""
    resolution: int | None = Field(default=None, ge=8, le=8192)
    """Side of the square image in pixels; None: what the denoiser was trained on."""
    guidance: float = Field(default=3.5, allow_inf_nan=False)
    """What a Flux that is distilled to a guidance is told."""
    text_length: int | None = Field(default=None, ge=1, le=4096)
    """Tokens of T5; None: the pipeline's own: 256 of SD3, 512 of Flux, 120 of PixArt, 300 of its Sigma."""
    inversion_steps: int = Field(default=10, ge=1, le=1000)
    """Steps of "inpo" from the clean image to pure noise."""
    inversion_eta: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    """Share of the variance that "inpo" adds as noise in each step."""
    stop: float | None = Field(default=None, gt=0, lt=1)
    """Stop a row's draws as soon as the signs of its margins are settled at this rate of errors, see
    `formulas.settled`; None: every row has all draws."""
    pipeline: str | None = None
    """Folder or hub id of the pipeline whose VAE, text encoders and scheduler are used; None: the policy's, else the
    reference's."""
    ref_model: str | None = None
    """A card's reference, as `--ref-model` takes it; the user's word goes before it."""

    @field_validator("timesteps", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.split(":") if isinstance(value, str) and value != "uniform" else value

    def chosen(self, referenced: bool) -> Score:
        """The formula; raises RmbenchError where it lacks its reference, or has one that it does not read."""
        score: Score = self.score or ("dpo" if referenced else "mapo")
        if score in WITH_REFERENCE and not referenced:
            raise RmbenchError(f"score={score} needs a reference: pass --ref-model. score=mapo has none.")
        if score == "mapo" and referenced:
            raise RmbenchError(
                f"score=mapo has no reference: leave out --ref-model, or pass score={'|'.join(WITH_REFERENCE)}."
            )
        return score

    def beta_of(self, flow: bool) -> float:
        """The strength of the penalty."""
        return self.beta or BETAS["flow" if flow else "noise"]

    def facts(self, score: Score, flow: bool) -> dict[str, Setting]:
        """What the record keeps of them: only what the formula reads."""
        found: dict[str, Setting] = {"score": score}
        if score == "mapo":
            found["snr"] = self.snr
        else:
            found["beta"] = self.beta_of(flow)
        if score == "inpo":
            found |= {"inversion_steps": self.inversion_steps, "inversion_eta": self.inversion_eta}
        steps = self.timesteps if isinstance(self.timesteps, str) else ":".join(map(str, self.timesteps))
        found |= {"draws": self.draws, "timesteps": steps, "draws_seed": self.seed, "posterior": self.posterior}
        if self.stop is not None:
            found |= {"stop": self.stop, "batch": self.batch}
        return found
