"""Questions as bodies of requests in the OpenAI protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from rmbench.models.servers.generation import Grammar, Path, Question

__all__ = ["LimitField", "Schema", "chat_body", "constraint_of", "raw_body"]

LimitField = Literal["max_tokens", "max_completion_tokens"]
"""What the server calls the largest number of tokens of an answer."""

Schema = Literal["", "structured_outputs", "response_format"]
"""The field in which the server takes a JSON schema; "" where it takes none."""


def chat_body(model: str, question: Question, limit: LimitField = "max_tokens") -> dict[str, Any]:
    """The body for /v1/chat/completions, without a constraint.

    A last message of the assistant's is continued, by fields that servers of the vLLM kind know; others refuse them,
    which is better than an answer to another question.
    """
    messages = [dict(message) for message in question.messages]
    body = {"model": model, "messages": messages, **_sampling(question, limit)}
    if messages and messages[-1].get("role") == "assistant":
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    return body


def raw_body(model: str, prompt: str | list[int], question: Question) -> dict[str, Any]:
    """The body for /v1/completions: a whole prompt, as text or as token ids."""
    return {"model": model, "prompt": prompt, **_sampling(question, "max_tokens")}


def constraint_of(grammar: Grammar, choice: bool, schema: Schema) -> tuple[Path, Mapping[str, Any]]:
    """What of a grammar a server can be held to, and the fields that ask for it; ("plain", {}) for nothing.

    Args:
        grammar: at most one of its kinds is asked for: vLLM refuses two.
        choice: whether the server takes vLLM's `structured_outputs`.
        schema: the field in which it takes a JSON schema.
    """
    if grammar.choices and choice:
        return "choice", {"structured_outputs": {"choice": list(grammar.choices)}}
    if grammar.regex and choice:
        return "regex", {"structured_outputs": {"regex": grammar.regex}}
    if grammar.schema is not None and schema:
        return "json", schema_field(grammar.schema, schema)
    return "plain", {}


def schema_field(wanted: Mapping[str, object], schema: Schema) -> dict[str, Any]:
    """The field that asks for JSON of a schema."""
    if schema == "structured_outputs":
        return {"structured_outputs": {"json": dict(wanted)}}
    named = {"name": "verdict", "strict": True, "schema": dict(wanted)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _sampling(question: Question, limit: LimitField) -> dict[str, Any]:
    """All of it is sent: a server's own defaults may come from the model's files."""
    sampling = question.sampling
    body: dict[str, Any] = {limit: sampling.max_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p}
    if sampling.repetition_penalty is not None:
        body["repetition_penalty"] = sampling.repetition_penalty
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    return body
