"""Declared changes of a medium: frames dropped, shuffled or turned round, and augmentations.

The changes of frames are TEMPLE's (arXiv 2503.16929, lscpku/TEMPLE, inference/generator_base.py): the frames that are
looked at are cut into clips of two, and the clips, or groups of them, are what is dropped or moved. Draws depend on the
change, its seed and the file's content alone, so that a file is changed in the same way in every run and everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.errors import RmbenchError, did_you_mean

__all__ = ["CHANGES", "Change"]

_FRAMES = ("drop", "shuffle", "reverse", "span")
_BOUNDS: dict[str, tuple[float, float] | None] = {
    "drop": (1, 1024),
    "shuffle": (1, 1024),
    "reverse": (1, 1024),
    "flip": None,
    "grey": None,
    "crop": (0.1, 1),
    "blur": (0, 50),
    "noise": (0, 255),
    "span": (0, 86_400),
}
"""Kind -> the least and the most of its magnitude; None: it has none."""
CHANGES = tuple(_BOUNDS)
_FRAMES_OF_A_CLIP = 2


@dataclass(frozen=True, slots=True)
class Change:
    """A change, spelled `kind`, `kind:magnitude` or `kind:magnitude:seed`; the seed is 0 where none is named.

    Of the frames of a video, the first three of n clips of two, the last one shorter where their number is odd:

    * `drop:M` keeps max(1, n // M) clips, drawn, in their order.
    * `shuffle:M` cuts the clips into groups of max(1, n // M), the last one shorter, and draws the groups' order.
    * `reverse:M` turns the order of the same groups round. The larger M, the more of the order is lost.
    * `span:START:END` is the seconds [START, END) of a video alone, of which the frames are then chosen.

    Of the pixels of an image, or of each frame:

    * `flip` mirrors left and right; `grey` takes the colour away.
    * `crop:S` keeps a part of S times each side, its place drawn, the same for all frames of a video.
    * `blur:R` is a Gaussian blur whose radius is R percent of the shortest side.
    * `noise:D` adds Gaussian noise of standard deviation D to each channel in 0 to 255, drawn anew for each frame.
    """

    kind: str
    magnitude: float = 0
    seed: int = 0
    end: float = 0
    """Of "span", whose magnitude is where it begins."""

    @classmethod
    def of(cls, text: str) -> Change:
        """The change that a text spells; raises RmbenchError for any other text."""
        kind, *numbers = text.split(":")
        if kind not in _BOUNDS:
            known = ", ".join(CHANGES)
            raise RmbenchError(f"{text!r} is no change of a medium; known: {known}.{did_you_mean(kind, CHANGES)}")
        if kind == "span":
            start, end = _seconds(text, numbers)
            return cls(kind, start, end=end)
        bounds = _BOUNDS[kind]
        fits = len(numbers) <= 2 and (len(numbers) >= 1) == (bounds is not None)
        try:
            magnitude = float(numbers[0]) if numbers else 0.0
            seed = int(numbers[1]) if len(numbers) > 1 else 0
        except ValueError:
            fits, magnitude, seed = False, 0.0, 0
        if not fits or seed < 0:
            spelled = kind if bounds is None else f"{kind}:NUMBER or {kind}:NUMBER:SEED"
            raise RmbenchError(f"{text!r}: expected {spelled}.")
        if bounds is not None and not bounds[0] <= magnitude <= bounds[1]:
            raise RmbenchError(f"{text!r}: {magnitude:g} is not from {bounds[0]:g} to {bounds[1]:g}.")
        if kind in _FRAMES and magnitude != int(magnitude):
            raise RmbenchError(f"{text!r}: the magnitude of {kind} is a whole number.")
        return cls(kind, magnitude, seed)

    @property
    def seconds(self) -> tuple[float, float] | None:
        """[start, end) of what is shown of a video; None: all of it."""
        return (self.magnitude, self.end) if self.kind == "span" else None

    @property
    def of_frames(self) -> bool:
        """Whether it is which frames are shown, and in which order, that changes."""
        return self.kind in _FRAMES

    def frames(self, indices: Sequence[int], content: str) -> tuple[int, ...]:
        """The frames that are shown of those that would be.

        Args:
            indices: in order.
            content: the file's sha256.
        """
        if not self.of_frames or self.kind == "span":
            return tuple(indices)
        size = _FRAMES_OF_A_CLIP
        clips = [tuple(indices[start : start + size]) for start in range(0, len(indices), size)]
        share = max(1, len(clips) // int(self.magnitude))
        if self.kind == "drop":
            kept = sorted(self._drawn(len(clips), content)[:share])
            return tuple(index for k in kept for index in clips[k])
        groups = [clips[start : start + share] for start in range(0, len(clips), share)]
        order = self._drawn(len(groups), content) if self.kind == "shuffle" else range(len(groups) - 1, -1, -1)
        return tuple(index for k in order for clip in groups[k] for index in clip)

    def _drawn(self, count: int, content: str) -> list[int]:
        """0 ... count - 1 in a drawn order."""
        return sorted(range(count), key=lambda place: self.bits(content, place))

    def bits(self, content: str, what: str | int) -> int:
        """A draw of 64 bits for one purpose, the same in every run and everywhere."""
        return int.from_bytes(hashlib.sha256(f"{self} {content} {what}".encode()).digest()[:8], "big")

    def __str__(self) -> str:
        if self.kind == "span":
            return f"span:{self.magnitude:.10g}:{self.end:.10g}"
        number = "" if _BOUNDS[self.kind] is None else f":{self.magnitude:.10g}"
        return f"{self.kind}{number}{f':{self.seed}' if self.seed else ''}"


def _seconds(text: str, numbers: Sequence[str]) -> tuple[float, float]:
    """Where a span begins and ends; raises RmbenchError for what is no span."""
    try:
        start, end = map(float, numbers)
    except ValueError:
        raise RmbenchError(f"{text!r}: expected span:START:END, in seconds.") from None
    least, most = _BOUNDS["span"] or (0, 0)
    if not least <= start < end <= most:
        raise RmbenchError(f"{text!r}: a span begins at {least:g} or later and ends behind its start.")
    return start, end
