"""Tokens of a GPM: an EOS at the end, and where the prompt ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rmbench.models.protocols import Encoded, Request
from rmbench.models.text.tokens import TextEncoder, TextRow
from rmbench.types import TOOLS, Message, bare_text

__all__ = ["GpmText"]

NOT_A_PREFIX = "prompt_not_prefix"
"""Remark of a row whose tokens do not begin with those of its first message alone: the gate, read at the place that
their number gives, as upstream does, then sees a token that is not the prompt's last."""


@dataclass(frozen=True)
class GpmText:
    """A text encoder with GPM's own end of row, and for gated models the place where the gate is read.

    Source: gpm_example_usage.py and general_preference/datasets/reward_dataset.py of
    general-preference/general-preference-model.
    """

    text: TextEncoder
    eos: int | None
    """Put at each row's end, where the embedding is read; None: rows end as the template ends them."""
    gated: bool

    @property
    def settings(self) -> Mapping[str, str | int | bool | None]:
        """For the record."""
        return {**self.text.settings, "eos_overwrite": self.eos is not None}

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Rows for the engine. A gated model's payload is the place, from 0, of the first message's last token; a row
        that truncation leaves without it, or without anything behind it, carries that as its error."""
        prompts = self._prompts(requests) if self.gated else {}
        return [
            row if isinstance(row, Encoded) else self._encoded(row, request, prompts.get(_first_of(request)))
            for row, request in zip(self.text.rows(requests), requests, strict=True)
        ]

    def _prompts(self, requests: Sequence[Request]) -> dict[Request, TextRow | Encoded]:
        """The first message of each request, tokenised alone, once, and never cut."""
        alone = list(dict.fromkeys(_first_of(request) for request in requests))
        return dict(zip(alone, replace(self.text, max_length=None).rows(alone), strict=True))

    def _encoded(self, row: TextRow, request: Request, prompt: TextRow | Encoded | None) -> Encoded:
        ended = row if self.eos is None else self._ended(row, self.eos, request)
        if prompt is None:
            return ended.encoded()
        if request.prompt_messages < 1:
            return _refused("the conversation has no prompt, at whose end the gate is read")
        if isinstance(prompt, Encoded):
            return _refused(f"the first message alone, at whose end the gate is read: {prompt.error}")
        kept = len(prompt.body) - row.dropped_left
        if kept < 1:
            return _refused("truncation on the left cut off the end of the prompt, at which the gate is read")
        if kept > len(row.body) or (row.truncated and kept == len(row.body)):
            why = f"fills max_length {self.text.max_length}" if row.truncated else "is longer than the conversation"
            return _refused(f"the first message alone, {len(prompt.body)} tokens, {why}")
        begins = row.body[:kept] == prompt.body[row.dropped_left :]
        return ended.encoded(payload=len(row.before) + kept - 1, remarks=() if begins else (NOT_A_PREFIX,))

    def _ended(self, row: TextRow, eos: int, request: Request) -> TextRow:
        """The row with an EOS as its last token. Templated text loses its last token to it, whether anything was cut or
        not; raw text, to which upstream's data code writes the EOS itself, only where there is no room for one more."""
        if row.ids[-1] == eos:
            return row
        limit = self.text.max_length
        if request.render == "raw" and not row.truncated and (limit is None or len(row.ids) < limit):
            return replace(row, after=(*row.after, eos))
        if row.after:
            return replace(row, after=(*row.after[:-1], eos))
        return replace(row, body=(*row.body[:-1], eos))


def _first_of(request: Request) -> Request:
    """The first message as a conversation, with the tools before it. Of raw text without the space at its end, which
    joins it to the answer."""
    place = sum(message.role == TOOLS for message in request.conversation[:1])
    *tools, first = request.conversation[: place + 1]
    if request.render == "raw":
        first = Message.of(first.role, bare_text(first).rstrip(" "))
    return Request((*tools, first), place + 1, request.render)


def _refused(why: str) -> Encoded:
    return Encoded(key="", size=0, error=why)
