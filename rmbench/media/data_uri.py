"""Pictures as data URIs, for requests: encoded anew from RGB pixels, so that no byte of a benchmark's file, no address
and no path leaves this process."""

from __future__ import annotations

import base64
import io
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["TRANSPORT", "data_uri", "shrunk"]

TRANSPORT = re.compile(r"png|jpeg(100|[1-9]?[0-9])", re.ASCII)
"""How a picture is encoded: `png`, without loss, or `jpeg95`, JPEG of that quality with Pillow's other defaults."""


def data_uri(image: Image.Image, transport: str) -> str:
    """The picture as `data:image/png;base64,...` or `data:image/jpeg;base64,...`.

    Args:
        image: in mode RGB, as `rmbench.media` opens them.
        transport: one that TRANSPORT matches.
    """
    match = TRANSPORT.fullmatch(transport)
    assert match is not None, transport
    stream = io.BytesIO()
    if match[1] is None:
        image.save(stream, "PNG")
    else:
        image.save(stream, "JPEG", quality=int(match[1]))
    kind = "png" if match[1] is None else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def shrunk(image: Image.Image, pixels: int) -> Image.Image:
    """The picture with at most so many pixels, its sides in proportion (bicubic); a smaller one as it is."""
    have = image.width * image.height
    if have <= pixels:
        return image
    scale = math.sqrt(pixels / have)
    size = (max(1, math.floor(image.width * scale)), max(1, math.floor(image.height * scale)))
    from PIL import Image as pillow  # noqa: N813 (a module)

    return image.resize(size, pillow.Resampling.BICUBIC)
