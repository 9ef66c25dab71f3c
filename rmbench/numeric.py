"""Formulas that several packages share."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["sigmoid", "skew_half"]


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def skew_half(directed: Sequence[Sequence[float]], i: int, j: int) -> float:
    """How much candidate `i` is above `j` by directed margins [K, K], whichever of the two is shown first."""
    return (directed[i][j] - directed[j][i]) / 2
