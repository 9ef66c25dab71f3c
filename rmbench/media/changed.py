"""The pixels of a picture whose medium a benchmark declares to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rmbench.media.files import needed
from rmbench.media_change import Change

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["changed"]


def changed(image: Image.Image, change: str, content: str, frame: int = 0) -> Image.Image:
    """A picture as it is shown.

    Args:
        image: in mode RGB.
        change: as `Change` spells it; "", or a change of frames: the picture stays.
        content: the file's sha256.
        frame: its number, of a video.
    """
    if not change:
        return image
    how, made = Change.of(change), image
    if how.kind == "flip":
        made = image.transpose(needed("PIL.Image").Transpose.FLIP_LEFT_RIGHT)
    elif how.kind == "grey":
        made = image.convert("L").convert("RGB")
    elif how.kind == "crop":
        made = image.crop(_part(image.size, how, content))
    elif how.kind == "blur":
        radius = how.magnitude / 100 * min(image.size)
        made = image.filter(needed("PIL.ImageFilter").GaussianBlur(radius))
    elif how.kind == "noise":
        made = _noisy(image, how.magnitude, how.bits(content, frame) % 2**32)
    return made


def _part(size: tuple[int, int], how: Change, content: str) -> tuple[int, int, int, int]:
    """Left, top, right and bottom; the same of each frame of a video."""
    width, height = (max(1, round(side * how.magnitude)) for side in size)
    left, top = (
        int(how.bits(content, name) / 2**64 * (whole - part + 1))
        for name, whole, part in (("left", size[0], width), ("top", size[1], height))
    )
    return left, top, left + width, top + height


def _noisy(image: Image.Image, deviation: float, seed: int) -> Image.Image:
    # Of numpy's generators, the legacy one alone promises the same numbers in every version.
    drawn = np.random.RandomState(seed).standard_normal((*image.size[::-1], 3))
    values = np.asarray(image, dtype=np.float64) + deviation * drawn
    made: Any = needed("PIL.Image").fromarray(values.round().clip(0, 255).astype(np.uint8))
    result: Image.Image = made
    return result
