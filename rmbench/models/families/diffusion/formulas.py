"""From denoising errors to rewards: pure formulas in float64.

L is the mean squared error, over channels and places, of what a denoiser predicts for one noised image; Lref is the
reference's for the same image, step and noise. A reward is the mean over draws of step and noise.

| score | reward of one draw | source |
|---|---|---|
| dpo | -0.5 beta (L - Lref) | Diffusion-DPO (arXiv 2311.12908); DenseDPO (arXiv 2506.03517) with a velocity as target |
| inpo | the same, where the noised image is inverted from the clean one | InPO (arXiv 2503.18454) |
| mapo | T s L / (exp(s L) - 1), without a reference | MaPO (arXiv 2406.06424), utils.py: s = 0.5, T steps |

The difference of two rewards is what each paper has inside its log sigmoid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from rmbench.errors import RmbenchError

__all__ = [
    "WITH_REFERENCE",
    "Score",
    "implicit_rewards",
    "mapo_rewards",
    "margin_errors",
    "segment_rewards",
    "settled",
    "standard_errors",
]

Doubles = npt.NDArray[np.float64]
Score = Literal["dpo", "inpo", "mapo"]
WITH_REFERENCE = ("dpo", "inpo")


def implicit_rewards(losses: Doubles, references: Doubles, beta: float) -> Doubles:
    """-0.5 beta (L - Lref) of each draw, in the shape of the errors."""
    return -0.5 * beta * (np.asarray(losses, dtype=np.float64) - np.asarray(references, dtype=np.float64))


def mapo_rewards(losses: Doubles, snr: float, steps: int) -> Doubles:
    """T s L / (exp(s L) - 1) of each draw, which falls as L grows: T for a perfect prediction."""
    scaled = snr * np.asarray(losses, dtype=np.float64)
    safe = np.where(scaled > 0, scaled, 1.0)
    return steps * np.where(scaled > 0, safe * np.exp(-safe) / -np.expm1(-safe), 1.0)


def standard_errors(draws: Doubles) -> Doubles:
    """[K] standard errors of the means of draws [K, n], n > 1."""
    errors: Doubles = draws.std(axis=1, ddof=1) / math.sqrt(draws.shape[1])
    return errors


def margin_errors(draws: Doubles) -> Doubles:
    """[K, K] standard errors of the differences of the means of draws [K, n], n > 1, which the candidates share."""
    differences = draws[:, None, :] - draws[None, :, :]
    errors: Doubles = differences.std(axis=2, ddof=1) / math.sqrt(draws.shape[1])
    return errors


def settled(draws: Doubles, alpha: float, looks: int) -> bool:
    """Whether the sign of every margin is settled: a t-test of the shared draws [K, n] finds each difference at the
    level alpha / looks (Bonferroni over all looks that a row may have), or it is exactly 0 in every draw."""
    margins = draws.mean(axis=1)[:, None] - draws.mean(axis=1)[None, :]
    errors = margin_errors(draws)
    least = float(stats.t.ppf(1 - alpha / looks / 2, draws.shape[1] - 1))
    return bool(((np.abs(margins) > least * errors) | ((errors == 0) & (margins == 0))).all())


def segment_rewards(
    losses: Doubles, references: Doubles, segments: Sequence[tuple[int, int]], beta: float = 500.0
) -> Doubles:
    """DenseDPO's implicit reward of each segment of a clip (arXiv 2506.03517).

    Args:
        losses: [D, T] the policy's squared errors of the velocity (noise less clean latents), averaged over channels
            and places, by draw and latent frame.
        references: [D, T] the reference's for the same draws.
        segments: [start, end) in latent frames, of each segment.
        beta: the strength of the penalty; 500 in the paper.

    Returns:
        [S] -0.5 beta times the mean over draws and the segment's frames of the difference. Of segments of equal length
        that cover the clip, the mean is the reward of the whole clip.

    Raises:
        RmbenchError: errors of different shapes, or a segment that is empty or outside the clip.
    """
    own, other = (np.asarray(errors, dtype=np.float64) for errors in (losses, references))
    if own.ndim != 2 or own.shape != other.shape:
        raise RmbenchError(f"segment_rewards: errors of shapes {own.shape} and {other.shape}, expected [D, T] twice.")
    for start, end in segments:
        if not 0 <= start < end <= own.shape[1]:
            raise RmbenchError(f"segment_rewards: [{start}, {end}) is no segment of {own.shape[1]} frames.")
    frames = implicit_rewards(own, other, beta).mean(axis=0)
    return np.array([frames[start:end].mean() for start, end in segments])
