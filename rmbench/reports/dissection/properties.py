"""Properties of answers: from a file, or simple ones that are counted in the texts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.types import Example, text_of

__all__ = ["SIMPLE", "Properties", "of_texts", "read_properties"]

Properties = Mapping[str, Mapping[str, tuple[float | None, ...]]]
"""Row id -> property -> a figure for each candidate, None where it is unknown."""

_LIST = re.compile(r"^[ \t]*(?:[-*+•]|\d+[.)])[ \t]+\S", re.MULTILINE)
_CODE = re.compile(r"^[ \t]*```", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{4,}")
_REFUSAL = re.compile(
    r"\b(?:i (?:can(?:no|['’])t|am (?:not able|unable)|['’]?m (?:not able|unable)|won['’]t|will not|must decline)"
    r"|(?:i['’]?m |i am )?sorry,? but|as an ai\b|not comfortable)",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:perhaps|maybe|possibly|probably|might|could be|i think|i believe|it seems|it appears|it depends|not sure"
    r"|generally|in some cases|as far as i know)\b",
    re.IGNORECASE,
)
_AGREEMENT = re.compile(
    r"\b(?:you(?:['’]re| are) (?:absolutely |completely |quite )?right|i (?:completely |fully |totally )?agree"
    r"|(?:great|good|excellent) (?:question|point|idea)|absolutely|exactly|of course|certainly)\b",
    re.IGNORECASE,
)


def _overlap(prompt: str, answer: str) -> float:
    """The share of the prompt's words of four letters and more that the answer repeats."""
    words = {word.lower() for word in _WORD.findall(prompt)}
    return len(words & {word.lower() for word in _WORD.findall(answer)}) / len(words) if words else 0.0


SIMPLE: Mapping[str, Callable[[str, str], float]] = {
    "length": lambda prompt, answer: float(len(answer)),
    "lists": lambda prompt, answer: float(len(_LIST.findall(answer))),
    "code": lambda prompt, answer: float(len(_CODE.findall(answer))),
    "refusal": lambda prompt, answer: float(bool(_REFUSAL.search(answer))),
    "hedges": lambda prompt, answer: float(len(_HEDGE.findall(answer))),
    "agreement": lambda prompt, answer: float(len(_AGREEMENT.findall(answer))),
    "overlap": _overlap,
}
"""Property -> its figure of (prompt, answer): characters; list items; fences of code; whether it refuses; words that
hedge; words that agree with or praise the user (these three in English); the share of the prompt's words in it."""


def of_texts(examples: Mapping[str, Example]) -> Properties:
    """The simple properties of the rows' candidates."""

    def figures(example: Example) -> Mapping[str, tuple[float | None, ...]]:
        texts = [(text_of(each.prompt or example.prompt), each.text) for each in example.candidates]
        return {name: tuple(of(prompt, answer) for prompt, answer in texts) for name, of in SIMPLE.items()}

    return {name: figures(example) for name, example in examples.items()}


def read_properties(path: Path) -> Properties:
    """The properties of a file.

    Raises:
        RmbenchError: a line is not as it should be, names other properties than the first, or an id again.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RmbenchError(f"{path}: cannot be read as text ({error}).") from error
    found: dict[str, Mapping[str, tuple[float | None, ...]]] = {}
    names: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row, features = _line(line, where)
        names = names or list(features)
        for name in {*names} ^ {*features}:
            what = "has no" if name in names else "has another property,"
            hint = did_you_mean(name, [*(features if name in names else names)])
            raise RmbenchError(f'{where}: it {what} "{name}"; every line has those of the first.{hint}')
        if row in found:
            raise RmbenchError(f'{where}: id "{row}" is there already.')
        found[row] = features
    if not found:
        raise RmbenchError(f"{path} holds no line.")
    return found


def _line(line: str, where: str) -> tuple[str, Mapping[str, tuple[float | None, ...]]]:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise RmbenchError(f"{where}: it is no JSON ({error}).") from error
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not isinstance(row.get("features"), dict):
        raise RmbenchError(f'{where}: expected {{"id": "...", "features": {{"name": [1, 0]}}}}.')
    if not row["features"]:
        raise RmbenchError(f"{where}: it names no property.")
    for name, values in row["features"].items():
        if not isinstance(values, list) or len(values) < 2 or not all(map(_is_figure, values)):
            raise RmbenchError(f'{where}: property "{name}": expected a list with a number or null for each candidate.')
    return row["id"], {name: tuple(values) for name, values in row["features"].items()}


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))
