"""Scores ordered pairs by a judge's option probabilities in this process; rows with a common prefix share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from rmbench.models.backbone.backbone import Backbone, BackboneSharing
from rmbench.models.backbone.tensors import array_of
from rmbench.models.families.implicit.language import LanguageModel
from rmbench.models.judges.orders import position_orders
from rmbench.models.judges.prompt import Prompt, PromptError
from rmbench.models.judges.verdict import VerdictParser, status_of, verdicts_of
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.text.tokens import TextEncoder
from rmbench.types import Example, Judgment, Message

__all__ = ["LocalJudge"]


@dataclass(frozen=True)
class LocalJudge(BackboneSharing):
    """A Scorer of ordered pairs by the probabilities of the protocol's options as the next token after the templated
    prompt. No text is generated. Each question is a verdict, by the rule of judges on servers; the margins, ln P(first
    shown) - ln P(second), are kept in `parts`.
    """

    language: LanguageModel
    text: TextEncoder
    """Its template ends with the header of the judge's reply."""
    prompt: Prompt
    options: Mapping[str, tuple[int, ...]]
    """Option -> ids of the tokens that spell it; that of the first response shown, then that of the second."""
    min_option_mass: float
    """As of judges on servers (`JudgeSettings`)."""
    seed: int
    """Decides single orders."""
    facts: ModelFacts
    pad_id: int
    answers: frozenset[Answer] = frozenset({"pair"})

    @property
    def backbones(self) -> tuple[Backbone | None]:
        """The language model's."""
        return (self.language.backbone,)

    def only_compares(self, task: str, examples: Iterable[Example]) -> bool:
        """Always: it chooses between two options."""
        return True

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per ordered pair. A prompt that does not fit into the model is an error, not truncated, because
        truncating one response would decide the comparison."""
        prompts = [self._prompt(request) for request in requests]
        encoded = iter(self.text.encode([prompt for prompt in prompts if isinstance(prompt, Request)]))
        rows = [next(encoded) if isinstance(prompt, Request) else prompt for prompt in prompts]
        error = f"the question does not fit into max_length {self.text.max_length}"
        return [Encoded(key="", size=0, error=error) if row.truncated else row for row in rows]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"margin": [B, 1], "options": [B, 2] log-probabilities}."""
        sizes = [len(tokens) for tokens in self.options.values()]
        with torch.inference_mode():
            logps = self.language.next_logps(batch, [token for tokens in self.options.values() for token in tokens])
            options = torch.stack([part.logsumexp(-1) for part in torch.split(logps, sizes, dim=-1)], dim=-1)  # [B, 2]
        return {"margin": array_of(options[:, :1] - options[:, 1:]), "options": array_of(options)}

    def as_verdicts(
        self, example: Example, judgment: Judgment, outputs: Mapping[tuple[int, int], Mapping[str, FloatArray]]
    ) -> Judgment:
        """See `VerdictScorer.as_verdicts`; a verdict for each question that a judge on a server is asked."""
        declared = self.prompt.protocol
        parser = VerdictParser.of(declared)
        orders = position_orders(example, declared, declared.orders, tournament=False, seed=self.seed)
        verdicts, whys, remarks = [], [], []
        for shown in orders:
            logps = outputs[shown[0], shown[1]]["options"].tolist()
            parsed = parser.parse_options(dict(zip(self.options, logps, strict=True)), min_mass=self.min_option_mass)
            verdicts += verdicts_of(shown, 0, parsed, declared)
            whys += [parsed.why] if parsed.why else []
            remarks += ["answers_logprobs", *([parsed.remark] if parsed.remark else [])]
        status = status_of(verdicts)
        return replace(
            judgment,
            directed=None,
            parts={**judgment.parts, "margins": judgment.directed or ()},
            verdicts=tuple(verdicts),
            status=status,
            error=whys[0] if whys and status != "ok" else "",
            remarks=tuple(remarks),
        )

    def _prompt(self, request: Request) -> Request | Encoded:
        """The protocol's prompt about a pair."""
        if request.example is None:
            raise ValueError("a judge of pairs was asked about one answer")
        try:
            messages = self.prompt.messages(request.example, request.shown)
        except PromptError as error:
            return Encoded(key="", size=0, error=str(error))
        turns = tuple(Message.of(message["role"], message["content"]) for message in messages)
        return Request(turns, len(turns))
