"""Which way to attend over packed rows is taken: the one place that chooses."""

from __future__ import annotations

import torch

from rmbench.models.backbone.attention import Attention, Segments
from rmbench.models.backbone.flex import Flex
from rmbench.models.backbone.layout import Layout
from rmbench.models.backbone.varlen import Varlen

__all__ = ["ATTENTIONS", "attention_over", "attentions"]

ATTENTIONS = ("segments", "varlen", "flex")
"""All ways: `attention.py`, `varlen.py`, `flex.py`."""


def attentions(device: torch.device, dtype: torch.dtype) -> tuple[str, ...]:
    """The ways to try on a device for states of this dtype, the best first.

    In half precision a GPU is bound by starting kernels, so one that computes all rows at once is tried first; whether
    torch, the kernel and the model (soft caps) take it is found by trying. Flex attention is not among them: compiled
    for a GPU it has not been run by this project.
    """
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        return ("varlen", "segments")
    return ("segments",)


def attention_over(name: str, layout: Layout) -> Attention:
    """A way by its name, made ready for a layout.

    Raises:
        NotImplementedError: this torch does not have it.
        ValueError: there is no such way.
    """
    if name == "segments":
        return Segments(layout.segments)
    if name == "varlen":
        return Varlen(layout)
    if name == "flex":
        return Flex(layout)
    raise ValueError(f"there is no attention {name!r}: {', '.join(ATTENTIONS)}")
