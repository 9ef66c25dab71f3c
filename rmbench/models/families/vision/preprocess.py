"""Images into the numbers a tower reads: resize, centre crop, scale, normalise, in a declared order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.errors import RmbenchError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["CLIP_MEAN", "CLIP_STD", "Preprocess", "from_open_clip", "from_transformers"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of OpenAI's training images, per RGB channel in [0, 1]; nearly all CLIP models and BLIP keep them."""

_RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers for what is in use."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """An RGB image -> [3, S, S] float32.

    "pil": Pillow resizes bytes, then they become floats (open_clip, transformers, ImageReward). "tensor": floats in
    [0, 1] are resized, antialiased, and may overshoot that range (the hpsv2 package; with a torchvision before 0.17
    that package did not antialias, which is not reproduced).
    """

    size: int
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize: Literal["shortest", "squash", "pad"] = "shortest"
    """"shortest": the shortest side becomes S, then the centre is cut out. "squash": both sides become S. "pad": strips
    of the mean's colour make it a square first, as LLaVA does (`expand2square`)."""
    order: Literal["pil", "tensor"] = "pil"
    odd: Literal["round", "floor"] = "round"
    """Where the cut begins when an odd number of pixels is left over: round(k / 2), half to even (torchvision), or
    floor(k / 2) (transformers)."""

    def __call__(self, image: Image.Image) -> Tensor:
        """The pixels of one image in mode RGB."""
        pixels = self._resized(image)  # [3, h, w] in [0, 1], h and w at least S
        top, left = (self._begin(side) for side in pixels.shape[1:])
        pixels = pixels[:, top : top + self.size, left : left + self.size]
        return (pixels - _channels(self.mean)) / _channels(self.std)

    def stack(self, count: int, placed: Iterable[tuple[int, Image.Image | Tensor]]) -> Tensor:
        """[count, 3, S, S] of images, or of their pixels, each with its place; they are taken one at a time."""
        pixels = torch.empty(count, 3, self.size, self.size)
        for place, image in placed:
            pixels[place] = image if isinstance(image, Tensor) else self(image)
        return pixels

    @property
    def tag(self) -> str:
        """A short hash of all of it, for keys."""
        return hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()[:16]

    @property
    def settings(self) -> Mapping[str, str | int]:
        """For the record."""
        own = "" if (self.mean, self.std) == (CLIP_MEAN, CLIP_STD) else f", mean {self.mean}, std {self.std}"
        return {
            "preprocess": f"{self.order} order, {self.interpolation}, {self.resize} side, {self.odd} crop{own}",
            "image_size": self.size,
        }

    def _begin(self, side: int) -> int:
        spare = side - self.size
        return round(spare / 2) if self.odd == "round" else spare // 2

    def _resized(self, image: Image.Image) -> Tensor:
        image = _square(image, self.mean) if self.resize == "pad" else image
        width, height = self._target(*image.size)
        if self.order == "tensor":
            pixels = _floats(image)
            if pixels.shape[1:] == (height, width):
                return pixels
            sized = F.interpolate(pixels[None], (height, width), mode=self.interpolation, antialias=True)
            return sized[0]
        if image.size == (width, height):
            return _floats(image)
        from PIL import Image as Pillow

        return _floats(image.resize((width, height), Pillow.Resampling[self.interpolation.upper()]))

    def _target(self, width: int, height: int) -> tuple[int, int]:
        if self.resize == "squash":
            return self.size, self.size
        short, long = min(width, height), max(width, height)
        stretched = int(self.size * long / short)
        return (self.size, stretched) if width <= height else (stretched, self.size)


def _square(image: Image.Image, mean: Sequence[float]) -> Image.Image:
    """The image in the middle of a square of a colour; of an odd strip the larger part is on the right or below."""
    from PIL import Image as Pillow

    width, height = image.size
    side = max(width, height)
    if width == height:
        return image
    square = Pillow.new("RGB", (side, side), tuple(int(channel * 255) for channel in mean))
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def _floats(image: Image.Image) -> Tensor:
    """[3, h, w] float32 in [0, 1]."""
    values = torch.from_numpy(np.array(image, dtype=np.uint8))  # [h, w, 3]
    return values.permute(2, 0, 1).contiguous().float().div(255)


def _channels(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def from_open_clip(config: Mapping[str, Any], size: int, name: str) -> Preprocess:
    """The preprocessing that an open_clip_config.json declares for towers of `size`; raises RmbenchError for others."""
    known = {"size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"}
    unknown = sorted(set(config) - known)
    if unknown:
        raise RmbenchError(f"{name}: preprocess_cfg has {', '.join(unknown)}, which is not known here.")
    return _made(
        name,
        size=size,
        mean=config.get("mean") or CLIP_MEAN,
        std=config.get("std") or CLIP_STD,
        interpolation=config.get("interpolation") or "bicubic",
        resize=config.get("resize_mode") or "shortest",
    )


def from_transformers(config: Mapping[str, Any], size: int, name: str) -> Preprocess:
    """The preprocessing that a preprocessor_config.json declares; raises RmbenchError where it does something else than
    resize, crop and normalise to the tower's `size`."""
    steps = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
    left_out = [step for step in steps if config.get(step) is False]
    if left_out:
        raise RmbenchError(f"{name}: {left_out[0]} is false, and the scorers here do all of {', '.join(steps)}.")
    if float(config.get("rescale_factor") or 1 / 255) != 1 / 255:
        raise RmbenchError(f"{name}: rescale_factor is {config['rescale_factor']}, expected 1/255.")
    sides = {side for key in ("size", "crop_size") for side in _sides(config.get(key))}
    if sides - {size}:
        raise RmbenchError(f"{name}: it makes images of {sorted(sides)} pixels, but the tower reads {size}.")
    squashed = isinstance(config.get("size"), dict) and "shortest_edge" not in config["size"]
    return _made(
        name,
        size=size,
        mean=config.get("image_mean") or CLIP_MEAN,
        std=config.get("image_std") or CLIP_STD,
        interpolation=_RESAMPLE.get(config.get("resample", 3), str(config.get("resample"))),
        resize="squash" if squashed else "shortest",
        odd="floor",
    )


def _sides(value: Any) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else [side for side in dict(value).values() if side is not None]


def _made(name: str, **values: Any) -> Preprocess:
    allowed = {"interpolation": ("bicubic", "bilinear"), "resize": ("shortest", "squash")}
    for key, known in allowed.items():
        if values[key] not in known:
            raise RmbenchError(f"{name}: {key} {values[key]!r} is not known here, only {' and '.join(known)}.")
    for key in ("mean", "std"):
        figures = values[key] if isinstance(values[key], (list, tuple)) else [values[key]] * 3
        if len(figures) != 3 or not all(isinstance(figure, (int, float)) for figure in figures):
            raise RmbenchError(f"{name}: {key} must be three numbers, not {values[key]!r}.")
        values[key] = tuple(float(figure) for figure in figures)
    return Preprocess(**values)
