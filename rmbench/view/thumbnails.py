"""Small pictures of the images and videos of rows, for a page that is one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule, Medium, data_uri, open_medium, pixels_of, shrunk
from rmbench.types import Part

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Thumbnails"]

_PIXELS = 320 * 320
"""Of an image, at most; of all frames of a video together too."""
_FRAMES = FrameRule("uniform", 4)
_TRANSPORT = "jpeg80"


@dataclass
class Thumbnails:
    """Thumbnails by content, each made once: an image shrunk, of a video four frames together."""

    most: int = 2_000
    """Pictures of one page; of further media only names are shown."""
    across: int = 4
    """Frames of a video that stand beside each other; the others stand below."""
    most_characters: int = 48 * 2**20
    """Of all data URIs of a page together."""
    uris: list[str] = field(default_factory=list)
    """The pictures so far."""
    left_out: int = 0
    """Media for which there was no room."""
    _places: dict[str, int] = field(default_factory=dict)
    _characters: int = 0

    def place(self, part: Part) -> int | str | None:
        """The index in `uris` of a medium's picture; the reason where there can be none; None where its file is not
        here or there is no more room."""
        if part.path is None:
            return None
        try:
            medium = open_medium(part, _FRAMES)
            if medium.key not in self._places:
                if len(self.uris) >= self.most or self._characters >= self.most_characters:
                    self.left_out += 1
                    return None
                uri = data_uri(_picture(medium, self.across), _TRANSPORT)
                self._places[medium.key] = len(self.uris)
                self.uris.append(uri)
                self._characters += len(uri)
        except RmbenchError as error:  # a broken file, or no decoder
            return str(error)
        return self._places[medium.key]


def _picture(medium: Medium, across: int) -> Image.Image:
    if medium.kind == "image":
        return pixels_of(medium, lambda image: shrunk(image, _PIXELS))[0]
    share = _PIXELS // max(1, len(medium.indices))
    frames = pixels_of(medium, lambda image: shrunk(image, share))
    from PIL import Image as pillow  # noqa: N813 (a module)

    width, height = max(frame.width for frame in frames), max(frame.height for frame in frames)
    columns = min(across, len(frames))
    strip = pillow.new("RGB", (columns * width, -(-len(frames) // columns) * height))
    for k, frame in enumerate(frames):
        strip.paste(frame, (k % columns * width, k // columns * height))
    return strip
