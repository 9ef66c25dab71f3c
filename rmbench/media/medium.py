"""The images and videos of messages, as pictures in memory: what a model or a judge is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmbench.media.changed import changed
from rmbench.media.files import DEFAULT_LIMITS, Limits, MediaError, digest
from rmbench.media.frames import FrameRule, Timing
from rmbench.media.images import open_image
from rmbench.media.videos import chosen_frames, read_frames, video_timing
from rmbench.media_change import Change
from rmbench.types import Message, Part

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MEDIA_REJECTED", "Medium", "media_of", "open_medium", "pixels_of"]

MEDIA_REJECTED = "media_rejected"
"""What the error of a row begins with whose image or video is missing, hostile or broken; the reason follows."""


@dataclass(frozen=True, slots=True)
class Medium:
    """An image, or the chosen frames of a video, without pixels until they are asked for (`pixels_of`)."""

    kind: str
    """"image" or "video"."""
    path: str
    sha256: str
    """Of the file's bytes, as hex digits."""
    indices: tuple[int, ...] = ()
    """The frames that are looked at, in order, counted from 0; () for an image."""
    timing: Timing | None = None
    """Frames and seconds of the whole video; None for an image."""
    change: str = ""
    """How the pictures are changed, as `Change` spells it; a change of frames is in `indices` already."""

    @property
    def key(self) -> str:
        """What is seen, by content: equal ones show the same pixels."""
        whole = f"{self.sha256}/{','.join(map(str, self.indices))}"
        return f"{whole}/{self.change}" if self.change else whole

    @property
    def moments(self) -> tuple[int, ...]:
        """The frames at whose times the pictures are shown: those of `indices` in the order of time, since a changed
        order does not tell itself by its times."""
        return tuple(sorted(self.indices))


def media_of(messages: Iterable[Message]) -> list[Part]:
    """The images and videos of messages, in the order in which they are shown."""
    return [part for message in messages for part in message.parts if part.kind != "text"]


def open_medium(part: Part, rule: FrameRule | None, limits: Limits = DEFAULT_LIMITS) -> Medium:
    """What is looked at of a part's file: hashed, a video's frames counted and chosen; no pixels are kept.

    Args:
        part: an image or a video.
        rule: which frames of a video; None: videos are refused.
        limits: see `Limits`.

    Raises:
        MediaError: the part is absent, its file hostile or broken, or a video where there is no rule.
        RmbenchError: the decoder is not installed.
    """
    if part.path is None:
        raise MediaError(part.absence)
    change = Change.of(part.change) if part.change else None
    if part.kind == "image":
        if change is not None and change.of_frames:
            raise MediaError(f"{Path(part.path).name}: {change} is for videos, and it is an image")
        return Medium("image", part.path, digest(part.path, limits.image_bytes), change=part.change)
    if rule is None:
        raise MediaError(f"{Path(part.path).name}: it is a video, and images alone are taken")
    content = digest(part.path, limits.video_bytes)
    indices = chosen_frames(part.path, rule, limits, None if change is None else change.seconds)
    pixels = "" if change is None or change.of_frames else part.change
    if change is not None:
        indices = change.frames(indices, content)
    return Medium("video", part.path, content, indices, video_timing(part.path, limits, most=rule.needs), pixels)


def pixels_of(
    medium: Medium, fit: Callable[[Image.Image], Image.Image] | None = None, limits: Limits = DEFAULT_LIMITS
) -> list[Image.Image]:
    """The pictures of a medium in mode RGB, upright: one of an image, of a video one for each of its indices.

    Args:
        medium: what `open_medium` gave.
        fit: applied to each picture as it is decoded, so that a long video is never held in full size.
        limits: the pixels of all pictures together, after `fit`, are bounded by `limits.shown`.

    Raises:
        MediaError: the file is broken, or has more pixels than the limits allow.
    """

    def shown(image: Image.Image, frame: int) -> Image.Image:
        image = changed(image, medium.change, medium.sha256, frame)
        return fit(image) if fit else image

    if medium.kind == "image":
        return [shown(open_image(medium.path, limits), 0)]
    found: dict[int, Image.Image] = {}
    held = 0
    for index, frame in read_frames(medium.path, medium.indices, limits):
        found[index] = shown(frame, index)
        held += found[index].width * found[index].height
        if held > limits.shown:
            raise MediaError(f"{Path(medium.path).name}: the frames looked at have more than {limits.shown:,} pixels")
    return [found[index] for index in medium.indices]
