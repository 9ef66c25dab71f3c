"""The tensor names, configuration keys and layouts of pairwise models."""

from __future__ import annotations

__all__ = ["BACKBONE", "HEAD", "PAIRRM", "PREFIX_KEYS", "SLIC", "STEAMSHP"]

PAIRRM, SLIC, STEAMSHP = "pairrm", "slic", "steamshp"

HEAD = ("head_layer.1.weight", "head_layer.1.bias", "head_layer.4.weight", "head_layer.4.bias")
"""W1 [H, 2H], b1 [H], W2 [tasks, H], b2 [tasks] of PairRM; dropout and tanh stand at the other places."""
BACKBONE = "pretrained_model."
"""What PairRM's backbone stands under."""
PREFIX_KEYS = ("source_prefix_id", "cand1_prefix_id", "cand2_prefix_id")
"""Keys of PairRM's config.json: the tokens whose states the head reads."""
