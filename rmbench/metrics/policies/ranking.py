"""How well a policy's likelihoods rank preferred answers, and how well DPO could have made them (arXiv 2405.19534).

M is the number of pairs. Log-probabilities are natural logs of whole answers given the prompt; a mean per token makes
the length-normalised figures, which hold for ranking and idealised accuracy alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmbench.errors import RmbenchError

__all__ = [
    "IdealisedAccuracy",
    "alignment_gap",
    "idealised_accuracy",
    "idealised_margin",
    "loss_threshold",
    "per_token",
    "ranking_accuracy",
]

BETAS = (0.01, 0.1, 1.0, 5.0, 10.0)
"""The strengths of the KL term that the paper tries."""

_CERTAIN = 1e-3
"""A share of 1 is read as 1 less this, as upstream does, and 0 as this: the logit of either is infinite."""

_TIE_SHARE = 0.5
_TIE_TOLERANCE = 0.01
"""Probabilities that differ by less are ranked as a tie (Definition C.1)."""


def per_token(logps: Sequence[float], lengths: Sequence[int]) -> list[float]:
    """[M] log-probability per token of answers of so many tokens."""
    return [logp / length for logp, length in zip(logps, lengths, strict=True)]


def ranking_accuracy(
    preferred: Sequence[float], dispreferred: Sequence[float], shares: Sequence[float] | None = None
) -> float:
    """R, the share of pairs whose preferred answer is at least as likely (Definition 2.3: equal is right), M > 0.

    No reference model enters it. `shares` [M] are the raters who prefer it: at .5 people tie, and the pair is right
    where the probabilities differ by less than .01.
    """
    right = 0
    for place, (better, worse) in enumerate(zip(preferred, dispreferred, strict=True)):
        if shares is not None and shares[place] == _TIE_SHARE:
            right += abs(math.exp(better) - math.exp(worse)) < _TIE_TOLERANCE
        else:
            right += better >= worse
    return right / len(preferred)


def idealised_margin(log_ratio: float, share: float, beta: float) -> float:
    """What the ideal DPO policy has as log-ratio of the two answers (Corollary 3.3): above 0 it ranks them rightly.

    `log_ratio` is the reference's log-probability of the preferred answer less that of the other, `share` of the raters
    prefer it. (Upstream's code divides the log-probabilities where it does not normalise by length; this is the
    formula.) Raises RmbenchError for a share outside [0, 1] or a beta that is not above 0.
    """
    if not 0 <= share <= 1 or not beta > 0:
        raise RmbenchError(f"expected a share in [0, 1] and a beta above 0, not {share} and {beta}.")
    inside = min(max(share, _CERTAIN), 1 - _CERTAIN)
    return log_ratio + math.log(inside / (1 - inside)) / beta


@dataclass(frozen=True, slots=True)
class IdealisedAccuracy:
    """R* over the betas tried."""

    by_beta: dict[float, float]
    low: float
    median: float
    high: float


def idealised_accuracy(
    preferred: Sequence[float],
    dispreferred: Sequence[float],
    shares: Sequence[float],
    betas: Sequence[float] = BETAS,
) -> IdealisedAccuracy:
    """R*, the ranking accuracy of the ideal DPO policy of a reference with these log-probabilities, for each beta."""
    pairs = list(zip(preferred, dispreferred, shares, strict=True))
    by_beta = {
        beta: sum(idealised_margin(better - worse, share, beta) > 0 for better, worse, share in pairs) / len(pairs)
        for beta in betas
    }
    figures = list(by_beta.values())
    return IdealisedAccuracy(by_beta, min(figures), float(np.median(figures)), max(figures))


def alignment_gap(idealised: float, accuracy: float) -> float:
    """R* - R, of one normalisation on both sides: what training left undone."""
    return idealised - accuracy


def loss_threshold(beta: float, log_ratio: float) -> float:
    """The DPO loss in nats that a pair must not exceed to be ranked rightly (Theorem 4.1): -log sigmoid(beta c), c the
    reference's log-probability of the dispreferred answer less that of the preferred, so -`log_ratio`.
    """
    return float(np.logaddexp(0.0, beta * log_ratio))
