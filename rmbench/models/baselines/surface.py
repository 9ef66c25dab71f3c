"""Baselines that count: length, overlap with the prompt, variety of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from rmbench.models.baselines.words import Measure, lexical_overlap, type_token_ratio, words
from rmbench.models.protocols import ModelFacts
from rmbench.types import Example, Judgment, text_of

__all__ = ["SURFACES", "Length", "Overlap", "Shorter", "Surface", "SurfaceBaseline", "TypeToken"]

_FROZEN = ConfigDict(extra="forbid", frozen=True)


class Surface(Protocol):
    """What a baseline counts; its fields are the settings that `--model-args` takes."""

    def reward(self, prompt: str, answer: str) -> float:
        """Of one answer; higher is better."""
        ...


class Length(BaseModel):
    """Longer is better."""

    model_config = _FROZEN

    unit: Literal["characters", "words"] = "characters"
    """Unicode code points, or words."""

    def reward(self, prompt: str, answer: str) -> float:
        return float(len(answer) if self.unit == "characters" else len(words(answer)))


class Shorter(Length):
    """Shorter is better."""

    def reward(self, prompt: str, answer: str) -> float:
        return -super().reward(prompt, answer)


class Overlap(BaseModel):
    """More words shared with the prompt are better."""

    model_config = _FROZEN

    measure: Measure = "f1"

    def reward(self, prompt: str, answer: str) -> float:
        return lexical_overlap(prompt, answer, self.measure)


class TypeToken(BaseModel):
    """More varied words are better."""

    model_config = _FROZEN

    window: Annotated[int, Field(ge=1)] | None = None
    """Words of a moving window; None: the whole answer, of which longer ones repeat more."""

    def reward(self, prompt: str, answer: str) -> float:
        return type_token_ratio(answer, self.window)


SURFACES: Mapping[str, type[Length | Overlap | TypeToken]] = {
    "length": Length,
    "shorter": Shorter,
    "overlap": Overlap,
    "type-token": TypeToken,
}


@dataclass(frozen=True)
class SurfaceBaseline:
    """A Responder that counts something in the candidate's own text."""

    surface: Surface
    facts: ModelFacts

    def judge(self, task: str, example: Example) -> Judgment:
        """Rewards [K]; `lengths` are in characters (Unicode code points). The prompt is the candidate's own where it
        has one, all turns of it."""
        answers = [candidate.text for candidate in example.candidates]
        prompts = [example.prompt if each.prompt is None else each.prompt for each in example.candidates]
        return Judgment(
            id=example.id,
            rewards=tuple(
                self.surface.reward(text_of(prompt), answer) for prompt, answer in zip(prompts, answers, strict=True)
            ),
            lengths=tuple(len(answer) for answer in answers),
            truncated=(False,) * len(answers),
        )
