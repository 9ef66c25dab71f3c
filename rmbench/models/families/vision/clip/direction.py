"""The mean direction of a declared set of prompts, along which a text says nothing of its own (LongAlign)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.models.families.vision.shown import UnshownError
from rmbench.models.protocols import FloatArray
from rmbench.types import Setting
from rmbench.untrusted.files import MIB, read_text

__all__ = ["Direction", "read_direction"]

_LARGEST = 256 * MIB


@dataclass(frozen=True)
class Direction:
    """V, of length 1, and the prompts that it is the mean of."""

    vector: FloatArray
    """[D]"""
    file: str
    prompts: int
    sha256: str
    """Over the prompts."""
    truncated: int
    """Prompts of which tokens were cut off."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What decides it, for the record."""
        return {
            "direction": self.file,
            "direction_prompts": self.prompts,
            "direction_truncated": self.truncated,
            "direction_sha256": self.sha256,
        }

    @property
    def spelled(self) -> str:
        """V itself for the record: base64 of float32, the least significant byte first."""
        return base64.b64encode(self.vector.astype("<f4").tobytes()).decode()


def read_direction(name: str, embed: Callable[[str], tuple[FloatArray, bool]]) -> Direction:
    """V of the prompts in a file: the mean of their vectors, brought to length 1.

    Args:
        name: the file's path: .txt, a prompt a line, or .json, a list of prompts. A prompt that stands twice counts
            twice.
        embed: a prompt -> its vector [D], the mean of its segments' of length 1, and whether tokens were cut off.

    Raises:
        RmbenchError: no such file, another format, no prompt in it, or vectors whose mean is 0.
    """
    prompts = _prompts(Path(name))
    try:
        read = [embed(prompt) for prompt in prompts]
    except UnshownError as error:
        raise RmbenchError(f"direction={name}: {error}.") from error
    mean = np.mean([vector for vector, _ in read], axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if not np.isfinite(length) or length < 1e-6:
        raise RmbenchError(f"direction={name}: the prompts' vectors have no mean direction (length {length:.2g}).")
    digest = hashlib.sha256(json.dumps(prompts, ensure_ascii=False).encode()).hexdigest()
    cut = sum(truncated for _, truncated in read)
    vector: FloatArray = np.asarray(mean / length, dtype=np.float32)
    return Direction(vector, Path(name).name, len(prompts), digest, cut)


def _prompts(file: Path) -> Sequence[str]:
    what = f"direction={file}:"
    text = read_text(file, _LARGEST, what).removeprefix("\ufeff")
    found: Any
    if file.suffix.lower() == ".json":
        try:
            found = json.loads(text)
        except ValueError as error:
            raise RmbenchError(f"{what} no JSON ({error}).") from error
        if not isinstance(found, list):
            raise RmbenchError(f"{what} expected a list of prompts, found {type(found).__name__}.")
    elif file.suffix.lower() == ".txt":
        found = text.splitlines()
    else:
        raise RmbenchError(f"{what} expected .txt, a prompt a line, or .json, a list of prompts.")
    for number, prompt in enumerate(found):
        if not isinstance(prompt, str) or not prompt.strip():
            raise RmbenchError(f"{what} prompt {number} is {'empty' if prompt == '' else 'not a text'}.")
    if not found:
        raise RmbenchError(f"{what} there is no prompt in it.")
    return [str(prompt) for prompt in found]
