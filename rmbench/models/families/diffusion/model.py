"""A diffusion model, or two, as a Responder: the draws of a row are shared by its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rmbench.media import Medium, open_medium, pixels_of
from rmbench.models.families.diffusion.denoisers import Denoiser
from rmbench.models.families.diffusion.encoders import Encoders, Kept, Prompt
from rmbench.models.families.diffusion.formulas import (
    Doubles,
    Score,
    implicit_rewards,
    mapo_rewards,
    margin_errors,
    settled,
    standard_errors,
)
from rmbench.models.families.diffusion.inversion import Inversion
from rmbench.models.families.diffusion.process import Draw, Process, draw
from rmbench.models.families.diffusion.settings import DiffusionSettings
from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.families.vision.shown import REFUSALS, medium_of, prompt_text, remarks, why_failed
from rmbench.models.protocols import ModelFacts, Request
from rmbench.types import Example, Judgment

__all__ = ["DiffusionReward"]

UNSETTLED = "sign_unsettled"
"""Remark of a row one of whose margins is within 1.96 standard errors over draws of 0."""
STOPPED = "stopped_early"
"""Remark of a row whose signs were settled before all draws."""


@dataclass(frozen=True)
class DiffusionReward:
    """Judges images by how much better than its reference a denoiser denoises them.

    A judgment's parts are "standard_error" [K, 1], over draws, of each reward; "margin_standard_error" [K, K] of the
    difference of each two, which is smaller where the shared draws move both alike; and "draws" [K, 1], their number.

    Rows share draws within a cluster alone (the images of several generators for one prompt, say), where intervals take
    rows to be dependent. The spread of credits over clusters therefore holds the noise of draws already (the variance
    of a credit is E[p (1 - p)] + Var[p], where p is how likely a row is right over its draws), and intervals are not
    widened for it, see docs/diffusion.md.
    """

    policy: Denoiser
    reference: Denoiser | None
    encoders: Encoders
    process: Process
    inversion: Inversion | None
    preprocess: Preprocess
    score: Score
    settings: DiffusionSettings
    facts: ModelFacts
    latents: Kept = field(default_factory=Kept, repr=False, compare=False)
    texts: Kept = field(default_factory=Kept, repr=False, compare=False)

    def judge(self, task: str, example: Example) -> Judgment:
        """The rewards of an example's images; a row with a medium that cannot be shown fails."""
        shown: list[tuple[Tensor, Prompt]] = []
        noted: list[str] = []
        for place, candidate in enumerate(example.candidates):
            prompt = example.prompt if candidate.prompt is None else candidate.prompt
            request = Request(example.conversation(place), len(prompt))
            try:
                shown.append(self._shown(request))
            except REFUSALS as refusal:
                return Judgment(example.id, status="failed", error=f"candidate {place}: {why_failed(refusal)}")
            noted += remarks(request)
        # The task is no part of it: rows of two tasks may share draws. No figure takes them to be independent (the
        # error of a board's mean is the sum of its columns', a gate's correction holds under any dependence), and a row
        # that two tasks hold has one reward in both.
        draws = self._drawn(example.cluster or example.id, shown)
        margins, errors = draws.mean(axis=1), margin_errors(draws)
        unsettled = np.abs(margins[:, None] - margins[None, :]) <= 1.96 * errors
        np.fill_diagonal(unsettled, val=False)
        noted += [UNSETTLED] if unsettled.any() else []
        noted += [STOPPED] if draws.shape[1] < self.settings.draws else []
        return Judgment(
            example.id,
            rewards=tuple(map(float, margins)),
            parts={
                "standard_error": tuple((float(error),) for error in standard_errors(draws)),
                "margin_standard_error": tuple(tuple(map(float, line)) for line in errors),
                "draws": tuple((float(draws.shape[1]),) for _ in shown),
            },
            lengths=tuple(prompt.tokens for _, prompt in shown),
            truncated=tuple(prompt.cut for _, prompt in shown),
            remarks=tuple(dict.fromkeys(noted)),
        )

    def _drawn(self, shared: str, shown: Sequence[tuple[Tensor, Prompt]]) -> Doubles:
        """[K, n] the reward of each image in each draw: all draws, or as many as settle every sign. Rows of the same
        `shared`, their cluster or else their id, have the same draws."""
        wanted, rounds = self.settings, []
        numbers = range(wanted.draws)
        batches = [numbers[start : start + wanted.batch] for start in range(0, wanted.draws, wanted.batch)]
        for batch in batches:
            draws = [self._draw(shared, number, shown[0][0].shape) for number in batch]
            rounds.append(np.stack([self._rewards(latent, prompt, draws) for latent, prompt in shown]))
            found: Doubles = np.concatenate(rounds, axis=1)
            if wanted.stop is not None and found.shape[1] > 1 and settled(found, wanted.stop, len(batches)):
                break
        return found

    def _draw(self, shared: str, number: int, shape: Sequence[int]) -> Draw:
        steps = () if isinstance(self.settings.timesteps, str) else self.settings.timesteps
        inner = self.inversion.inner if self.inversion else 0
        return draw(
            shared, number, seed=self.settings.seed, shape=shape, process=self.process, steps=steps, inner=inner
        )

    def _rewards(self, latent: Tensor, prompt: Prompt, draws: Sequence[Draw]) -> Doubles:
        """[n] the reward of one image in each of some draws, denoised together."""
        device = latent.device
        times = torch.tensor([each.time for each in draws], dtype=torch.float64, device=device)
        noise = torch.stack([each.noise for each in draws]).to(device)
        with torch.inference_mode():
            if self.inversion is None:
                noisy, target = self.process.noised(latent, times, noise[:, 0])
            else:
                noisy, target = self.inversion(
                    latent, times, noise[:, 1:], lambda states, at: self.policy(states, at, prompt.state)
                )
            losses = _errors(self.policy(noisy, times, prompt.state), target)
            if self.reference is None:
                return mapo_rewards(losses, self.settings.snr, self.process.steps)
            others = _errors(self.reference(noisy, times, prompt.state), target)
        return implicit_rewards(losses, others, self.settings.beta_of(self.process.flow))

    def _shown(self, request: Request) -> tuple[Tensor, Prompt]:
        """The latents and the prompt's states of one candidate."""
        text = prompt_text(request)
        medium = open_medium(medium_of(request), None)
        latent = self.latents.get(medium.key, lambda: self._latent(medium), _bytes)
        prompt = self.texts.get(
            text, lambda: self.encoders.prompt(text), lambda made: sum(map(_bytes, made.state.values()))
        )
        return latent, prompt

    def _latent(self, medium: Medium) -> Tensor:
        (image,) = pixels_of(medium)
        seed = f"{self.settings.seed} {medium.key}"
        return self.encoders.latent(self.preprocess(image), self.settings.posterior, seed)


def _errors(predicted: Tensor, target: Tensor) -> Doubles:
    """[B] mean squared errors."""
    errors: Doubles = (predicted - target).square().mean(dim=(1, 2, 3)).double().cpu().numpy()
    return errors


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
