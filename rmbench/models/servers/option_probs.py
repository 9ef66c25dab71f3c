"""Probabilities of options: from the tokens asked for, from the most probable ones, or token by token."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.servers.client import AgainError, Client
from rmbench.models.servers.generation import Reply
from rmbench.models.servers.replies import (
    choice_of,
    first_logprobs,
    integers,
    prompt_logprobs,
    reply_of,
    tokens_used,
)

__all__ = ["MOST", "OptionTokens", "sequence_logprobs", "token_logprobs", "top_logprobs", "with_options"]

MOST = 20
"""Most probable tokens that servers tell at once, by default."""


@dataclass
class OptionTokens:
    """Texts as the server's tokenizer reads them; each option is asked for once."""

    client: Client
    model: str
    _known: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _begin: tuple[int, ...] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, options: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Option -> its tokens, as text without special tokens.

        Raises:
            RmbenchError: an option has none, or two options are the same tokens.
        """
        with self._lock:
            for option in options:
                if option not in self._known:
                    self._known[option] = self._read(option, special=False)
        spelled = {option: self._known[option] for option in options}
        if len(set(spelled.values())) < len(options) or () in spelled.values():
            raise RmbenchError(f"The model's tokenizer does not tell the options {', '.join(options)} apart.")
        return spelled

    def of_prompt(self, text: str) -> tuple[int, ...]:
        """The tokens of a whole prompt, with the special tokens that the tokenizer puts before it, once, whether or not
        the text spells them too."""
        with self._lock:
            if self._begin is None:
                bare, whole = self._read("a", special=False), self._read("a", special=True)
                end = len(whole) - len(bare)
                self._begin = next(
                    (whole[:at] for at in range(end + 1) if whole[at : at + len(bare)] == bare), whole[:end]
                )
        ids, begin = self._read(text, special=True), self._begin
        doubled = bool(begin) and ids[: 2 * len(begin)] == (*begin, *begin)
        return ids[len(begin) :] if doubled else ids

    def _read(self, text: str, *, special: bool) -> tuple[int, ...]:
        body = {"model": self.model, "prompt": text, "add_special_tokens": special}
        return self.client.post("/tokenize", body, lambda data: integers(data, "tokens"))


def token_logprobs(client: Client, body: Mapping[str, Any], limit: str, tokens: Mapping[str, int]) -> Reply:
    """The log-probabilities that a chat's answer begins with these tokens (`logprob_token_ids`).

    Args:
        client: whom to ask.
        body: of the chat; its limit is made 1 token.
        limit: what the limit is called.
        tokens: option -> its token's id.
    """

    def read(data: Any) -> Reply:
        told = first_logprobs(choice_of(data))
        if any(f"token_id:{token}" not in told for token in tokens.values()):
            raise AgainError("the answer lacks the log-probability of a token that was asked for")
        options = {option: told[f"token_id:{token}"] for option, token in tokens.items()}
        return with_options(reply_of(data), options)

    asked = {"logprobs": True, "logprob_token_ids": list(tokens.values()), "return_tokens_as_token_ids": True}
    return client.post("/v1/chat/completions", {**body, limit: 1, **asked}, read)


def top_logprobs(client: Client, body: Mapping[str, Any], limit: str, options: Sequence[str]) -> Reply | None:
    """The same from the most probable tokens, by their texts; None where an option is not among them."""

    def read(data: Any) -> Reply | None:
        told = first_logprobs(choice_of(data))
        if any(option not in told for option in options):
            return None
        return with_options(reply_of(data), {option: told[option] for option in options})

    asked = {"logprobs": True, "top_logprobs": MOST}
    return client.post("/v1/chat/completions", {**body, limit: 1, **asked}, read)


def sequence_logprobs(client: Client, model: str, prompt: Sequence[int], options: Mapping[str, Sequence[int]]) -> Reply:
    """The log-probabilities that a prompt goes on with these tokens: sums over each option's tokens, read off as parts
    of the prompt (`prompt_logprobs`), without any constraint.

    Args:
        client: whom to ask.
        model: as the server calls it.
        prompt: [T] token ids.
        options: option -> its token ids.
    """
    rows = [[*prompt, *ids] for ids in options.values()]

    def read(data: Any) -> Reply:
        choices = data.get("choices") if isinstance(data, dict) else None
        if not isinstance(choices, list) or len(choices) != len(rows):
            raise AgainError(f"the answer has not the {len(rows)} choices that were asked for")
        placed = {choice.get("index"): choice for choice in choices if isinstance(choice, dict)}
        told = {}
        for index, (option, ids) in enumerate(options.items()):
            told[option] = prompt_logprobs(placed.get(index, {}), rows[index], len(ids))
        asked, answered = tokens_used(data)
        return Reply(finish="stop", options=told, path="logprobs", prompt_tokens=asked, answer_tokens=answered)

    body = {"model": model, "prompt": rows, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
    return client.post("/v1/completions", body, read)


def with_options(reply: Reply, options: Mapping[str, float]) -> Reply:
    """A reply of one token with the options' log-probabilities."""
    return Reply(
        reply.text,
        reply.reasoning,
        "stop",  # one token is the whole of it
        options,
        "logprobs",
        reply.prompt_tokens,
        reply.answer_tokens,
    )
