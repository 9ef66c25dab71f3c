"""Baselines that count: length, overlap with the prompt, variety of words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from rmbench.models.plain import plain_text
from rmbench.models.protocols import ModelFacts
from rmbench.types import Example, Judgment

__all__ = [
    "BASELINES",
    "RELEVANCE",
    "SURFACES",
    "Length",
    "Measure",
    "Overlap",
    "Shorter",
    "SurfaceBaseline",
    "TypeToken",
    "distinct_trigrams",
    "lexical_overlap",
    "type_token_ratio",
    "word_punct",
    "words",
]

Measure = Literal["f1", "precision", "recall"]

_WORD = re.compile(r"\w+")
_WORD_PUNCT = re.compile(r"\w+|[^\w\s]+")

_FROZEN = ConfigDict(extra="forbid", frozen=True)


class Surface(Protocol):
    """What a baseline counts; its fields are the settings that `--model-args` takes."""

    def reward(self, prompt: str, answer: str) -> float:
        """Of one answer; higher is better."""


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


RELEVANCE = "relevance"
BASELINES = (*SURFACES, RELEVANCE)


@dataclass(frozen=True)
class SurfaceBaseline:
    """A Responder that counts something in the candidate's own text, tool calls included (`plain_text`)."""

    surface: Surface
    facts: ModelFacts

    def judge(self, task: str, example: Example) -> Judgment:
        """Rewards [K]; `lengths` are in characters (Unicode code points). The prompt is the candidate's own where it
        has one, all turns of it."""
        answers = [plain_text(candidate.messages) for candidate in example.candidates]
        prompts = [example.prompt if each.prompt is None else each.prompt for each in example.candidates]
        return Judgment(
            id=example.id,
            rewards=tuple(
                self.surface.reward(plain_text(prompt), answer) for prompt, answer in zip(prompts, answers, strict=True)
            ),
            lengths=tuple(len(answer) for answer in answers),
            truncated=(False,) * len(answers),
        )


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores, in lower case. A script without blanks gives one word per run."""
    return _WORD.findall(text.lower())


def word_punct(text: str) -> list[str]:
    """Words and runs of punctuation, as they are written (NLTK's wordpunct_tokenize)."""
    return _WORD_PUNCT.findall(text)


def lexical_overlap(prompt: str, answer: str, measure: Measure = "f1") -> float:
    """How much two texts share of their words, in [0, 1], as ROUGE-1 has it without stemming.

    With c_p(w) and c_a(w) the counts of word w in prompt and answer, m = sum over w of min(c_p(w), c_a(w)):
    precision = m / words of the answer, recall = m / words of the prompt, f1 = 2 m / (words of both). 0 where a text
    that is divided by has no words.
    """
    ours, theirs = Counter(words(prompt)), Counter(words(answer))
    shared = 2 * (ours & theirs).total() if measure == "f1" else (ours & theirs).total()
    whole = {"precision": theirs.total(), "recall": ours.total(), "f1": ours.total() + theirs.total()}[measure]
    return shared / whole if whole else 0.0


def type_token_ratio(text: str, window: int | None = None) -> float:
    """Distinct words / words, in (0, 1]; 0 where there are none.

    Args:
        text: any.
        window: the mean of the ratio over all runs of this many words instead, which does not fall with length (the
            moving-average ratio of Covington and McFall 2010); a shorter text is one run.
    """
    found = words(text)
    if window is None or len(found) <= window:
        return len(set(found)) / len(found) if found else 0.0
    return _moving(found, window)


def _moving(found: Sequence[str], window: int) -> float:
    inside = Counter(found[:window])
    distinct = len(inside)
    for leaving, entering in zip(found, found[window:], strict=False):
        inside[entering] += 1
        inside[leaving] -= 1
        if not inside[leaving]:
            del inside[leaving]
        distinct += len(inside)
    return distinct / (window * (len(found) - window + 1))


def distinct_trigrams(tokens: Sequence[str]) -> float:
    """Distinct runs of three tokens / runs of three tokens, in (0, 1]; 1 where there are none."""
    runs = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return len(set(runs)) / len(runs) if runs else 1.0
