"""Long texts in pieces that each fit into a text tower, by the rule that LongAlign released (arXiv 2410.11817)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

__all__ = ["MOST_SEGMENTS", "SEGMENTS", "Segments"]

Segments = Literal["none", "longalign"]

MOST_SEGMENTS = 1000
"""A row whose text has more of them fails: no prompt has, and each is a row of the text tower."""

_ENDS = re.compile(r'"!|\.|\?|;"')
"""As released, quotes included: a bare `!` or `;` ends nothing, and the point of 3.5 does."""


def _longalign(text: str) -> list[str]:
    """The pieces between the ends, none of them empty or stripped, each with a point behind it; else the whole text."""
    return [f"{piece}." for piece in _ENDS.split(text) if piece] or [text]


SEGMENTS: Mapping[Segments, Callable[[str], list[str]]] = {"none": lambda text: [text], "longalign": _longalign}
"""Rule -> text -> its segments, in order. Source: luping-liu/LongAlign, tools.py."""
