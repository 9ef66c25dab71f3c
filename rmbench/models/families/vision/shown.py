"""The input of a vision model from a request: the prompt's text, and the candidate's one image or video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmbench.media import (
    DEFAULT_LIMITS,
    FrameRule,
    MediaError,
    chosen_frames,
    digest,
    media_of,
    open_image,
    read_frames,
)
from rmbench.models.protocols import Request
from rmbench.types import Part, bare_text

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "REFUSALS",
    "Picture",
    "UnshownError",
    "answer_text",
    "described_medium",
    "medium_of",
    "pictures",
    "pictures_of",
    "prompt_text",
    "remarks",
]


class UnshownError(Exception):
    """A request that cannot be scored; the message says why."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file, or one frame of a video, without its pixels."""

    path: str
    frame: int | None
    """None: an image."""
    key: str
    """Content: sha256 of the file's bytes, and the frame. Frames of one video sort together."""

    def __str__(self) -> str:
        return self.path if self.frame is None else f"{self.path}, frame {self.frame}"


def prompt_text(request: Request) -> str:
    """The text of the prompt's user turns, joined by newlines; raises UnshownError where there is none."""
    turns = [message for message in request.conversation[: request.prompt_messages] if message.role == "user"]
    text = "\n".join(bare_text(message) for message in turns)
    if not text.strip():
        raise UnshownError("the prompt has no text to compare the image with")
    return text


def answer_text(request: Request) -> str:
    """The text of the candidate; raises UnshownError where there is none."""
    text = "\n".join(bare_text(message) for message in request.conversation[request.prompt_messages :])
    if not text.strip():
        raise UnshownError("the candidate has no text to compare the image with")
    return text


def described_medium(request: Request) -> Part | None:
    """The prompt's one image where the candidate is text, a caption of it; None where the candidate shows something.

    Raises:
        UnshownError: the prompt has none, several, or one that is not here.
    """
    if media_of(request.conversation[request.prompt_messages :]):
        return None
    media = media_of(request.conversation[: request.prompt_messages])
    if len(media) != 1:
        raise UnshownError(f"a caption is read with the prompt's image, and the prompt has {len(media)}")
    if media[0].path is None:
        raise UnshownError(media[0].absence)
    return media[0]


def medium_of(request: Request) -> Part:
    """The candidate's image or video; raises UnshownError where it is none, several, or not here."""
    answer = request.conversation[request.prompt_messages :]
    media = media_of(answer)
    if not media:
        raise UnshownError("the candidate is text, and the model scores an image or a video")
    if len(media) > 1:
        raise UnshownError(f"the candidate holds {len(media)} images or videos, expected one")
    if media[0].path is None:
        raise UnshownError(media[0].absence)
    return media[0]


def remarks(request: Request) -> tuple[str, ...]:
    """What is left unread, for the record: images of the prompt."""
    prompt = request.conversation[: request.prompt_messages]
    unread = any(part.kind != "text" for message in prompt for part in message.parts)
    return ("prompt_media_not_read",) if unread else ()


def pictures_of(part: Part, rule: FrameRule | None) -> tuple[Picture, ...]:
    """The pictures of a medium that is here: an image is one, a video its frames by the rule (None: no videos).

    Raises:
        MediaError: the file is missing, too large, or no frames can be counted; an image is not decoded here.
        UnshownError: a video for a model that takes none.
    """
    path = str(part.path)
    if part.kind == "image":
        return (Picture(path, None, digest(path, DEFAULT_LIMITS.image_bytes)),)
    if rule is None:
        raise UnshownError("the candidate is a video, and the model takes images alone")
    content = digest(path, DEFAULT_LIMITS.video_bytes)
    return tuple(Picture(path, index, f"{content}/{index:06d}") for index in chosen_frames(path, rule))


def pictures(asked: Iterable[Picture]) -> Iterator[tuple[int, Image.Image]]:
    """Each picture decoded, with its place in `asked`, one in memory at a time; a video is read once for all of its.

    Raises:
        MediaError: the first one that cannot be decoded.
    """
    videos: dict[str, dict[int, list[int]]] = {}  # path -> frame -> places
    for place, picture in enumerate(asked):
        if picture.frame is None:
            yield place, open_image(picture.path)
        else:
            videos.setdefault(picture.path, {}).setdefault(picture.frame, []).append(place)
    for path, frames in videos.items():
        for index, image in read_frames(path, sorted(frames)):
            for place in frames[index]:
                yield place, image


REFUSALS = (MediaError, UnshownError)
"""What makes one row fail and no other."""
