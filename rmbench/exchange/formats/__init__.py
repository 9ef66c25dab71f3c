"""The formats that records are written in."""

from __future__ import annotations

from types import MappingProxyType

from rmbench.exchange.formats import every_eval_ever, hub, rewardbench, scores

__all__ = ["FORMATS"]

_ALL = (
    every_eval_ever.FORMAT,
    hub.MODEL_INDEX,
    hub.EVAL_RESULTS,
    rewardbench.RESULTS,
    rewardbench.ITEMS,
    scores.FORMAT,
)
FORMATS = MappingProxyType({each.name: each for each in _ALL})
"""Name -> format."""
