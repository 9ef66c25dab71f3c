"""Checklists: questions about an image or a video whose weighted answers are the reward
(VisionReward, arXiv 2412.21059).

Source: THUDM/VisionReward, inference-image.py and inference-video.py. An answer is 1 where greedy decoding begins with
the word for yes, else -1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.families.vl.wording import PROMPT
from rmbench.untrusted.files import MIB, read_text
from rmbench.validation import validated

__all__ = ["Checklist", "read_checklist"]

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Linear(BaseModel):
    """A file of weights as VisionReward-Image's, with the masks that its script holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coef: list[_Number]
    intercept: _Number | list[_Number] = 0.0
    masks: dict[int, list[int]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Checklist:
    """Questions and what becomes of their answers."""

    questions: tuple[str, ...]
    """With `{prompt}` for the prompt's text."""
    weights: tuple[float, ...]
    """One for each question; of a mask 0."""
    mean: bool
    """Whether the reward is the mean of weighted answers (VisionReward-Video) and not a sum (VisionReward-Image)."""
    intercept: float = 0.0
    masks: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """Question -> those that count where its answer is yes alone, their places counted from 0."""
    alignment: float | None = None
    """Weight of another model's score of the image for the prompt."""

    @property
    def digest(self) -> str:
        """sha256 over all of it."""
        return hashlib.sha256(repr((self.questions, self.weights, self.mean, *self._more)).encode()).hexdigest()

    @property
    def _more(self) -> tuple[Any, ...]:
        return (self.intercept, sorted(self.masks.items()), self.alignment) if not self.mean else ()

    def parts(self, answers: Sequence[float]) -> list[float]:
        """The weighted answers, of answers 1 and -1; 0 where a mask's answer is no."""
        hidden = {place for mask, places in self.masks.items() if answers[mask] <= 0 for place in places}
        pairs = enumerate(zip(self.weights, answers, strict=True))
        return [0.0 if place in hidden else weight * answer for place, (weight, answer) in pairs]

    def reward(self, parts: Sequence[float], alignment: float) -> float:
        """Of what `parts` gave, and the other model's score."""
        if self.mean:
            return sum(parts) / len(parts)
        return sum(parts) + self.intercept + (self.alignment or 0.0) * alignment


def read_checklist(questions: str, weights: str | None, *, aligned: bool) -> Checklist:
    """Read a file with a question a line, and one of weights.

    Args:
        questions: `[[prompt]]` stands for the prompt's text.
        weights: a JSON list of numbers, or an object with `coef`, `intercept` and `masks`, see `Checklist`. `coef` has
            a number for each question that is no mask, behind the other model's where there is one.
        aligned: whether another model's score is part of the reward.

    Raises:
        RmbenchError: a file is missing or another thing; another number of weights than questions.
    """
    text = read_text(Path(questions), MIB, f"questions={questions}:").removeprefix("\ufeff")
    asked = tuple(line.strip().replace("[[prompt]]", PROMPT) for line in text.splitlines() if line.strip())
    if not asked:
        raise RmbenchError(f"questions={questions}: there is no question in it.")
    if weights is None:
        raise RmbenchError(f"questions={questions} needs weights=FILE, a JSON list of {len(asked)} numbers.")
    where = f"weights={weights}"
    try:
        found = json.loads(read_text(Path(weights), MIB, f"{where}:"))
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{where}: no JSON ({error}).") from error
    if isinstance(found, list):
        listed = validated(_Linear, {"coef": found}, where).coef
        if aligned:
            raise RmbenchError(f"{where}: a list has no weight of alignment=MODEL; expected an object with coef.")
        if len(listed) != len(asked):
            raise RmbenchError(f"{where}: {len(listed)} weights for {len(asked)} questions in {questions}.")
        return Checklist(asked, tuple(listed), mean=True)
    if not isinstance(found, dict):
        raise RmbenchError(f"{where}: expected a JSON list of numbers, or an object with coef, intercept and masks.")
    return _linear(validated(_Linear, found, where), asked, aligned, where)


def _linear(linear: _Linear, asked: tuple[str, ...], aligned: bool, where: str) -> Checklist:
    masks = linear.masks
    outside = [place for mask, places in masks.items() for place in (mask, *places) if not 0 <= place < len(asked)]
    nested = [place for places in masks.values() for place in places if place in masks]
    if outside or nested:
        what = f"name question {(outside or nested)[0]}"
        raise RmbenchError(
            f"{where}: masks {what}; expected questions from 0 to {len(asked) - 1}, none of them masks that are masked."
        )
    counted = [place for place in range(len(asked)) if place not in masks]
    if len(linear.coef) != len(counted) + aligned:
        hint = "; the first of one more is that of alignment=MODEL" if len(linear.coef) == len(counted) + 1 else ""
        raise RmbenchError(
            f"{where}: {len(linear.coef)} coefficients for {len(counted)} questions that are no masks"
            f"{' and the alignment' if aligned else ''}{hint}."
        )
    own = dict(zip(counted, linear.coef[aligned:], strict=True))
    intercepts = linear.intercept if isinstance(linear.intercept, list) else [linear.intercept]
    if len(intercepts) != 1:
        raise RmbenchError(f"{where}: {len(intercepts)} intercepts, expected one.")
    return Checklist(
        asked,
        tuple(own.get(place, 0.0) for place in range(len(asked))),
        mean=False,
        intercept=intercepts[0],
        masks=masks,
        alignment=linear.coef[0] if aligned else None,
    )
