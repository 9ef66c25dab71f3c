"""The input of a vision model from a request: the prompt's text, and the candidate's one image or video."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rmbench.media import (
    MEDIA_REJECTED,
    FrameRule,
    MediaError,
    changed,
    media_of,
    open_image,
    open_medium,
    read_frames,
)
from rmbench.models.families.vision.one_core import on_one_core
from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.protocols import Encoded, FloatArray, Request
from rmbench.types import Part, bare_text

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "REFUSALS",
    "Decoded",
    "Picture",
    "UnshownError",
    "answer_text",
    "decoded",
    "described_medium",
    "distinct_pictures",
    "mean_of",
    "medium_of",
    "pictures",
    "pictures_of",
    "prompt_text",
    "remarks",
    "why_failed",
    "with_pictures",
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
    """Content: sha256 of the file's bytes, the frame, and how it is changed. Frames of one video sort together."""
    change: str = ""
    """How its pixels are changed, as `Change` spells it."""

    def changed(self, image: Image.Image) -> Image.Image:
        """The picture as it is shown, of the pixels of its file."""
        return changed(image, self.change, self.key.partition("/")[0], self.frame or 0)

    def __str__(self) -> str:
        return self.path if self.frame is None else f"{self.path}, frame {self.frame}"


@dataclass(frozen=True, slots=True)
class Decoded(Picture):
    """A picture with what the tower reads of it."""

    pixels: Tensor = field(kw_only=True, compare=False)
    """[3, S, S] float32."""


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
        MediaError: it is not here.
        UnshownError: the prompt has none, or several.
    """
    if media_of(request.conversation[request.prompt_messages :]):
        return None
    media = media_of(request.conversation[: request.prompt_messages])
    if len(media) != 1:
        raise UnshownError(f"a caption is read with the prompt's image, and the prompt has {len(media)}")
    if media[0].path is None:
        raise MediaError(media[0].absence)
    return media[0]


def medium_of(request: Request) -> Part:
    """The candidate's image or video; raises UnshownError where it is none or several, MediaError where it is not
    here."""
    answer = request.conversation[request.prompt_messages :]
    media = media_of(answer)
    if not media:
        raise UnshownError("the candidate is text, and the model scores an image or a video")
    if len(media) > 1:
        raise UnshownError(f"the candidate holds {len(media)} images or videos, expected one")
    if media[0].path is None:
        raise MediaError(media[0].absence)
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
    if part.kind == "video" and rule is None:
        raise UnshownError("the candidate is a video, and the model takes images alone")
    medium = open_medium(part, rule)
    changed = f"/{medium.change}" if medium.change else ""
    if medium.kind == "image":
        return (Picture(medium.path, None, f"{medium.sha256}{changed}", medium.change),)
    return tuple(
        Picture(medium.path, index, f"{medium.sha256}/{index:06d}{changed}", medium.change) for index in medium.indices
    )


def with_pictures(text: Encoded, shown: Sequence[Picture], tag: str) -> Encoded:
    """The row of a text with an image; with a video the rows of its frames in one, whose mean is its own (`mean_of`).

    Args:
        text: a row's tokens, cost and remarks.
        shown: the pictures of one medium.
        tag: `Preprocess.tag`, of how their pixels are made.
    """
    spelled = hashlib.sha256(" ".join(map(str, text.ids)).encode()).hexdigest()
    # The picture comes first, so that the plan puts rows of one picture together.
    rows = [replace(text, key=f"{picture.key}/{tag}/{spelled}", payload=picture) for picture in shown]
    if len(rows) == 1:
        return rows[0]
    key = hashlib.sha256(" ".join(row.key for row in rows).encode()).hexdigest()
    first = rows[0]
    return Encoded(key, sum(row.size for row in rows), truncated=first.truncated, parts=(*rows,), remarks=first.remarks)


def mean_of(outputs: Sequence[Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """Each output's mean over the frames of a video."""
    return {
        name: np.asarray(np.mean([output[name] for output in outputs], axis=0, dtype=np.float64), dtype=np.float32)
        for name in outputs[0]
    }


def decoded(rows: Sequence[Encoded], preprocess: Callable[[Image.Image], Tensor]) -> tuple[Encoded, ...]:
    """The rows with each picture decoded and made ready, as a `DecodingScorer` gives them."""
    on_one_core()
    asked = {row.payload.key: row.payload for row in rows if isinstance(row.payload, Picture)}
    files = [list(own) for _, own in groupby(asked.values(), key=lambda picture: picture.path)]
    made: dict[str, Decoded] = {}
    for own in files:
        try:
            for place, image in pictures(own):
                ready = image if isinstance(image, Tensor) else preprocess(image)
                of = own[place]
                made[of.key] = Decoded(of.path, of.frame, of.key, of.change, pixels=ready)
        except MediaError:  # `forward` tries again, and says why
            continue
    return tuple(
        replace(row, payload=made.get(row.payload.key, row.payload)) if isinstance(row.payload, Picture) else row
        for row in rows
    )


def pictures(asked: Sequence[Picture]) -> Iterator[tuple[int, Image.Image | Tensor]]:
    """Each picture decoded, with its place in `asked`, one in memory at a time; a video is read once for all of its. Of
    a picture that is `Decoded` its pixels.

    Raises:
        MediaError: the first one that cannot be decoded.
    """
    videos: dict[str, dict[int, list[int]]] = {}  # path -> frame -> places
    for place, picture in enumerate(asked):
        if isinstance(picture, Decoded):
            yield place, picture.pixels
        elif picture.frame is None:
            yield place, picture.changed(open_image(picture.path))
        else:
            videos.setdefault(picture.path, {}).setdefault(picture.frame, []).append(place)
    for path, frames in videos.items():
        for index, image in read_frames(path, sorted(frames)):
            for place in frames[index]:
                yield place, asked[place].changed(image)


def distinct_pictures(rows: Sequence[Encoded], preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    """Pixels [P, 3, S, S] of the distinct pictures of rows, and [B] each row's place among them.

    Raises:
        MediaError: the first one that cannot be decoded.
    """
    shown = [row.payload for row in rows if isinstance(row.payload, Picture)]
    distinct = list({each.key: each for each in shown}.values())
    place = {each.key: index for index, each in enumerate(distinct)}
    pixels = preprocess.stack(len(distinct), pictures(distinct))
    return pixels, torch.tensor([place[each.key] for each in shown])


REFUSALS = (MediaError, UnshownError)
"""What makes one row fail and no other."""


def why_failed(refusal: Exception) -> str:
    """The error of a row by one of REFUSALS."""
    return f"{MEDIA_REJECTED}: {refusal}" if isinstance(refusal, MediaError) else str(refusal)
