"""A scalar head: from the state of an answer and, for gates, the state of its prompt to a reward.

Sources: ArmoRM (arXiv 2406.12845) and QRM (arXiv 2409.10164) for gated objectives, LDL-Reward's public pipeline for
distributions, PKU-Alignment/safe-rlhf's normalizer for the Beaver models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from rmbench.models.families.scalar.heads.network import Network

__all__ = ["Gating", "MixRule", "Normaliser", "ScoreHead", "WeighedHead"]


class ScoreHead(Protocol):
    """What a declared scorer asks of a head."""

    @property
    def reads_prompt(self) -> bool:
        """Whether it reads the prompt's state as well as the answer's."""

    @property
    def parameters(self) -> int: ...

    def __call__(self, state: Tensor, prompt: Tensor | None) -> dict[str, Tensor]:
        """States [B, H] -> name -> [B, M], "reward" [B, 1] among them or, for mixtures of probabilities, "objectives"
        and "weights"."""


@dataclass(frozen=True, eq=False)
class Gating:
    """Weights [B, K] of objectives, by a network."""

    network: Network
    on_prompt: bool
    softmax: bool = True
    temperature: float = 1.0
    scale: Tensor | None = None
    """[1]"""

    def __call__(self, state: Tensor) -> Tensor:
        """[B, H] -> [B, K]: softmax(logits / temperature) times the scale, or the outputs as they are."""
        weights = self.network(state)
        if self.softmax:
            weights = torch.softmax(weights / self.temperature, dim=-1)
        return weights if self.scale is None else weights * self.scale.reshape(())


MixRule = Literal["mixture", "logsigmoid", "argmax"]
"""What a mixture of Bradley-Terry heads answers (MiCRo, arXiv 2505.24846): margins of the mixed probabilities, as in
its training loss; sum over k of w_k log sigmoid(r_k), as in its released evaluation; or the r_k of the largest w_k."""


def _of_one(rule: MixRule, objectives: Tensor, weights: Tensor) -> Tensor:
    """[B, 1] the reward of an answer, in float32 or better."""
    r, w = (each.to(torch.promote_types(each.dtype, torch.float32)) for each in (objectives, weights))
    if rule == "argmax":
        return r.gather(-1, w.argmax(-1, keepdim=True))
    return (w * torch.nn.functional.logsigmoid(r)).sum(-1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Normaliser:
    """(x - mean) / (std + eps), each [1] or [K]."""

    mean: Tensor
    std: Tensor
    eps: float = 0.0

    def __call__(self, values: Tensor) -> Tensor:
        """[B, 1] -> [B, 1]."""
        return (values - self.mean) / (self.std + self.eps)


@dataclass(frozen=True, eq=False)
class WeighedHead:
    """A network whose outputs are objectives, and their weighed sum: the reward."""

    score: Network
    rows: tuple[int, ...] = ()
    """The outputs that are read; none: all."""
    read: str = "values"
    each: int = 1
    """Outputs per objective."""
    transform: Tensor | None = None
    """[K, K]"""
    gate: Gating | None = None
    weights: Tensor | None = None
    """[K], fixed; None with a gate, and for a head of one objective."""
    mix: MixRule | None = None
    """How Bradley-Terry heads are mixed; None: the reward is a weighed sum. With "mixture" there is no reward of one
    answer."""
    normaliser: Normaliser | None = None
    sign: int = 1

    @property
    def objectives(self) -> int:
        """K."""
        return (len(self.rows) or self.score.outputs) // self.each

    @property
    def reads_prompt(self) -> bool:
        return self.gate is not None and self.gate.on_prompt

    @property
    def parameters(self) -> int:
        return self.score.parameters + (self.gate.network.parameters if self.gate else 0)

    def __call__(self, state: Tensor, prompt: Tensor | None = None) -> dict[str, Tensor]:
        """See `ScoreHead`. "objectives" [B, K] are the network's own, before any transform; "weights" [B, K] are
        those that make the reward of them before it is normalised, the transform included; "quantiles" or
        "distribution" [B, each] are of the reward."""
        outputs = self.score(state)
        outputs = outputs[:, list(self.rows)] if self.rows else outputs
        spread = outputs.reshape(len(outputs), -1, self.each)  # [B, K, each]
        spread = torch.softmax(spread, dim=-1) if self.read == "distribution" else spread
        objectives = self._expected(spread)  # [B, K]
        weights = self._weights(state, prompt)  # [B, K], [K] or None
        if self.mix is not None and weights is not None:
            mixed = {"objectives": objectives, "weights": weights.expand_as(objectives)}
            return mixed if self.mix == "mixture" else mixed | {"reward": _of_one(self.mix, **mixed)}
        moved = objectives if self.transform is None else objectives @ self.transform
        reward = (moved if weights is None else moved * weights).sum(-1, keepdim=True)
        found = {"reward": self._finished(reward)}
        if self.objectives > 1:
            found["objectives"] = objectives
        if weights is None or self.gate is None:
            return found
        weights = weights if self.transform is None else weights @ self.transform.T
        found["weights"] = weights
        if self.read != "values":
            found[self.read] = (weights[:, :, None] * spread).sum(1)
        return found

    def _expected(self, spread: Tensor) -> Tensor:
        """[B, K] from [B, K, each]."""
        if self.read == "distribution":
            values = torch.linspace(0, 1, self.each, dtype=spread.dtype, device=spread.device)
            return (spread * values).sum(-1)
        return spread.mean(-1)

    def _weights(self, state: Tensor, prompt: Tensor | None) -> Tensor | None:
        if self.gate is None:
            return self.weights
        if not self.gate.on_prompt:
            return self.gate(state)
        if prompt is None:
            raise ValueError("the gate reads the prompt's state, and there is none")
        return self.gate(prompt)

    def _finished(self, reward: Tensor) -> Tensor:
        """Normalised in float32 or better, as upstream's statistics are kept, and larger where it is better."""
        reward = reward.to(torch.promote_types(reward.dtype, torch.float32))
        reward = reward if self.normaliser is None else self.normaliser(reward)
        return self.sign * reward
