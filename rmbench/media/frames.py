"""The frames of a video that a model sees, chosen by a declared rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean

__all__ = ["FrameRule", "Timing"]

_RULES = ("uniform", "stride", "lead", "first", "fps")
_FPS_LEAST, _FPS_MOST = 4, 768
"""Of the rule of the Qwen2-VL family."""
_MOST = 1024


@dataclass(frozen=True, slots=True)
class Timing:
    """Frames and times of a video, counted, not taken from its header."""

    frames: int
    """Frames that could be decoded, n."""
    seconds: float | None = None
    """How long they are shown, the last one as long as the others on average; None: they carry no times."""


@dataclass(frozen=True, slots=True)
class FrameRule:
    """A rule that picks frames out of n, as `name:number`.

    * `uniform:K`: round(linspace(0, n - 1, K)), the first and the last among them; all where n <= K (FETV, K = 16).
    * `stride:K`: int(arange(0, n, n / K)); all where n <= K (GenAI-Bench, K = 8).
    * `lead:K`: int(linspace(0, n - 1, K, endpoint=False)), the last frame never among several (MJ-VIDEO, K = 8).
    * `first:K`: the first K; a shorter video's last frame is repeated (VQAScore on TVGE, K = 36).
    * `fps:R`: seconds x R, rounded to a multiple of 2, at least 4 and at most 768 and n, spread as round(linspace) does
      (Qwen2-VL family, VideoAlign, R = 2).
    """

    name: str
    number: float

    @classmethod
    def of(cls, text: str) -> FrameRule:
        """The rule that `text` spells; raises RmbenchError for any other text."""
        name, colon, number = text.partition(":")
        if name not in _RULES or not colon:
            known = ", ".join(f"{rule}:N" for rule in _RULES)
            raise RmbenchError(f"frames={text!r} is no frame rule: expected {known}.{did_you_mean(name, _RULES)}")
        try:
            value = float(number) if name == "fps" else int(number)
        except ValueError as error:
            raise RmbenchError(f"frames={text!r}: {number!r} is no number.") from error
        if not 0 < value <= _MOST:
            raise RmbenchError(f"frames={text!r}: expected a number above 0 and up to {_MOST}.")
        return cls(name, value)

    @property
    def needs(self) -> int | None:
        """How many frames have to be counted at most; None: all."""
        return int(self.number) if self.name == "first" else None

    def indices(self, timing: Timing) -> tuple[int, ...]:
        """The frames looked at, in order, counted from 0; a frame may be named more than once.

        Raises:
            ValueError: there is no frame, or the rule needs times and there are none.
        """
        n, count = timing.frames, int(self.number)
        if n < 1:
            raise ValueError("it has no frames")
        if self.name == "first":
            return tuple(min(index, n - 1) for index in range(count))
        if self.name == "fps":
            return _spread(n, self._by_time(timing))
        if self.name == "lead":
            return tuple(np.linspace(0, n - 1, count, endpoint=False, dtype=int).tolist())
        if n <= count:
            return tuple(range(n))
        return _spread(n, count) if self.name == "uniform" else tuple(int(i) for i in np.arange(0, n, n / count))

    def _by_time(self, timing: Timing) -> int:
        """How many frames a video has by its time."""
        if timing.seconds is None:
            raise ValueError(f"its frames carry no times, which the rule {self} needs")
        wanted = 2 * round(timing.seconds * self.number / 2)
        most = max(timing.frames - timing.frames % 2, 1)
        return min(max(wanted, _FPS_LEAST), _FPS_MOST, most)

    def __str__(self) -> str:
        return f"{self.name}:{self.number:g}"


def _spread(n: int, count: int) -> tuple[int, ...]:
    return tuple(int(index) for index in np.linspace(0, n - 1, count).round())
