"""PairRM: a source and two candidates in one row of an encoder, compared by the states at their marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import array_of, left_align, state_at, tensors_of
from rmbench.models.families.pairwise.spelling import Dialogue, Texts, UnpairableError, pairrm_texts
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.text.tokens import TextRow

__all__ = ["MARKS", "Head", "PairRmScorer", "PairRmText", "Places", "margins", "marks_of"]

MARKS = ("<|source|>", "<|candidate1|>", "<|candidate2|>")
"""The tokens that PairRM's tokenizer has beside those of its backbone."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where in a row the marks stand."""

    source: int
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Head:
    """f(s, c) = W2 tanh(W1 [s; c] + b1) + b2."""

    w1: Tensor
    """[H, 2H]."""
    b1: Tensor
    """[H]."""
    w2: Tensor
    """[tasks, H]."""
    b2: Tensor
    """[tasks]."""

    def __call__(self, source: Tensor, candidate: Tensor) -> Tensor:
        """[B, tasks] of states [B, H]."""
        inner = torch.tanh(F.linear(torch.cat([source, candidate], dim=-1), self.w1, self.b1))
        return F.linear(inner, self.w2, self.b2)


def margins(head: Head, source: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """[B, 1] mean over the tasks of f(s, c1) - f(s, c2), of states [B, H] (LLM-Blender's `pairrm.py`)."""
    return (head(source, first) - head(source, second)).mean(-1, keepdim=True)


@dataclass(frozen=True)
class PairRmText:
    """Makes rows of [CLS] source [SEP] [CLS] candidate [SEP] [CLS] candidate [SEP], a mark before each text.

    What the source leaves of its budget goes to the candidates in equal parts. A mark is never cut off, and the states
    read are those at the marks written here, whatever the texts spell.
    """

    tokenizer: Any
    dialogue: Dialogue
    before: tuple[int, ...]
    """[CLS]."""
    after: tuple[int, ...]
    """[SEP]."""
    source_length: int
    """Tokens the source may have, its mark and special tokens included."""
    candidate_length: int
    """The same of each candidate where the source takes all of its own."""
    answer_length: int | None
    """Tokens of its own that a candidate is cut to before anything else; None: it may use what the source leaves."""
    source_side: Literal["left", "right"]
    """The end at which the source is cut; candidates are cut on the right."""

    @property
    def total(self) -> int:
        """Tokens a row may have."""
        return self.source_length + 2 * self.candidate_length

    @property
    def settings(self) -> Mapping[str, str | int | None]:
        """For the record."""
        return {
            "dialogue": self.dialogue,
            "max_length": self.total,
            "source_length": self.source_length,
            "candidate_length": self.candidate_length,
            "answer_length": self.answer_length,
            "truncation_side": self.source_side,
        }

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Rows for the engine with their `Places` as payload; a pair that cannot be spelled carries the reason."""
        spelled = [self._spelled(request) for request in requests]
        marked = [_marked(texts) for texts in spelled if isinstance(texts, Texts)]
        unique = list(dict.fromkeys(text for three in marked for text in three))
        ids = self.tokenizer(unique, add_special_tokens=False, verbose=False)["input_ids"] if unique else []
        tokens = dict(zip(unique, ids, strict=True))
        rows = iter([self._row([tokens[text] for text in three]) for three in marked])
        return [next(rows) if isinstance(texts, Texts) else texts for texts in spelled]

    def _spelled(self, request: Request) -> Texts | Encoded:
        try:
            return pairrm_texts(request, self.dialogue)
        except UnpairableError as refusal:
            return Encoded(key="", size=0, error=str(refusal))

    def _row(self, parts: Sequence[Sequence[int]]) -> Encoded:
        """One row of the tokens of source and candidates, each with its mark in front."""
        source, dropped = self._segment(parts[0], self.source_length, self.source_side)
        room = (self.total - len(source)) // 2
        ids, starts = source, [0]
        for part in parts[1:]:
            own = part if self.answer_length is None else part[: 1 + self.answer_length]
            segment, cut = self._segment(own, room, "right")
            starts.append(len(ids))
            ids, dropped = ids + segment, dropped + cut + len(part) - len(own)
        places = Places(*(start + len(self.before) for start in starts))
        return TextRow("", (), tuple(ids), (), 0, dropped).encoded(places)

    def _segment(self, part: Sequence[int], length: int, side: str) -> tuple[list[int], int]:
        """The segment in `length` tokens at most, and how many were cut off."""
        mark, text = part[0], list(part[1:])
        room = length - 1 - len(self.before) - len(self.after)
        kept = text[max(len(text) - room, 0) :] if side == "left" else text[:room]
        return [*self.before, mark, *kept, *self.after], len(text) - len(kept)


@dataclass(frozen=True)
class PairRmScorer:
    """A Scorer that answers margins of ordered pairs: above 0 where the candidate shown first is better."""

    model: Any
    """A transformers encoder in eval mode."""
    head: Head
    text: PairRmText
    facts: ModelFacts
    pad_id: int
    answers: frozenset[Answer] = frozenset({"pair"})

    @property
    def encoder(self) -> PairRmText:
        """Its text's."""
        return self.text

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request."""
        return self.text.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"margin": [B, 1]}."""
        with torch.inference_mode():
            ids, mask = left_align(*tensors_of(batch, self.model))
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state  # [B, T, H]
            columns = torch.from_numpy(_columns(batch)).to(ids.device)  # [B, 3]
            source, first, second = (state_at(hidden, column).to(self.head.w1.dtype) for column in columns.unbind(-1))
            margin = margins(self.head, source, first, second)
        return {"margin": array_of(margin)}


def marks_of(tokenizer: Any, config: Mapping[str, Any], keys: Sequence[str], folder: object) -> None:
    """Check that the tokenizer reads each mark as one token, the one that config.json names.

    Raises:
        RmbenchError: a mark is no token of its own, or config.json and the tokenizer disagree.
    """
    for mark, key in zip(MARKS, keys, strict=True):
        ids = tokenizer(f"{mark}a", add_special_tokens=False)["input_ids"]
        own = tokenizer.convert_tokens_to_ids(mark)
        if own is None or own == tokenizer.unk_token_id or ids[:1] != [own]:
            raise RmbenchError(f"{folder}: the tokenizer has no token {mark}, whose state PairRM's head reads.")
        named = config.get(key)
        if named is not None and named != own:
            raise RmbenchError(f'{folder}: config.json: "{key}" is {named}, but the tokenizer\'s {mark} is {own}.')


def _marked(texts: Texts) -> tuple[str, str, str]:
    return MARKS[0] + texts.source, MARKS[1] + texts.first, MARKS[2] + texts.second


def _columns(batch: Batch) -> np.ndarray[Any, np.dtype[np.int64]]:
    """[B, 3] of rows that lie at the left; the warm-up's rows have no marks and are read at their first token."""
    places = [row.payload if isinstance(row.payload, Places) else Places(0, 0, 0) for row in batch.rows]
    return np.array([(one.source, one.first, one.second) for one in places], dtype=np.int64)
