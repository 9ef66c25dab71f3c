"""Tokens of conversations for implicit rewards, with the position where the answer begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rmbench.models.families.implicit.masks import TokenMasks, sha256_of
from rmbench.models.families.vl.rows import Place
from rmbench.models.protocols import Encoded, Request
from rmbench.models.text.special import unmarked
from rmbench.models.text.template import TemplateRefusedError
from rmbench.models.text.tokens import TextEncoder, TextRow

__all__ = ["Answer", "AnswerEncoder", "special_ids"]

ANSWER_TRUNCATED = "answer_truncated"
"""Remark of a row whose answer alone is too long."""
BOUNDARY_INSIDE_PROMPT = "boundary_inside_prompt"
"""Remark of a row whose first counted token is not the first behind the prompt: tokens merge across the boundary, or
the template's header for an answer to come is not the one it writes for an answer that is there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The payload of a row: its tokens from `start` on are the answer."""

    start: int
    weights: tuple[float, ...] | None = None
    """One per token of the answer."""
    places: tuple[Place, ...] = field(default=(), repr=False)
    """Of images and videos, for policies that see them."""


@dataclass(frozen=True)
class AnswerEncoder:
    """A text encoder that knows prompt from answer.

    The whole conversation is tokenised, and the prompt with the header of an answer to come; the answer begins at the
    first token in which the two differ, so that a token which merges the end of the prompt with the beginning of the
    answer is the answer's. A template without such a header leaves the prompt as it is, and the header of the answer
    counts as its own. Of a candidate of several messages everything counts, headers between them included.
    """

    text: TextEncoder
    """Its `max_length` is that of a whole row; rows are cut here, so its side is not looked at."""
    eos: bool
    specials: frozenset[int]
    """Ids of the special tokens, one of which may close an answer."""
    needs_tokens: bool
    """Whether an answer without tokens is an error of its row."""
    masks: TokenMasks | None = None
    joint: bool = False
    """The prompt counts too: all tokens but the row's first, which nothing stands before."""

    @property
    def settings(self) -> Mapping[str, str | int | None]:
        """For the record."""
        masks = {} if self.masks is None else {"token_mask_sha256": self.masks.digest}
        return {**self.text.settings, "truncation_side": "left of the prompt, then right of the answer", **masks}

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Rows for the engine, whose payload says where the answer begins."""
        prompts = self._prompts(requests)
        rows = replace(self.text, max_length=None).rows(requests)
        return [
            row if isinstance(row, Encoded) else self._encoded(row, prompts[_prompt_of(request)], request)
            for row, request in zip(rows, requests, strict=True)
        ]

    def _prompts(self, requests: Sequence[Request]) -> dict[Request, tuple[int, ...] | str]:
        """The tokens of each prompt, each tokenised once, or why it has none."""
        template = replace(self.text.template, generation_prompt=True)
        found: dict[Request, tuple[int, ...] | str] = {}
        texts: dict[Request, str] = {}
        for prompt in dict.fromkeys(_prompt_of(request) for request in requests):
            try:
                texts[prompt] = template.render(prompt) if prompt.conversation else ""
            except TemplateRefusedError as refusal:
                found[prompt] = f"the prompt alone: {refusal}"
        return found | dict(zip(texts, self.text.bodies(list(texts.values())), strict=True))

    def _encoded(self, row: TextRow, prompt: tuple[int, ...] | str, request: Request) -> Encoded:
        if isinstance(prompt, str):
            return _refused(prompt)
        shared = _common(row.body, prompt)
        context, answer = (*row.before, *row.body[:shared]), (*row.body[shared:], *row.after)
        answer = answer[: self._end(answer)]
        weights = self._weights(request, len(answer))
        if isinstance(weights, str):
            return _refused(weights)
        if self.needs_tokens and not answer:
            return _refused("the answer has no tokens, so it has no average")
        if answer and not context:
            return _refused("nothing stands before the answer, so its first token has no probability")
        kept = self._room(len(answer), len(row.before))
        if kept < min(1, len(answer)):
            return _refused(f"max_length {self.text.max_length} leaves no room for an answer")
        remarks = [BOUNDARY_INSIDE_PROMPT] if shared < len(prompt) else []
        remarks += [ANSWER_TRUNCATED] if kept < len(answer) else []
        cut = self._cut(row, shared, answer[:kept], len(answer) - kept)
        payload = Answer(1 if self.joint else len(cut.ids) - kept, None if weights is None else weights[:kept])
        return cut.encoded(payload, tuple(remarks))

    def _end(self, answer: Sequence[int]) -> int:
        """Where the answer ends: behind the special token that closes it, or before that token where it does not count.
        What the template writes behind it, a line break, is never the policy's to say."""
        last = len(answer)
        while last and answer[last - 1] not in self.specials and not self._shows(answer[last - 1]):
            last -= 1
        if not last or answer[last - 1] not in self.specials:
            return len(answer)
        return last if self.eos else last - 1

    def _shows(self, token: int) -> bool:
        tokenizer: Any = self.text.tokenizer
        return bool(tokenizer.decode([token]).strip())

    def _weights(self, request: Request, tokens: int) -> tuple[float, ...] | str | None:
        """A weight per token of the answer; None where all count; or what is wrong."""
        if self.masks is None:
            return None
        prompt, answer = (
            request.conversation[: request.prompt_messages],
            request.conversation[request.prompt_messages :],
        )
        weights = self.masks.of(unmarked(prompt), unmarked(answer))
        if weights is None:
            return f"no token mask for the answer with sha256 {sha256_of(answer)}"
        if len(weights) != tokens:
            return f"the token mask has {len(weights)} weights for an answer of {tokens} tokens"
        return weights

    def _room(self, answer: int, before: int) -> int:
        """How many tokens of the answer fit behind at least one other."""
        limit = self.text.max_length
        return answer if limit is None else max(0, min(answer, limit - max(1, before)))

    def _cut(self, row: TextRow, shared: int, answer: tuple[int, ...], dropped_right: int) -> TextRow:
        """The prompt's end and the answer's beginning, as much as fits."""
        limit = self.text.max_length
        room = shared if limit is None else max(0, limit - len(row.before) - len(answer))
        dropped = max(0, shared - room)
        body = (*row.body[dropped:shared], *answer)
        return replace(row, body=body, after=(), dropped_left=dropped, dropped_right=dropped_right)


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of all special tokens, named or added."""
    added = {int(token) for token, entry in tokenizer.added_tokens_decoder.items() if entry.special}
    return frozenset(added | {int(token) for token in tokenizer.all_special_ids})


def _prompt_of(request: Request) -> Request:
    return Request(request.conversation[: request.prompt_messages], request.prompt_messages, request.render)


def _common(whole: Sequence[int], prompt: Sequence[int]) -> int:
    """How many leading tokens are equal."""
    for place, (one, other) in enumerate(zip(whole, prompt, strict=False)):
        if one != other:
            return place
    return min(len(whole), len(prompt))


def _refused(why: str) -> Encoded:
    return Encoded(key="", size=0, error=why)
