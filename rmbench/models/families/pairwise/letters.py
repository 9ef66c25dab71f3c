"""Language models trained to answer "A" or "B": the margin is the difference of the two letters' logits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import array_of, positions, tensors_of
from rmbench.models.families.pairwise.spelling import Question, UnpairableError
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.text.tokens import TextEncoder, TextRow
from rmbench.types import Message

__all__ = ["LetterScorer", "decoder_logits", "encoder_decoder_logits", "letters_of"]

Logits = Callable[[Any, Tensor, Tensor], Tensor]
"""(model, ids [B, T], mask [B, T]) -> [B, V] logits of the token in which the answer is given."""


def decoder_logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """[B, V] of a causal model, for the token behind each row's last one. Rows are moved to the right end, so that the
    model computes its last column alone; position ids count from each row's own beginning."""
    order = torch.argsort(mask, dim=-1, stable=True)
    ids, mask = ids.gather(-1, order), mask.gather(-1, order)
    taken = inspect.signature(model.forward).parameters
    given: dict[str, Any] = {"position_ids": positions(mask)} if "position_ids" in taken else {}
    if "logits_to_keep" in taken:
        given["logits_to_keep"] = 1
    logits: Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False, **given).logits
    return logits[:, -1]


def encoder_decoder_logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """[B, V] of the first token that the decoder gives."""
    start = torch.full((len(ids), 1), model.config.decoder_start_token_id, device=ids.device)
    logits: Tensor = model(input_ids=ids, attention_mask=mask, decoder_input_ids=start, use_cache=False).logits
    return logits[:, 0]


def letters_of(tokenizer: Any, name: str) -> tuple[int, int]:
    """The ids of the answers "A" and "B"; raises RmbenchError where one is not a single token."""
    found = [tokenizer(letter, add_special_tokens=False)["input_ids"] for letter in "AB"]
    for letter, ids in zip("AB", found, strict=True):
        if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
            raise RmbenchError(f'{name}: its tokenizer reads the answer "{letter}" as {ids}, expected one token.')
    return found[0][0], found[1][0]


@dataclass(frozen=True)
class LetterScorer:
    """A Scorer that answers margins of ordered pairs: logit of "A" less logit of "B", with the candidate shown first as
    answer A, so that its sigmoid is the probability of "A" among the two at temperature 1.

    The mean of the two orders' probabilities, upstream's decision, is above one half exactly where the mean of their
    margins is above 0.
    """

    model: Any
    """A transformers model in eval mode."""
    text: TextEncoder
    spell: Callable[[Request], Question]
    """Two conversations as one text; raises UnpairableError."""
    chat: bool
    """Whether the text is a user's turn in the model's chat template, or read as it is."""
    logits: Logits
    letters: tuple[int, int]
    facts: ModelFacts
    pad_id: int
    answers: frozenset[Answer] = frozenset({"pair"})

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request. A pair that cannot be spelled carries the reason; so does one whose answers do not fit
        into a row, since a model that reads one of them whole and the other in part prefers by that."""
        asked = [self._asked(request) for request in requests]
        questions = [one for one in asked if isinstance(one, Question)]
        rows = self.text.rows([self._request(one) for one in questions])
        fitting = iter([self._checked(one, row) for one, row in zip(questions, rows, strict=True)])
        return [next(fitting) if isinstance(one, Question) else one for one in asked]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"margin": [B, 1]}."""
        with torch.inference_mode():
            pair = self.logits(self.model, *tensors_of(batch, self.model))[:, list(self.letters)].float()  # [B, 2]
            margin = pair[:, :1] - pair[:, 1:]
        return {"margin": array_of(margin)}

    def _asked(self, request: Request) -> Question | Encoded:
        try:
            return self.spell(request)
        except UnpairableError as refusal:
            return Encoded(key="", size=0, error=str(refusal))

    def _request(self, question: Question) -> Request:
        return Request((Message.of("user", question.text),), 1, "chat" if self.chat else "raw")

    def _checked(self, question: Question, row: TextRow | Encoded) -> Encoded:
        if isinstance(row, Encoded):
            return row
        # A template may strip a text's ends, and what it writes before the text is never the text itself.
        start = row.text.rfind(question.answers.rstrip()) if row.dropped_left else -1
        if row.dropped_left and row.dropped_left > len(self.text.bodies([row.text[: max(start, 0)]])[0]):
            return Encoded(key="", size=0, error=f"both answers do not fit into max_length {self.text.max_length}")
        return row.encoded()
