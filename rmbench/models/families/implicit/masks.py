"""Token masks: a weight for each token of an answer, given as data.

A JSONL file, one answer a line:

    {"answer": "<sha256>", "weights": [1, 0, 0.5]}

`answer` is the sha256, in hex, of the answer's text in UTF-8 (several messages joined by newlines); `weights` has a
number in [0, 1] for each token that is scored, the closing token among them where it counts (`eos`). A line may also
hold `prompt`, the sha256 of the prompt's text (messages joined by newlines): such a line is for that prompt alone and
goes before one without.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.types import Conversation, text_of
from rmbench.untrusted.files import read_file

__all__ = ["TokenMasks", "read_masks", "sha256_of"]

_MOST = 2**30
"""Bytes of a file of masks."""
_KEYS = ("answer", "prompt", "weights")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TokenMasks:
    """The masks of a file."""

    weights: Mapping[tuple[str, str], tuple[float, ...]]
    """(sha256 of the answer, sha256 of the prompt or "") -> a weight per token."""
    digest: str
    """sha256 of the file."""

    def of(self, prompt: Conversation, answer: Conversation) -> tuple[float, ...] | None:
        """The weights of an answer, or None where the file has none."""
        key = sha256_of(answer)
        return self.weights.get((key, sha256_of(prompt)), self.weights.get((key, "")))


def sha256_of(messages: Conversation) -> str:
    """The sha256 that names messages in the file."""
    return hashlib.sha256(text_of(messages).encode("utf-8", "surrogatepass")).hexdigest()


def read_masks(path: Path) -> TokenMasks:
    """The masks in a JSONL file.

    Raises:
        RmbenchError: the file cannot be read, or a line is not as this module says; the message names it.
    """
    try:
        content = read_file(path, _MOST, f"token_mask={path}")
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise RmbenchError(f"token_mask={path} cannot be read: {error}") from error
    weights: dict[tuple[str, str], tuple[float, ...]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        key, value = _entry(f"{path}, line {number}", line)
        if weights.setdefault(key, value) != value:
            raise RmbenchError(f"{path}, line {number}: that answer has other weights in an earlier line.")
    return TokenMasks(weights, hashlib.sha256(content).hexdigest())


def _entry(where: str, line: str) -> tuple[tuple[str, str], tuple[float, ...]]:
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{where}: not JSON ({error}).") from error
    if not isinstance(data, dict):
        raise RmbenchError(f'{where}: expected an object with "answer" and "weights".')
    for key in data:
        if key not in _KEYS:
            raise RmbenchError(f"{where}: unknown key {key!r}.{did_you_mean(key, _KEYS)}")
    answer, prompt, weights = data.get("answer"), data.get("prompt", ""), data.get("weights")
    for name, value in (("answer", answer), *((("prompt", prompt),) if prompt != "" else ())):
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise RmbenchError(f'{where}: "{name}" must be a sha256 of 64 small hex digits, not {value!r:.80}.')
    if not isinstance(weights, list) or not all(_is_weight(weight) for weight in weights):
        raise RmbenchError(f'{where}: "weights" must be a list of numbers from 0 to 1.')
    return (str(answer), str(prompt)), tuple(float(weight) for weight in weights)


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
