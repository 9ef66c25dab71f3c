"""What a vision tower makes of an image or video."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Features"]


@dataclass(frozen=True)
class Features:
    """What the vision tower makes of a medium."""

    pooled: Tensor
    """[places, H]"""
    deep: tuple[Tensor, ...] = ()
    """Of earlier layers, for those of the language model that take them (Qwen3-VL): each [places, H]."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(each.numel() * each.element_size() for each in (self.pooled, *self.deep))
