"""Frames of a video: counted and decoded one at a time, so that memory holds one frame whatever the length.

GIF and animated WebP or PNG are read with Pillow, everything else with PyAV; which of the two, the first bytes say. The
rotation that a video's header asks for is applied, as players do. Files in other formats than the listed ones are not
opened: some formats name further files or addresses to read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.media.files import DEFAULT_LIMITS, Limits, MediaError, checked, explained, needed
from rmbench.media.frames import FrameRule, Timing
from rmbench.media.images import to_rgb

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["chosen_frames", "read_frames", "timing", "video_timing"]

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,h264,hevc,ivf"
_GIF_MILLISECONDS = 100


def timing(path: str | Path, limits: Limits = DEFAULT_LIMITS, *, most: int | None = None) -> Timing:
    """Count a video's frames by decoding them.

    Args:
        path: the file.
        limits: of bytes, pixels and frames.
        most: where to stop counting; None: at the end.

    Raises:
        MediaError: the file is missing, too large, broken, or holds no video.
        RmbenchError: the decoder is not installed.
    """
    first = last = None
    count = 0
    for _, shown in _frames(path, limits):
        first = shown if count == 0 else first
        last = shown
        count += 1
        if count == most:
            break
    if not count:
        raise MediaError(f"{Path(path).name}: no frame can be decoded")
    if first is None or last is None or count == 1:
        return Timing(count)
    return Timing(count, (last - first) * count / (count - 1))


def chosen_frames(
    path: str | Path, rule: FrameRule, limits: Limits = DEFAULT_LIMITS, seconds: tuple[float, float] | None = None
) -> tuple[int, ...]:
    """The frames of a video that a rule picks, of the seconds [start, end) alone where these are given: frame i of n is
    shown at i / n of the whole time. Raises as `timing` does, or where no frame is shown then."""
    try:
        if seconds is None:
            return rule.indices(video_timing(path, limits, most=rule.needs))
        whole = video_timing(path, limits)
        if whole.seconds is None:
            raise ValueError("its frames carry no times, so that it has no spans")
        rate = whole.frames / whole.seconds
        first, last = (min(math.ceil(second * rate - 1e-6), whole.frames) for second in seconds)
        if first >= last:
            raise ValueError(f"no frame is shown from {seconds[0]:g} to {seconds[1]:g} s, of {whole.seconds:g} s")
        return tuple(first + index for index in rule.indices(Timing(last - first, (last - first) / rate)))
    except ValueError as error:
        raise MediaError(f"{Path(path).name}: {error}") from error


def video_timing(path: str | Path, limits: Limits = DEFAULT_LIMITS, *, most: int | None = None) -> Timing:
    """`timing` of a video that many rows show, counted once as long as size and time of the file stay."""
    place = checked(path, limits.video_bytes)
    found = place.stat()
    return _timed(str(place), found.st_size, found.st_mtime_ns, limits, most)


@lru_cache(maxsize=2**14)
def _timed(path: str, size: int, changed: int, limits: Limits, most: int | None) -> Timing:
    return timing(path, limits, most=most)


def read_frames(
    path: str | Path, indices: Sequence[int], limits: Limits = DEFAULT_LIMITS
) -> Iterator[tuple[int, Image.Image]]:
    """The frames at `indices`, each once and in the order in which they are shown, with their index, as RGB images.

    Raises:
        MediaError: as `timing` does; or the video ends before one of them.
    """
    wanted = set(indices)
    last = max(wanted, default=-1)
    if last < 0:
        return
    for index, (frame, _) in enumerate(_frames(path, limits)):
        if index in wanted:
            with explained(Path(path).name):
                image = _image(frame)
            yield index, image
        if index == last:
            return
    raise MediaError(f"{Path(path).name}: it ends before frame {last}")


def _frames(path: str | Path, limits: Limits) -> Iterator[tuple[Any, float | None]]:
    """Every frame as its decoder gives it, with the second at which it is shown."""
    place = checked(path, limits.video_bytes)
    frames = _animated if _is_animation(place) else _streamed
    with explained(place.name):
        pixels, size = 0, place.stat().st_size
        for count, (frame, shown) in enumerate(frames(place, limits)):
            if count >= limits.frames:
                raise MediaError(f"{place.name}: it has more than {limits.frames:,} frames")
            pixels += frame.width * frame.height
            limits.check_decoded(place.name, pixels, size)
            yield frame, shown


def _is_animation(place: Path) -> bool:
    with explained(place.name), place.open("rb") as stream:
        start = stream.read(12)
    return start.startswith((b"GIF8", b"\x89PNG")) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def _animated(place: Path, limits: Limits) -> Iterator[tuple[Any, float | None]]:
    """Frames of a GIF, WebP or PNG. One without a duration is shown for a tenth of a second, as browsers do."""
    shown = 0.0
    pillow = needed("PIL.Image")
    pillow.init()
    with pillow.open(place, formats=("GIF", "WEBP", "PNG")) as image:
        limits.check_size(place.name, *image.size)
        for frame in needed("PIL.ImageSequence").Iterator(image):
            limits.check_size(place.name, *frame.size)
            frame.load()
            yield frame, shown
            shown += (frame.info.get("duration") or _GIF_MILLISECONDS) / 1000


def _streamed(place: Path, limits: Limits) -> Iterator[tuple[Any, float | None]]:
    """Frames of the first video stream."""
    av = needed("av")
    with place.open("rb") as stream, av.open(stream, options={"format_whitelist": _CONTAINERS}) as container:
        if len(container.streams) > limits.streams:
            raise MediaError(f"{place.name}: it holds {len(container.streams)} streams")
        if not container.streams.video:
            raise MediaError(f"{place.name}: it holds no video")
        video = container.streams.video[0]
        limits.check_size(place.name, video.codec_context.width, video.codec_context.height)
        for frame in container.decode(video):
            limits.check_size(place.name, frame.width, frame.height)
            yield frame, frame.time


def _image(frame: Any) -> Image.Image:
    """A frame of either decoder as an upright RGB image of its own."""
    if not hasattr(frame, "to_image"):
        return to_rgb(frame.copy())
    image: Image.Image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image
