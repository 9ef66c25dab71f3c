"""Requests into rows, with what is remarked of each and what fails alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rmbench.engine.compute import reason
from rmbench.errors import RmbenchError, panics_as_errors
from rmbench.models.introspect import decoder_of
from rmbench.models.protocols import SPECIAL_TOKENS_IN_TEXT, Encoded, Encoder, EncodingScorer, Request, Scorer
from rmbench.models.text.special import LiteralTokenizer, holds_special_tokens, special_strings

__all__ = ["RowMaker", "row_maker"]


@dataclass(frozen=True, slots=True)
class RowMaker:
    """What makes rows of requests. Where `alone`, it can be sent to another process."""

    encoder: Encoder
    tokenizer: Any
    """Which of the model's texts are special tokens; None where it has no tokenizer."""
    spelled: tuple[str, ...]
    """These tokens."""
    model: str
    """Its name, for errors."""
    alone: bool
    """Whether the encoder needs no model and reads the conversations of a request alone, so that equal ones are encoded
    once."""

    def rows(self, requests: Sequence[Request]) -> list[Encoded]:
        """A row for each request; one that cannot be encoded carries the reason.

        Raises:
            RmbenchError: what is true of every row, as that there is no template.
        """
        literal = self.tokenizer if isinstance(self.tokenizer, LiteralTokenizer) else None
        entries = self._encoded([literal.marked(one) for one in requests] if literal else requests)
        if len(entries) != len(requests):
            raise RmbenchError(f"{self.model}: encode gave {len(entries)} rows for {len(requests)} requests.")
        return [
            replace(entry, remarks=(*entry.remarks, SPECIAL_TOKENS_IN_TEXT))
            if holds_special_tokens(request, self.spelled)
            else entry
            for request, entry in zip(requests, entries, strict=True)
        ]

    def _encoded(self, requests: Sequence[Request]) -> list[Encoded]:
        try:
            with panics_as_errors():
                return list(self.encoder.encode(requests))
        except RmbenchError:
            raise  # no template, no tokenizer: true of every row
        except Exception as error:
            if len(requests) == 1:
                return [Encoded(key="", size=0, error=reason(error))]
        return [entry for request in requests for entry in self._encoded([request])]


def row_maker(scorer: Scorer) -> RowMaker:
    """Of a scorer's encoder, where it has one that needs no model, else of the scorer."""
    encoder = scorer.encoder if isinstance(scorer, EncodingScorer) else None
    tokenizer = decoder_of(scorer)
    whole: Encoder = scorer if encoder is None else encoder
    return RowMaker(whole, tokenizer, special_strings(tokenizer), scorer.facts.name, encoder is not None)
