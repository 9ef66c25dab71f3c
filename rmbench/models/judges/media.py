"""What a judge is shown of a row's images and videos: declared by its protocol, sent as parts of a message.

An image is one part, a video the frames that a declared rule picks, in order, each an image part of its own: how many
frames a server would choose by itself depends on its model. Pictures are decoded, turned upright, made RGB, shrunk to a
declared number of pixels and encoded anew here; a request holds data URIs and never an address or a path.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.media import TRANSPORT, FrameRule, MediaError, data_uri, open_medium, pixels_of, shrunk
from rmbench.types import Message, Part, Setting

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "FrameText",
    "MediaFormat",
    "MediaMarks",
    "Pictures",
    "Transport",
    "enough_images",
    "image_part",
    "split_at_marks",
    "trial_part",
]

ContentPart = Mapping[str, Any]
"""A part of a message's content: {"type": "text", "text"} or {"type": "image_url", "image_url": {"url"}}."""


def _transport(text: str) -> str:
    if not TRANSPORT.fullmatch(text):
        raise ValueError("expected png, or jpeg with a quality from 0 to 100 such as jpeg95")
    return text


def _frames(text: str) -> str:
    try:
        return str(FrameRule.of(text))
    except RmbenchError as error:
        raise ValueError(str(error)) from None


Transport = Annotated[str, AfterValidator(_transport)]
FrameText = Annotated[str, AfterValidator(_frames)]


class MediaFormat(BaseModel):
    """A protocol's [media]: which images and videos it shows, and how they are sent unless the user says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kinds: tuple[Literal["image", "video"], ...] = Field(min_length=1, strict=False)
    of: Literal["any", "prompt", "candidates"] = "any"
    """What must hold one, else the row fails: the prompt, or every candidate shown."""
    transport: Transport = "png"
    max_pixels: int = Field(default=2**22, ge=1)
    """Of an image; a larger one is shrunk."""
    frame_pixels: int = Field(default=768 * 28 * 28, ge=1)
    """Of a video's frame, likewise."""
    frames: FrameText = "uniform:8"
    max_images: int = Field(default=32, ge=1)
    """Images and frames of one question together; a row with more fails."""


def enough_images(declared: MediaFormat, frames: str) -> int:
    """The limit of images under another frame rule: as declared, or two videos of as many frames as the rule counts."""
    rule = FrameRule.of(frames)
    return declared.max_images if rule.name == "fps" else max(declared.max_images, 2 * int(rule.number))


@dataclass(frozen=True, slots=True)
class Pictures:
    """Encodes the media of rows as parts of messages."""

    kinds: tuple[str, ...]
    transport: str
    max_pixels: int
    frame_pixels: int
    rule: FrameRule
    max_images: int

    @classmethod
    def of(cls, declared: MediaFormat) -> Pictures:
        """As declared."""
        sizes = (declared.max_pixels, declared.frame_pixels)
        return cls(declared.kinds, declared.transport, *sizes, FrameRule.of(declared.frames), declared.max_images)

    @property
    def settings(self) -> dict[str, Setting]:
        """For the record."""
        sent: dict[str, Setting] = {
            "transport": self.transport,
            "max_pixels": self.max_pixels,
            "max_images": self.max_images,
        }
        if "video" in self.kinds:
            sent |= {"frames": str(self.rule), "frame_pixels": self.frame_pixels}
        return sent

    def parts(self, part: Part, seen: dict[str, tuple[ContentPart, ...]]) -> tuple[ContentPart, ...]:
        """An image, or a video's frames, as image parts.

        Args:
            part: of a message.
            seen: what was encoded before, by content; added to.

        Raises:
            MediaError: it is not here, hostile or broken, or of a kind that the protocol does not show.
        """
        if part.kind not in self.kinds:
            raise MediaError(f"{part.name}: it is a {part.kind}, and the protocol shows {' and '.join(self.kinds)}s")
        medium = open_medium(part, self.rule)
        if len(medium.indices) > self.max_images:  # before they are decoded
            raise MediaError(f"{part.name}: {len(medium.indices)} frames are more than max_images={self.max_images}")
        if medium.key not in seen:
            limit = self.max_pixels if medium.kind == "image" else self.frame_pixels
            images = pixels_of(medium, lambda image: shrunk(image, limit))
            seen[medium.key] = tuple(image_part(image, self.transport) for image in images)
        return seen[medium.key]


def image_part(image: Image.Image, transport: str) -> ContentPart:
    """A picture as the part of a message."""
    return {"type": "image_url", "image_url": {"url": data_uri(image, transport)}}


def trial_part() -> ContentPart:
    """A small grey picture, to try a server with."""
    from rmbench.media.files import needed

    return image_part(needed("PIL.Image").new("RGB", (112, 112), (128, 128, 128)), "png")


@dataclass
class MediaMarks:
    """Stands for media in the text of a template while it is rendered. Marks hold a secret, so that no text of a row
    spells one."""

    parts: list[Part] = field(default_factory=list)
    """In the order in which they were marked."""
    _secret: str = field(default_factory=lambda: secrets.token_hex(16))

    def mark(self, part: Part) -> str:
        """The text that stands for a medium, which is entered."""
        self.parts.append(part)
        return f"\0{self._secret}:{len(self.parts) - 1}\0"

    def of(self, messages: Sequence[Message]) -> str:
        """The marks of all media of messages, in order."""
        return "".join(self.mark(part) for message in messages for part in message.parts if part.kind != "text")

    def inside(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages with marks as texts in place of their media."""
        return tuple(
            Message(
                message.role,
                tuple(part if part.kind == "text" else Part(text=self.mark(part)) for part in message.parts),
                message.extra,
            )
            for message in messages
        )

    @property
    def pattern(self) -> re.Pattern[str]:
        """A mark; its group is the index in `parts`."""
        return re.compile(f"\0{self._secret}:([0-9]+)\0")


def split_at_marks(text: str, marks: MediaMarks) -> list[str | Part]:
    """The texts and media of a rendered template, in order; line breaks next to a medium and empty texts left out."""
    pieces = marks.pattern.split(text)
    found: list[str | Part] = []
    for place, piece in enumerate(pieces):
        if place % 2:
            found.append(marks.parts[int(piece)])
            continue
        piece = piece.lstrip("\n") if place else piece
        piece = piece.rstrip("\n") if place < len(pieces) - 1 else piece
        found += [piece] if piece else []
    return found
