"""What computes scores besides the model: results of another release or library version are never mixed with ours."""

from __future__ import annotations

from functools import cache
from importlib import metadata

__all__ = ["SCORES_RELEASE", "computed_by"]

SCORES_RELEASE = 1
"""Raised whenever a change of rmbench changes any model's scores by more than rounding, so that results from before it
are neither resumed from a journal nor taken from the score cache."""


def computed_by() -> dict[str, str]:
    """The release of the scores, and the libraries' major.minor: a patch release is taken to change no score."""
    return {"scores": str(SCORES_RELEASE), **{name: _minor(name) for name in ("torch", "transformers")}}


@cache
def _minor(library: str) -> str:
    return ".".join(metadata.version(library).split(".")[:2])
