"""Finds out what servers support by requests: version numbers do not say, and unknown fields are silently accepted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, TypeVar

from rmbench.errors import RmbenchError, UnreachableError
from rmbench.models.servers.capabilities import MOST_LOGPROBS, Capabilities, LimitField, SchemaField
from rmbench.models.servers.client import Client
from rmbench.models.servers.errors import RejectedError, RetryableError
from rmbench.models.servers.generation import Grammar
from rmbench.models.servers.pool import Server
from rmbench.models.servers.replies import (
    applied_path,
    count_top_logprobs,
    parse_reply,
    parse_token_logprobs,
    parse_tokens,
)
from rmbench.models.servers.requests import (
    CHAT,
    MODELS,
    TOKENIZE,
    option_logprobs_fields,
    schema_field,
    structured_output,
)
from rmbench.models.servers.wire import Answer, ListedModels, Version, read

__all__ = ["check_capabilities"]

Found = TypeVar("Found")

_TOP_LOGPROBS = 1000
"""More of the most probable tokens than most servers list."""
_WORDS = ("q7-verdict", "z9-verdict")
"""Words that no model writes unless it is constrained to them."""
_MESSAGES = [{"role": "user", "content": "Reply with one short word."}]
_MAX_TOKENS = 512
"""Enough for a reasoning model, which thinks before the constraint begins."""
_ATTEMPTS = 4
"""Some servers fail, instead of rejecting the request, on a field that they do not know."""
_SCHEMA = {
    "type": "object",
    "properties": {"q7": {"type": "string", "enum": [_WORDS[0]]}},
    "required": ["q7"],
    "additionalProperties": False,
}


def check_capabilities(client: Client, model: str, *, constrain: bool = True) -> Capabilities:
    """What all reachable servers of the client support; those that cannot be reached are dropped.

    Args:
        client: each of its servers gets a handful of short requests.
        model: as the servers call it.
        constrain: whether to look for structured outputs at all.

    Raises:
        RmbenchError: no server answers, or the key or the model is rejected.
    """
    checks = client.ask_each(
        lambda server: _Check(client, model, server).run(constrain), f"does not answer a plain request to {model}"
    )
    return reduce(Capabilities.intersection, checks)


@dataclass(frozen=True, slots=True)
class _Check:
    client: Client
    model: str
    server: Server

    def run(self, constrain: bool) -> Capabilities:
        limit = self._limit_field()
        choice = constrain and self._choice(limit)
        schema: SchemaField = ""
        if constrain:
            schema = "structured_outputs" if choice else "response_format" if self._response_format(limit) else ""
        ids = self._token_ids(limit)
        listed = self._logprobs(limit, ids)
        most = self._top_logprobs(limit) if listed == "top" else MOST_LOGPROBS
        return Capabilities(self._kind(), limit, choice, schema, listed, bool(ids), most)

    def _limit_field(self) -> LimitField:
        try:
            self._chat({"max_tokens": 16}, parse_reply)
        except RejectedError as error:
            if "max_completion_tokens" not in str(error):
                raise
            return "max_completion_tokens"
        return "max_tokens"

    def _choice(self, limit: LimitField) -> bool:
        grammar = Grammar(choices=_WORDS)
        path, fields = structured_output(grammar, Capabilities(choice=True))
        reply = self._try({limit: _MAX_TOKENS, **fields}, parse_reply)
        return reply is not None and applied_path(grammar, path, reply.text) == "choice"

    def _response_format(self, limit: LimitField) -> bool:
        reply = self._try({limit: _MAX_TOKENS, **schema_field(_SCHEMA, "response_format")}, parse_reply)
        try:
            return reply is not None and bool(json.loads(reply.text) == {"q7": _WORDS[0]})
        except (ValueError, RecursionError):
            return False

    def _token_ids(self, limit: LimitField) -> tuple[int, ...]:
        """The ids of the messages, if /tokenize and a chat return the same ones."""
        body = {"model": self.model, "messages": _MESSAGES}
        ids = self._optional(lambda: self.client.post(TOKENIZE, body, parse_tokens, self.server))
        if not ids:
            return ()
        read_as = self._try({limit: 1, "return_token_ids": True}, lambda data: read(Answer, data).prompt_token_ids)
        return ids if read_as == list(ids) else ()

    def _logprobs(self, limit: LimitField, ids: Sequence[int]) -> Literal["ids", "top", ""]:
        if ids:
            listed = self._try(option_logprobs_fields(limit, tokens=ids[:1]), parse_token_logprobs)
            if listed is not None and f"token_id:{ids[0]}" in listed:
                return "ids"
        listed = self._try(option_logprobs_fields(limit, most=2), parse_token_logprobs)
        return "top" if listed is not None and len(listed) > 1 else ""

    def _top_logprobs(self, limit: LimitField) -> int:
        """How many of the most probable tokens the server lists: as many as it accepts to be asked for, its own
        messages naming the limit. One that accepts more than it lists is asked for what it lists."""
        most, left = _TOP_LOGPROBS, [MOST_LOGPROBS, 5]
        while True:
            try:
                listed = self._chat(option_logprobs_fields(limit, most=most), count_top_logprobs, _ATTEMPTS)
                return min(most, max(MOST_LOGPROBS, listed))
            except UnreachableError:
                raise
            except (RejectedError, RmbenchError) as error:
                named = [int(number) for number in re.findall(r"\d+", str(error)) if 1 < int(number) < most]
                left = sorted({*named, *(one for one in left if one < most)})
            except RetryableError:
                left = [one for one in left if one < most]
            if not left:
                return 2  # as the first request
            most = left.pop()

    def _kind(self) -> str:
        """What the server calls itself."""
        owner = self._field(MODELS, lambda data: read(ListedModels, data).data[0].owned_by or "")
        version = self._field("/version", lambda data: read(Version, data).version)
        return f"{owner or 'unknown'} {version}".strip()

    def _field(self, path: str, pick: Callable[[Any], str]) -> str:
        try:
            text = self._optional(lambda: self.client.get(path, pick, self.server))
        except IndexError:
            text = None
        return (text or "")[:80]

    def _try(self, fields: Mapping[str, Any], parse: Callable[[Any], Found]) -> Found | None:
        """What a chat with further fields gives; None where the server does not accept them."""
        return self._optional(lambda: self._chat(fields, parse, _ATTEMPTS))

    def _optional(self, ask: Callable[[], Found]) -> Found | None:
        """The result; None where the server refuses, in whatever way, since it has answered a plain request."""
        try:
            return ask()
        except UnreachableError:
            raise
        except (RejectedError, RetryableError, RmbenchError):
            return None

    def _chat(self, fields: Mapping[str, Any], parse: Callable[[Any], Found], attempts: int | None = None) -> Found:
        body = {"model": self.model, "messages": _MESSAGES, **fields}
        return self.client.post(CHAT, body, parse, self.server, attempts)
