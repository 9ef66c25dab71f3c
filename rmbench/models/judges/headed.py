"""Scores of several candidates under headings, one line each (UnifiedReward 2.0, `pair_score_image_generation.py`).

Alignment Score:
 Image 1: 0.4357
 Image 2: 0.5643

Coherence Score:
...
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["headed_means"]

_APART = 0.01
"""How far the scores under a heading may be from adding up to what they must."""
_DRESS = " \t\r*_"


def headed_means(
    text: str, headings: Sequence[str], item: str, labels: Sequence[str], total: float | None
) -> list[float] | None:
    """The mean of each candidate's scores over the headings, in the order of the labels; None where a heading stands
    there never or twice, or lacks a score, has one twice, or has scores that do not add up.

    Args:
        text: without reasoning. Lines of other texts are left out.
        headings: what opens the scores of each dimension, without its colon.
        item: what names a candidate, with "{label}".
        labels: of the candidates.
        total: what the scores under a heading add up to; None: anything.
    """
    names = {item.replace("{label}", label): place for place, label in enumerate(labels)}
    found: dict[str, dict[int, float]] = {}
    under = ""
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        name, value = name.strip(f"{_DRESS}#-"), value.strip(_DRESS)
        if name in headings:
            if name in found:
                return None
            found[under := name] = {}
        elif under and name in names and re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,40})?", value, re.ASCII):
            if names[name] in found[under]:
                return None
            found[under][names[name]] = float(value)
    scores = [found.get(heading, {}) for heading in headings]
    if any(len(each) < len(labels) for each in scores):
        return None
    if total is not None and any(abs(sum(each.values()) - total) > _APART for each in scores):
        return None
    return [sum(each[place] for each in scores) / len(scores) for place in range(len(labels))]
