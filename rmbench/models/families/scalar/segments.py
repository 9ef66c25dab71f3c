"""Question and answer as the two segments of an encoder's pair, as OpenAssistant's DeBERTa reward model reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.models.protocols import Batch, Encoded, IntArray, Request
from rmbench.models.text.tokens import TextRow
from rmbench.types import text_of

__all__ = ["PairEncoder", "Segments", "pair_encoder", "segment_ids"]


@dataclass(frozen=True, slots=True)
class Segments:
    """Where a row's second segment begins."""

    second: int
    """Index of its first token."""


@dataclass(frozen=True)
class PairEncoder:
    """Reads the prompt's text as one segment and the answer's as the other, without any chat template; the turns of
    each are joined by newlines."""

    tokenizer: Any
    max_length: int | None
    """Tokens a row may have, special tokens included; None: no limit is known."""
    truncation_side: Literal["left", "right"]
    """The end at which either segment is cut; the longer one is cut first, until both are equally long."""
    before: tuple[int, ...]
    """[CLS]."""
    between: tuple[int, ...]
    """[SEP], which belongs to the first segment."""
    after: tuple[int, ...]
    """[SEP], which belongs to the second."""
    typed: bool
    """Whether the tokenizer tells the model which segment a token is of."""

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Rows for the engine; the payload is the row's `Segments`."""
        questions = [text_of(request.conversation[: request.prompt_messages]) for request in requests]
        answers = [text_of(request.conversation[request.prompt_messages :]) for request in requests]
        both = self.tokenizer([*questions, *answers], add_special_tokens=False, verbose=False)["input_ids"]
        return [
            self._row(tuple(question), tuple(answer))
            for question, answer in zip(both[: len(requests)], both[len(requests) :], strict=True)
        ]

    @property
    def settings(self) -> Mapping[str, str | int | None]:
        """For the record."""
        return {"segments": "pair", "max_length": self.max_length, "truncation_side": self.truncation_side}

    def _row(self, question: tuple[int, ...], answer: tuple[int, ...]) -> Encoded:
        special = len(self.before) + len(self.between) + len(self.after)
        length = len(question) + len(answer)
        room = length if self.max_length is None else self.max_length - special
        if room < min(length, 2):
            return Encoded(key="", size=0, error=f"max_length {self.max_length} leaves no room for two texts")
        first, second = _rooms(len(question), len(answer), room)
        start = (*self.before, *self._cut(question, first), *self.between)
        body = (*start, *self._cut(answer, second))
        dropped = max(length - room, 0)
        # A pair has no one text; its ids and the place of its second segment are all that the model reads.
        return TextRow("", (), body, self.after, dropped, 0).encoded(Segments(len(start)))

    def _cut(self, tokens: tuple[int, ...], room: int) -> tuple[int, ...]:
        return tokens[max(len(tokens) - room, 0) :] if self.truncation_side == "left" else tokens[:room]


def pair_encoder(tokenizer: Any, max_length: int | None, truncation_side: Literal["left", "right"]) -> PairEncoder:
    """The encoder for a tokenizer, whose special tokens around a pair are looked at.

    Raises:
        RmbenchError: it puts nothing between two texts.
    """
    first, second = (list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("a", "b"))
    pair = tokenizer("a", "b")
    whole = list(pair["input_ids"])
    start = _find(first, whole, 0)
    then = _find(second, whole, start + len(first)) if start >= 0 else -1
    if then <= start + len(first):
        raise RmbenchError(
            f"segments = pair: the tokenizer reads two texts as {whole}, with nothing between {first} and {second}."
        )
    between = whole[start + len(first) : then]
    return PairEncoder(
        tokenizer=tokenizer,
        max_length=max_length,
        truncation_side=truncation_side,
        before=tuple(whole[:start]),
        between=tuple(between),
        after=tuple(whole[then + len(second) :]),
        typed="token_type_ids" in pair,
    )


def segment_ids(batch: Batch) -> IntArray:
    """[B, T] 0 on the first segment and on padding, 1 on the second, for rows that lie at the left."""
    ids = np.zeros_like(batch.ids)
    for index, row in enumerate(batch.rows):
        if isinstance(row.payload, Segments):  # the warm-up's rows are of one segment
            ids[index, row.payload.second : len(row.ids)] = 1
    return ids


def _rooms(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of two texts are kept: all, or what cutting the longer one first leaves (the tokenizers library's
    "longest_first")."""
    half = (room + 1) // 2 if first > second else room // 2
    kept = min(first, max(half, room - second))
    return kept, min(second, room - kept)


def _find(wanted: list[int], ids: list[int], start: int) -> int:
    """The index of `wanted` in `ids` from `start` on; -1: none."""
    places = range(start, len(ids) - len(wanted) + 1)
    return next((place for place in places if ids[place : place + len(wanted)] == wanted), -1)
