"""One image file as RGB pixels.

Rules: the first frame of an animated file. The orientation that Exif asks for is applied, so that a model sees what
people saw. Then the mode becomes RGB: transparency is dropped and its colours stay as stored (as `Image.convert("RGB")`
does, which the scorers' own code calls), palettes are looked up, CMYK and others are converted without a colour
profile, and 16-bit grey is value / 257, rounded. Grey values beyond 16 bits and floating-point pixels have no declared
range and are refused.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rmbench.media.files import DEFAULT_LIMITS, Limits, MediaError, checked, explained, needed

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FORMATS", "open_image", "to_rgb"]

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""As Pillow calls them. Others are not tried: some call external programs, and no benchmark uses them."""

_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
"""0xFF and what is neither a filler nor a byte of 0xFF in compressed data."""
_START_OF_SCAN = 0xDA
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xDA)))

_BMP_RUNS = (1, 2)
_MOST_RUNS = 4 * 2**20
"""Bytes: Pillow decodes runs in Python."""

_ROWS = 256
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
                _check_work(image, place, limits)
                image.load()
                return to_rgb(operations.exif_transpose(image), place.name)
        except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
            raise MediaError(f"{place.name}: its pixels are more than {limits.pixels:,}") from error
        except pillow.UnidentifiedImageError as error:
            raise MediaError(f"{place.name}: it is no image ({', '.join(FORMATS)})") from error


def _check_work(image: Image.Image, place: Path, limits: Limits) -> None:
    """Raise MediaError for an image whose file makes a decoder work far longer than its pixels do."""
    if image.format in ("JPEG", "MPO"):
        scans, pixels = scans_of(place.read_bytes()), image.width * image.height
        if scans > limits.scans or scans * pixels > max(limits.scanned, 8 * pixels):
            raise MediaError(f"{place.name}: {scans:,} scans over {pixels:,} pixels are more than any encoder writes")
    if image.format == "BMP" and image.info.get("compression") in _BMP_RUNS and place.stat().st_size > _MOST_RUNS:
        raise MediaError(f"{place.name}: a BMP in runs may have {_MOST_RUNS:,} bytes at most")


def scans_of(content: bytes) -> int:
    """How many scans a JPEG has, those of several pictures in one file together, by its markers."""
    scans, place = 0, 0
    while found := _MARKER.search(content, place):
        marker, place = found[0][1], found.end()
        if marker == _START_OF_SCAN:
            scans += 1
        if marker not in _WITHOUT_LENGTH:
            place += max(2, int.from_bytes(content[place : place + 2], "big"))
    return scans


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

    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise MediaError(f"{name}: its grey values go from {low} to {high}, beyond 16 bits")
    grey = np.empty(values.shape, dtype=np.uint8)
    for start in range(0, len(values), _ROWS):  # a copy of a few rows at a time
        grey[start : start + _ROWS] = (values[start : start + _ROWS].astype(np.int32) + 128) // 257
    made: Image.Image = needed("PIL.Image").fromarray(grey)
    return made.convert("RGB")
