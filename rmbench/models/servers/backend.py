"""A judge behind any server of the OpenAI protocol: vLLM, SGLang, llama.cpp, a hosted API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from rmbench.models.options import silent
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.client import Client, ClientClosedError
from rmbench.models.servers.errors import RejectedError, RetryableError
from rmbench.models.servers.generation import Question, Reply
from rmbench.models.servers.prefix_cache import cached_tokens
from rmbench.models.servers.replies import (
    applied_path,
    check_images,
    parse_option_logprobs,
    parse_prompt_logprobs,
    parse_reply,
    parse_top_logprobs,
    tokens_in,
)
from rmbench.models.servers.requests import (
    CHAT,
    COMPLETIONS,
    chat_body,
    completion_body,
    option_logprobs_fields,
    prompt_logprobs_body,
    raw_prompt,
    structured_output,
)
from rmbench.models.servers.tokenizer import ServerTokenizer
from rmbench.models.servers.usage import Usage
from rmbench.types import Setting
from rmbench.untrusted.masking import mask

__all__ = ["ServerBackend"]

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class ServerBackend:
    """A Backend over a client. It uses structured outputs and log-probabilities as far as the servers support them."""

    client: Client
    model: str
    """As the servers call it."""
    capabilities: Capabilities
    name: str
    """As people call it."""
    extra_settings: Mapping[str, Setting] = field(default_factory=dict)
    """For the record."""
    usage: Usage = field(default_factory=Usage)
    note: Callable[[str], None] = silent
    stop: Callable[[], None] | None = None
    """Stops a server that was started for this backend alone."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Kind of server, capabilities, and how probabilities of options are computed."""
        return {
            **self.capabilities.settings,
            "option_logprobs": "without a constraint" if self.capabilities.logprobs else "none",
            **self.extra_settings,
        }

    def ask(self, question: Question) -> Reply:
        """See `Backend.ask`."""
        self.usage.check(self.name)
        try:
            reply = self._option_logprobs(question) if question.grammar.options else None
            reply = reply or self._text(question)
        except RetryableError as error:
            attempts = self.client.policy.attempts
            return Reply(error=f"no reply in {attempts} attempts; the last one: {mask(str(error))}")
        except (RejectedError, ClientClosedError) as error:
            return Reply(error=mask(str(error)))
        self.usage.add(reply.prompt_tokens, reply.answer_tokens)
        return reply

    @property
    def has_room(self) -> bool:
        """See `Windowed.has_room`."""
        return self.client.has_room

    @contextmanager
    def in_window(self, most: int) -> Iterator[None]:
        """See `Windowed.in_window`; of vLLM a note says at the end how much of the prompts its prefix cache held."""
        self.client.limit(most)
        of_vllm = "vllm" in self.capabilities.server
        before = cached_tokens(self.client) if of_vllm else None
        yield
        after = cached_tokens(self.client) if before is not None else None
        if before is not None and after is not None and (found := after.since(before)):
            self.note(f"{self.name}: {found}")

    def close(self) -> None:
        """Break off requests, stop the server if it is ours, and report the usage."""
        self.client.close()
        if self.stop is not None:
            self.stop()
        if self.usage.replies:
            self.note(f"{self.name}: {self.usage.summary(self.client.retries)}")

    @cached_property
    def _tokenizer(self) -> ServerTokenizer:
        return ServerTokenizer(self.client, self.model, self.capabilities)

    def _text(self, question: Question) -> Reply:
        path, fields = structured_output(question.grammar, self.capabilities)
        if question.raw:
            # As ids where possible, because a server puts a BOS before a text that already has one.
            ids = self.capabilities.token_ids
            prompt = list(self._tokenizer.prompt(question)) if ids else raw_prompt(question)
            route, body = COMPLETIONS, completion_body(self.model, prompt, question, self.capabilities)
        else:
            route, body = CHAT, chat_body(self.model, question, self.capabilities)
        reply = self._post(route, {**body, **fields}, self._checked(question, parse_reply))
        return replace(reply, path=applied_path(question.grammar, path, reply.text))

    def _option_logprobs(self, question: Question) -> Reply | None:
        """The options' log-probabilities; None where the servers return none."""
        grammar, limit = question.grammar, self.capabilities.limit_field
        options, think = grammar.options, grammar.think
        last, behind = grammar.last, grammar.behind
        length = 1 if think is None else question.sampling.max_tokens
        if self.capabilities.logprobs == "ids":
            tokens = self._tokenizer.options(options)
            several = any(len(ids) > 1 for ids in tokens.values())
            if several and question.images:
                return None  # the ids of a prompt lack its images, and would be read without them
            if question.raw or several:
                prompt = self._tokenizer.prompt(question)
                body = prompt_logprobs_body(self.model, [[*prompt, *ids] for ids in tokens.values()])
                return self._post(COMPLETIONS, body, lambda data: parse_prompt_logprobs(data, prompt, tokens))
            spelled = self._tokenizer.spelled_options(options)
            ids = [token for spellings in spelled.values() for token in spellings]
            fields = option_logprobs_fields(limit, length=length, tokens=ids)
            body = chat_body(self.model, question, self.capabilities) | fields
            return self._post(
                CHAT,
                body,
                self._checked(
                    question, lambda data: parse_option_logprobs(data, spelled, think, last=last, behind=behind)
                ),
            )
        if self.capabilities.logprobs == "top" and not question.raw:
            fields = option_logprobs_fields(limit, length=length, most=self.capabilities.top_logprobs)
            body = chat_body(self.model, question, self.capabilities) | fields
            return self._post(
                CHAT,
                body,
                self._checked(
                    question, lambda data: parse_top_logprobs(data, options, think, last=last, behind=behind)
                ),
            )
        return None

    def _checked(self, question: Question, parse: Callable[[Any], Parsed]) -> Callable[[Any], Parsed]:
        """The parser, which first counts the images that the server read, where it says so."""
        token = self.capabilities.image_token
        if token is None or not question.images:
            return parse

        def counted(data: Any) -> Parsed:
            check_images(data, token, question.images)
            return parse(data)

        return counted

    def _post(self, route: str, body: Mapping[str, Any], parse: Callable[[Any], Parsed]) -> Parsed:
        """As `Client.post`, which counts the tokens of responses that are no reply and are asked for again."""

        def counted(data: Any) -> Parsed:
            try:
                return parse(data)
            except RetryableError:
                self.usage.add_discarded(*tokens_in(data))
                raise

        return self.client.post(route, body, counted)
