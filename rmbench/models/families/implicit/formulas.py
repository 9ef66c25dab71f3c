"""From token log-probabilities to the reward of one answer: pure formulas in float64.

lp(y) is the sum over the answer's n tokens of log pi(y_t | x, y_<t), lr(y) the same under the reference, z = lp - lr.

| score | reward | source |
|---|---|---|
| dpo, ipo, kto, bco | beta z; with `average` beta z / n | arXiv 2305.18290, 2310.12036, 2402.01306, 2404.04656; TRL |
| dpo, forward_kl | -beta exp(-z) | arXiv 2309.16240; TRL |
| dpo, js | beta log sigmoid(z) | as above |
| dpo, alpha | beta exp((alpha - 1) z) / (alpha - 1) | as above; TRL's coefficient is 1 - alpha |
| kto_value | sigmoid(beta (z - KL)) | arXiv 2402.01306; TRL's KL is a batch mean, not below 0 |
| bco_value | sigmoid(beta z - delta) | arXiv 2404.04656; TRL's delta is a running mean of rewards |
| logp, avg, norm | lp, lp / n, -(Euclidean norm of the token log-probabilities) | RewardBench, `dpo.py` |
| simpo | beta lp / n | arXiv 2405.14734 |
| cpo | beta lp | arXiv 2401.08417 |
| orpo | log odds: a - log(1 - exp(a)) with a = lp / n | arXiv 2403.07691 |

TRL trains IPO on averages, which is `ipo` with `average`. A target margin (SimPO's gamma) moves every margin alike and
is in no reward. With token weights w_t (SparsePO, arXiv 2410.05102; the formula is as stated there, its training was
not checked) lp and lr are sums of w_t times the token's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rmbench.numeric import sigmoid

__all__ = ["FREE", "RATIOS", "WITH_REFERENCE", "Divergence", "Fusion", "Rule", "Score", "fuse", "reward"]

Doubles = npt.NDArray[np.float64]
Score = Literal["dpo", "ipo", "kto", "bco", "kto_value", "bco_value", "logp", "avg", "norm", "simpo", "orpo", "cpo"]
Divergence = Literal["reverse_kl", "forward_kl", "js", "alpha"]
Fusion = Literal["mean", "max"]

RATIOS = ("dpo", "ipo", "kto", "bco")
"""beta z, and the same ranking."""
WITH_REFERENCE = (*RATIOS, "kto_value", "bco_value")
FREE = ("logp", "avg", "norm", "simpo", "orpo", "cpo")
"""Scores that need no reference."""
_PER_TOKEN = ("avg", "simpo", "orpo")

_LARGEST = math.log(float(np.finfo(np.float32).max))
"""Exponents are capped here, as TRL caps them: larger ones tie."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which formula, with its constants."""

    score: Score
    beta: float = 0.1
    average: bool = False
    """beta z / n: length-normalised DPO."""
    divergence: Divergence = "reverse_kl"
    alpha: float = 0.5
    kl: float = 0.0
    """nats, per sequence."""
    delta: float = 0.0

    @property
    def needs_tokens(self) -> bool:
        """Whether an answer without tokens has no reward."""
        return self.average or self.score in _PER_TOKEN


def reward(logps: Doubles, refs: Doubles | None, rule: Rule, weights: Doubles | None = None) -> float:
    """The reward of one answer.

    Args:
        logps: [n] its tokens' log-probabilities under the policy, in nats.
        refs: [n] the same under the reference; None for the scores in `FREE`.
        rule: the formula.
        weights: [n] token weights in [0, 1]; None: all 1.

    Raises:
        ValueError: no tokens where the formula divides by their number, or no reference where it has one.
    """
    n = len(logps)
    if rule.needs_tokens and not n:
        raise ValueError("the answer has no tokens, so it has no average")
    if rule.score in WITH_REFERENCE:
        if refs is None:
            raise ValueError(f"score {rule.score} needs the reference's log-probabilities")
        difference = logps - refs
        z = float(difference.sum() if weights is None else weights @ difference)
        return _of_ratio(z / n if rule.average else z, rule)
    return _of_policy(logps, float(logps.sum() if weights is None else weights @ logps), rule)


def _of_ratio(z: float, rule: Rule) -> float:
    if rule.score == "kto_value":
        return sigmoid(rule.beta * (z - rule.kl))
    if rule.score == "bco_value":
        return sigmoid(rule.beta * z - rule.delta)
    if rule.divergence == "forward_kl":
        return -rule.beta * _exp(-z)
    if rule.divergence == "js":
        return rule.beta * -float(np.logaddexp(0.0, -z))
    if rule.divergence == "alpha":
        return rule.beta * _exp((rule.alpha - 1) * z) / (rule.alpha - 1)
    return rule.beta * z


def _of_policy(logps: Doubles, lp: float, rule: Rule) -> float:
    n = len(logps)
    if rule.score == "norm":
        return -float(np.linalg.norm(logps))
    if rule.score == "avg":
        return lp / n
    if rule.score == "simpo":
        return rule.beta * lp / n
    if rule.score == "orpo":
        mean = lp / n
        return mean - math.log(-math.expm1(mean)) if mean < 0 else math.inf
    return rule.beta * lp if rule.score == "cpo" else lp


def fuse(refs: Doubles, weights: Sequence[float] | None = None, how: Fusion = "mean") -> Doubles:
    """[n] log-probabilities of one fused reference from those of R references, [R, n].

    "mean": the weighted mean of the log-probabilities, which is the geometric mean of the probabilities; equal weights
    unless given, scaled to sum to 1. "max": the reference under which the whole answer is likeliest. Both follow the
    idea of InfiFPO (arXiv 2505.13878), which fuses at the level of sequences; its own choice of the reference that
    differs most from the policy, and its clipping, are not here, and nothing was compared with its code.
    """
    if how == "max":
        likeliest: Doubles = refs[int(np.argmax(refs.sum(axis=1)))]
        return likeliest
    share = np.ones(len(refs)) if weights is None else np.asarray(weights, dtype=np.float64)
    mean: Doubles = (share / share.sum()) @ refs
    return mean


def _exp(x: float) -> float:
    return math.exp(min(x, _LARGEST))
