"""Ideal points: an answer is the better, the nearer its embedding lies to the user's point (PAL, arXiv 2406.08469)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.models.families.scalar.heads.network import Network

__all__ = ["IdealPointHead"]

_LARGEST_SCALE = 100.0


@dataclass(frozen=True, eq=False)
class IdealPointHead:
    """f(x) against u = sum over n of softmax(user)_n g_n, where the N points g are prototypes or functions of the
    prompt."""

    score: Network
    """f: the answer's state -> its embedding [B, D]."""
    user: Tensor
    """[N] logits."""
    points: Tensor | None = None
    """[N, D]"""
    network: Network | None = None
    """The prompt's state -> [B, N * D]."""
    log_scale: Tensor | None = None
    """[1]; None: the negative Euclidean distance is the reward instead of the scaled cosine."""

    @property
    def reads_prompt(self) -> bool:
        return self.network is not None

    @property
    def parameters(self) -> int:
        tensors = [self.user, self.points, self.log_scale]
        own = sum(tensor.numel() for tensor in tensors if tensor is not None)
        return self.score.parameters + own + (self.network.parameters if self.network else 0)

    def __call__(self, state: Tensor, prompt: Tensor | None = None) -> dict[str, Tensor]:
        """{"reward": [B, 1]} of states [B, H]."""
        return {"reward": self.nearness(self.score(state), self.point(prompt))}

    def point(self, prompt: Tensor | None = None) -> Tensor:
        """The ideal point, [D]; where it depends on the prompt [B, D] of states [B, H]."""
        return (torch.softmax(self.user, dim=-1)[:, None] * self._points(prompt)).sum(-2)

    def nearness(self, embedding: Tensor, ideal: Tensor) -> Tensor:
        """[B, 1] of embeddings [B, D] and ideal points, [D] or [B, D]."""
        if self.log_scale is None:
            distance: Tensor = torch.linalg.vector_norm(embedding - ideal, dim=-1, keepdim=True)
            return -distance
        cosine: Tensor = F.cosine_similarity(embedding, ideal.expand_as(embedding), dim=-1)
        scale = self.log_scale.reshape(()).exp().clamp(max=_LARGEST_SCALE).to(cosine)
        return (scale * cosine)[:, None]

    def _points(self, prompt: Tensor | None) -> Tensor:
        """[N, D], or [B, N, D]."""
        if self.points is not None:
            return self.points
        if self.network is None or prompt is None:
            raise ValueError("the ideal point depends on the prompt's state, and there is none")
        return self.network(prompt).reshape(len(prompt), len(self.user), -1)
