"""One image file as RGB pixels.

Rules: the first frame of an animated file. The orientation that Exif asks for is applied, so that a model sees what
people saw. Then the mode becomes RGB: transparency is dropped and its colours stay as stored (as `Image.convert("RGB")`
does, which the scorers' own code calls), palettes are looked up, CMYK and others are converted without a colour
profile, and 16-bit grey is value / 257, rounded. Grey values beyond 16 bits and floating-point pixels have no declared
range and are refused.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rmbench.media.files import DEFAULT_LIMITS, Limits, MediaError, checked, explained, needed

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FORMATS", "open_image", "to_rgb"]

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""As Pillow calls them. Others are not tried: some call external programs, and no benchmark uses them."""

_GREY_16 = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})


def open_image(path: str | Path, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """The image upright, in mode RGB, fully decoded.

    Args:
        path: a file in one of `FORMATS`, known by its content, not by its name.
        limits: of bytes, pixels and sides; looked at before pixels are decoded.

    Raises:
        MediaError: the file is missing, too large, truncated, broken or no image.
        RmbenchError: Pillow is not installed.
    """
    place = checked(path, limits.image_bytes)
    pillow, operations = needed("PIL.Image"), needed("PIL.ImageOps")
    with explained(place.name), warnings.catch_warnings():
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning)  # remarks on metadata that is not looked at
        try:
            pillow.init()
            readable = [name for name in FORMATS if name in pillow.OPEN]  # AVIF is not in every build
            with pillow.open(place, formats=readable) as image:
                limits.check_size(place.name, *image.size)
                image.load()
                return to_rgb(operations.exif_transpose(image), place.name)
        except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
            raise MediaError(f"{place.name}: its pixels are more than {limits.pixels:,}") from error
        except pillow.UnidentifiedImageError as error:
            raise MediaError(f"{place.name}: it is no image ({', '.join(FORMATS)})") from error


def to_rgb(image: Image.Image, name: str = "image") -> Image.Image:
    """The image in mode RGB by the rules above; raises MediaError for pixels without a declared range."""
    if image.mode == "RGB":
        return image
    if image.mode in _GREY_16 or image.mode == "I":
        return _from_grey(image, name)
    if image.mode == "F":
        raise MediaError(f"{name}: its floating-point pixels have no declared range")
    if image.mode in ("P", "PA", "RGBa", "La"):
        # By way of RGBA, so that a transparent palette entry or a premultiplied colour gives its own colour.
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("RGB")


def _from_grey(image: Image.Image, name: str) -> Image.Image:
    import numpy as np

    values = np.asarray(image).astype(np.int64)  # [height, width]
    if values.min() < 0 or values.max() > 65535:
        raise MediaError(f"{name}: its grey values go from {values.min()} to {values.max()}, beyond 16 bits")
    grey: Image.Image = needed("PIL.Image").fromarray(((values + 128) // 257).astype(np.uint8))
    return grey.convert("RGB")
