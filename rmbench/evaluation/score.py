"""Rewards or margins of a few responses to one prompt, outside any benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from rmbench.errors import RmbenchError
from rmbench.models.options import OpenArguments, OpenOptions, checked
from rmbench.models.signature import spec_of, with_named_options
from rmbench.numeric import sigmoid, skew_half

__all__ = ["Scored", "score_responses"]


@dataclass(frozen=True, slots=True)
class Scored:
    """Rewards of responses A, B, C ... to one prompt, or the margins of a model that compares them."""

    model: str
    rewards: tuple[float, ...] | None
    """[K], in their order; None for a model that gives margins alone."""
    directed: tuple[tuple[float, ...], ...] | None = None
    """[K, K] the model's own margins, row above column; None where they are the differences of its rewards."""

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
        }


@with_named_options(OpenOptions)
def score_responses(
    model: str | Path | Callable[..., Any],
    prompt: str,
    responses: Sequence[str],
    *,
    system: str | None = None,
    **options: Unpack[OpenArguments],
) -> Scored:
    """Score responses to one prompt with a model that gives rewards or margins.

    Args:
        model: as in `rmbench.run`.
        prompt: the user's message.
        responses: at least two.
        system: a system message before the prompt.
        options: how the model is opened, as in `rmbench.run`.

    Raises:
        RmbenchError: a wrong option, fewer than two responses, what is no text or no Unicode, a model with neither
            rewards nor margins, or a response that it fails on.
    """
    from rmbench.engine.judge import EngineOptions, MemoryLedger, SilentProgress, judge
    from rmbench.models.open import open_model
    from rmbench.types import Candidate, Example, Gold, Message

    settings = checked(OpenOptions, options, "score_responses")
    if isinstance(responses, str):
        raise RmbenchError(f"responses must be a list of texts, not the text {responses[:40]!r}.")
    numbered = [(f"response {number}", text) for number, text in enumerate(responses, 1)]
    for name, text in [("prompt", prompt), ("system", system or ""), *numbered]:
        _require_text(name, text)
    if len(responses) < 2:
        raise RmbenchError(f"scoring needs at least two responses, got {len(responses)}: give --response twice.")
    opened = open_model(spec_of(model), settings)
    turns = (Message.of("system", system),) if system else ()
    example = Example(
        id="score",
        prompt=(*turns, Message.of("user", prompt)),
        candidates=tuple(Candidate.of(response) for response in responses),
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
    if judgment.status != "ok":
        raise RmbenchError(f"{opened.facts.name} failed: {judgment.error}")
    if judgment.rewards is None and judgment.directed is None:
        raise RmbenchError(f"{opened.facts.name} gives neither rewards nor margins ({opened.facts.family}).")
    return Scored(model=opened.facts.name, rewards=judgment.rewards, directed=judgment.directed)


def _require_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise RmbenchError(f"{name} must be a text, not {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RmbenchError(f"{name}: character {error.start} is half of a surrogate pair, so it is no text.") from None
