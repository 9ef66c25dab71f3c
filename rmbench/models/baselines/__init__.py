"""Baselines that every reward model should beat: they look at the text and know nothing of preferences."""

from __future__ import annotations

from rmbench.models.baselines.open import BASELINES, open_baseline
from rmbench.models.baselines.surface import SurfaceBaseline

__all__ = ["BASELINES", "SurfaceBaseline", "open_baseline"]
