"""Rewards or margins of a few responses to one prompt, outside any benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from rmbench.errors import RmbenchError
from rmbench.models.options import OpenArguments, OpenOptions, checked
from rmbench.models.protocols import ModelFacts
from rmbench.models.signature import spec_of, with_named_options
from rmbench.numeric import sigmoid, skew_half
from rmbench.types import Candidate, Example, Gold, Message, Part

__all__ = ["Scored", "score_responses"]


@dataclass(frozen=True, slots=True)
class Scored:
    """Rewards of responses A, B, C ... to one prompt, or the margins of a model that compares them."""

    model: str
    rewards: tuple[float, ...] | None
    """[K], in their order; None for a model that gives margins alone."""
    directed: tuple[tuple[float, ...], ...] | None = None
    """[K, K] the model's own margins, row above column; None where they are the differences of its rewards."""
    truncated: tuple[bool, ...] = ()
    """[K] whether a response and its prompt were longer than the model reads, and cut; () where nobody knows."""

    @property
    def matrix(self) -> list[list[float]]:
        """[K, K] margins, row above column: the skew half of the model's own, or differences of rewards."""
        if self.directed is not None:
            size = range(len(self.directed))
            return [[skew_half(self.directed, i, j) for j in size] for i in size]
        rewards = self.rewards or ()
        return [[one - other for other in rewards] for one in rewards]

    @property
    def names(self) -> list[str]:
        """A, B, C ... in their order."""
        return [chr(ord("A") + k) if k < 26 else f"#{k + 1}" for k in range(len(self.matrix))]

    @property
    def margins(self) -> list[float]:
        """[K - 1] margin of A over each other response."""
        return self.matrix[0][1:]

    @property
    def probabilities(self) -> list[float]:
        """[K - 1] P(A > other): the sigmoid of the margin (Bradley-Terry, where there are rewards)."""
        return [sigmoid(margin) for margin in self.margins]

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the object that `rmbench score --json` prints."""
        return {
            "model": self.model,
            "scores": None if self.rewards is None else list(self.rewards),
            "margins": self.margins,
            "probabilities": self.probabilities,
            "directed": self.matrix if self.directed is not None else None,
            "truncated": list(self.truncated),
        }


@with_named_options(OpenOptions)
def score_responses(
    model: str | Path | Callable[..., Any],
    prompt: str,
    responses: Sequence[str | Part],
    *,
    system: str | None = None,
    shown: Sequence[Part] = (),
    **options: Unpack[OpenArguments],
) -> Scored:
    """Score responses to one prompt with a model that gives rewards or margins.

    Args:
        model: as in `rmbench.run`.
        prompt: the user's message.
        responses: at least two, each a text, or an image or a video: `rmbench.Part("image", path="a.png")`.
        system: a system message before the prompt.
        shown: images and videos of the prompt, which stand before its text.
        options: how the model is opened, as in `rmbench.run`.

    Raises:
        RmbenchError: a wrong option, fewer than two responses, what is no text or no Unicode, a model with neither
            rewards nor margins, or a response that it fails on.
    """
    from rmbench.engine.judge import EngineOptions, MemoryLedger, SilentProgress, judge
    from rmbench.models.open import open_model

    settings = checked(OpenOptions, options, "score_responses")
    if isinstance(responses, str):
        raise RmbenchError(f"responses must be a list of texts, not the text {responses[:40]!r}.")
    _require_media(shown, responses)
    numbered = [(f"response {number}", one) for number, one in enumerate(responses, 1) if not isinstance(one, Part)]
    for name, text in [("prompt", prompt), ("system", system or ""), *numbered]:
        _require_text(name, text)
    if len(responses) < 2:
        raise RmbenchError(f"scoring needs at least two responses, got {len(responses)}: give --response twice.")
    opened = open_model(spec_of(model), settings)
    _require_modalities(opened.facts, [*shown, *(one for one in responses if isinstance(one, Part))])
    turns = (Message.of("system", system),) if system else ()
    example = Example(
        id="score",
        prompt=(*turns, Message("user", (*shown, Part(text=prompt)))),
        candidates=tuple(map(_candidate, responses)),
        gold=Gold(),
    )
    judging = judge(
        "score",
        [example],
        opened,
        render="chat",
        options=EngineOptions(),
        ledger=MemoryLedger(),
        progress=SilentProgress(),
    )
    judgment = judging.judgments[0]
    if shown and "prompt_media_not_read" in judgment.remarks:
        raise RmbenchError(f"{opened.facts.name} looks at responses alone, not at images or videos of a prompt.")
    if judgment.status != "ok":
        raise RmbenchError(f"{opened.facts.name} failed: {judgment.error}")
    if judgment.rewards is None and judgment.directed is None:
        raise RmbenchError(f"{opened.facts.name} gives neither rewards nor margins ({opened.facts.family}).")
    return Scored(opened.facts.name, judgment.rewards, judgment.directed, judgment.truncated)


def _candidate(response: str | Part) -> Candidate:
    part = response if isinstance(response, Part) else Part(text=response)
    return Candidate((Message("assistant", (part,)),))


def _require_media(shown: Sequence[object], responses: Sequence[object]) -> None:
    media: list[object] = [*shown, *(one for one in responses if isinstance(one, Part))]
    for part in media:
        if not isinstance(part, Part) or part.kind == "text":
            raise RmbenchError('an image or a video is Part("image", path=FILE) or Part("video", path=FILE).')
        if part.path is None or not Path(part.path).is_file():
            raise RmbenchError(f"{part.path}: there is no such {part.kind}.")


def _require_modalities(facts: ModelFacts, media: Sequence[Part]) -> None:
    for part in media:
        if part.kind not in facts.modalities:
            taken = ", ".join(sorted(facts.modalities))
            raise RmbenchError(f"{part.path}: {facts.name} takes {taken}, not {part.kind}.")


def _require_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise RmbenchError(f"{name} must be a text, not {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RmbenchError(f"{name}: character {error.start} is half of a surrogate pair, so it is no text.") from None
