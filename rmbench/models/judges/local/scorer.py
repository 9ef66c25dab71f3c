"""Scores ordered pairs by a judge's option probabilities in this process; rows with a common prefix share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from rmbench.models.backbone.backbone import Backbone, BackboneSharing
from rmbench.models.backbone.tensors import array_of
from rmbench.models.families.implicit.language import LanguageModel
from rmbench.models.judges.prompt import Prompt, PromptError
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.text.tokens import TextEncoder
from rmbench.types import Candidate, Example, Gold, Message

__all__ = ["LocalJudge"]


@dataclass(frozen=True)
class LocalJudge(BackboneSharing):
    """A Scorer of ordered pairs: the margin is ln P(first shown) - ln P(second), of the protocol's options as the next
    token after the templated prompt. No text is generated, so nothing is sampled and nothing can be unparsed.
    """

    language: LanguageModel
    text: TextEncoder
    """Its template ends with the header of the judge's reply."""
    prompt: Prompt
    options: tuple[int, int]
    """Token ids of the options that pick the first and the second response shown."""
    facts: ModelFacts
    pad_id: int
    answers: frozenset[Answer] = frozenset({"pair"})

    @property
    def backbones(self) -> tuple[Backbone | None]:
        """The language model's."""
        return (self.language.backbone,)

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per ordered pair. A prompt that does not fit into the model is an error, not truncated, because
        truncating one response would decide the comparison."""
        prompts = [self._prompt(request) for request in requests]
        encoded = iter(self.text.encode([prompt for prompt in prompts if isinstance(prompt, Request)]))
        rows = [next(encoded) if isinstance(prompt, Request) else prompt for prompt in prompts]
        error = f"the question does not fit into max_length {self.text.max_length}"
        return [Encoded(key="", size=0, error=error) if row.truncated else row for row in rows]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"margin": [B, 1]}."""
        with torch.inference_mode():
            logps = self.language.next_logps(batch, self.options)  # [B, 2]
        return {"margin": array_of(logps[:, :1] - logps[:, 1:])}

    def _prompt(self, request: Request) -> Request | Encoded:
        """The protocol's prompt about a pair."""
        if request.against is None:
            raise ValueError("a judge of pairs was asked about one answer")
        split = request.prompt_messages
        pair = Example(
            id="",
            prompt=request.conversation[:split],
            candidates=(Candidate(request.conversation[split:]), Candidate(request.against[split:])),
            gold=Gold(),
        )
        try:
            messages = self.prompt.messages(pair, (0, 1))
        except PromptError as error:
            return Encoded(key="", size=0, error=str(error))
        turns = tuple(Message.of(message["role"], message["content"]) for message in messages)
        return Request(turns, len(turns))
