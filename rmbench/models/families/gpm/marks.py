"""The tensor names and layouts of general preference models."""

from __future__ import annotations

import re

from rmbench.models.checkpoint.read import Checkpoint

__all__ = ["LINEAR", "MLP", "PROMPT_HEAD", "VALUE_HEAD", "weights_of"]

VALUE_HEAD, PROMPT_HEAD = "value_head", "prompt_head"
LINEAR, MLP = "gpm-linear", "gpm-mlp"


def weights_of(checkpoint: Checkpoint, head: str, layout: str) -> list[str]:
    """The names of a head's weights, first layer first: `<head>.weight`, or `<head>.net.0.weight`, `.net.2.weight` ...
    of the nonlinear variant (deep-alignment/DeepRLHF), whose odd places are ReLUs. Empty where there are none."""
    if layout == LINEAR:
        return [name for name in (f"{head}.weight",) if name in checkpoint.tensors]
    numbers = [re.fullmatch(rf"{head}\.net\.(\d+)\.weight", name) for name in checkpoint.tensors]
    return [f"{head}.net.{number}.weight" for number in sorted(int(found[1]) for found in numbers if found)]
