"""Option probabilities of a judge in this process: every ordered pair is a row, and rows that begin alike share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rmbench.models.families.implicit.language import LanguageModel
from rmbench.models.judges.prompt import CannotAskError, Prompt
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request, Sharing
from rmbench.models.text.tokens import TextEncoder
from rmbench.types import Candidate, Example, Gold, Message

__all__ = ["LocalJudge"]


@dataclass(frozen=True)
class LocalJudge:
    """A Scorer of ordered pairs: the margin is ln P(the first shown) - ln P(the second), of the protocol's options as
    the next token behind the templated question. Nothing is written, so nothing is drawn and nothing can be unparsed.
    """

    language: LanguageModel
    text: TextEncoder
    """Its template ends with the header of the judge's answer."""
    prompt: Prompt
    options: tuple[int, int]
    """Token ids of the options that pick the first and the second answer shown."""
    facts: ModelFacts
    pad_id: int
    chunk_tokens: int
    answers: frozenset[Answer] = frozenset({"pair"})

    @property
    def threads(self) -> int:
        """As `SharingScorer` says."""
        return self.language.threads

    def sharing(self, batches: Sequence[Batch]) -> Sharing:
        """As `SharingScorer` says."""
        return self.language.sharing(batches)

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per ordered pair; a question that does not fit into the model carries that as its error, since a
        judge that sees one answer cut prefers by that."""
        asked = [self._asked(request) for request in requests]
        written = [one for one in asked if isinstance(one, Request)]
        rows = iter(self.text.encode(written))
        found = [next(rows) if isinstance(one, Request) else one for one in asked]
        long = f"the question does not fit into max_length {self.text.max_length}"
        return [Encoded(key="", size=0, error=long) if row.truncated else row for row in found]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"margin": [B, 1]}."""
        with torch.inference_mode():
            logps = self.language.next_logps(batch, self.options)  # [B, 2]
        margin = (logps[:, :1] - logps[:, 1:]).float().cpu().numpy()
        return {"margin": margin.astype(np.float32, copy=False)}

    def option_logps(self, batch: Batch) -> FloatArray:
        """[B, 2] log-probabilities of the two options among all tokens, as a server reports them."""
        with torch.inference_mode():
            found: FloatArray = self.language.next_logps(batch, self.options).float().cpu().numpy()
        return found

    def combine(self, outputs: Sequence[Mapping[str, FloatArray]]) -> None:
        """Nothing: the engine puts the pairs together."""

    def _asked(self, request: Request) -> Request | Encoded:
        """The question about a pair, in the protocol's words."""
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
        except CannotAskError as refusal:
            return Encoded(key="", size=0, error=str(refusal))
        turns = tuple(Message.of(message["role"], message["content"]) for message in messages)
        return Request(turns, len(turns))
