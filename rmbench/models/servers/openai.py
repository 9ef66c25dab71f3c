"""A judge behind any server of the OpenAI protocol: vLLM, SGLang, llama.cpp, a hosted API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rmbench.errors import RmbenchError
from rmbench.models.servers.capabilities import Abilities
from rmbench.models.servers.client import AgainError, Client, RefusedError, StoppedError
from rmbench.models.servers.generation import Question, Reply
from rmbench.models.servers.option_probs import OptionTokens, sequence_logprobs, token_logprobs, top_logprobs
from rmbench.models.servers.replies import integers, kept_to, reply_of
from rmbench.models.servers.requests import chat_body, constraint_of, raw_body
from rmbench.models.servers.usage import Usage

__all__ = ["ServerBackend"]

Setting = str | int | float | bool | None


def _silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class ServerBackend:
    """A Backend over a client. Structured outputs and log-probabilities are used where the servers were seen to offer
    them, and a reply says which way it came."""

    client: Client
    model: str
    """As the servers call it."""
    abilities: Abilities
    name: str
    """As people call it."""
    more: Mapping[str, Setting] = field(default_factory=dict)
    """Further settings for the record."""
    usage: Usage = field(default_factory=Usage)
    note: Callable[[str], None] = _silent
    stop: Callable[[], None] | None = None
    """Ends a server that was started for this backend alone."""
    _tokens: OptionTokens = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tokens", OptionTokens(self.client, self.model))

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Kind of server, what it offers, and where probabilities of options are taken from."""
        return {
            **self.abilities.settings,
            "option_logprobs": "without a constraint" if self.abilities.logprobs else "none",
            **self.more,
        }

    def ask(self, question: Question) -> Reply:
        """As `Backend` says."""
        try:
            reply = self._options(question) if question.grammar.options else None
            reply = reply or self._text(question)
        except AgainError as error:
            return Reply(error=f"no answer in {self.client.patience.attempts} attempts; the last one: {error}")
        except (RefusedError, StoppedError) as error:
            return Reply(error=str(error))
        self.usage.add(reply)
        hide = self.client.key.hide_in_answer
        return replace(reply, text=hide(reply.text), reasoning=hide(reply.reasoning))

    def close(self) -> None:
        """Break off requests, then stop the server, if it is ours, and say what was used."""
        self.client.close()
        if self.stop is not None:
            self.stop()
        if self.usage.replies:
            self.note(f"{self.name}: {self.usage.line(self.client.sent_again)}")

    def _text(self, question: Question) -> Reply:
        path, fields = constraint_of(question.grammar, self.abilities.choice, self.abilities.schema)
        if question.raw:
            body = raw_body(self.model, self._prompt(question), question)
            reply = self.client.post("/v1/completions", {**body, **fields}, reply_of)
        else:
            body = chat_body(self.model, question, self.abilities.limit_field)
            reply = self.client.post("/v1/chat/completions", {**body, **fields}, reply_of)
        return replace(reply, path=kept_to(question.grammar, path, reply.text))

    def _options(self, question: Question) -> Reply | None:
        """The options' log-probabilities; None where the servers do not give every one of them."""
        options, abilities = question.grammar.options, self.abilities
        if abilities.logprobs == "ids":
            spelled = self._tokens.of(options)
            single = {option: ids[0] for option, ids in spelled.items() if len(ids) == 1}
            if len(single) == len(options) and not question.raw:
                body = chat_body(self.model, question, abilities.limit_field)
                return token_logprobs(self.client, body, abilities.limit_field, single)
            ids = self._prompt_ids(question)
            return sequence_logprobs(self.client, self.model, ids, spelled)
        if abilities.logprobs and not question.raw:
            body = chat_body(self.model, question, abilities.limit_field)
            return top_logprobs(self.client, body, abilities.limit_field, options)
        return None

    def _prompt(self, question: Question) -> str | list[int]:
        """A whole prompt: as ids where they are to be had, because a server puts a BOS before text that has one."""
        return list(self._prompt_ids(question)) if self.abilities.token_ids else _only_text(question)

    def _prompt_ids(self, question: Question) -> Sequence[int]:
        if question.raw:
            return self._tokens.of_prompt(_only_text(question))
        body = chat_body(self.model, question)
        keys = ("model", "messages", "add_generation_prompt", "continue_final_message")
        asked = {key: body[key] for key in keys if key in body}
        return self.client.post("/tokenize", asked, lambda data: integers(data, "tokens"))


def _only_text(question: Question) -> str:
    if len(question.messages) != 1:
        raise RmbenchError(f"{question.name}: a raw question has one message, not {len(question.messages)}.")
    return question.messages[0]["content"]
