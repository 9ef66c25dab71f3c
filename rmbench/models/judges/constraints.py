"""Structured output: what a server is asked to hold a reply to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.verdict import (
    allowed_replies,
)
from rmbench.models.servers.generation import Grammar

__all__ = ["grammar_of"]


def grammar_of(protocol: JudgeProtocol, size: int) -> Grammar:
    """What a server is told of the form of a reply about so many candidates."""
    verdict_format = protocol.verdict
    if verdict_format.options:
        at, options = verdict_format.options_at, tuple(verdict_format.values)
        think = None if at == "start" else protocol.think
        return Grammar(options=options, think=think, last=at == "end", behind=verdict_format.options_behind)
    if verdict_format.constrain == "choices":
        return Grammar(choices=allowed_replies(verdict_format, size))
    if verdict_format.constrain == "json":
        return Grammar(schema=_schema(verdict_format.tag, allowed_replies(verdict_format, size)))
    return Grammar()


def _schema(field_name: str, allowed: Sequence[str]) -> Mapping[str, object]:
    """The reason before the verdict, so that the judge reasons before it decides."""
    verdict: dict[str, object] = {"type": "string"}
    if allowed:
        verdict["enum"] = list(allowed)
    return {
        "type": "object",
        "properties": {"reason": {"type": "string"}, field_name: verdict},
        "required": ["reason", field_name],
        "additionalProperties": False,
    }
