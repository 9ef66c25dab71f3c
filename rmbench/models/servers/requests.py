"""Bodies of requests in the OpenAI protocol and on vLLM's own routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.servers.capabilities import MOST_LOGPROBS, SYSTEM, Capabilities, LimitField, SchemaField
from rmbench.models.servers.generation import Grammar, Path, Question

__all__ = [
    "CHAT",
    "CLASSIFY",
    "COMPLETIONS",
    "MODELS",
    "TOKENIZE",
    "chat_body",
    "classify_body",
    "classify_chat_body",
    "completion_body",
    "option_logprobs_fields",
    "plain_request",
    "prompt_logprobs_body",
    "raw_prompt",
    "schema_field",
    "structured_output",
    "text_in",
    "text_request",
    "tokenize_chat_body",
    "tokenize_messages_body",
    "tokenize_text_body",
]

CHAT, COMPLETIONS, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"
TOKENIZE, CLASSIFY = "/tokenize", "/classify"

_LISTED = 20_000
"""Log-probabilities of one reply, about: more tokens per position are requested of short replies alone."""


def chat_body(model: str, question: Question, capabilities: Capabilities | None = None) -> dict[str, Any]:
    """The body for chat completions, without a constraint and without what the server refuses.

    A last message of the assistant is continued, by fields that vLLM-like servers know; others reject them, which is
    better than a reply to another question.
    """
    capabilities = capabilities or Capabilities()
    messages = [dict(message) for message in question.messages]
    messages = messages if capabilities.system else _without_system(messages)
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        **_sampling(question, capabilities.limit_field, capabilities),
    }
    if messages and messages[-1].get("role") == "assistant":
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    if question.images and capabilities.image_token is not None:
        body["return_token_ids"] = True
    return body


def completion_body(
    model: str, prompt: str | list[int], question: Question, capabilities: Capabilities | None = None
) -> dict[str, Any]:
    """The body for completions: a whole prompt, as text or as token ids."""
    return {"model": model, "prompt": prompt, **_sampling(question, "max_tokens", capabilities or Capabilities())}


def text_request(model: str, question: Question, capabilities: Capabilities) -> tuple[str, dict[str, Any]]:
    """Route and body of a question, a raw one as text, without a constraint."""
    if question.raw:
        return COMPLETIONS, completion_body(model, raw_prompt(question), question, capabilities)
    return CHAT, chat_body(model, question, capabilities)


def plain_request(model: str, question: Question, capabilities: Capabilities) -> tuple[str, dict[str, Any]]:
    """Route and body of the question's last text of the user alone, with the limit of its length and no other field."""
    users = [{**message, "content": text_in(message)} for message in question.messages if message["role"] == "user"]
    limit: dict[str, Any] = {capabilities.limit_field: question.sampling.max_tokens}
    if question.raw:
        return COMPLETIONS, {"model": model, "prompt": raw_prompt(question), **limit}
    return CHAT, {"model": model, "messages": users[-1:], **limit}


def raw_prompt(question: Question) -> str:
    """The text of a raw question; raises RmbenchError where it has several messages."""
    if len(question.messages) != 1:
        raise RmbenchError(f"{question.name}: a raw question has one message, not {len(question.messages)}.")
    return text_in(question.messages[0])


def text_in(message: Mapping[str, Any]) -> str:
    """The text of a message, images left out."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def structured_output(grammar: Grammar, capabilities: Capabilities) -> tuple[Path, Mapping[str, Any]]:
    """The fields that apply as much of a grammar as the server supports; ("plain", {}) for nothing.

    At most one kind of constraint is requested: vLLM rejects two.
    """
    if grammar.choices and capabilities.choice:
        return "choice", {"structured_outputs": {"choice": list(grammar.choices)}}
    if grammar.regex and capabilities.choice:
        return "regex", {"structured_outputs": {"regex": grammar.regex}}
    if grammar.schema is not None and capabilities.schema:
        return "json", schema_field(grammar.schema, capabilities.schema)
    return "plain", {}


def schema_field(schema: Mapping[str, object], field: SchemaField) -> dict[str, Any]:
    """The field that requests JSON of a schema."""
    if field == "structured_outputs":
        return {"structured_outputs": {"json": dict(schema)}}
    named = {"name": "verdict", "strict": True, "schema": dict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def option_logprobs_fields(
    limit: LimitField, *, length: int = 1, tokens: Sequence[int] = (), most: int = MOST_LOGPROBS
) -> dict[str, Any]:
    """Fields that make a chat return log-probabilities of its reply's tokens.

    Args:
        limit: the field that limits the length.
        length: of the reply, at most.
        tokens: the ids to return them of (`logprob_token_ids`, vLLM); (): of the most probable tokens.
        most: how many of the most probable ones; no more than MOST_LOGPROBS of a long reply.
    """
    if tokens:
        fields: dict[str, Any] = {"logprob_token_ids": list(tokens), "return_tokens_as_token_ids": True}
    else:
        fields = {"top_logprobs": min(most, max(MOST_LOGPROBS, _LISTED // length))}
    return {limit: length, "logprobs": True, **fields}


def prompt_logprobs_body(model: str, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The body for completions that returns the log-probability of every token of each prompt, unconstrained."""
    return {"model": model, "prompt": rows, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}


def tokenize_text_body(model: str, text: str, *, special: bool) -> dict[str, Any]:
    """The body that tokenizes a text, with or without the tokenizer's special tokens."""
    return {"model": model, "prompt": text, "add_special_tokens": special}


def tokenize_chat_body(model: str, question: Question, capabilities: Capabilities) -> dict[str, Any]:
    """The body that tokenizes a question as its chat would be."""
    body = chat_body(model, question, capabilities)
    keys = ("model", "messages", "add_generation_prompt", "continue_final_message", "chat_template_kwargs")
    return {key: body[key] for key in keys if key in body}


def classify_body(model: str, rows: Sequence[Sequence[int]], *, activation: bool) -> dict[str, Any]:
    """The body that classifies rows of token ids; `activation`: whether the server's activation (a sigmoid) is on."""
    return {"model": model, "input": [list(row) for row in rows], "use_activation": activation}


def classify_chat_body(model: str, messages: Sequence[Mapping[str, Any]], *, activation: bool) -> dict[str, Any]:
    """The body that classifies one conversation, which the server renders, without a header of an answer to come."""
    return {**tokenize_messages_body(model, messages), "use_activation": activation}


def tokenize_messages_body(model: str, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The body that tokenizes a conversation as `classify_chat_body` has it read."""
    how = {"add_generation_prompt": False, "add_special_tokens": False}
    return {"model": model, "messages": list(messages), **how}


def _sampling(question: Question, limit: LimitField, capabilities: Capabilities) -> dict[str, Any]:
    """All of it is sent that the server takes: its own defaults may come from the model's files."""
    sampling = question.sampling
    body: dict[str, Any] = {
        limit: sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
    }
    kept = {key: value for key, value in body.items() if value is not None and key not in capabilities.left_out}
    return {**kept, **sampling.further}


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the system's text at the beginning of the user's first one."""
    system = [message["content"] for message in messages if message["role"] == SYSTEM]
    rest = [message for message in messages if message["role"] != SYSTEM]
    if not system or not rest or rest[0]["role"] != "user":
        return messages
    begun = rest[0]["content"]
    if isinstance(begun, str):
        return [{**rest[0], "content": "\n\n".join([*system, begun])}, *rest[1:]]
    first = {"type": "text", "text": "\n\n".join([*system, ""])}
    return [{**rest[0], "content": (first, *begun)}, *rest[1:]]
