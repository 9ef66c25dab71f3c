"""What a server of the OpenAI protocol supports, as far as it matters to how a verdict is requested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["MOST_LOGPROBS", "Capabilities", "LimitField", "SchemaField"]

MOST_LOGPROBS = 20
"""Most probable tokens that servers return per position by default."""

LimitField = Literal["max_tokens", "max_completion_tokens"]
"""The field that limits the length of a reply."""

SchemaField = Literal["", "structured_outputs", "response_format"]
"""The field that takes a JSON schema; "" where there is none."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one server supports, or what several support in common. The default is the least."""

    server: str = "unknown"
    """Kind and version, e.g. "vllm 0.32.0"."""
    limit_field: LimitField = "max_tokens"
    choice: bool = False
    """vLLM's `structured_outputs` with choices and regular expressions."""
    schema: SchemaField = ""
    logprobs: Literal["ids", "top", ""] = ""
    """"ids": log-probabilities of the requested tokens; "top": of the most probable ones; "": none."""
    token_ids: bool = False
    """It has /tokenize, and chats are read as exactly the ids that this returns."""
    top_logprobs: int = MOST_LOGPROBS
    """How many of the most probable tokens are requested, where `logprobs` is "top"."""

    @classmethod
    def of_batch(cls, *, structured: bool = False, logprobs: bool = True) -> Capabilities:
        """What the user says of a batch service, which cannot be probed.

        Args:
            structured: vLLM's `structured_outputs`. Services that do not know the field reject the line.
            logprobs: the most probable first tokens, for protocols that need probabilities of options.
        """
        schema: SchemaField = "structured_outputs" if structured else ""
        return cls("batch file", choice=structured, schema=schema, logprobs="top" if logprobs else "")

    @property
    def settings(self) -> Mapping[str, str | bool | int]:
        """For the record."""
        return {
            "server": self.server,
            "structured_outputs": self.choice,
            "json_schema": self.schema or "none",
            "logprobs": self.logprobs or "none",
            **({"top_logprobs": self.top_logprobs} if self.logprobs == "top" else {}),
            "token_ids": self.token_ids,
        }

    def intersection(self, other: Capabilities) -> Capabilities:
        """What both servers support."""
        return Capabilities(
            self.server if self.server == other.server else " and ".join(sorted({self.server, other.server})),
            self.limit_field if self.limit_field == other.limit_field else "max_tokens",
            self.choice and other.choice,
            self.schema if self.schema == other.schema else "",
            self.logprobs if self.logprobs == other.logprobs else "top" if self.logprobs and other.logprobs else "",
            self.token_ids and other.token_ids,
            min(self.top_logprobs, other.top_logprobs),
        )
