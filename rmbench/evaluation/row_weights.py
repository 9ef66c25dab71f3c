"""Weights of an ensemble's members that differ by row, from a file: those of a model of the prompt, such as PRO's."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.untrusted.files import MIB, read_text

__all__ = ["RowWeights", "names_file", "read_row_weights"]

_LARGEST = 256 * MIB
_FORM = '{"task": "...", "id": "...", "weights": [0.7, 0.3]}'


@dataclass(frozen=True, slots=True)
class RowWeights:
    """The weights of a file."""

    name: str
    sha256: str
    by_task: Mapping[str, Mapping[str, tuple[float, ...]]]
    """Task id ("": any task) -> row id -> a weight per member."""

    def of(self, task: str) -> Mapping[str, tuple[float, ...]]:
        """Row id -> its weights, in a task."""
        return {**self.by_task.get("", {}), **self.by_task.get(task, {})}


def names_file(text: str) -> bool:
    """Whether `weights` names a file and not numbers."""
    return text.endswith(".jsonl")


def read_row_weights(path: Path, members: int) -> RowWeights:
    """The weights of a JSON Lines file, `{"task": "rm-bench", "id": "chat/1", "weights": [0.7, 0.3]}`, the task left
    out where ids say enough.

    Raises:
        RmbenchError: no such file; a line that is not of this form, has a weight below 0 or none above it, not one for
            each member, or a row again.
    """
    text = read_text(path, _LARGEST, f"--model-args weights={path}:")
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        task, row, weights = _line(line, where, members)
        if row in found.setdefault(task, {}):
            raise RmbenchError(f'{where}: row "{row}" has weights already.')
        found[task][row] = weights
    if not found:
        raise RmbenchError(f"{path} holds no weights.")
    return RowWeights(path.name, hashlib.sha256(text.encode("utf-8")).hexdigest(), found)


def _line(line: str, where: str, members: int) -> tuple[str, str, tuple[float, ...]]:
    try:
        said: Any = json.loads(line)
    except ValueError as error:
        raise RmbenchError(f"{where}: it is no JSON ({error}).") from error
    if not isinstance(said, dict) or not isinstance(said.get("id"), str) or said.keys() - {"task", "id", "weights"}:
        raise RmbenchError(f"{where}: expected {_FORM}.")
    task, weights = said.get("task", ""), said.get("weights")
    if not isinstance(task, str) or not isinstance(weights, list) or not all(map(_is_weight, weights)):
        raise RmbenchError(f"{where}: expected {_FORM}, weights at least 0.")
    if len(weights) != members or not any(weights):
        raise RmbenchError(f"{where}: expected {members} weights, one per member and not all 0; found {weights}.")
    return task, said["id"], tuple(map(float, weights))


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
