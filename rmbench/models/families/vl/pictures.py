"""Images and videos as the numbers and the tokens that a model's own processor makes of them, each made once.

The processor is given pictures in memory and nothing else: no name, path or address of a benchmark reaches it. A video
is the frames that the declared rule picks, with their times.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.media import FrameRule, MediaError, Medium, open_medium, pixels_of
from rmbench.models.families.vl.schema import Pixels
from rmbench.types import Part

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Pictures", "Processed", "Shown"]

_HELD = 2**29
"""Bytes of processed pixels that are kept, so that what `encode` made `forward` need not make again."""
_WIDE = 2**31 - 1
_OF_THE_TEXT = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids", "video_metadata", "labels")


@dataclass(frozen=True, slots=True)
class Shown:
    """A medium with the tokens that stand for it in a row."""

    medium: Medium
    ids: tuple[int, ...]
    places: int
    """How many of them its features take the place of."""
    modality: str
    """Which of the model's inputs it is: "image" or "video"."""
    several: bool = False
    """Whether it is one of several images of a row, for models that show those otherwise (LLaVA-OneVision)."""

    @property
    def key(self) -> str:
        """What is seen and how, by content."""
        return f"{self.medium.key}/several" if self.several else self.medium.key


@dataclass(frozen=True, slots=True)
class Processed:
    """What the processor made of a medium."""

    shown: Shown
    inputs: Mapping[str, Tensor]
    """Arguments of the model's `get_image_features` or `get_video_features`, and of its positions."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(value.numel() * value.element_size() for value in self.inputs.values())


@dataclass
class Pictures:
    """A model's processor behind two caches: the tokens of every medium, and the pixels of the latest ones."""

    processor: Any
    pixels: Pixels
    frames: FrameRule
    videos: bool
    """Whether the model takes videos."""
    _shown: dict[str, Shown] = field(default_factory=dict)
    _held: OrderedDict[str, Processed] = field(default_factory=OrderedDict)

    def show(self, part: Part, *, several: bool = False) -> Shown:
        """The tokens of a part's image or video, which is one of `several` images or not.

        Raises:
            MediaError: the file is missing, hostile or broken, or the model cannot take a picture of this shape.
        """
        medium = open_medium(part, self.frames if self.videos else None)
        several = several and medium.kind == "image" and self._counts_images
        key = medium.key + ("/several" if several else "")
        if key not in self._shown:
            self._shown[key] = self.process(medium, several=several).shown
        return self._shown[key]

    def process(self, medium: Medium, *, several: bool = False) -> Processed:
        """The processor's numbers of a medium; raises as `show` does."""
        key = medium.key + ("/several" if several else "")
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        return self._made(pixels_of(medium, self._fit), medium, several=several)

    def _made(self, images: list[Image.Image], medium: Medium, *, several: bool = False) -> Processed:
        key = medium.key + ("/several" if several else "")
        name = medium.path.rpartition("/")[2]
        image = medium.kind == "image" or self.pixels.frame
        try:
            made = self._images(images * (1 + several)) if image else self._video(images, medium)
        except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
            raise MediaError(
                f"{name}: the model's processor refuses it: {' '.join(str(error).split())[:160]}"
            ) from None
        found = self._processed(made, medium, several=several)
        self._held[key] = found
        while sum(each.size for each in self._held.values()) > _HELD and len(self._held) > 1:
            self._held.popitem(last=False)
        return found

    def repeats(self, medium: Medium) -> int:
        """How often a video's one frame is shown again, so that the model has as many as it reads at once (Qwen-VL, 2).
        Its processor repeats the last frame of an odd number likewise, and Qwen3-VL's refuses a single one before."""
        own = self.processor.video_processor if self.videos and len(medium.indices) == 1 else None
        return max(0, getattr(own, "temporal_patch_size", 1) - 1) if own is not None and self._any_size else 0

    def frames_of(self, part: Part) -> list[Shown]:
        """The tokens of a video's frames, each shown as an image; raises as `show` does."""
        medium = open_medium(part, self.frames)
        each = [replace(medium, indices=(index,)) for index in medium.indices]
        if any(one.key not in self._shown for one in each):
            for one, image in zip(each, pixels_of(medium, self._fit), strict=True):
                self._shown[one.key] = self._made([image], one).shown
        return [self._shown[one.key] for one in each]

    @property
    def takes_videos(self) -> bool:
        """Whether the model is shown videos, or images of their frames."""
        return self.videos or bool(self.pixels.frame)

    @property
    def marks(self) -> dict[int, str]:
        """Token id -> the kind of medium whose place it holds in a text before its own tokens stand there."""
        spelled = {self.processor.image_token: "image"}
        if self.videos:
            spelled[self.processor.video_token] = "video"
        return {self.processor.tokenizer.convert_tokens_to_ids(mark): kind for mark, kind in spelled.items()}

    @property
    def settings(self) -> dict[str, str | int | None]:
        """For the record."""
        image = self.processor.image_processor
        return {
            "image_processor": type(image).__name__,
            "resize": self.pixels.resize,
            "min_pixels": self._bounds[0],
            "max_pixels": self._bounds[1],
            "frames": str(self.frames) if self.takes_videos else None,
            "frames_as": "images" if self.pixels.frame else None,
            "frame_cap": str(self._cap["cap_pixels_per_frame"]).lower() if self._cap else None,
            "orientation": "exif",
        }

    @property
    def _bounds(self) -> tuple[int | None, int | None]:
        """Pixels of a picture at least and at most, where the model has such bounds."""
        size = self.processor.image_processor.size
        own = {key: _read(size, key) for key in ("shortest_edge", "longest_edge")} if self._any_size else {}
        return self.pixels.min or own.get("shortest_edge"), self.pixels.max or own.get("longest_edge")

    @property
    def _any_size(self) -> bool:
        """Whether the processor keeps the shape of pictures, within bounds of area (Qwen-VL)."""
        return hasattr(self.processor.image_processor, "merge_size")

    @property
    def _cap(self) -> dict[str, bool]:
        """Whether frames have a bound of pixels of their own, where the library leaves it open (Qwen-VL): it means to
        change what it takes for granted, which would change scores."""
        own = self.processor.video_processor if self.videos else None
        known = hasattr(own, "cap_pixels_per_frame") and self._any_size
        return {"cap_pixels_per_frame": bool(own.cap_pixels_per_frame)} if own is not None and known else {}

    @property
    def _fit(self) -> Callable[[Image.Image], Image.Image] | None:
        return None if self.pixels.resize == "processor" else self._resized

    def _resized(self, image: Image.Image) -> Image.Image:
        """A picture in the size that upstream's own code gives it before the processor sees it."""
        from PIL import Image as Pillow
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        least, most = self._bounds
        own = self.processor.image_processor
        try:
            height, width = smart_resize(
                image.height, image.width, own.patch_size * own.merge_size, least or 1, most or _WIDE
            )
        except ValueError as error:
            raise MediaError(f"the picture of {image.width} x {image.height} pixels: {error}") from None
        if self.pixels.resize == "pil":
            return image.resize((width, height), Pillow.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
        sized = F.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
        return Pillow.fromarray(sized[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy())

    def _sizing(self, *, video: bool) -> dict[str, Any]:
        """How the processor is told what to do about the size."""
        if self.pixels.resize != "processor":
            return {"do_resize": False}
        if not self._any_size or (self.pixels.min is None and self.pixels.max is None):
            return {}
        own = (self.processor.video_processor if video else self.processor.image_processor).size
        least, most = self.pixels.min, self.pixels.max
        return {
            "size": {
                "shortest_edge": least or _read(own, "shortest_edge"),
                "longest_edge": most or _read(own, "longest_edge"),
            }
        }

    def _images(self, images: list[Image.Image]) -> Mapping[str, Any]:
        made: Mapping[str, Any] = self.processor(
            text=[self.processor.image_token * len(images)],
            images=[images],
            return_tensors="pt",
            text_kwargs={"add_special_tokens": False},
            images_kwargs=self._sizing(video=False) | ({} if self.pixels.tiles else {"crop_to_patches": False}),
        )
        return made

    def _video(self, frames: list[Image.Image], medium: Medium) -> Mapping[str, Any]:
        """Frames with their times: without, the library takes 24 a second for granted."""
        from transformers.video_utils import VideoMetadata

        timing = medium.timing
        assert timing is not None
        if not timing.seconds:
            raise MediaError(f"{medium.path.rpartition('/')[2]}: its frames carry no times, which the model reads")
        times = 1 + self.repeats(medium)
        metadata = VideoMetadata(
            total_num_frames=timing.frames,
            fps=timing.frames / timing.seconds,
            duration=timing.seconds,
            frames_indices=list(medium.moments) * times,
        )
        made: Mapping[str, Any] = self.processor(
            text=[self._video_text],
            videos=[np.stack([np.array(frame) for frame in frames * times])],
            return_tensors="pt",
            text_kwargs={"add_special_tokens": False},
            videos_kwargs={
                **self._sizing(video=True),
                **self._cap,
                "do_sample_frames": False,
                "video_metadata": [metadata],
            },
        )
        return made

    @property
    def _video_text(self) -> str:
        return str(self.processor.video_token)

    def _processed(self, made: Mapping[str, Any], medium: Medium, *, several: bool) -> Processed:
        ids = tuple(made["input_ids"][0].tolist())
        if several:  # twice the same
            ids = ids[: len(ids) // 2]
        modality = "video" if "pixel_values_videos" in made else "image"
        token = self.processor.video_token_id if modality == "video" else self.processor.image_token_id
        places = sum(each == token for each in ids)
        first, last = ids.index(token), len(ids) - 1 - ids[::-1].index(token)
        if self._wraps_nothing:
            ids = ids[first : last + 1]
        kept = {
            name: value if isinstance(value, Tensor) else torch.tensor(value)
            for name, value in made.items()
            if name not in _OF_THE_TEXT
        }
        return Processed(Shown(medium, ids, places, modality, several), kept)

    @property
    def _counts_images(self) -> bool:
        """Whether an image becomes another one where a row has several: LLaVA-OneVision cuts only a single one."""
        return type(self.processor).__name__.startswith("LlavaOnevision")

    @property
    def _wraps_nothing(self) -> bool:
        """Whether the processor puts tokens of its own around the picture's that are the row's (PaliGemma's BOS)."""
        return type(self.processor).__name__.startswith("PaliGemma")


def _read(size: Any, key: str) -> int | None:
    value = size.get(key) if isinstance(size, Mapping) else getattr(size, key, None)
    return None if value is None else int(value)
