"""Files of media: regular files within limits, identified by the hash of their content."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from rmbench.errors import RmbenchError
from rmbench.untrusted.files import file_fault
from rmbench.untrusted.kind import HEAD, stand_in

__all__ = ["DEFAULT_LIMITS", "Limits", "MediaError", "checked", "digest", "explained", "needed"]

_EXTRAS = {"PIL": ("Pillow", "clip"), "av": ("PyAV", "video")}
_REASON = 160


class MediaError(RmbenchError):
    """An image or a video that cannot be used: one short line, which begins with the file's name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a medium may be. What is larger is refused before it is decoded, as far as its header tells."""

    image_bytes: int = 64 * 2**20
    video_bytes: int = 4 * 2**30
    pixels: int = 64 * 2**20
    """Pixels of an image or of one frame: three bytes each once decoded."""
    aspect: int = 100
    """Longest side / shortest side. A resize to a fixed shortest side makes the other one that many times as long."""
    frames: int = 2**16
    """Frames of a video: 18 minutes at 60 a second."""
    scans: int = 100
    """Scans of a JPEG; encoders write about ten. Each goes over the whole picture."""
    scanned: int = 2**30
    """Scans of a JPEG times its pixels: seconds of decoding."""
    decoded: int = 2**30
    """Pixels of all frames of a video that any file may have, however small: 8 minutes of 320 x 256 at 30 a second."""
    decoded_per_byte: int = 256
    """Pixels that a larger file may have for each of its bytes; encoders write one for 20 to 200."""
    shown: int = 2**28
    """Pixels of all frames of a video that are held at once: 0.8 GB."""
    streams: int = 64
    """Streams of a video file."""

    def check_decoded(self, name: str, pixels: int, size: int) -> None:
        """Raise MediaError for a video of more pixels in all than one of `size` bytes has."""
        most = max(self.decoded, self.decoded_per_byte * size)
        if pixels > most:
            raise MediaError(f"{name}: its frames have more than {most:,} pixels in {size:,} bytes")

    def check_size(self, name: str, width: int, height: int) -> None:
        """Raise MediaError for a picture that is empty, too large or too long for its width."""
        if width < 1 or height < 1:
            raise MediaError(f"{name}: it has no pixels ({width} x {height})")
        if width * height > self.pixels:
            raise MediaError(f"{name}: {width} x {height} pixels are more than {self.pixels:,}")
        if max(width, height) > self.aspect * min(width, height):
            raise MediaError(f"{name}: {width} x {height} is longer than {self.aspect} times its width")


DEFAULT_LIMITS = Limits()


def checked(path: str | Path, most: int) -> Path:
    """The file, if it is a regular one of 1 to `most` bytes; raises MediaError otherwise."""
    place = Path(path)
    fault = file_fault(place, most)
    if not fault and not place.stat().st_size:
        fault = "is empty"
    if fault:
        raise MediaError(f"{place.name}: the file {fault}")
    if place.stat().st_size < HEAD:
        try:
            instead = stand_in(place.read_bytes())
        except OSError as error:
            raise MediaError(f"{place.name}: {error.strerror or error}") from error
        if instead is not None:
            raise MediaError(f"{place.name}: it is {instead}")
    return place


def digest(path: str | Path, most: int = DEFAULT_LIMITS.video_bytes) -> str:
    """sha256 of the file's bytes, as hex digits; raises MediaError where it cannot be read or has more than `most`."""
    place = checked(path, most)
    found = place.stat()
    return _digest(str(place), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=2**16)
def _digest(path: str, size: int, changed: int) -> str:
    """An image that many rows show is hashed once, as long as size and time of the file stay."""
    place = Path(path)
    try:
        with place.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{place.name}: {error.strerror or error}") from error


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Whatever a decoder raises as a MediaError; decoders of untrusted bytes fail in many ways."""
    try:
        yield
    except RmbenchError:
        raise
    except MemoryError as error:
        raise MediaError(f"{name}: it does not fit into memory") from error
    except Exception as error:
        said = " ".join(str(error).replace(str(name), "").split())[:_REASON]
        raise MediaError(f"{name}: cannot be decoded ({type(error).__name__}{': ' if said else ''}{said})") from error


def needed(module: str) -> ModuleType:
    """A decoder's module; raises RmbenchError that says what to install. It is no MediaError: no file is to blame."""
    package, extra = _EXTRAS[module.partition(".")[0]]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RmbenchError(f"{package} is not installed: pip install 'rmbench[{extra}]' ({error}).") from error
