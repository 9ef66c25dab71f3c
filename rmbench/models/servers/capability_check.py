"""Finds out what servers support by requests: version numbers do not say, and unknown fields are silently accepted.

Every request is a question as the judge will ask it, with another text. First a plain one, whose refusal is final;
then the same with all fields of the questions, of which those that the server refuses are left out; then those
abilities that the questions' grammar can use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, TypeVar

from rmbench.errors import RmbenchError, UnreachableError, did_you_mean
from rmbench.models.options import silent
from rmbench.models.servers.capabilities import MOST_LOGPROBS, SYSTEM, Capabilities, SchemaField
from rmbench.models.servers.client import Client
from rmbench.models.servers.errors import AccountError, BusyError, RejectedError, RetryableError
from rmbench.models.servers.field_check import Settled, settle_fields
from rmbench.models.servers.generation import FINISHED, Grammar, Question, Reply
from rmbench.models.servers.pool import Server
from rmbench.models.servers.replies import (
    applied_path,
    count_top_logprobs,
    image_runs,
    parse_reply,
    parse_token_logprobs,
    parse_tokens,
)
from rmbench.models.servers.requests import (
    CHAT,
    TOKENIZE,
    option_logprobs_fields,
    plain_request,
    schema_field,
    structured_output,
    text_request,
    tokenize_chat_body,
)
from rmbench.models.servers.served_name import check_name, listing
from rmbench.models.servers.wire import Answer, read

__all__ = ["check_capabilities"]

Found = TypeVar("Found")

_TOP_LOGPROBS = 1000
"""More of the most probable tokens than most servers list."""
_WORDS = ("q7-verdict", "z9-verdict")
"""Words that no model writes unless it is constrained to them."""
_TEXT = "Reply with one short word."
_SYSTEM_TEXT = "Reply as you are told."
_ATTEMPTS = 4
"""Some servers fail, instead of rejecting the request, on a field that they do not know."""
_OPTIONAL_ATTEMPTS = 2
"""Of routes that many servers lack."""
_SCHEMA = {
    "type": "object",
    "properties": {"q7": {"type": "string", "enum": [_WORDS[0]]}},
    "required": ["q7"],
    "additionalProperties": False,
}


def check_capabilities(
    client: Client, model: str, question: Question, *, constrain: bool = True, note: Callable[[str], None] = silent
) -> Capabilities:
    """What all reachable servers of the client support; those that cannot be reached are dropped.

    Args:
        client: each of its servers gets a handful of short requests.
        model: as the servers call it.
        question: one of those that will be asked; its texts are replaced.
        constrain: whether to look for structured outputs at all.
        note: called with a line for each server on what was settled.

    Raises:
        RmbenchError: no server answers, or the key, the model or the question is rejected.
    """
    trial = _trial(question)
    checks = client.ask_each(
        lambda server: _Check(client, model, server, trial, constrain, note).run(),
        f"does not answer a plain request to {model}",
    )
    return reduce(Capabilities.intersection, checks)


def _trial(question: Question) -> Question:
    """The question with texts of ours in place of its own."""
    texts = {"system": _SYSTEM_TEXT, "assistant": "It is"}  # some judges have roles of their own
    return replace(
        question, messages=tuple(_with_text(each, texts.get(each["role"], _TEXT)) for each in question.messages)
    )


def _with_text(message: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    """The message with another text; its images stay."""
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": text}
    images = tuple(part for part in content if part["type"] != "text")
    return {**message, "content": (*images, {"type": "text", "text": text})}


@dataclass(frozen=True, slots=True)
class _Check:
    client: Client
    model: str
    server: Server
    question: Question
    constrain: bool
    note: Callable[[str], None]

    def run(self) -> Capabilities:
        try:
            plain = self._plain()
        except UnreachableError:
            raise
        except RmbenchError as error:
            raise self._with_listing(error) from None
        told = listing(self.client, self.server)
        listed = check_name(self.server, self.model, told.models, self.note)
        settled = self._settled(plain)
        found, grammar = settled.capabilities, self.question.grammar
        if self.constrain and (grammar.choices or grammar.regex or grammar.schema is not None):
            choice = self._choice(found)
            json_by = grammar.schema is not None and not choice and self._response_format(found)
            schema: SchemaField = "structured_outputs" if choice else "response_format" if json_by else ""
            found = replace(found, choice=choice, schema=schema)
        if self.question.raw or grammar.options:
            ids = self._token_ids(found)
            found = replace(found, token_ids=bool(ids))
            found = self._with_logprobs(found, ids) if grammar.options else found
        if self.question.images:
            found = replace(found, image_token=self._image_token(found))
        found = replace(found, server=told.kind, listed=listed)
        self.note(f"{self.server.api}: {_summary(self.question, replace(settled, capabilities=found))}")
        return found

    def _with_listing(self, error: RmbenchError) -> RmbenchError:
        """The error with the models that the server lists, where the one that is asked is none of them."""
        models = listing(self.client, self.server).models if "(404)" in str(error) else ()
        if not models or self.model in models:
            return error
        names = ", ".join(models[:5]) + (" ..." if len(models) > 5 else "")
        return RmbenchError(f"{error} It lists {names}.{did_you_mean(self.model, models)}")

    def _plain(self) -> Capabilities:
        """With the field that limits the length; raises where the server answers with neither of them."""
        refusal: RejectedError | None = None
        for limit in ("max_tokens", "max_completion_tokens"):
            found = Capabilities(limit_field=limit)
            route, body = plain_request(self.model, self.question, found)
            try:
                reply = self.client.post(route, body, parse_reply, self.server)
            except RejectedError as error:
                refusal = refusal or error
                if re.search(rf"\b{self.question.sampling.max_tokens}\b", str(error)):
                    break  # it is the value that is refused, and a field that nobody reads would limit nothing
                continue
            if reply.finish not in FINISHED:
                raise RejectedError(f"its choices[0].finish_reason is {reply.finish!r}")
            return found
        hint = "; --model-args max_tokens=N sets another length" if "max_tokens" in str(refusal) else ""
        raise RejectedError(f"{str(refusal).removesuffix('.')}{hint}")

    def _settled(self, plain: Capabilities) -> Settled:
        def ask(capabilities: Capabilities) -> Exception | None:
            route, body = text_request(self.model, self.question, capabilities)
            try:
                self._send(route, body, parse_reply)
            except (UnreachableError, AccountError, BusyError):
                raise
            except (RejectedError, RetryableError, RmbenchError) as error:
                return error
            return None

        try:
            return settle_fields(ask, self.question, plain)
        except (RejectedError, RetryableError) as error:
            count = self.question.images
            shown = f" (it shows {count} image{'s' * (count > 1)})" if count else ""
            raise RmbenchError(
                f"{self.server.api} answers a plain request to {self.model}, but not the judge's{shown}: {error}"
            ) from None

    def _choice(self, found: Capabilities) -> bool:
        grammar = Grammar(choices=_WORDS)
        path, fields = structured_output(grammar, Capabilities(choice=True))
        reply = self._try(found, fields, parse_reply)
        return reply is not None and applied_path(grammar, path, reply.text) == "choice"

    def _response_format(self, found: Capabilities) -> bool:
        reply: Reply | None = self._try(found, schema_field(_SCHEMA, "response_format"), parse_reply)
        try:
            return reply is not None and bool(json.loads(reply.text) == {"q7": _WORDS[0]})
        except (ValueError, RecursionError):
            return False

    def _token_ids(self, found: Capabilities) -> tuple[int, ...]:
        """The ids of the messages, if /tokenize and a chat return the same ones."""
        body = tokenize_chat_body(self.model, self._chat, found)
        ids = self._optional(
            lambda: self.client.post(TOKENIZE, body, parse_tokens, self.server, _OPTIONAL_ATTEMPTS, optional=True)
        )
        if not ids:
            return ()
        fields = {found.limit_field: 1, "return_token_ids": True}
        read_as = self._try(found, fields, lambda data: read(Answer, data).prompt_token_ids)
        return ids if read_as == list(ids) else ()

    def _image_token(self, found: Capabilities) -> int | None:
        """The id that the question's images are read as; None where the server does not tell, or where images are no
        runs of one id, each by itself."""
        fields = {found.limit_field: 1, "return_token_ids": True}
        read_as = self._try(found, fields, lambda data: read(Answer, data).prompt_token_ids)
        runs = image_runs(read_as) if isinstance(read_as, list) else {}
        most = max(runs, key=lambda token: sum(runs[token]), default=None)
        return most if most is not None and len(runs[most]) == self.question.images else None

    def _with_logprobs(self, found: Capabilities, ids: Sequence[int]) -> Capabilities:
        limit, grammar = found.limit_field, self.question.grammar
        length = 1 if grammar.think is None else self.question.sampling.max_tokens
        if ids:
            fields = option_logprobs_fields(limit, length=length, tokens=ids[:1])
            listed = self._try(found, fields, parse_token_logprobs)
            if listed is not None and f"token_id:{ids[0]}" in listed:
                return replace(found, logprobs="ids")
        listed = self._try(found, option_logprobs_fields(limit, length=length, most=2), parse_token_logprobs)
        if listed is None or len(listed) < 2:
            return found
        return replace(found, logprobs="top", top_logprobs=self._top_logprobs(found, length))

    def _top_logprobs(self, found: Capabilities, length: int) -> int:
        """How many of the most probable tokens the server lists: as many as it accepts to be asked for, its own
        messages naming the limit. One that accepts more than it lists is asked for what it lists."""
        most, left = _TOP_LOGPROBS, [MOST_LOGPROBS, 5]
        while True:
            fields = option_logprobs_fields(found.limit_field, length=length, most=most)
            try:
                return min(most, max(MOST_LOGPROBS, self._post(found, fields, count_top_logprobs)))
            except (UnreachableError, AccountError, BusyError):
                raise
            except (RejectedError, RmbenchError) as error:
                named = [int(number) for number in re.findall(r"\d+", str(error)) if 1 < int(number) < most]
                left = sorted({*named, *(one for one in left if one < most)})
            except RetryableError:
                left = [one for one in left if one < most]
            if not left:
                return 2  # as the first request
            most = left.pop()

    def _try(self, found: Capabilities, fields: Mapping[str, Any], parse: Callable[[Any], Found]) -> Found | None:
        return self._optional(lambda: self._post(found, fields, parse))

    def _optional(self, ask: Callable[[], Found]) -> Found | None:
        """The result; None where the server refuses, in whatever way, since it has answered a plain request."""
        try:
            return ask()
        except (UnreachableError, AccountError, BusyError):
            raise
        except (RejectedError, RetryableError, RmbenchError):
            return None

    @property
    def _chat(self) -> Question:
        """The question as a chat, for abilities that only chats have."""
        return replace(self.question, raw=False)

    def _post(self, found: Capabilities, fields: Mapping[str, Any], parse: Callable[[Any], Found]) -> Found:
        return self._send(CHAT, {**text_request(self.model, self._chat, found)[1], **fields}, parse)

    def _send(self, route: str, body: Mapping[str, Any], parse: Callable[[Any], Found]) -> Found:
        """The response to what the server may refuse in any way; RmbenchError where it is too busy to refuse it."""
        try:
            return self.client.post(route, body, parse, self.server, _ATTEMPTS, optional=True)
        except RetryableError as error:
            if not error.busy:
                raise
        try:
            return self.client.post(route, body, parse, self.server)
        except RetryableError as error:
            raise BusyError(f"{self.server.api} is too busy to be tried out: {error}") from None


def _summary(question: Question, settled: Settled) -> str:
    """What questions are asked with, in one line."""
    found, grammar = settled.capabilities, question.grammar
    parts: list[str] = [found.limit_field]
    for field, words in settled.refused.items():
        way = "the system message begins the user's" if field == SYSTEM else f"no {field}"
        parts.append(f"{way} ({words})")
    if grammar.options:
        ways = {
            "ids": "probabilities of the options' tokens",
            "top": f"probabilities of the {found.top_logprobs} most probable tokens",
            "": "no probabilities: verdicts are read from the text",
        }
        parts.append(ways[found.logprobs])
    if grammar.choices or grammar.regex or grammar.schema is not None:
        held = found.choice if grammar.schema is None else found.schema
        by = "structured_outputs" if found.choice else found.schema
        parts.append(f"replies are constrained by {by}" if held else "replies are not constrained")
    return "asked with " + "; ".join(parts)
