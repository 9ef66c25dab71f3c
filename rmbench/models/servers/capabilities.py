"""What a server can do, found out by asking: version numbers do not tell, and unknown fields are accepted silently."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.servers.client import AgainError, Client, RefusedError
from rmbench.models.servers.pool import Server
from rmbench.models.servers.replies import first_logprobs, integers, reply_of
from rmbench.models.servers.requests import LimitField, Schema, schema_field

__all__ = ["Abilities", "probe"]

_WORDS = ("q7-verdict", "z9-verdict")
"""Words that no model writes unless it is held to them."""
_ASK = [{"role": "user", "content": "Reply with one short word."}]
_ROOM = 512
"""Tokens: a reasoning model thinks before the constraint begins."""
_TRIES = 4
"""Attempts: some servers fail, instead of refusing, where they do not know a field."""
_SCHEMA = {
    "type": "object",
    "properties": {"q7": {"type": "string", "enum": [_WORDS[0]]}},
    "required": ["q7"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What of the ways to a verdict a server offers."""

    server: str = "unknown"
    """Kind and version, e.g. "vllm 0.32.0"."""
    limit_field: LimitField = "max_tokens"
    choice: bool = False
    """It holds answers to vLLM's `structured_outputs`."""
    schema: Schema = ""
    logprobs: str = ""
    """"ids": log-probabilities of the very tokens asked for; "top": of the most probable ones; "": none."""
    token_ids: bool = False
    """It has /tokenize, and reads in chats exactly the ids that it gives."""

    @property
    def settings(self) -> Mapping[str, str | bool]:
        """For the record."""
        return {
            "server": self.server,
            "structured_outputs": self.choice,
            "json_schema": self.schema or "none",
            "logprobs": self.logprobs or "none",
            "token_ids": self.token_ids,
        }

    def and_also(self, other: Abilities) -> Abilities:
        """What both servers offer."""
        return Abilities(
            self.server if self.server == other.server else " and ".join(sorted({self.server, other.server})),
            self.limit_field if self.limit_field == other.limit_field else "max_tokens",
            self.choice and other.choice,
            self.schema if self.schema == other.schema else "",
            self.logprobs if self.logprobs == other.logprobs else "top" if self.logprobs and other.logprobs else "",
            self.token_ids and other.token_ids,
        )


def probe(client: Client, model: str, *, constrain: bool = True) -> Abilities:
    """What every server of the client that answers can do; those that do not answer are dropped.

    Args:
        client: its servers are asked one after the other, a handful of short requests each.
        model: as the servers call it.
        constrain: whether to look for structured outputs at all.

    Raises:
        RmbenchError: no server answers, or the key or the model is refused.
    """
    found: list[Abilities] = []
    problem: RmbenchError | None = None
    for server in client.servers:
        try:
            found.append(_Probe(client, model, server).run(constrain))
        except RmbenchError as error:
            if not server.dropped:
                raise
            problem = error
    if not found:
        raise problem or RmbenchError("There is no server to ask: pass --base-url.")
    return reduce(Abilities.and_also, found)


@dataclass(frozen=True, slots=True)
class _Probe:
    client: Client
    model: str
    server: Server

    def run(self, constrain: bool) -> Abilities:
        limit = self._plain()
        held = constrain and self._choice(limit)
        schema: Schema = "structured_outputs" if held else "response_format" if constrain and self._json(limit) else ""
        ids = self._token_ids(limit)
        return Abilities(self._kind(), limit, held, schema, self._logprobs(limit, ids), bool(ids))

    def _plain(self) -> LimitField:
        """Whether anything is answered at all, and what a limit is called."""
        try:
            self._chat({"max_tokens": 16})
        except RefusedError as error:
            if "max_completion_tokens" not in str(error):
                raise RmbenchError(f"{self.server.api} refuses a plain question to {self.model}: {error}") from error
            return "max_completion_tokens"
        except AgainError as error:
            raise RmbenchError(f"{self.server.api} does not answer a plain question: {error}") from error
        return "max_tokens"

    def _choice(self, limit: LimitField) -> bool:
        data = self._try({limit: _ROOM, "structured_outputs": {"choice": list(_WORDS)}})
        return data is not None and reply_of(data).text in _WORDS

    def _json(self, limit: LimitField) -> bool:
        data = self._try({limit: _ROOM, **schema_field(_SCHEMA, "response_format")})
        if data is None:
            return False
        try:
            return bool(json.loads(reply_of(data).text) == {"q7": _WORDS[0]})
        except (ValueError, RecursionError):
            return False

    def _token_ids(self, limit: LimitField) -> tuple[int, ...]:
        """The ids of the question, if the server says the same of them twice."""
        try:
            body = {"model": self.model, "messages": _ASK}
            ids = self.client.post("/tokenize", body, lambda data: integers(data, "tokens"), self.server)
        except (RefusedError, AgainError, RmbenchError):
            if self.server.dropped:
                raise
            return ()
        data = self._try({limit: 1, "return_token_ids": True})
        return ids if data is not None and data.get("prompt_token_ids") == list(ids) else ()

    def _logprobs(self, limit: LimitField, ids: Sequence[int]) -> str:
        if ids:
            asked = {"logprobs": True, "logprob_token_ids": [ids[0]], "return_tokens_as_token_ids": True}
            data = self._try({limit: 1, **asked})
            if data is not None and f"token_id:{ids[0]}" in first_logprobs(data["choices"][0]):
                return "ids"
        data = self._try({limit: 1, "logprobs": True, "top_logprobs": 2})
        return "top" if data is not None and len(first_logprobs(data["choices"][0])) > 1 else ""

    def _kind(self) -> str:
        """What the server calls itself."""
        owner = self._told("/v1/models", lambda data: data["data"][0]["owned_by"])
        version = self._told("/version", lambda data: data["version"])
        return f"{owner or 'unknown'} {version}".strip()

    def _told(self, path: str, pick: Any) -> str:
        try:
            told = self.client.get(path, lambda data: data, self.server)
            return self.client.key.hide(str(pick(told)))[:80]
        except (RefusedError, AgainError, RmbenchError, LookupError, TypeError):
            return ""

    def _try(self, fields: Mapping[str, Any]) -> Any:
        """The answer to a question with further fields; None where the server does not take them."""
        try:
            return self._chat(fields, _TRIES)
        except (RefusedError, AgainError):
            return None

    def _chat(self, fields: Mapping[str, Any], attempts: int | None = None) -> Any:
        def read(data: Any) -> Any:
            reply_of(data)
            return data

        body = {"model": self.model, "messages": _ASK, **fields}
        return self.client.post("/v1/chat/completions", body, read, self.server, attempts)
